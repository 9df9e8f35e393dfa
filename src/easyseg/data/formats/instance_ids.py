"""Masks in which 1, 2, 3, ... number the objects of each image, as for the pedestrians of Penn-Fudan."""

from __future__ import annotations

from pathlib import Path

from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.numbering import as_numbered_objects
from easyseg.data.formats.pairing import assign_roles, pair
from easyseg.data.formats.scanning import find_files
from easyseg.errors import FormatError

NAME = "instance_ids"
LOOKS_FOR = "folders of images and of masks that number objects; found out by the numbers, or typed"
OVERRULES: tuple[str, ...] = ()


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return False: by their names, such folders are those of any masks, and their numbers tell."""
    return False


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where its name does not tell; with `masks`.
        masks: the folder of the masks.
        options: what happens to images without a mask.

    Raises:
        FormatError: no images or no masks were found.
        SampleError: an image has no mask, or several.
    """
    roles = assign_roles(find_files(path, images=images, masks=masks))
    if not roles.images or not roles.masks:
        lacking = "images" if not roles.images else "masks"
        raise FormatError(f"{path}: no {lacking} found. Expected {LOOKS_FOR}. Type images='...', masks='...'.")
    pairs = pair(roles, root=path, source_format=NAME, bad_samples=options.bad_samples)
    skipped = tuple(options.bad_samples.skipped)
    return as_numbered_objects(Layout(pairs.samples, notes=pairs.notes, skipped=skipped))
