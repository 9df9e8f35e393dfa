"""All images and masks below a folder, millions of them, findable by name.

Names in a table of masks are looked up here, and never made into paths: what is not below the folder is not found,
whatever a name says. Masks in zip archives are found without unpacking them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.errors import SampleError
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.io.zip_archives import ArchiveList, list_archive
from easyseg.structures import ArchivedFile

Place: TypeAlias = Path | ArchiveList

_BATCH = 65_536
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, eq=False)
class FileTable:
    """N files, sorted by a key, each key once.

    Attributes:
        keys: (N,) ASCII bytes, ascending: file names, or names without their endings.
        names: (N,) ASCII bytes, the files' names.
        place_ids: (N,) uint32, places in `places`.
        places: folders and archives.
    """

    keys: npt.NDArray[np.bytes_]
    names: npt.NDArray[np.bytes_]
    place_ids: npt.NDArray[np.uint32]
    places: tuple[Place, ...]

    def find(self, keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.int64]:
        """Return the number of each key's file, (len(keys),); -1 where there is none."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1).astype(np.int64)

    def files(self, numbers: npt.NDArray[np.int64]) -> Files:
        """Return some files by their numbers, in their order."""
        names, place_ids = self.names[numbers], self.place_ids[numbers]
        places = [
            place if isinstance(place, Path) else place.part(names[place_ids == at])
            for at, place in enumerate(self.places)
        ]
        return Files(names, place_ids, tuple(places))


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """N files in any order.

    Attributes:
        names: (N,) ASCII bytes, their names.
        place_ids: (N,) uint32, places in `places`.
        places: folders and archives.
    """

    names: npt.NDArray[np.bytes_]
    place_ids: npt.NDArray[np.uint32]
    places: tuple[Place, ...]

    def __getitem__(self, number: int) -> Path | ArchivedFile:
        name = bytes(self.names[number]).decode("ascii")
        place = self.places[int(self.place_ids[number])]
        return place / name if isinstance(place, Path) else place[name]

    def path(self, number: int) -> Path:
        """Return what a file is called: its path, or that of its archive and its name in it."""
        file = self[number]
        return file if isinstance(file, Path) else file.path


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What lies below a folder.

    Attributes:
        by_name: every image file, also in archives, by its name; these can be masks.
        by_stem: every image file outside of archives and of folders for masks, by its name without ending.
        links_out: links that lead out of the folder, which were not followed.
    """

    by_name: FileTable
    by_stem: FileTable
    links_out: tuple[Path, ...]


def find_files(root: Path, *, images: Path | None = None, masks: Path | None = None) -> FoundFiles:
    """List what lies below a dataset's folder.

    Args:
        root: the folder.
        images: the folder of the images, where they are not to be looked for everywhere.
        masks: likewise of the masks.

    Raises:
        SampleError: an archive cannot be read.
    """
    of_masks = _Listing(root / masks if masks else root)
    of_images = _Listing(root / images) if images else of_masks if masks is None else _Listing(root)
    # a mask may be named as its image, so folders of masks hold no images, unless the user says so
    return FoundFiles(
        by_name=of_masks.table(),
        by_stem=of_images.table_of_stems(with_mask_folders=images is not None),
        links_out=tuple({*of_masks.links_out, *of_images.links_out}),
    )


class _Listing:
    """The image files below a folder, as arrays of some ten thousand names."""

    def __init__(self, root: Path) -> None:
        self.links_out: list[Path] = []
        self._root = root
        self._top = os.path.realpath(root)
        self._places: list[Place] = []
        self._parts: list[tuple[npt.NDArray[np.bytes_], int]] = []
        archives: list[Path] = []
        for folder in self._folders():
            self._places.append(folder)
            self._list_folder(folder, archives)
        for archive in sorted(archives):
            listed = list_archive(archive)
            self._places.append(listed)
            self._parts.append((listed.names, len(self._places) - 1))

    def table(self) -> FileTable:
        """Return all files by name."""
        return _table(self._parts, self._places)

    def table_of_stems(self, *, with_mask_folders: bool) -> FileTable:
        """Return the files outside of archives by their names without ending."""
        parts = []
        for names, place in self._parts:
            folder = self._places[place]
            if isinstance(folder, Path) and (with_mask_folders or not self._is_for_masks(folder)):
                parts.append((names, place))
        return _table(parts, self._places, _stems)

    def _is_for_masks(self, folder: Path) -> bool:
        roles = [folder_meaning(name).role for name in folder.relative_to(self._root).parts]
        return "mask" in roles and "image" not in roles

    def _folders(self) -> Iterator[Path]:
        """Yield the folder and all below it, in the order of their names; hidden ones are left out."""
        pending, seen = [self._root], set[str]()
        while pending:
            folder = pending.pop()
            real = os.path.realpath(folder)
            if real not in seen:  # a link inside may lead to a folder above
                seen.add(real)
                yield folder
                pending += sorted(self._below, reverse=True)

    def _list_folder(self, folder: Path, archives: list[Path]) -> None:
        self._below: list[Path] = []
        batch: list[str] = []
        for entry in _entries(folder):
            name = entry.name
            if name.startswith(".") or (entry.is_symlink() and not self._stays_inside(entry)):
                continue
            lowered = name.lower()
            if lowered.endswith(IMAGE_SUFFIXES):
                batch.append(name)
            elif entry.is_dir():
                self._below.append(folder / name)
            elif lowered.endswith(".zip"):
                archives.append(folder / name)
            if len(batch) >= _BATCH:
                self._keep(batch)
                batch = []
        self._keep(batch)

    def _stays_inside(self, link: os.DirEntry[str]) -> bool:
        is_inside = os.path.realpath(link.path).startswith(self._top + os.sep)
        if not is_inside:
            self.links_out.append(Path(link.path))
        return is_inside

    def _keep(self, batch: list[str]) -> None:
        # names of tables are ASCII, so others are none of theirs
        known = [name for name in batch if name.isascii() and len(name) <= _LONGEST_NAME]
        if known:
            self._parts.append((np.array(sorted(known), np.bytes_), len(self._places) - 1))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise SampleError(folder, f"the folder cannot be read ({error.strerror}). Change its permissions.") from error


def _stems(names: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bytes_]:
    return np.array([name.rpartition(b".")[0] for name in names.tolist()], np.bytes_)


def _table(
    parts: list[tuple[npt.NDArray[np.bytes_], int]],
    places: list[Place],
    key_of: Callable[[npt.NDArray[np.bytes_]], npt.NDArray[np.bytes_]] | None = None,
) -> FileTable:
    """Return files sorted by key, or by name; of several of a key, the first place counts."""
    names = np.concatenate([np.zeros(0, "S1"), *(names for names, _ in parts)])
    place_ids = np.concatenate(
        [np.zeros(0, np.uint32), *(np.full(len(names), place, np.uint32) for names, place in parts)]
    )
    keys = names if key_of is None else key_of(names)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    order = order[np.append([True], ordered[1:] != ordered[:-1])[: len(keys)]]
    names = names[order]
    # millions of names need not be held twice
    return FileTable(names if key_of is None else keys[order], names, place_ids[order], tuple(places))
