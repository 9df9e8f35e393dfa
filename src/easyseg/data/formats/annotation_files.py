"""Annotation files that nobody vouches for: finding them, and reading their fields with types and sizes checked."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.data.formats.folder_names import FolderMeaning, folder_meaning
from easyseg.data.formats.scanning import list_files
from easyseg.errors import FormatError, SampleError
from easyseg.io.decoding import near_name
from easyseg.io.json_files import keys_of, looks_whole, read_json
from easyseg.structures import MAX_PIXELS, Points, SizeHW, Split

MAX_COORDINATE = 1e6
"""Coordinates beyond this many pixels belong to no picture."""

_PEEKED = 20
"""So many files of a folder, from all over it, are looked into to find out what they are."""
_ROUND = 64
"""Points of a polygon that stands for a circle; it stays within a thousandth of the radius."""


def annotation_files(root: Path, suffix: str, annotations: str | None) -> list[Path]:
    """List a dataset's annotation files with an ending, sorted.

    Args:
        root: the dataset's folder.
        suffix: such as ".json".
        annotations: what the user typed: a file's path below `root`, its name, or a pattern for either; None: all.
    """
    files = list_files(root, (suffix,))
    if annotations is None:
        return files
    wanted = annotations.replace("\\", "/")
    if Path(annotations).is_absolute():
        return [file for file in files if file.absolute() == Path(annotations)]
    return [
        file
        for file in files
        if fnmatch.fnmatch(file.relative_to(root).as_posix(), wanted) or fnmatch.fnmatch(file.name, wanted)
    ]


def files_with_keys(
    root: Path,
    annotations: str | None,
    is_known: Callable[[frozenset[str]], bool],
    *,
    suffix: str = ".json",
    is_thorough: bool = False,
) -> list[Path]:
    """List the JSON files below a folder whose keys are those of a format.

    Where none of some files of a folder is, the others are not looked at. Beside files of the format, one that is
    empty or cut off counts as one, too: reading it says what is wrong, and leaving it out would lose its objects. A
    large file beside them is looked through to its end before it is left out.

    Args:
        root: the dataset's folder.
        annotations: what the user typed, as for `annotation_files`.
        is_known: tells by the keys of a file whether it is of the format.
        suffix: the files' ending.
        is_thorough: look through whole files where their ends do not tell, as for a format that somebody asked for.
    """
    by_folder: dict[Path, list[Path]] = {}
    for file in annotation_files(root, suffix, annotations):
        by_folder.setdefault(file.parent, []).append(file)
    found = []
    for files in by_folder.values():
        some = _spread(files)
        if any(is_known(keys_of(file)) for file in some) or (
            is_thorough and any(is_known(keys_of(file, whole=True)) for file in some)
        ):
            found += [
                file
                for file in files
                if is_known(keys_of(file)) or not looks_whole(file) or is_known(keys_of(file, whole=True))
            ]
    return found


def _spread(files: Sequence[Path]) -> list[Path]:
    """Return some files from all over a list; the first ones may all be of something else."""
    places = np.linspace(0, len(files) - 1, min(len(files), _PEEKED)).round().astype(int)
    return [files[place] for place in places.tolist()]


def missing_annotations(root: Path, annotations: str | None, looks_for: str) -> FormatError:
    """Say that no annotation file was found."""
    if annotations is None:
        return FormatError(f"{root}: no annotation files found. Expected {looks_for}.")
    near = near_name(Path(annotations).name, (file.name for file in list_files(root, (Path(annotations).suffix,))))
    hint = f" Did you mean annotations={near!r}?" if near else ""
    return FormatError(f"{root}: no file fits annotations={annotations!r}.{hint} Expected {looks_for}.")


@dataclass(frozen=True, slots=True)
class NamedSplit:
    """A split, and the name of the file or folder that says it."""

    split: Split
    name: str


def split_of_path(path: Path, root: Path) -> Split | None:
    """Return the split that the folders of an image, or of its own annotation file, say; see `named_split`."""
    found = named_split(path, root)
    return None if found is None else found.split


def named_split(path: Path, root: Path, *, by_own_name: bool = False) -> NamedSplit | None:
    """Return the split that names say, the nearest to the file first.

    The folders below `root` count whose names say nothing beside the split, such as "train" or "val2017"; a
    "train_station" is no split. The names of images count for nothing: "test1" may be the first of somebody's tests.

    Args:
        path: a file.
        root: the dataset's folder.
        by_own_name: the file stands for many images, so that its own name counts, too, and so do folders whose names
            say more, such as "instances_val2017" and "roofs_train".
    """
    for part in reversed(_split_parts(path, root, by_own_name=by_own_name)):
        meaning = _meaning(part)
        if meaning.split and (meaning.is_known or by_own_name):
            return NamedSplit(meaning.split, part)
    return None


def doubtful_split_names(path: Path, root: Path) -> tuple[str, ...]:
    """Return the folders of a file whose names have a word for a split, but say more: "city1_train"."""
    meanings = {part: _meaning(part) for part in _split_parts(path, root)}
    return tuple(part for part, meaning in meanings.items() if meaning.split and not meaning.is_known)


def split_word(name: str) -> Split | None:
    """Return the split that a word of a name says."""
    return _meaning(name).split


def _split_parts(path: Path, root: Path, *, by_own_name: bool = False) -> tuple[str, ...]:
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return (*relative.parts[:-1], relative.stem) if by_own_name else relative.parts[:-1]


def _meaning(name: str) -> FolderMeaning:
    return folder_meaning("".join(" " if letter.isdigit() else letter for letter in name))


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object in an annotation file, whose fields are read with their types checked.

    Attributes:
        file: the annotation file.
        place: where in it the object stands, such as "annotations[3]"; empty for the file's outermost object.
        values: the object.
    """

    file: Path
    place: str
    values: dict[str, Any]

    @classmethod
    def of_file(cls, file: Path) -> Fields:
        """Read a JSON file that holds an object.

        Raises:
            SampleError: it cannot be read, or holds something else.
        """
        values = read_json(file)
        if not isinstance(values, dict):
            raise SampleError(file, f"the file holds {shown(values)}; expected an object {{...}}. Export it again.")
        return cls(file, "", values)

    def error(self, problem: str) -> SampleError:
        """Return an error that names the file and the place."""
        return SampleError(self.file, f"{self.place}: {problem}" if self.place else problem)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; a number in its place becomes one. Without default it must be there."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or len(value) > 4096 or "\0" in value:
            raise self._wrong(name, "a text")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number."""
        value = self.values.get(name, default)
        if isinstance(value, str):
            value = _number_in(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_moderate(value):
            raise self._wrong(name, "a number of pixels")
        return float(value)

    def size_hw(self, height: str, width: str) -> SizeHW | None:
        """Return an image's size from two fields, None where they are missing or 0."""
        stated = (self.values.get(height), self.values.get(width))
        if None in stated or stated == (0, 0):  # 0 x 0 is what some tools write where they do not know
            return None
        size = (self.number(height), self.number(width))
        if any(side < 1 or side != int(side) for side in size) or size[0] * size[1] > MAX_PIXELS:
            raise self.error(
                f"{height} and {width} are {shown(self.values[height])} and {shown(self.values[width])}; expected "
                f"whole numbers of pixels, {MAX_PIXELS:,} in all at the most. Export the annotation again."
            )
        return int(size[0]), int(size[1])

    def items(self, name: str) -> list[Any]:
        """Return a list, empty where it is missing."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list [...]")
        return value

    def records(self, name: str, on_error: Callable[[SampleError], None] | None = None) -> Iterator[Fields]:
        """Yield the objects of a list.

        Args:
            name: the list's field.
            on_error: gets what is wrong with an item that is no object; None: it is raised.
        """
        for at, value in enumerate(self.items(name)):
            try:
                record = self._inner(f"{name}[{at}]", value)
            except SampleError as error:
                if on_error is None:
                    raise
                on_error(error)
                continue
            yield record

    def inner(self, name: str) -> Fields:
        """Return an object; empty where it is missing."""
        value = self.values.get(name)
        return self._inner(name, {} if value is None else value)

    def flag(self, name: str) -> bool:
        """Return a switch: true, false, 0, 1, or missing."""
        value = self.values.get(name)
        if value is not None and value not in (0, 1):
            raise self._wrong(name, "0 or 1")
        return bool(value)

    def points(self, value: Any, name: str, *, least: int = 1, most: float = MAX_COORDINATE) -> Points:
        """Return points, of [[x, y], ...] or of [x, y, x, y, ...], as (K, 2) float64.

        Args:
            value: the list.
            name: what messages call it.
            least: fewest points it may have.
            most: largest coordinate.

        Raises:
            SampleError: it is no such list, or a coordinate is no number or beyond `most`.
        """
        try:
            array = np.array(value, np.float64) if _holds_numbers(value) else None
        except (ValueError, TypeError, OverflowError):
            array = None
        if array is not None and array.ndim == 1 and array.size % 2 == 0:
            array = array.reshape(-1, 2)
        if array is None or array.ndim != 2 or array.shape[1] != 2 or len(array) < least:
            raise self.error(
                f"{name} is {shown(value)}; expected at least {least} points, as [[x, y], ...] or [x, y, ...]. "
                "Correct the object, or delete it."
            )
        if not (np.abs(array) <= most).all():
            raise self.error(
                f"{name} has a coordinate that is NaN, infinite or beyond {most:,.0f}. Correct the object, "
                "or delete it."
            )
        return array

    def _inner(self, name: str, value: Any) -> Fields:
        place = f"{self.place}.{name}" if self.place else name
        if not isinstance(value, dict):
            raise SampleError(self.file, f"{place} is {shown(value)}; expected an object {{...}}. Export it again.")
        return Fields(self.file, place, value)

    def _wrong(self, name: str, expected: str) -> SampleError:
        found = f"is {shown(self.values[name])}" if name in self.values else "is missing"
        return self.error(f"{name} {found}; expected {expected}. Correct the object, or delete it.")


def shown(value: Any) -> str:
    """Return what a message shows of a value from a file, which may be of any size."""
    if isinstance(value, (list, dict)) and value:
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value):,} items"
    if isinstance(value, int) and not _is_moderate(value):
        return "a number that is far too large"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def ellipse_points(center: tuple[float, float], radii: tuple[float, float], turn: float = 0.0) -> Points:
    """Return the outline of an ellipse as a polygon, (64, 2) float64 pixel x, y.

    Args:
        center: x and y.
        radii: along its own x and y axis, in pixels.
        turn: of its axes, in radians, clockwise as seen on the screen.
    """
    angles = np.linspace(0, 2 * math.pi, _ROUND, endpoint=False)
    # stretched so that the polygon has the area of the ellipse
    stretch = math.sqrt(2 * math.pi / (_ROUND * math.sin(2 * math.pi / _ROUND)))
    x, y = radii[0] * stretch * np.cos(angles), radii[1] * stretch * np.sin(angles)
    return np.stack(
        [
            center[0] + x * math.cos(turn) - y * math.sin(turn),
            center[1] + x * math.sin(turn) + y * math.cos(turn),
        ],
        axis=1,
    )


def rectangle_points(x1: float, y1: float, x2: float, y2: float) -> Points:
    """Return the outline of a rectangle, (4, 2) float64 pixel x, y."""
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without repetitions, sorted, so that ids do not hang on the order of files."""
    return tuple(sorted(set(names)))


def _holds_numbers(values: Any) -> bool:
    """Whether this is a list of numbers, or of lists of numbers; numpy would make numbers of texts and switches."""
    if not isinstance(values, list):
        return False
    kinds = set(map(type, values))
    if kinds == {list}:
        kinds = set(map(type, chain.from_iterable(values)))
    return kinds <= {int, float}


def _is_moderate(value: float) -> bool:
    return -1e15 < value < 1e15


def _number_in(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
