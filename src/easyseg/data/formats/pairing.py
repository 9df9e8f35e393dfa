"""Which mask belongs to which image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from easyseg.data.formats.folder_names import has_mask_affix, image_stem_keys, mask_stem_keys
from easyseg.data.formats.layout import STRICT, BadSamples
from easyseg.data.formats.scanning import FoundFile, nearest_name
from easyseg.errors import FormatError, SampleError
from easyseg.structures import Sample, Split

_Key = tuple[Split | None, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class Roles:
    """The files of a folder, sorted into images and masks; None where they are neither."""

    images: tuple[FoundFile, ...]
    masks: tuple[FoundFile, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What pairing found.

    Attributes:
        samples: one per image, in the order of the images.
        class_names: with masks in one folder per class, the names of these folders.
        notes: lines for people on what was left over.
    """

    samples: tuple[Sample, ...]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class MaskIndex:
    """Finds an image's mask by split, place and name."""

    def __init__(self, masks: Iterable[FoundFile]) -> None:
        self._by_key: dict[_Key, list[FoundFile]] = defaultdict(list)
        for mask in masks:
            for rank, key in enumerate(mask_stem_keys(mask.stem)):
                # an exact name wins over a name with an affix
                for stem in {key, key.casefold()}:
                    self._by_key[mask.split, mask.place, f"{min(rank, 1)}{stem}"].append(mask)

    def find(self, image: FoundFile, *, within: tuple[str, ...] = ()) -> FoundFile | None:
        """Return the image's mask, or None.

        Args:
            image: the image.
            within: folders below the image's own place where the mask lies.

        Raises:
            SampleError: several masks fit equally well.
        """
        place = (*image.place, *within)
        for stem in image_stem_keys(image.stem):
            for name in (stem, stem.casefold()):
                for split in dict.fromkeys([image.split, None]):
                    for rank in (0, 1):
                        found = self._by_key.get((split, place, f"{rank}{name}"), [])
                        if len({mask.path for mask in found}) > 1:
                            listed = " and ".join(str(mask.path) for mask in found[:3])
                            raise SampleError(image.path, f"several masks fit this image: {listed}. Keep one of them.")
                        if found:
                            return found[0]
        return None


def assign_roles(files: Sequence[FoundFile]) -> Roles:
    """Decide which files are images and which are masks, where the folders' names leave it open.

    Raises:
        FormatError: two folders claim the same role.
    """
    images = [file for file in files if file.role == "image"]
    masks = [file for file in files if file.role == "mask"]
    unnamed = [file for file in files if file.role is None]
    if masks:
        mask_places = {(file.base.parent, file.split) for file in masks}
        split_folders = [file for file in unnamed if file.split is not None]
        if not images:
            images = [file for file in split_folders if not file.place] or _only_sibling(unnamed, mask_places)
        else:
            images_of = {file.split for file in images}
            images += [file for file in split_folders if file.split not in images_of and not file.place]
    else:
        masks = _masks_beside_images(images or unnamed)
        paths = {file.path for file in masks}
        images = [file for file in images or unnamed if file.path not in paths] if masks else images
    _refuse_rivals(images, "images")
    _refuse_rivals(masks, "masks")
    return Roles(tuple(images), tuple(masks))


def pair(roles: Roles, *, root: Path, source_format: str, bad_samples: BadSamples = STRICT) -> Pairs:
    """Give each image its mask.

    Args:
        roles: the images and masks.
        root: the dataset's folder.
        source_format: the format's name.
        bad_samples: what happens to images without a mask among others that have one.

    Raises:
        SampleError: an image has none although others of its split have one, or has several.
    """
    _refuse_twins(roles)
    index = MaskIndex(roles.masks)
    class_names = class_folders(roles)
    samples: list[Sample] = []
    used: set[Path] = set()
    without: list[FoundFile] = []
    for image in roles.images:
        found = [index.find(image, within=(name,)) for name in class_names] if class_names else [index.find(image)]
        masks = [mask.path for mask in found if mask is not None]
        if class_names and masks and len(masks) < len(found):
            absent = class_names[found.index(None)]
            raise SampleError(
                image.path, f"there is no mask of the class {absent!r}; write an empty one (all 0) where it is absent."
            )
        if not masks:
            without.append(image)
        used.update(masks)
        mask = None if not masks else masks[0] if len(masks) == 1 else tuple(masks)
        samples.append(Sample(image.path, mask, image.split, source_format))
    missing = _missing(without, samples, roles.masks)
    for error in missing:
        bad_samples.add(error)
    lacking = {error.path for error in missing}
    samples = [sample for sample in samples if sample.image not in lacking]
    without = [image for image in without if image.path not in lacking]
    notes = _left_over(roles.masks, used) + _unannotated(without)
    return Pairs(with_labels(samples, root), tuple(class_names) or None, notes)


def with_labels(samples: Iterable[Sample], root: Path) -> tuple[Sample, ...]:
    """Label samples with their images' paths below `root` where file names alone would not tell them apart."""
    samples = tuple(samples)
    if len({sample.name for sample in samples}) == len(samples):
        return samples
    return tuple(replace(sample, label=_label(sample, root)) for sample in samples)


def _label(sample: Sample, root: Path) -> str:
    path = sample.image_path
    if path is None:
        return sample.name
    folder = path.parent.relative_to(root) if path.is_relative_to(root) else path.parent
    return (folder / sample.name).as_posix()


def _only_sibling(unnamed: list[FoundFile], mask_places: set[tuple[Path, Split | None]]) -> list[FoundFile]:
    """Take the one other folder beside the masks for the images, as in `roofs/` + `roofs_masks/`."""
    parents = {parent for parent, _ in mask_places}
    folders = {file.base for file in unnamed if file.base.parent in parents}
    if len(folders) != 1:
        return []
    return [replace(file, place=file.place[:-1]) for file in unnamed if file.base in folders]


def _masks_beside_images(files: list[FoundFile]) -> list[FoundFile]:
    """Find masks that lie in the same folder as their images, as `street.jpg` + `street_mask.png`."""
    stems = {(file.split, file.place, file.stem) for file in files if not has_mask_affix(file.stem)}
    image_keys = {(split, place, key) for split, place, stem in stems for key in image_stem_keys(stem)}
    return [
        file
        for file in files
        if has_mask_affix(file.stem)
        and any((file.split, file.place, key) in image_keys for key in mask_stem_keys(file.stem)[1:])
    ]


def class_folders(roles: Roles) -> list[str]:
    """Return the class names where masks lie in one folder per class, else an empty list."""
    image_places = {image.place for image in roles.images}
    mask_places = {mask.place for mask in roles.masks}
    if not mask_places or mask_places & image_places:
        return []
    names = {place[-1] for place in mask_places if place and place[:-1] in image_places}
    is_one_per_class = all(place and place[:-1] in image_places for place in mask_places)
    return sorted(names) if is_one_per_class else []


def _refuse_rivals(files: Sequence[FoundFile], argument: str) -> None:
    bases: dict[tuple[Path, Split | None], set[Path]] = defaultdict(set)
    for base, split in {(file.base, file.split): None for file in files if file.role is not None}:
        bases[base.parent, split].add(base)
    for rivals in bases.values():
        if len(rivals) > 1:
            listed = " and ".join(repr(folder.name) for folder in sorted(rivals))
            first = sorted(rivals)[0].name
            raise FormatError(
                f"{sorted(rivals)[0].parent}: {listed} could each hold the {argument}. Type images='...', masks='...' "
                f"to name the two folders, such as {argument}={first!r}."
            )


def _refuse_twins(roles: Roles) -> None:
    seen: dict[tuple[Split | None, tuple[str, ...], str], FoundFile] = {}
    for image in roles.images:
        twin = seen.setdefault((image.split, image.place, image.stem), image)
        if twin is not image:
            raise SampleError(
                image.path, f"there is another image of this name, {twin.path.name}; their masks cannot be told apart."
            )


def _missing(without: list[FoundFile], samples: list[Sample], masks: Sequence[FoundFile]) -> list[SampleError]:
    """Return what is wrong with images that have no mask, unless no image of their split has one."""
    annotated_splits = {sample.split for sample in samples if sample.mask is not None}
    splits_with_mask_files = {mask.split for mask in masks}
    found = [
        image for image in without if not annotated_splits or image.split in annotated_splits | splits_with_mask_files
    ]
    return [
        SampleError(
            image.path,
            f"this image has no mask. Expected a mask file named {image.stem}, or {image.stem}_mask."
            f"{nearest_name(image.path.name, masks) if at == 0 else ''}"
            f"{f' So it is with {len(without) - 1} more.' if len(without) > 1 else ''} "
            "Add the mask, or move the image out of the dataset.",
        )
        for at, image in enumerate(found)
    ]


def _left_over(masks: Sequence[FoundFile], used: set[Path]) -> tuple[str, ...]:
    unused = [mask.path for mask in masks if mask.path not in used]
    if not unused:
        return ()
    return (f"Mask files that belong to no image are left out: {len(unused)}, such as {unused[0].name}.",)


def _unannotated(without: list[FoundFile]) -> tuple[str, ...]:
    splits = sorted({image.split or "none" for image in without})
    return tuple(f"the images of the split {split!r} have no masks; one can predict them." for split in splits)
