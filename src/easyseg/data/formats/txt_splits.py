"""Splits given as text files, one line per sample.

A line names a stem, an image, an `image mask` pair, or a sample's own folder, which holds `Image/<one file>` and
`Mask/0.png`. Paths written on another machine are found by their longest tail that exists here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from easyseg.data.formats.class_names import read_class_names
from easyseg.data.formats.folder_names import image_stem_keys, split_of_list
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.pairing import MaskIndex, Roles, assign_roles, with_labels
from easyseg.data.formats.scanning import FoundFile, find_files, list_images, nearest_name, normal_form
from easyseg.errors import FormatError, SampleError
from easyseg.io.decoding import near_name
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.structures import SPLITS, Sample, Split

NAME = "txt_splits"
LOOKS_FOR = "lists such as train.txt, val.txt, test.txt or training_dataset.txt, one image or sample per line"
OVERRULES = ("folders",)  # the lists say which of the files count

_MAX_LIST_BYTES = 64 << 20
_LIST_FOLDERS = ("", "splits", "split", "lists")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a list: its file, its number from 1, its text."""

    source: Path
    number: int
    text: str
    split: Split

    def error(self, problem: str) -> SampleError:
        return SampleError(self.source, f"line {self.number}, {self.text!r}: {problem}")


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether lists of splits lie in the folder."""
    return path.is_dir() and annotations is None and bool(_lists(path))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the samples of each split.

    Args:
        path: the folder with the lists.
        images: the folder of the images, where its name does not tell; with `masks`.
        masks: the folder of the masks.
        options: what happens to lines whose files are missing.

    Raises:
        FormatError: there are no lists.
        SampleError: a line's file or its mask is not there; it names the list and the line.
    """
    lists = _lists(path)
    if not lists:
        raise FormatError(f"{path}: no lists of splits found. Expected {LOOKS_FOR}.")
    files = find_files(path, images=images, masks=masks)
    resolver = _Resolver(path, files, assign_roles(files))
    samples: dict[Path, Sample] = {}
    repeated, shared = 0, 0
    for line in _lines(lists):
        try:
            sample = resolver.sample(line)
        except SampleError as error:
            options.bad_samples.add(error)
            continue
        image = Path(str(sample.image))
        earlier = samples.setdefault(image, sample)
        if earlier is not sample:
            repeated += earlier.split == sample.split
            shared += earlier.split != sample.split
    if not samples:
        raise FormatError(f"{lists[0][0]}: the lists name no image; each line should name one.")
    for sample in _without_masks(samples.values()):
        options.bad_samples.add(resolver.missing_mask(sample))
        del samples[Path(str(sample.image))]
    names = read_class_names(path)
    notes = (*resolver.notes(), *_repeats(repeated, shared))
    skipped = tuple(options.bad_samples.skipped)
    labelled = with_labels(samples.values(), path)
    return Layout(labelled, names.names, names.class_values, names.source, notes, skipped=skipped)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file or folder that a path in a list stands for, and the part of the path that had to go for it."""

    path: Path
    foreign_prefix: str = ""


class _Resolver:
    """Finds the files that lines mean."""

    def __init__(self, root: Path, files: Sequence[FoundFile], roles: Roles) -> None:
        self._root = root
        self._masks = roles.masks
        self._mask_index = MaskIndex(roles.masks)
        self._files = {file.path for file in files}
        self._images = {image.path: image for image in roles.images}
        self._bases = [root, *sorted({file.base for file in (*roles.images, *roles.masks)} - {root}), root / "imgs"]
        self._by_name: dict[str, list[FoundFile]] = defaultdict(list)
        for file in files:
            for name in {file.path.name, file.stem, *image_stem_keys(file.stem)}:
                self._by_name[normal_form(name).casefold()].append(file)
        self._foreign: Counter[str] = Counter()

    def sample(self, line: _Line) -> Sample:
        """Return the sample of a line."""
        for first, second in _halves(line.text):
            image, mask = self._find(first, line), self._find(second, line)
            if image is not None and mask is not None and image.path != mask.path:
                self._count(image, mask)
                return Sample(image.path, mask.path, line.split, NAME)
        found = self._find(line.text, line, images_only=True)
        if found is None:
            raise self._missing(line)
        self._count(found)
        if found.path.is_dir():
            return _folder_sample(line, found.path)
        mask_file = self._mask_index.find(self._images[found.path])
        return Sample(found.path, mask_file.path if mask_file else None, line.split, NAME)

    def notes(self) -> tuple[str, ...]:
        """Say which prefixes of another machine were left out."""
        return tuple(
            f"{count} paths in the lists begin with {prefix!r}, which is taken for {self._root}."
            for prefix, count in self._foreign.items()
        )

    def missing_mask(self, sample: Sample) -> SampleError:
        """Say that an image of a list has no mask."""
        image = Path(str(sample.image))
        return SampleError(
            image,
            f"this image stands in a list but has no mask. Expected a mask file named {image.stem}, or "
            f"{image.stem}_mask.{nearest_name(image.name, self._masks)}",
        )

    def _find(self, text: str, line: _Line, *, images_only: bool = False) -> _Found | None:
        """Return the file or sample folder with the longest tail of a path, None where there is none.

        Only places below the dataset's folder are looked at, wherever the path points to.
        """
        parts = _parts(text)
        for start in range(len(parts)):
            # a bare name may stand for files in several folders; it is looked up by name, with its split
            bases = self._bases if start < len(parts) - 1 else [self._root, self._root / "imgs"]
            for base in bases:
                for path in _candidates(base.joinpath(*parts[start:])):
                    is_file = path in self._images if images_only else path in self._files
                    if is_file or _is_sample_folder(path):
                        prefix = "/".join(parts[:start])
                        return _Found(path, f"/{prefix}" if start and text.startswith("/") else prefix)
        return self._find_by_name(parts[-1], line, images_only=images_only) if parts else None

    def _find_by_name(self, name: str, line: _Line, *, images_only: bool) -> _Found | None:
        found = self._by_name.get(normal_form(name).casefold(), [])
        found = [file for file in found if not images_only or file.path in self._images]
        found = [file for file in found if file.split in (line.split, None)] or found
        if len(found) > 1 and images_only:
            listed = ", ".join(str(file.path) for file in found[:3])
            raise line.error(f"several images fit: {listed}. Write the path with its folder.")
        return _Found(found[0].path) if len(found) == 1 else None

    def _missing(self, line: _Line) -> SampleError:
        near = near_name(_parts(line.text)[-1] if _parts(line.text) else "", (path.name for path in self._images))
        hint = f" The nearest name is {near!r}." if near else ""
        return line.error(f"nothing of this name is below {self._root}.{hint} Correct the line, or add the file.")

    def _count(self, *found: _Found) -> None:
        self._foreign.update(file.foreign_prefix for file in found if file.foreign_prefix)


def _parts(text: str) -> list[str]:
    return [part for part in PurePosixPath(text.replace("\\", "/")).parts if part not in ("/", ".", "..")]


def _folder_sample(line: _Line, folder: Path) -> Sample:
    """Return the sample of a folder that holds `Image/<one file>` and `Mask/0.png`."""
    parts = {entry.name.lower(): entry for entry in sorted(folder.iterdir()) if entry.is_dir()}
    images = list_images(parts["image"])
    if len(images) != 1:
        raise line.error(f"{parts['image']} holds {len(images)} images; expected exactly one.")
    masks = [path for path in list_images(parts["mask"]) if path.stem == "0"] if "mask" in parts else []
    if len(masks) != 1:
        raise line.error(f"{folder / 'Mask' / '0.png'} is missing; it should be the mask of {images[0].name}.")
    return Sample(images[0], masks[0], line.split, NAME, label=folder.name)


def _is_sample_folder(path: Path) -> bool:
    return path.is_dir() and any(entry.name.lower() == "image" and entry.is_dir() for entry in path.iterdir())


def _halves(text: str) -> Iterator[tuple[str, str]]:
    """Yield every way to read a line as an image and its mask; names may hold spaces."""
    for separator in ("\t", ",", " "):
        words = [word.strip() for word in text.split(separator)]
        for at in range(1, len(words)):
            yield separator.join(words[:at]), separator.join(words[at:])


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        for suffix in IMAGE_SUFFIXES:
            yield path.with_name(path.name + suffix)


def _lists(root: Path) -> list[tuple[Path, Split]]:
    """Return the list files with their splits, in the order train, val, test."""
    for name in _LIST_FOLDERS:
        folder = root / name
        if not folder.is_dir():
            continue
        found = [
            (path, split)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() == ".txt" and path.is_file() and (split := split_of_list(path.stem))
        ]
        if found:
            return sorted(found, key=lambda item: SPLITS.index(item[1]))
    return []


def _lines(lists: list[tuple[Path, Split]]) -> Iterator[_Line]:
    for path, split in lists:
        try:
            if path.stat().st_size > _MAX_LIST_BYTES:
                raise SampleError(path, f"the list has more than {_MAX_LIST_BYTES:,} bytes; is it a list of images?")
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SampleError(path, f"the list cannot be read ({error}); expected UTF-8 text.") from error
        for number, line in enumerate(text.splitlines(), start=1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                yield _Line(path, number, stripped, split)


def _without_masks(samples: Iterable[Sample]) -> list[Sample]:
    """Return the images without masks, unless a whole split has none."""
    samples = list(samples)
    annotated = {sample.split for sample in samples if sample.mask is not None}
    return [sample for sample in samples if sample.mask is None and (sample.split in annotated or not annotated)]


def _repeats(repeated: int, shared: int) -> tuple[str, ...]:
    notes = []
    if repeated:
        notes.append(f"Lines that name an image a second time do not count: {repeated}.")
    if shared:
        notes.append(f"Images in the lists of two splits count in the first only: {shared}.")
    return tuple(notes)
