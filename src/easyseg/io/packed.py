"""Picture files that are packed once more, as in Supervisely's annotations."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from easyseg.errors import DataError
from easyseg.io.images import decode_mask, decode_numbers

MAX_BYTES = 16 << 20
"""Largest picture file that is unpacked; a few bytes can claim to hold gigabytes."""

_PNG = b"\x89PNG"
_DEPTH, _COLOR_TYPE = 24, 25
"""Where the header of a PNG file says bits per channel and the kind of its pixels."""
_RGB, _GREY_AND_ALPHA, _RGBA = 2, 4, 6


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


def is_bitmap(data: bytes) -> bool:
    """Return whether a PNG file has one bit for each pixel, by its header; what is no PNG file passes for one."""
    return not data.startswith(_PNG) or len(data) <= _COLOR_TYPE or data[_DEPTH] == 1


def as_bitmap(data: bytes) -> bytes:
    """Return a PNG file as one of a bit for each pixel: 1 where it is not transparent, or, without alpha, not 0.

    Raises:
        SampleError: it cannot be read.
    """
    place = Path("embedded mask")
    color_type = data[_COLOR_TYPE]
    if color_type in (_GREY_AND_ALPHA, _RGBA):
        selected = np.asarray(decode_numbers(place, data)[..., -1] > 0)
    elif color_type == _RGB:
        selected = np.asarray(decode_numbers(place, data).any(axis=-1))
    else:
        selected = np.asarray(decode_mask(place, data).values > 0)
    found = io.BytesIO()
    Image.fromarray(selected).save(found, "PNG")
    return found.getvalue()
