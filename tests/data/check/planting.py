"""Plants faults in copies of real datasets, and tells how many of them the doctor finds.

`python planting.py FOLDER` runs the whole trial on the datasets below FOLDER and prints its figures; the tests run a
part of it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from easyseg.config import CheckSettings
from easyseg.data.check.doctor import examine_folder
from easyseg.data.shapes import write_shapes
from easyseg.results.checkup import Checkup

CAMVID_CLASSES = [
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
]  # fmt: skip


DATASETS: dict[str, tuple[str, dict[str, tuple[str, str]], dict[str, Any]]] = {
    "camvid": (
        "camvid",
        {"train": ("train", "trainannot"), "val": ("val", "valannot")},
        {"classes": CAMVID_CLASSES, "ignore": [11]},
    ),
    "shapes": (
        "shapes",
        {"train": ("train/images", "train/masks"), "val": ("val/images", "val/masks")},
        {"classes": ["background", "disc", "square", "triangle"]},
    ),
    "pennfudan": (
        "pennfudan",
        {"train": ("PNGImages", "PedMasks")},
        {"classes": ["person"], "task": "binary"},
    ),
    "isbi": ("isbi2012_membrane/train", {"train": ("image", "label")}, {"classes": ["cell"]}),
    "aerial": (
        "aerial_buildings",
        {"train": ("train_data/images", "train_data/gt"), "val": ("val_data/images", "val_data/gt")},
        {"classes": ["building"]},
    ),
}
"""Where each dataset lies, the folders of images and masks of each split, and how it is read."""


@dataclass
class Pair:
    """An image of the copy with its mask, and the split they are in."""

    image: Path
    mask: Path
    split: str


@dataclass
class Copy:
    """A copy of a dataset.

    Attributes:
        root: its folder.
        pairs: untouched pairs; planting takes them from the end.
        settings: arguments of `load_dataset` that read the original.
        image_folders: where the images of each split lie.
        mask_folders: where the masks of each split lie.
    """

    root: Path
    pairs: list[Pair]
    settings: dict[str, Any]
    image_folders: dict[str, Path]
    mask_folders: dict[str, Path]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def take(self, split: str | None = None) -> Pair:
        """Take a pair that nothing is wrong with yet, and whose mask shows something."""
        most = Counter(pair.split for pair in self.pairs).most_common(1)[0][0]
        at = next(at for at, p in enumerate(self.pairs) if p.split == (split or most) and read(p.mask).any())
        return self.pairs.pop(at)

    def name(self, path: Path) -> str:
        """Return a path as a report has it."""
        return path.relative_to(self.root).as_posix()


def copy_of(name: str, data: Path, folder: Path, *, limit: int | None = None, seed: int = 0) -> Copy:
    """Copy a dataset, or the first images of each split of it, as folders of images and masks.

    The dataset "shapes" is drawn, not copied.
    """
    if name == "shapes":
        write_shapes(data / "shapes", count=limit or 60, size=64, seed=seed)
    below, parts, settings = DATASETS[name]
    source = data / below
    pairs = []
    for split, (images, masks) in parts.items():
        for image in sorted(path for path in (source / images).iterdir() if path.is_file())[:limit]:
            fitting = [path for path in (source / masks).iterdir() if path.stem in (image.stem, f"{image.stem}_mask")]
            targets = folder / images / image.name, folder / masks / fitting[0].name
            for origin, target in zip((image, fitting[0]), targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, target)
            pairs.append(Pair(*targets, split))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pairs))
    return Copy(
        folder,
        [pairs[at] for at in order],
        settings,
        {split: folder / images for split, (images, _) in parts.items()},
        {split: folder / masks for split, (_, masks) in parts.items()},
        rng,
    )


def read(path: Path) -> np.ndarray:
    """Return the pixels of a picture as its file stores them."""
    with Image.open(path) as picture:
        return np.array(picture)


def write(path: Path, values: np.ndarray, **options: Any) -> Path:
    """Write a picture in the format of its suffix."""
    Image.fromarray(values).save(path, **options)
    return path


def missing_mask(copy: Copy) -> str:
    """Take an image's mask away."""
    pair = copy.take()
    pair.mask.unlink()
    return copy.name(pair.image)


def orphan_mask(copy: Copy) -> str:
    """Put a mask there that no image belongs to."""
    pair = copy.take()
    target = pair.mask.with_name(f"left_over_{pair.mask.stem}{pair.mask.suffix}")
    shutil.copy(pair.mask, target)
    return copy.name(target)


def unreadable(copy: Copy) -> str:
    """Put something into a file that is no picture."""
    pair = copy.take()
    victim = (pair.image, pair.mask)[copy.rng.integers(2)]
    content = (b"", b"<html>404 Not Found</html>", copy.rng.bytes(4000), victim.read_bytes()[400:])
    victim.write_bytes(content[copy.rng.integers(len(content))])
    return copy.name(victim)


def truncated(copy: Copy) -> str:
    """Cut a file off before its end."""
    pair = copy.take()
    victim = (pair.image, pair.mask)[copy.rng.integers(2)]
    data = victim.read_bytes()
    victim.write_bytes(data[: int(len(data) * copy.rng.uniform(0.3, 0.98))])
    return copy.name(victim)


def exif_rotation(copy: Copy) -> str:
    """Turn an image by EXIF alone."""
    pair = copy.take()
    values = read(pair.image)
    if values.shape[0] == values.shape[1]:
        values = values[: values.shape[0] * 3 // 4]
        write(pair.mask, read(pair.mask)[: len(values)])
    exif = Image.Exif()
    exif[0x0112] = int(copy.rng.choice([6, 8]))
    pair.image.unlink()
    write(pair.image.with_suffix(".jpg"), values, quality=92, exif=exif)
    return copy.name(pair.mask)


def exif_turn(copy: Copy) -> str:
    """Turn an image by EXIF by 180 degrees, which no size tells."""
    pair = copy.take()
    exif = Image.Exif()
    exif[0x0112] = 3
    values = read(pair.image)
    pair.image.unlink()
    write(pair.image.with_suffix(".png"), values, exif=exif)
    return copy.name(pair.mask)


def other_image(copy: Copy) -> str:
    """Put the mask of an image under another, too."""
    first, second = copy.take("train"), copy.take("train")
    second.mask.write_bytes(first.mask.read_bytes())
    return copy.name(second.mask)


def size_mismatch(copy: Copy) -> str:
    """Save a mask at another size."""
    pair = copy.take()
    mask = read(pair.mask)
    step = int(copy.rng.integers(2, 4))
    write(pair.mask, mask[::step, ::step] if copy.rng.random() < 0.5 else mask[:-1, :-1])
    return copy.name(pair.mask)


def unknown_value(copy: Copy) -> str:
    """Draw a patch of a value that no class has."""
    pair = copy.take()
    mask = read(pair.mask)
    mask[10:20, 10 : 10 + int(copy.rng.integers(1, 60))] = copy.rng.integers(20, 200)
    write(pair.mask, mask)
    return copy.name(pair.mask)


def black_and_white(copy: Copy) -> str:
    """Save a mask of ids as 0 and 255."""
    pair = copy.take()
    mask = read(pair.mask)
    values, counts = np.unique(mask[(mask > 0) & (mask < 255)], return_counts=True)
    write(pair.mask, np.where(mask == values[counts.argmax()], 255, 0).astype(np.uint8))
    return copy.name(pair.mask)


def antialiased(copy: Copy) -> str:
    """Scale a mask smoothly."""
    pair = copy.take()
    mask = read(pair.mask)
    if mask.max() < 64:  # class ids, drawn as levels of grey
        mask = (mask.astype(int) * 20).clip(0, 255).astype(np.uint8)
    small = cv2.resize(mask, None, fx=0.37, fy=0.37, interpolation=cv2.INTER_AREA)
    write(pair.mask, cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_CUBIC))
    return copy.name(pair.mask)


def smoothed_ids(copy: Copy) -> str:
    """Scale a mask of ids as if they were brightness; between 0 and 1 there would be nothing."""
    mask = np.zeros((1, 1))
    while mask.max() < 3:
        pair = copy.take()
        mask = read(pair.mask)
        mask[np.isin(mask, copy.settings.get("ignore", [255]))] = 0
    small = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_LINEAR)
    write(pair.mask, cv2.resize(small, mask.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    return copy.name(pair.mask)


def jpeg_mask(copy: Copy) -> str:
    """Save a mask as JPEG."""
    pair = copy.take()
    mask = read(pair.mask)
    pair.mask.unlink()
    scaled = mask if mask.max() > 64 else (mask.astype(int) * 20).clip(0, 255).astype(np.uint8)
    return copy.name(write(pair.mask.with_suffix(".jpg"), scaled, quality=90))


def color_mask(copy: Copy) -> str:
    """Save a mask in colours."""
    pair = copy.take()
    colors = np.random.default_rng(5).integers(0, 256, (256, 3), dtype=np.uint8)
    write(pair.mask, colors[read(pair.mask)])
    return copy.name(pair.mask)


def empty_mask(copy: Copy) -> str:
    """Save a mask of background alone."""
    pair = copy.take()
    write(pair.mask, np.zeros_like(read(pair.mask)))
    return copy.name(pair.mask)


def void_mask(copy: Copy) -> str:
    """Save a mask in which no pixel counts."""
    pair = copy.take()
    write(pair.mask, np.full_like(read(pair.mask), copy.settings.get("ignore", [255])[0]))
    return copy.name(pair.mask)


def constant_image(copy: Copy) -> str:
    """Save an image of one colour."""
    pair = copy.take()
    write(pair.image, np.full_like(read(pair.image), copy.rng.integers(256)))
    return copy.name(pair.image)


def wide_numbers(copy: Copy) -> str:
    """Save an image of 10 to 14 bits as one of 16."""
    pair = copy.take()
    values = read(pair.image)
    grey = values if values.ndim == 2 else values[..., :3].mean(axis=2)
    bits = int(copy.rng.choice([10, 12, 14]))
    pair.image.unlink()
    wide = (grey.astype(np.float64) / 255 * ((1 << bits) - 1)).astype(np.uint16)
    return copy.name(write(pair.image.with_suffix(".png"), wide))


def duplicate(copy: Copy) -> str:
    """Put an image there twice."""
    pair = copy.take()
    return _again(copy, pair, pair.split, pair.image.read_bytes(), pair.image.suffix)


def leak(copy: Copy) -> str:
    """Put an image of the validation split into the training split, too."""
    pair = copy.take("val")
    return _again(copy, pair, "train", pair.image.read_bytes(), pair.image.suffix)


def conflicting_annotation(copy: Copy) -> str:
    """Put an image there twice, with another mask."""
    pair = copy.take()
    name = _again(copy, pair, pair.split, pair.image.read_bytes(), pair.image.suffix)
    mask = copy.mask_folders[pair.split] / f"again_{pair.mask.name}"
    write(mask, np.roll(read(mask), 40, axis=1))
    return name


def conflicting_mask(copy: Copy) -> str:
    """Give an image a second mask."""
    pair = copy.take()
    other = ".bmp" if pair.mask.suffix != ".bmp" else ".png"
    write(pair.mask.with_suffix(other), np.flipud(read(pair.mask)))
    return copy.name(pair.image)


def near_duplicate(copy: Copy) -> str:
    """Put a changed copy of an image there."""
    pair = copy.take()
    return _changed_again(copy, pair, pair.split)


def near_leak(copy: Copy) -> str:
    """Put a changed copy of a validation image into the training split."""
    return _changed_again(copy, copy.take("val"), "train")


def _again(copy: Copy, pair: Pair, split: str, data: bytes, suffix: str) -> str:
    """Put an image and its mask into the copy once more, under another name."""
    target = copy.image_folders[split] / f"again_{pair.image.stem}{suffix}"
    target.write_bytes(data)
    mask = copy.mask_folders[split] / f"again_{pair.mask.name}"
    mask.write_bytes(pair.mask.read_bytes())
    return copy.name(target)


def _changed_again(copy: Copy, pair: Pair, split: str) -> str:
    values = read(pair.image)
    values = values[..., :3] if values.ndim == 3 else values
    change = list(CHANGES)[copy.rng.integers(len(CHANGES))]
    changed = CHANGES[change](values, copy.rng)
    target = copy.image_folders[split] / f"again_{change}_{pair.image.stem}.jpg"
    write(target, np.ascontiguousarray(changed), quality=int(copy.rng.integers(60, 96)))
    mask = Image.open(pair.mask)  # a mask of the right size is all that matters
    mask.resize(changed.shape[1::-1], Image.Resampling.NEAREST).save(
        copy.mask_folders[split] / f"{target.stem}{'_mask' if pair.mask.stem.endswith('_mask') else ''}.png"
    )
    return copy.name(target)


def _cut(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = values.shape[:2]
    top, bottom, left, right = rng.uniform(0, 0.05, 4)
    return values[int(top * height) : height - int(bottom * height), int(left * width) : width - int(right * width)]


def _lightened(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (values * rng.uniform(0.8, 1.2) + rng.uniform(-15, 15)).clip(0, 255).astype(np.uint8)


def _scaled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = float(rng.uniform(0.4, 0.9))
    return cv2.resize(values, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "compressed": lambda values, rng: values,
    "scaled": _scaled,
    "lightened": _lightened,
    "cut": _cut,
    "mirrored": lambda values, rng: values[:, ::-1],
    "cut_and_scaled": lambda values, rng: _scaled(_cut(values, rng), rng),
}
"""What is done to a copy before it is saved as JPEG."""

KINDS: dict[str, tuple[Callable[[Copy], str], tuple[str, ...], tuple[str, ...]]] = {
    "missing mask": (missing_mask, ("missing_masks",), ("camvid", "pennfudan", "isbi", "aerial")),
    "orphan mask": (orphan_mask, ("orphan_masks",), ("camvid", "pennfudan", "isbi", "aerial")),
    "unreadable": (unreadable, ("unreadable", "truncated"), ("camvid", "pennfudan", "isbi", "aerial")),
    "truncated": (truncated, ("truncated",), ("camvid", "pennfudan", "isbi", "aerial")),
    "EXIF rotation": (exif_rotation, ("exif_rotation",), ("camvid", "pennfudan", "isbi", "aerial")),
    "size mismatch": (size_mismatch, ("size_mismatch",), ("camvid", "pennfudan", "isbi", "aerial")),
    "unknown value": (unknown_value, ("unknown_values",), ("camvid",)),
    "0/255 among ids": (black_and_white, ("black_and_white_masks",), ("camvid",)),
    "antialiased": (antialiased, ("antialiased_masks",), ("camvid", "isbi", "aerial")),
    "JPEG mask": (jpeg_mask, ("jpeg_masks",), ("camvid", "isbi", "aerial")),
    "colours among ids": (color_mask, ("mixed_encodings",), ("camvid", "isbi")),
    "empty mask": (empty_mask, ("empty_masks",), ("camvid", "pennfudan", "isbi", "aerial")),
    "void mask": (void_mask, ("void_masks",), ("camvid",)),
    "constant image": (constant_image, ("constant_images",), ("camvid", "pennfudan", "isbi", "aerial")),
    "12 bits in 16": (wide_numbers, ("mixed_numbers",), ("camvid", "pennfudan", "isbi", "aerial")),
    "duplicate": (duplicate, ("duplicates", "leaks"), ("camvid", "pennfudan", "isbi", "aerial")),
    "leak": (leak, ("leaks",), ("camvid", "aerial")),
    "conflicting annotation": (
        conflicting_annotation,
        ("conflicting_annotations",),
        ("camvid", "pennfudan", "isbi", "aerial"),
    ),
    "conflicting masks": (conflicting_mask, ("conflicting_masks",), ("camvid", "pennfudan", "isbi", "aerial")),
    "near duplicate": (
        near_duplicate,
        ("near_duplicates", "near_leaks", "series", "series_leaks"),
        ("camvid", "pennfudan", "isbi", "aerial"),
    ),
    "near leak": (near_leak, ("near_leaks", "series_leaks"), ("camvid", "aerial")),
    "smoothed ids": (smoothed_ids, ("smoothed_masks",), ("camvid",)),
    "EXIF turn": (exif_turn, ("exif_turns",), ("camvid", "pennfudan", "isbi", "aerial")),
    "another's mask": (other_image, ("repeated_masks",), ("camvid", "isbi")),
}
"""What is planted: by what, the findings that may name it, and the datasets it can be planted in."""


@dataclass
class Score:
    """How many planted faults were found."""

    planted: int = 0
    found: int = 0
    missed: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)


def names_in(checkup: Checkup, kinds: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the files of each case of some findings."""
    return [tuple(case.name.split(" = ")) for finding in checkup if finding.kind in kinds for case in finding.cases]


def batches(name: str, num_pairs: dict[str, int], counts: dict[str, int]) -> Iterator[list[str]]:
    """Yield kinds that fit into one copy together, each once."""
    batch: list[str] = []
    for kind, (_, _, datasets) in KINDS.items():
        if name not in datasets:
            continue
        batch.append(kind)
        if sum(counts[part] for part in batch) > 0.35 * num_pairs[name]:
            yield batch
            batch = []
    if batch:
        yield batch


def drawn_trial(folder: Path, per_kind: int) -> dict[str, Score]:
    """Plant `per_kind` faults of each kind in datasets that are drawn."""
    totals = {kind: Score() for kind in KINDS}
    kinds = list(KINDS)
    for number, batch in enumerate((kinds[0::3], kinds[1::3], kinds[2::3])):
        copy = copy_of("shapes", folder / f"drawn_{number}", folder / f"copy_{number}", limit=80, seed=number)
        _plant_and_count(totals, copy, dict.fromkeys(batch, per_kind))
    return totals


def trial(data: Path, per_kind: int, *, limit: int | None = None, seed: int = 0) -> dict[str, Score]:
    """Plant `per_kind` faults of each kind, shared among the datasets it can be planted in."""
    totals = {kind: Score() for kind in KINDS}
    sizes = {"camvid": 2 * limit if limit else 468, "pennfudan": 43, "isbi": 30, "aerial": 34}
    for name in sizes:
        counts = {}
        for kind, (_, _, datasets) in KINDS.items():
            share = per_kind // 5
            counts[kind] = per_kind - share * (len(datasets) - 1) if name == "camvid" else share
        for batch in batches(name, sizes, counts):
            with tempfile.TemporaryDirectory() as folder:
                copy = copy_of(name, data, Path(folder) / name, limit=limit, seed=seed)
                _plant_and_count(totals, copy, {kind: counts[kind] for kind in batch})
    return totals


def _plant_and_count(totals: dict[str, Score], copy: Copy, counts: dict[str, int]) -> None:
    """Plant faults of several kinds in one copy, examine it once, and add to the totals."""
    planted = {kind: [KINDS[kind][0](copy) for _ in range(count)] for kind, count in counts.items()}
    checkup = examine_folder(copy.root, copy.settings, CheckSettings(verbose=False))
    for kind, count in counts.items():
        totals[kind].planted += count
    _count(totals, checkup, planted, copy)


def _count(totals: dict[str, Score], checkup: Checkup, planted: dict[str, list[str]], copy: Copy) -> None:
    everything = {name for names in planted.values() for name in names}
    for kind, names in planted.items():
        named = names_in(checkup, KINDS[kind][1])
        for name in names:
            hit = any(name in parts for parts in named)
            totals[kind].found += hit
            totals[kind].missed += [] if hit else [f"{copy.root.name}/{name}"]
    harmful = [finding for finding in checkup if finding.severity != "note"]
    stray = [
        f"{finding.kind}: {case.name}"
        for finding in harmful
        for case in finding.cases
        if not _belongs(case.name, everything)
    ]
    for kind in planted:
        totals[kind].stray += stray


def _belongs(name: str, planted: set[str]) -> bool:
    """Tell whether a case speaks of a planted fault: by its file, or by that file's partner."""
    stems = {_stem(path) for path in planted}
    return any(path in planted or _stem(path) in stems for path in name.split(" = "))


def _stem(path: str) -> str:
    """Return the name that an image shares with its mask."""
    stem = Path(path).stem.removesuffix("_mask")
    for prefix in ("left_over_", "again_", *(f"{change}_" for change in sorted(CHANGES, key=len, reverse=True))):
        stem = stem.removeprefix(prefix)
    return stem.removesuffix("_mask")


if __name__ == "__main__":
    found = trial(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 25)
    for kind, score in found.items():
        print(f"{kind:24} {score.found:3} of {score.planted}  missed {score.missed[:4]}  stray {score.stray[:4]}")
