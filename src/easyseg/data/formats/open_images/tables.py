"""Finding the tables of masks and of class names below a dataset's folder, however many images lie there."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.open_images.class_titles import is_class_table
from easyseg.data.formats.open_images.mask_index import is_mask_table
from easyseg.structures import Split

_DEPTH = 2
_MOST_ENTRIES = 2000
"""Who puts tables beside more files than these has to name them: millions of masks are not looked through for one."""


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
        found = [
            path
            for path in found
            if fnmatch.fnmatch(path.relative_to(root).as_posix(), wanted) or fnmatch.fnmatch(path.name, wanted)
        ]
    return FoundTables(tuple(path for path in found if is_mask_table(path)), class_names)


def split_of_table(path: Path, root: Path) -> Split | None:
    """Return the split that a table's name begins with, or that the nearest folder says."""
    for part in (path.stem.partition("-")[0], *reversed(path.relative_to(root).parts[:-1])):
        split = folder_meaning(part).split
        if split is not None:
            return split
    return None


def _csv_files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            listed = [entry for entry in itertools.islice(entries, _MOST_ENTRIES) if not entry.name.startswith(".")]
    except OSError:
        return
    for entry in listed:
        if entry.name.lower().endswith(".csv"):
            yield folder / entry.name
        elif depth and entry.is_dir():
            yield from _csv_files(folder / entry.name, depth - 1)
