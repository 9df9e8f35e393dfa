"""What the machine names of classes mean: "/m/01yrx" is "Cat"."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from easyseg.errors import SampleError

_MAX_BYTES = 64 << 20
_HEADER = "labelname"


def is_class_table(path: Path) -> bool:
    """Return whether a CSV file is one of class descriptions, by its name."""
    name = path.name.lower()
    return "class-descriptions" in name or "class_descriptions" in name


def read_class_titles(paths: Iterable[Path]) -> dict[str, str]:
    """Return the display name of each machine name.

    Args:
        paths: CSV files of machine name and display name, with or without a header; of several, the first that knows
            a class counts.

    Raises:
        SampleError: a file cannot be read, or is none of these.
    """
    titles: dict[str, str] = {}
    for path in paths:
        for label, title in _rows(path):
            titles.setdefault(label, title)
    counts = Counter(titles.values())
    return {label: title if counts[title] == 1 else f"{title} ({label})" for label, title in titles.items()}


def titles_of(labels: Sequence[str], titles: dict[str, str], wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what classes are called.

    Args:
        labels: machine or display names, as they stand in a table of masks.
        titles: the display name of each machine name.
        wanted: classes in the words of the user. One who asks for "/m/01yrx" finds it under this name.
    """
    asked = set(wanted)
    return tuple(label if label in asked else titles.get(label, label) for label in labels)


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SampleError(path, f"the file has more than {_MAX_BYTES:,} bytes, which no list has. Remove it.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleError(path, f"the class names cannot be read ({error}). Fetch the file again.") from error
    if rows and rows[0][0].strip().lower() == _HEADER:
        rows = rows[1:]
    for number, row in enumerate(rows, start=1):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise SampleError(
                path, f"entry {number}, {','.join(row)[:80]!r}: expected a machine name and a name, as in /m/01yrx,Cat."
            )
    return [(row[0].strip(), row[1].strip()) for row in rows]
