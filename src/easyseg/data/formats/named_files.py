"""Finding the files that annotation files name, inside the dataset's folder and nowhere else."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.data.formats.places import split_of_folders, split_of_name
from easyseg.data.formats.scanning import normal_form
from easyseg.errors import SampleError
from easyseg.io.decoding import near_name
from easyseg.structures import Split

_MOST_HINTS = 3
"""So many messages offer the nearest name: to find it means to compare all names."""


class NamedFiles:
    """The files below a folder, by the names that annotation files have for them.

    A name is never opened as a path: it is looked up among the files that were found by listing the folder, by the
    longest tail of it that is one of theirs. So names from other machines work, and no name leads outside; nor does one
    of a link that leads out, for whoever wrote the annotation may not be who made the link.

    Args:
        root: the folder.
        files: the files below it.
    """

    def __init__(self, root: Path, files: Iterable[Path]) -> None:
        self._root = root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            self._by_name[_key(file.name)].append(file)
            self._by_stem[_key(file.stem)].append(file)
        self._by_tail: dict[str, dict[str, list[Path]]] = {}
        self._num_hints = 0
        self._real_root = root.resolve()
        self._real_folders: dict[Path, bool] = {}

    def __len__(self) -> int:
        return sum(len(files) for files in self._by_name.values())

    def find(self, name: str, *, source: Path) -> Path:
        """Return the file that an annotation file means.

        Args:
            name: what stands there: a file's name or path, with slashes of either kind, perhaps of another machine.
            source: the annotation file.

        Raises:
            SampleError: there is no such file below the folder, several fit, the only one is of another split, or it is
                a link that leads out.
        """
        found = self.find_if_there(name, source=source)
        if found is None:
            raise SampleError(
                source,
                f"it names the image {name[:200]!r}, which is not below {self._root}.{self._hint(name)} Add it, type "
                "images='...' with the folder of the images, or on_bad_sample='skip' to leave such images out.",
            )
        return found

    def find_if_there(self, name: str, *, source: Path) -> Path | None:
        """Return the file that an annotation file means, None where there is none.

        Raises:
            SampleError: several fit, the only one is of another split, or it is a link that leads out.
        """
        for spelling in dict.fromkeys((name, unquote(name))):
            parts = _parts(spelling)
            candidates = self._by_name.get(_key(parts[-1]), []) if parts else []
            if candidates:
                found = self._best(candidates, parts, name, source)
                wanted = self._other_split(found, parts, source)
                if wanted is not None:
                    raise SampleError(
                        source,
                        f"it names the image {name[:200]!r} for the split {wanted!r}, and the only file that fits, "
                        f"{found}, lies in a folder of another split. Add the image that is meant, write its folder "
                        "before its name, or on_bad_sample='skip' to leave such images out.",
                    )
                return self._inside(found, source)
        return None

    def find_by_stem(self, stem: str, *, source: Path) -> Path | None:
        """Return the file of a name without suffix: the one beside `source`, else the only one, else None."""
        found = self._by_stem.get(_key(stem), [])
        found = [file for file in found if file.parent == source.parent] or found
        if len(found) != 1 or self._other_split(found[0], [stem], source) is not None:
            return None
        return self._inside(found[0], source)

    def _inside(self, file: Path, source: Path) -> Path:
        folder = file.parent
        if folder not in self._real_folders:
            self._real_folders[folder] = folder.resolve().is_relative_to(self._real_root)
        is_inside = self._real_folders[folder]
        if is_inside and file.is_symlink():
            is_inside = file.resolve().is_relative_to(self._real_root)
        if not is_inside:
            raise SampleError(
                file,
                f"this is a link that leads out of {self._root}, named in {source.name}. Copy the file into the "
                "dataset, or type images='...' with the folder where the files really are.",
            )
        return file

    def _best(self, candidates: list[Path], parts: list[str], name: str, source: Path) -> Path:
        """Return the candidate that shares the longest tail with the name.

        Of several, the one of the annotation file's split counts, then the nearest to it.
        """
        if len(candidates) == 1:
            return candidates[0]
        longest = self._of_longest_tail(candidates, parts, source)
        longest = [file for file in longest if file.name == parts[-1]] or longest
        if len(longest) > 1:
            split = self._split_of(source, parts[-1])
            longest = [file for file in longest if split and split == self._split_of_folder(file)] or longest
            nearness = [_shared(list(source.parent.parts), file.parent.parts) for file in longest]
            longest = [file for file, near in zip(longest, nearness, strict=True) if near == max(nearness)]
            longest = [file for file in longest if file.parent == source.parent] or longest
        if len(longest) > 1:
            listed = " and ".join(str(file) for file in longest[:3])
            raise SampleError(
                source,
                f"it names the image {name[:200]!r}, for which several files fit: {listed}. Type images='...' with the "
                "folder of the right ones.",
            )
        return longest[0]

    def _of_longest_tail(self, candidates: list[Path], parts: list[str], source: Path) -> list[Path]:
        key = _key(parts[-1])
        if key not in self._by_tail:
            tails: dict[str, list[Path]] = defaultdict(list)
            for file in candidates:
                keys = [_key(part) for part in file.relative_to(self._root).parts]
                for start in range(len(keys) - 1):
                    tails["/".join(keys[start:])].append(file)
            self._by_tail[key] = tails
        keys = [_key(part) for part in parts]
        for start in range(len(keys) - 1):
            if found := self._by_tail[key].get("/".join(keys[start:])):
                return found
        # a bare name in one of many folders that each have such a file
        beside = source.parent / parts[-1]
        if beside.parent.is_relative_to(self._root) and beside in self._in_folder(key, beside.parent):
            return [beside]
        return candidates

    def _in_folder(self, key: str, folder: Path) -> list[Path]:
        keys = [_key(part) for part in folder.relative_to(self._root).parts]
        return self._by_tail[key].get("/".join((*keys, key)), []) if keys else []

    def _other_split(self, file: Path, parts: list[str], source: Path) -> Split | None:
        """Return the split that an annotation means, where the folders of the file found for it say another one."""
        split = self._split_of_folder(file)
        if split is None or file.parent == source.parent:
            return None
        tail = _shared(parts[::-1], file.relative_to(self._root).parts[::-1])
        if any(split_of_name(part) == split for part in parts[-tail:-1]):
            return None  # the name itself says so
        written = next((found for part in reversed(parts[:-1]) if (found := _split_folder(part))), None)
        wanted = written or self._split_of(source, parts[-1])
        return wanted if wanted != split else None

    def _split_of_folder(self, file: Path) -> Split | None:
        return split_of_folders(file.parent, self._root)

    def _split_of(self, source: Path, name: str) -> Split | None:
        """Return the split that an annotation file's name or folders say, unless it has the name of its one image."""
        is_of_one = _key(source.stem) in (_key(name), _key(Path(name).stem))
        common = Path(os.path.commonpath((self._root, source.parent)))  # what both lie in says nothing
        return (None if is_of_one else split_of_name(source.stem)) or split_of_folders(source.parent, common)

    def _hint(self, name: str) -> str:
        self._num_hints += 1
        if self._num_hints > _MOST_HINTS:
            return ""
        parts = _parts(name)
        names = (file.name for files in self._by_name.values() for file in files)
        near = near_name(parts[-1] if parts else "", names)
        return f" The nearest name is {near!r}." if near else ""


def _split_folder(name: str) -> Split | None:
    """Return the split that a folder is called by: a path of another machine may have the word in any name."""
    meaning = folder_meaning(name)
    return split_of_name(name) if meaning.is_known else None


def _parts(name: str) -> list[str]:
    parts = normal_form(name).replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..")]


def _shared(first: list[str], second: tuple[str, ...]) -> int:
    """Return how many parts agree, from the beginning on."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if _key(one) != _key(other):
            break
        count += 1
    return count


def _key(name: str) -> str:
    return normal_form(name).casefold()
