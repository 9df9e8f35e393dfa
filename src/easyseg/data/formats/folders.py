"""Image and mask folders under any of their usual names, with or without folders for the splits."""

from __future__ import annotations

from pathlib import Path

from easyseg.data.formats.class_names import read_class_names
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.pairing import assign_roles, pair
from easyseg.data.formats.scanning import find_files
from easyseg.errors import FormatError

NAME = "folders"
LOOKS_FOR = "folders of images and of masks, such as images/ + masks/, train/images + train/masks, train/ + trainannot/"
OVERRULES: tuple[str, ...] = ()


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are folders of images and of masks, judged by names only."""
    if not path.is_dir() or annotations is not None:
        return False
    try:
        roles = assign_roles(find_files(path))
    except FormatError:
        return True  # two candidates for one role; reading says which
    return bool(roles.images and roles.masks)


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their masks.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where its name does not tell; with `masks`.
        masks: the folder of the masks.
        options: what happens to images without a mask.

    Raises:
        FormatError: no images or no masks were found, or it is not clear which folder is which.
        SampleError: an image has no mask, or several.
    """
    roles = assign_roles(find_files(path, images=images, masks=masks))
    if not roles.images or not roles.masks:
        lacking = "images" if not roles.images else "masks"
        raise FormatError(f"{path}: no {lacking} found. Expected {LOOKS_FOR}. Type images='...', masks='...'.")
    pairs = pair(roles, root=path, source_format=NAME, bad_samples=options.bad_samples)
    skipped = tuple(options.bad_samples.skipped)
    names = read_class_names(path)
    if pairs.class_names and names.names is None and names.class_values is None:
        return Layout(pairs.samples, pairs.class_names, None, "the mask folders' names", pairs.notes, skipped=skipped)
    return Layout(pairs.samples, names.names, names.class_values, names.source, pairs.notes, skipped=skipped)
