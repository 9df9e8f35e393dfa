"""What the folders that a file lies in say of it: its split, and which of several files of one name it is."""

from __future__ import annotations

import functools
from pathlib import Path

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.scanning import normal_form
from easyseg.structures import Split

Place = tuple[str, ...]
"""Names of folders without those that only say "images" or "labels"; an image and its annotation agree in it."""

_SPLIT = "split:"
"""Marks a split in a place, so that "valid" and "val" are one, and a town called Train is another."""


def place_of(file: Path, root: Path) -> Place:
    """Return the place of a file below a dataset's folder, whatever its split folders and their order are called."""
    return _place(file.parent.relative_to(root).parts)


def agree(one: Place, other: Place) -> bool:
    """Return whether two places can be of the same file: neither names a split or folder that the other does not.

    One of them may name more: "labels/0001.txt" belongs to "town/images/0001.png" where nothing fits better.
    """
    return set(one) <= set(other) or set(other) <= set(one)


def split_of_folders(folder: Path, root: Path) -> Split | None:
    """Return the split that the names of folders say, from `folder` up to below `root`; the nearest first."""
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    return next((split for part in reversed(parts) if (split := split_of_name(part))), None)


@functools.lru_cache(maxsize=4096)
def split_of_name(name: str) -> Split | None:
    """Return the split that a folder's or file's name says; numbers in it do not count, as in "val2017".

    A name for both, such as "trainval", says none: its files may be of either.
    """
    split = folder_meaning("".join(" " if letter.isdigit() else letter for letter in name)).split
    return None if split == "train" and "val" in name.lower() else split


@functools.lru_cache(maxsize=4096)
def _place(folders: tuple[str, ...]) -> Place:
    place = []
    for name in folders:
        meaning = folder_meaning(name)
        if not meaning.is_known:  # "town1_train" is one of several towns
            place.append(normal_form(name).casefold())
        elif meaning.split is not None:
            place.append(f"{_SPLIT}{meaning.split}")
    return tuple(place)
