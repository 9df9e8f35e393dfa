"""Picture files that are packed once more, as in Supervisely's annotations."""

from __future__ import annotations

import zlib

from easyseg.errors import DataError

MAX_BYTES = 16 << 20
"""Largest picture file that is unpacked; a few bytes can claim to hold gigabytes."""


def unpacked(data: bytes) -> bytes:
    """Return what a zlib stream holds.

    Raises:
        DataError: it is none, is cut off, or holds more than `MAX_BYTES`.
    """
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise DataError(f"it is no compressed picture ({error}). Export the annotation again.") from error
    if not unpacker.eof:
        raise DataError(f"it is cut off, or holds more than {MAX_BYTES:,} bytes. Export the annotation again.")
    return found
