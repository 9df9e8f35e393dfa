"""Reading JSON files that nobody vouches for."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any, NoReturn

from easyseg.errors import SampleError

MAX_BYTES = 2 << 30
"""Largest file that is read; the annotations of COCO have a quarter of it."""

PEEK_BYTES = 1 << 18
"""So much of the beginning and of the end of a file tells what it is."""

_CHUNK_BYTES = 1 << 24
_OVERLAP_BYTES = 1 << 8
"""So far beyond a chunk a key may reach."""

_KEY = re.compile(rb'"([A-Za-z_][\w ]{0,39})"\s*:')


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Its numbers may be of any size, but infinities and NaN are refused.

    Raises:
        SampleError: it cannot be read, is too large, no UTF-8, or no JSON; the message says where.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SampleError(path, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read. Split it up.")
        data = path.read_bytes()
    except OSError as error:
        raise SampleError(path, f"the file cannot be read ({error.strerror or error}). Check the path.") from error
    if data.startswith(b"version https:/"):
        raise SampleError(path, "this is a Git LFS pointer, not the file itself. Type: git lfs pull")
    try:
        return parse_json(data.decode("utf-8-sig"))
    except ValueError as error:  # also text of another encoding
        raise SampleError(path, f"the file is not valid JSON ({error}). Export it again.") from error


def parse_json(text: str) -> Any:
    """Return what a JSON text means, without infinities and NaN.

    Raises:
        ValueError: it is none, is nested too deep, or holds an endless number.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def keys_of(path: Path, *, whole: bool = False) -> frozenset[str]:
    """Return the keys, of whatever depth, in a JSON file; none where it is unreadable.

    Args:
        path: the file.
        whole: look through all of it, in bounded memory, and not at its beginning and its end only.
    """
    found: set[bytes] = set()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            is_wanted_whole = whole and size <= MAX_BYTES
            starts = range(0, size, _CHUNK_BYTES) if is_wanted_whole else {0, max(0, size - PEEK_BYTES)}
            for start in starts:
                file.seek(start)
                found.update(_KEY.findall(file.read(_CHUNK_BYTES + _OVERLAP_BYTES if is_wanted_whole else PEEK_BYTES)))
    except OSError:
        return frozenset()
    return frozenset(key.decode("ascii", "replace") for key in found)


def looks_whole(path: Path) -> bool:
    """Tell by its first and last characters whether a JSON file holds a whole object or array."""
    try:
        with path.open("rb") as file:
            begin = file.read(PEEK_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
            size = file.seek(0, 2)
            file.seek(max(0, size - PEEK_BYTES))
            end = file.read(PEEK_BYTES).rstrip()
    except OSError:
        return False
    return (begin[:1], end[-1:]) in ((b"{", b"}"), (b"[", b"]"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that an annotation can hold")
