"""Finding the tables of masks and of class names below a dataset's folder, however many images lie there."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.open_images.class_titles import is_class_table
from easyseg.data.formats.open_images.mask_index import is_mask_table, split_of_table_name
from easyseg.structures import Split

_DEPTH = 2
_MOST_ENTRIES = 2000
"""So many tables of a folder are opened. Beyond so many files, only names are looked at: asking of each of millions of
masks whether it is a folder takes too long."""


@dataclass(frozen=True, slots=True)
class FoundTables:
    """The CSV files of a dataset.

    Attributes:
        masks: tables of masks, sorted.
        class_names: lists of class names, sorted.
    """

    masks: tuple[Path, ...]
    class_names: tuple[Path, ...]


def find_tables(root: Path, annotations: str | None = None) -> FoundTables:
    """Return the tables in a folder and two levels below it.

    Args:
        root: the dataset's folder.
        annotations: a table's path below `root`, its name, or a pattern for either; None: all tables.
    """
    found = sorted(_csv_files(root, _DEPTH))
    class_names = tuple(path for path in found if is_class_table(path))
    if annotations is not None:
        wanted = annotations.replace("\\", "/")
        named = root / wanted
        if named.is_file() and named.absolute().is_relative_to(root.absolute()):
            found = [named]  # as deep as it may lie, and beside however many files
        else:
            found = [
                path
                for path in found
                if fnmatch.fnmatch(path.relative_to(root).as_posix(), wanted) or fnmatch.fnmatch(path.name, wanted)
            ]
    return FoundTables(tuple(path for path in found if is_mask_table(path)), class_names)


def split_of_table(path: Path, root: Path) -> Split | None:
    """Return the split that a table's name begins with, or that the nearest folder says."""
    splits = (folder_meaning(part).split for part in reversed(path.relative_to(root).parts[:-1]))
    return split_of_table_name(path.stem) or next((split for split in splits if split is not None), None)


def _csv_files(folder: Path, depth: int) -> Iterator[Path]:
    folders = []
    tables = 0
    try:
        with os.scandir(folder) as entries:
            for at, entry in enumerate(entries):
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(".csv"):
                    tables += 1
                    if tables <= _MOST_ENTRIES:
                        yield folder / entry.name
                elif depth and at < _MOST_ENTRIES and entry.is_dir():
                    folders.append(folder / entry.name)
    except OSError:
        return
    for inner in folders:
        yield from _csv_files(inner, depth - 1)
