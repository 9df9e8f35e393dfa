"""PNG files of 8-bit grey or RGB values in which nothing is unusual: sound or not, and grey ones decoded quickly.

Most masks are such files, and programs such as OpenCV store all their rows with one and the same filter. These are
undone for the whole picture at once; all others are left to a decoder. (PNG specification, third edition, 2025,
clause 9: a row begins with the number of its filter, and filtered bytes are differences, modulo 256.)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.io.decoding import MAX_PIXELS
from easyseg.structures import SizeHW

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_UNUSUAL = (b"tRNS", b"acTL", b"eXIf")
_HEADER_START = (13).to_bytes(4, "big") + b"IHDR"
_PLAIN = bytes(3)
"""The numbers of the methods of compression, filtering and interlacing."""
_GREY = 0
_NONE, _SUB, _UP = 0, 1, 2
_MOST_BYTES = 2**23
"""The sum of so many bytes is below 2**31."""


@dataclass(frozen=True, slots=True, eq=False)
class PlainPng:
    """What the chunks of a PNG file say.

    Attributes:
        size_hw: height and width.
        color_type: 0: grey, 2: RGB.
        is_regular: its chunks are in the usual order, and its rows, too.
        compressed: the content of its IDAT chunks.
    """

    size_hw: SizeHW
    color_type: int
    is_regular: bool
    compressed: bytes


def plain_png(data: bytes) -> PlainPng | None:
    """Return the facts of a sound PNG file of 8-bit grey or RGB values that any decoder reads alike, else None."""
    if not data.startswith(PNG_MAGIC) or data[24:26] not in (b"\x08\x00", b"\x08\x02"):
        return None
    view, at, name = memoryview(data), len(PNG_MAGIC), b""
    names: list[bytes] = []
    parts: list[memoryview] = []
    while name != b"IEND":
        name, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < end + 4 or name in _UNUSUAL:
            return None
        if not name[0] & 0x20 and zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        if name == b"IDAT":
            parts.append(view[at + 8 : end])
        names.append(name)
        at = end + 4
    height, width = int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if not 0 < height * width <= MAX_PIXELS:
        return None
    is_regular = data[8:16] == _HEADER_START and data[26:29] == _PLAIN and _are_in_order(names, len(parts))
    return PlainPng((height, width), data[25], is_regular, b"".join(parts))


def _are_in_order(names: list[bytes], num_parts: int) -> bool:
    """Whether chunks of pixels follow each other, and no others but the first and the last must be understood."""
    first = names.index(b"IDAT") if num_parts else 0
    together = names[first : first + num_parts] == [b"IDAT"] * num_parts
    return together and sum(not name[0] & 0x20 for name in names) == num_parts + 2


def grey_values(png: PlainPng) -> npt.NDArray[np.uint8] | None:
    """Return the values of a grey picture, (H, W) uint8.

    None for what is left to a decoder: rows of several filters, or of one that has no short cut; pictures of colours,
    large or interlaced ones; and all that is not exactly as it should be, such as too few bytes or too many.
    """
    height, width = png.size_hw
    num_bytes = height * (width + 1)
    if png.color_type != _GREY or not png.is_regular or num_bytes > _MOST_BYTES:
        return None
    inflating = zlib.decompressobj()
    try:
        content = inflating.decompress(png.compressed, num_bytes + 1)  # however much more it may hold
    except zlib.error:
        return None
    if len(content) != num_bytes or not inflating.eof or inflating.unused_data:
        return None
    return _unfiltered(np.frombuffer(content, np.uint8).reshape(height, width + 1))


def _unfiltered(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """Undo the filter of rows (H, 1 + W) that begin with its number; None where they differ in it."""
    kind = int(rows[0, 0])
    if kind > _UP or np.count_nonzero(rows[:, 0] != kind):
        return None
    if kind == _NONE:
        return np.ascontiguousarray(rows[:, 1:])
    # OpenCV's sums over the rectangles from a corner to each pixel are three times as fast as NumPy's running sums
    corner_sums = cv2.integral(rows, sdepth=cv2.CV_32S).astype(np.uint8)
    if kind == _UP:
        return np.asarray(corner_sums[1:, 2:] - corner_sums[1:, 1:-1])
    along_rows = corner_sums[1:] - corner_sums[:-1]
    return np.asarray(along_rows[:, 2:] - along_rows[:, 1:2])  # less the filter's own number
