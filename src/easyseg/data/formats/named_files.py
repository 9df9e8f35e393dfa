"""Finding the files that annotation files name, inside the dataset's folder and nowhere else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from easyseg.data.formats.scanning import normal_form
from easyseg.errors import SampleError
from easyseg.io.decoding import near_name


class NamedFiles:
    """The files below a folder, by the names that annotation files have for them.

    A name is never opened as a path: it is looked up among the files that were found by listing the folder, by the
    longest tail of it that is one of theirs. So names from other machines work, and no name leads outside.

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
            SampleError: there is no such file below the folder, several fit, or it is a link that leads out.
        """
        found = self.find_if_there(name, source=source)
        if found is None:
            parts = _parts(name)
            near = near_name(
                parts[-1] if parts else "", (file.name for files in self._by_name.values() for file in files)
            )
            hint = f" The nearest name is {near!r}." if near else ""
            raise SampleError(
                source,
                f"it names the image {name[:200]!r}, which is not below {self._root}.{hint} Add it, type images='...' "
                "with the folder of the images, or on_bad_sample='skip' to leave such images out.",
            )
        return found

    def find_if_there(self, name: str, *, source: Path) -> Path | None:
        """Return the file that an annotation file means, None where there is none.

        Raises:
            SampleError: several fit, or it is a link that leads out.
        """
        for spelling in dict.fromkeys((name, unquote(name))):
            parts = _parts(spelling)
            candidates = self._by_name.get(_key(parts[-1]), []) if parts else []
            if candidates:
                return self._inside(self._best(candidates, parts, name, source), source)
        return None

    def find_by_stem(self, stem: str, *, source: Path) -> Path | None:
        """Return the file of a name without suffix: the one beside `source`, else the only one, else None."""
        found = self._by_stem.get(_key(stem), [])
        found = [file for file in found if file.parent == source.parent] or found
        return self._inside(found[0], source) if len(found) == 1 else None

    def _best(self, candidates: list[Path], parts: list[str], name: str, source: Path) -> Path:
        """Return the candidate that shares the longest tail with the name; of several, the nearest to `source`."""
        if len(candidates) == 1:
            return candidates[0]
        tails = [_shared(parts[::-1], file.relative_to(self._root).parts[::-1]) for file in candidates]
        longest = [file for file, tail in zip(candidates, tails, strict=True) if tail == max(tails)]
        exact = [file for file in longest if file.name == parts[-1]]
        longest = exact or longest
        nearness = [_shared(list(source.parent.parts), file.parent.parts) for file in longest]
        nearest = [file for file, near in zip(longest, nearness, strict=True) if near == max(nearness)]
        nearest = [file for file in nearest if file.parent == source.parent] or nearest
        if len(nearest) > 1:
            listed = " and ".join(str(file) for file in nearest[:3])
            raise SampleError(
                source,
                f"it names the image {name[:200]!r}, for which several files fit: {listed}. Type images='...' with the "
                "folder of the right ones.",
            )
        return nearest[0]

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
