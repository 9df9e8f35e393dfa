"""Reading text files that nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from easyseg.errors import SampleError

MAX_BYTES = 64 << 20
"""Largest text file that is read; a million names take a third of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text file that is not empty.

    Attributes:
        number: its number in the file, from 1.
        text: the text without spaces at its ends.
    """

    number: int
    text: str


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a text file that are not empty.

    Raises:
        SampleError: it cannot be read, is too large, or is no UTF-8 text.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SampleError(path, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read. Split it up.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(path, f"the file cannot be read ({error}); expected UTF-8 text.") from error
    lines = (Line(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [line for line in lines if line.text]
