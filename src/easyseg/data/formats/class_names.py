"""Class names from the files that datasets carry them in: label_mapping.json, classes.txt, data.yaml ..."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyseg.config import read_yaml
from easyseg.data.formats.class_values import ClassValues, parse_class_values
from easyseg.errors import ClassMapError, ConfigError

_MAX_BYTES = 1 << 20
_JSON_NAMES = ("label_mapping.json", "class_mapping.json", "classes.json", "labels.json", "class_names.json")
_TEXT_NAMES = ("classes.txt", "codes.txt", "class_names.txt", "labels.txt", "labelmap.txt", "label_map.txt")
_CSV_NAME = "_classes.csv"
_CSV_HEADER = ["pixel value", "class"]
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
_WRAPPERS = ("classes", "labels", "names", "label_mapping", "mapping", "categories")
_CVAT_LINE = re.compile(r"^([^:]+):(\d+),(\d+),(\d+):")
_NUMBERED_LINE = re.compile(r"^(\d+)\s*[:,;\t ]\s*(\S.*)$")


@dataclass(frozen=True, slots=True)
class FoundNames:
    """What the files say about the classes.

    Attributes:
        names: names in the order of their ids.
        class_values: mask value or colour of each name.
        source: the file's name; empty where there is none.
    """

    names: tuple[str, ...] | None = None
    class_values: ClassValues | None = None
    source: str = ""


def read_class_names(root: Path) -> FoundNames:
    """Read the first file of class names that lies in a dataset's folder; `_classes.csv` lies in those of the splits.

    Raises:
        ClassMapError: there is one but it cannot be read, or the splits' files differ.
    """
    readers: tuple[tuple[tuple[str, ...], Callable[[Path], FoundNames]], ...] = (
        (_JSON_NAMES, _read_json),
        (_TEXT_NAMES, _read_text),
        (_YAML_NAMES, _read_yaml_names),
        ((_CSV_NAME,), _read_csv),
    )
    present = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_file()}
    for names, read in readers:
        for name in names:
            if name in present:
                return read(present[name])
    return _of_the_splits(root)


def _read_json(path: Path) -> FoundNames:
    try:
        values = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ClassMapError(f"{path} is not valid JSON ({error}). Correct or remove it.") from error
    return _from_values(path, values)


def _read_yaml_names(path: Path) -> FoundNames:
    try:
        values = read_yaml(path)
    except ConfigError as error:
        raise ClassMapError(f"{error} Correct or remove it.") from error
    return _from_values(path, values["names"]) if "names" in values else FoundNames()


def _from_values(path: Path, values: Any) -> FoundNames:
    if isinstance(values, dict):
        wrapped = next((values[key] for key in _WRAPPERS if isinstance(values.get(key), (dict, list))), None)
        values = values if wrapped is None else wrapped
    if isinstance(values, list) and all(isinstance(item, str) for item in values):
        return FoundNames(tuple(values), None, path.name)
    try:
        return FoundNames(None, parse_class_values(values), path.name)
    except ClassMapError as error:
        raise ClassMapError(f"{path}: {error}") from error


def _read_text(path: Path) -> FoundNames:
    lines = [line.strip() for line in _text(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    colored = [_CVAT_LINE.match(line) for line in lines]
    if lines and all(colored):
        found = [match for match in colored if match]
        return FoundNames(
            None, parse_class_values({m[1].strip(): (int(m[2]), int(m[3]), int(m[4])) for m in found}), path.name
        )
    numbered = [_NUMBERED_LINE.match(line) for line in lines]
    if lines and all(numbered):
        return FoundNames(None, parse_class_values({m[2].strip(): int(m[1]) for m in numbered if m}), path.name)
    # labelme's first line, "__ignore__", has no id of its own
    names = tuple(line for line in lines if line != "__ignore__")
    return FoundNames(names or None, None, path.name if names else "")


def _of_the_splits(root: Path) -> FoundNames:
    """Read the files of mask values that exports of Roboflow have in the folder of each split."""
    files = [path for folder in sorted(root.iterdir()) if (path := folder / _CSV_NAME).is_file()]
    found = [(path, names) for path in files if (names := _read_csv(path)).class_values]
    for path, names in found[1:]:
        if names.class_values != found[0][1].class_values:
            raise ClassMapError(
                f"{found[0][0]} and {path} give other values to the classes. Type class_map={{'name': value, ...}}."
            )
    return found[0][1] if found else FoundNames()


def _read_csv(path: Path) -> FoundNames:
    """Read lines of "mask value, name"; a file of this name with other columns lists the classes of whole images."""
    rows = [[word.strip() for word in line.split(",", 1)] for line in _text(path).splitlines() if line.strip()]
    if not rows or [word.lower() for word in rows[0]] != _CSV_HEADER:
        return FoundNames()
    try:
        values = {name: int(value) for value, name in rows[1:]}
    except ValueError as error:
        raise ClassMapError(f"{path}: expected lines of 'value, name' ({error}). Correct or remove it.") from error
    if len(values) < len(rows) - 1:
        raise ClassMapError(f"{path}: a class name stands there twice. Correct or remove it.")
    try:
        return FoundNames(None, parse_class_values(values), path.name)
    except ClassMapError as error:
        raise ClassMapError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ClassMapError(f"{path} has more than {_MAX_BYTES:,} bytes; that is no list of classes. Remove it.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClassMapError(f"{path} cannot be read as a list of classes ({error}). Correct or remove it.") from error
