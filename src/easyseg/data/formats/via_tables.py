"""Tables of VGG Image Annotator: a CSV file with a row for each region, with JSON in its cells."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from easyseg.errors import SampleError
from easyseg.io.json_files import parse_json

_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
_LONGEST_HEADER = 1 << 12


def is_via_table(file: Path) -> bool:
    """Return whether a file's first line has the columns of a table of regions."""
    if file.suffix.lower() != ".csv":
        return False
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as source:
            header = next(csv.reader([source.readline(_LONGEST_HEADER)]), [])
    except (OSError, csv.Error):
        return False
    return set(_COLUMNS) <= set(_names(header))


def read_via_table(file: Path) -> dict[str, Any]:
    """Return the images of a table as the JSON export has them: {name and size: {"filename", "regions"}}.

    A cell that is no JSON stays a text, which is told as any other malformed region is.

    Raises:
        SampleError: the file is no table of regions, or a row of it has too few values.
    """
    images: dict[str, Any] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as source:
            rows = csv.reader(source)
            names = _names(next(rows, []))
            at = {name: names.index(name) for name in (*_COLUMNS, "file_size") if name in names}
            for number, row in enumerate(rows, start=2):
                if row:
                    _add(images, row, at, file, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleError(file, f"the table cannot be read ({error}). Export the regions as JSON.") from error
    return images


def _add(images: dict[str, Any], row: list[str], at: dict[str, int], file: Path, number: int) -> None:
    if len(row) <= max(at.values()):
        raise SampleError(file, f"row {number:,} has {len(row)} values, the first row more. Export it again.")
    name = row[at["filename"]]
    key = name + (row[at["file_size"]] if "file_size" in at else "")
    image = images.setdefault(key, {"filename": name, "regions": []})
    shape, attributes = _cell(row[at["region_shape_attributes"]]), _cell(row[at["region_attributes"]])
    if shape != {}:  # an image without regions has a row, too
        image["regions"].append({"shape_attributes": shape, "region_attributes": attributes})


def _cell(text: str) -> Any:
    try:
        return parse_json(text) if text.strip() else {}
    except ValueError:
        return text


def _names(header: list[str]) -> list[str]:
    """Return the names of the columns; the first row of old exports begins with a hash sign."""
    return [name.strip().removeprefix("#").strip() for name in header]
