"""One mask file per object, as for the nuclei of the Data Science Bowl 2018."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.formats.annotation_files import split_of_path
from easyseg.data.formats.folder_names import folder_meaning, image_stem_keys, mask_stem_keys
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.places import place_of
from easyseg.data.formats.scanning import list_images, normal_form
from easyseg.errors import FormatError
from easyseg.structures import LabelledObject, MaskPart, Sample
from easyseg.structures.objects import UNNAMED

NAME = "object_files"
LOOKS_FOR = "one mask file per object: ID/images/ID.png + ID/masks/*.png, or images/ID.png + masks/ID/*.png"
OVERRULES = ("folders",)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An image with the masks of its objects."""

    image: Path
    masks: tuple[Path, ...]


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether an image has several masks of other names in a folder of its own, judged by names only."""
    return path.is_dir() and annotations is None and bool(_entries(list_images(path), path))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects.

    Args:
        path: the dataset's folder.
        images: not needed by this format.
        masks: not needed by this format.
        options: images without masks, and what happens to broken samples.

    Raises:
        FormatError: no image has masks of its own.
    """
    if images is not None or masks is not None:
        raise FormatError(
            f"{path}: with one mask file per object, the folders are found by themselves; leave out images= and masks=."
        )
    files = list_images(path)
    entries = _entries(files, path)
    if not entries:
        raise FormatError(f"{path}: no masks of single objects found. Expected {LOOKS_FOR}.")
    gathered = Gathered(NAME, path, options)
    used: set[Path] = set()
    for entry in entries:
        objects = tuple(LabelledObject(UNNAMED, MaskPart(mask)) for mask in entry.masks)
        gathered.add(Sample(entry.image, None, split_of_path(entry.image, path), NAME, objects=objects), entry.image)
        used.update(entry.masks)
    others = [file for file in files if file not in used and not _is_mask(file, path)]
    return gathered.layout((UNNAMED,), images=others, notes=("Each mask file is one object.",))


def _entries(files: list[Path], root: Path) -> list[_Entry]:
    """Return the images whose masks lie in a folder of their own."""
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        by_folder[file.parent].append(file)
    return _folder_per_image(by_folder) or _mask_folder_per_image(by_folder, root)


def _folder_per_image(by_folder: dict[Path, list[Path]]) -> list[_Entry]:
    """Find ID/images/ID.png with ID/masks/*.png."""
    masks_of = {folder.parent: files for folder, files in by_folder.items() if _role(folder) == "mask"}
    found = []
    for folder, files in by_folder.items():
        masks = masks_of.get(folder.parent)
        if masks and len(files) == 1 and _role(folder) == "image":
            found.append(_Entry(files[0], tuple(masks)))
    # a mask of the image's own name is one of all its objects, and a single one of another name is a slip
    are_of_all = any(_is_of(entry.image, mask) for entry in found for mask in entry.masks)
    return found if not are_of_all and any(len(entry.masks) > 1 for entry in found) else []


def _mask_folder_per_image(by_folder: dict[Path, list[Path]], root: Path) -> list[_Entry]:
    """Find images/ID.png with masks/ID/*.png, with folders for splits or towns above or below images/ and masks/."""
    masks_of = {
        (place_of(folder, root), normal_form(folder.name)): files
        for folder, files in by_folder.items()
        if _role_with_splits(folder.parent) == "mask"
    }
    keys = {
        file: (place_of(file, root), normal_form(file.stem))
        for folder, files in by_folder.items()
        if _role_with_splits(folder) == "image"
        for file in files
    }
    if not masks_of or not masks_of.keys() <= set(keys.values()):
        return []
    return [_Entry(image, tuple(masks_of[key])) for image, key in keys.items() if key in masks_of]


def _role_with_splits(folder: Path) -> str | None:
    """Return the role that a folder's name says, or where it is a split's, as in masks/train, the folder's above."""
    meaning = folder_meaning(folder.name)
    is_split = meaning.is_known and meaning.role is None
    return _role(folder.parent) if is_split else _role(folder)


def _is_mask(file: Path, root: Path) -> bool:
    return any(folder_meaning(part).role == "mask" for part in file.relative_to(root).parts[:-1])


def _is_of(image: Path, mask: Path) -> bool:
    return bool(set(image_stem_keys(image.stem.casefold())) & set(mask_stem_keys(mask.stem.casefold())))


def _role(folder: Path) -> str | None:
    meaning = folder_meaning(folder.name)
    return meaning.role if meaning.is_known else None
