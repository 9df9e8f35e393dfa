"""The names and splits of YOLO datasets: data.yaml, classes.txt, lists of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyseg.config import read_yaml
from easyseg.data.formats.annotation_files import shown, split_of_path
from easyseg.data.formats.folder_names import split_of_list
from easyseg.data.formats.named_files import NamedFiles
from easyseg.errors import ConfigError, FormatError
from easyseg.io.text_files import read_lines
from easyseg.structures import Split

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_TEXT_NAMES = ("classes.txt", "obj.names", "class_names.txt")
_SPLIT_KEYS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class YoloNames:
    """The class names by the numbers in label files; none where no file lists them.

    Attributes:
        by_id: each number's name.
        source: the file they come from; empty where there is none.
    """

    by_id: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    def has(self, class_id: int) -> bool:
        """Return whether a number is a class: without names, every one is."""
        return not self.by_id or class_id in self.by_id

    def name(self, class_id: int) -> str:
        """Return the name of a number."""
        return self.by_id.get(class_id, f"class_{class_id}")

    def listed(self, used: Iterable[int]) -> tuple[str, ...]:
        """Return all names in the order of their numbers; without names, those made up for the used numbers."""
        return tuple(dict.fromkeys(self.name(class_id) for class_id in sorted(self.by_id or used)))


def read_yolo_names(root: Path) -> YoloNames:
    """Read the class names from data.yaml, else from classes.txt.

    Raises:
        FormatError: data.yaml cannot be read, or its names are no list and no mapping of numbers.
        SampleError: classes.txt cannot be read.
    """
    values, file = _yaml(root)
    if "names" in values:
        return YoloNames(_by_id(values["names"], file), file.name)
    for name in _TEXT_NAMES:
        path = root / name
        if path.is_file():
            return YoloNames({at: line.text for at, line in enumerate(read_lines(path))}, name)
    return YoloNames()


def read_splits(root: Path, folder: Path, images: Sequence[Path]) -> dict[Path, Split | None]:
    """Return the images that count, each with its split.

    data.yaml says so, by folders or lists of images; else lists beside it; else the names of the folders.

    Args:
        root: the dataset's folder.
        folder: the folder of the images.
        images: all images.

    Raises:
        FormatError: data.yaml cannot be read.
        SampleError: a list cannot be read, or names an image that is not there.
    """
    values, _ = _yaml(root)
    named = NamedFiles(folder, images)
    found: dict[Path, Split | None] = {}
    for key, split in _SPLIT_KEYS.items():
        given = values.get(key)
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, str):
                for image in _meant(entry, root, folder, images, named):
                    found.setdefault(image, split)
    if not found:
        for file in sorted(root.glob("*.txt")):
            split_found = split_of_list(file.stem)
            for line in read_lines(file) if split_found else ():
                found.setdefault(named.find(line.text, source=file), split_found)
    return found or {image: split_of_path(image, folder) for image in images}


def _meant(entry: str, root: Path, folder: Path, images: Sequence[Path], named: NamedFiles) -> list[Path]:
    """Return the images that an entry of data.yaml means: a list file's, or those in a folder of this name."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not parts:
        return []
    if parts[-1].endswith(".txt"):
        file = root / parts[-1]
        return [named.find(line.text, source=file) for line in read_lines(file)] if file.is_file() else []
    for start in range(len(parts)):  # the longest tail that is a folder here: paths may be of another machine
        wanted = tuple(parts[start:])
        found = [image for image in images if _lies_in(image.relative_to(folder).parts[:-1], wanted)]
        if found:
            return found
    return []


def _lies_in(folders: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return folders[: len(wanted)] == wanted


def _yaml(root: Path) -> tuple[dict[str, Any], Path]:
    for name in _YAML_NAMES:
        path = root / name
        if path.is_file():
            try:
                return read_yaml(path), path
            except ConfigError as error:
                raise FormatError(f"{error} Correct or remove it.") from error
    return {}, root / _YAML_NAMES[0]


def _by_id(names: Any, file: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    is_mapping = isinstance(names, dict) and 0 < len(names) <= _MOST_NAMES
    if not is_mapping or not all(
        len(str(key)) < 10 and str(key).isdecimal() and isinstance(name, (str, int)) for key, name in names.items()
    ):
        raise FormatError(f"{file}: names is {shown(names)}; expected a list of names, or {{0: name, 1: name}}.")
    return {int(key): str(name) for key, name in names.items()}


def _is_name(key: Any, name: Any) -> bool:
    return len(str(key)) < 10 and str(key).isdecimal() and isinstance(name, (str, int))
