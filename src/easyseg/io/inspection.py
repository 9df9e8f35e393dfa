"""What a picture file holds, for those who look at very many files and need little of each.

The usual files, plain 8-bit PNG and JPEG, take a short way: the same bytes are checked and decoded, but a JPEG only to
the grey picture that is needed. Everything else, and whatever the short way does not like, goes the way of
`read_image` and `read_mask`, so what is refused here is what a training would refuse.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.brightness import Numbers, kind_of_numbers
from easyseg.errors import SampleError
from easyseg.io.decoding import MAX_PIXELS, open_picture
from easyseg.io.images import RawMask, decode_mask, decode_numbers, read_bytes
from easyseg.io.plain_png import PNG_MAGIC, grey_values, plain_png
from easyseg.structures import ImageArray, SizeHW

LEAST_SIDE = 64
"""JPEG files are decoded to no fewer pixels than this on their shorter side."""

_MOST_NUMBER = 1e30
"""Numbers beyond it are no brightness, and their differences would overflow."""

_JPEG_MAGIC = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_TAIL_BYTES = 65_536
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_UNUSUAL = {0xE1: b"Exif", 0xE2: b"MPF", 0xEE: b"Adobe"}
"""Blocks that may turn the picture, add others, or change what its channels mean."""
_REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}
_TIFF_OFFSETS, _TIFF_BYTE_COUNTS = (273, 324), (279, 325)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFacts:
    """What an image file holds.

    Attributes:
        size_hw: height and width, upright.
        orientation: EXIF orientation, 1..8, which is in `size_hw` and `grey` already.
        numbers: the kind of its numbers.
        highest: the highest of them, where they are no bytes; else 0.
        sha256: of the file's bytes.
        grey: (H, W) uint8 brightness, perhaps scaled down.
    """

    size_hw: SizeHW
    orientation: int
    numbers: Numbers
    highest: float
    sha256: bytes
    grey: ImageArray


@dataclass(frozen=True, slots=True, eq=False)
class MaskFacts:
    """What a mask file holds.

    Attributes:
        mask: its values, upright.
        orientation: EXIF orientation, 1..8, which is in the values already.
    """

    mask: RawMask
    orientation: int


def inspect_image(path: str | os.PathLike[str]) -> ImageFacts:
    """Read an image file and return what it holds.

    Raises:
        SampleError: its numbers cannot be read.
    """
    data = _content(path)
    return _plain_image(data) or _any_image(Path(path), data)


def inspect_mask(path: str | os.PathLike[str]) -> MaskFacts:
    """Read a mask file and return what it holds.

    Raises:
        SampleError: `read_mask` would refuse it.
    """
    data = _content(path)
    png = plain_png(data) if data[25:26] == b"\x00" else None
    if png is not None:
        quick = grey_values(png)
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if quick is None else quick
        if values is not None and values.ndim == 2:
            return MaskFacts(RawMask(values, "grey"), 1)
    return MaskFacts(decode_mask(Path(path), data), _orientation(Path(path), data))


def facts_of(values: npt.NDArray[Any], sha256: bytes, *, orientation: int = 1) -> ImageFacts:
    """Return the facts of an image that is decoded already.

    Args:
        values: (H, W) or (H, W, bands) of any type of number, upright.
        sha256: of its bytes.
        orientation: how its file had it turned.
    """
    kind = kind_of_numbers(values.dtype)
    highest = 0.0 if kind == "bytes" else float(np.nanmax(values, initial=0))
    return ImageFacts((values.shape[0], values.shape[1]), orientation, kind, highest, sha256, grey_of(values))


def grey_of(values: npt.NDArray[Any]) -> ImageArray:
    """Return an image of any numbers and bands as brightness to look at, (H, W) uint8.

    Numbers that are no bytes are spread over what is black and white in this image. Of two bands the first counts, of
    five and more their mean.
    """
    picture = as_picture(values)
    bands = 1 if picture.ndim == 2 else picture.shape[2]
    if bands in (3, 4):
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY), np.uint8)
    if bands > 4:
        return np.asarray(picture.mean(axis=2), np.uint8)
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., 0])


def as_picture(values: npt.NDArray[Any]) -> ImageArray:
    """Return numbers of any type as levels to look at, uint8 of the same shape: their lowest is 0, their highest 255.

    Bytes stay as they are. What is not finite becomes 0.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return np.where(values, np.uint8(255), np.uint8(0))
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    numbers = np.clip(numbers, -_MOST_NUMBER, _MOST_NUMBER)
    low, high = float(numbers.min(initial=_MOST_NUMBER)), float(numbers.max(initial=-_MOST_NUMBER))
    return np.rint((numbers - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)


def is_cut_off(path: str | os.PathLike[str]) -> bool:
    """Tell whether a damaged picture file lacks its end, as after a copy that was interrupted."""
    try:
        data = _content(path)
    except SampleError:
        return False
    if data.startswith(PNG_MAGIC):
        return b"IEND" not in data[-_JPEG_TAIL_BYTES:]
    if data.startswith(_JPEG_MAGIC):
        return _JPEG_END not in data[-_JPEG_TAIL_BYTES:]
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data.startswith(b"BM"):
        return int.from_bytes(data[2:6], "little") > len(data)
    return data[:2] in (b"II", b"MM") and _tiff_bytes_needed(path, data) > len(data)


def _content(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file with as few calls as possible; what goes wrong is said by `read_bytes`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return read_bytes(Path(path))
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size)
    except OSError:
        data = b""
    finally:
        os.close(descriptor)
    return data if data and len(data) == size else read_bytes(Path(path))


def _plain_image(data: bytes) -> ImageFacts | None:
    """Inspect a plain 8-bit PNG or JPEG file; None where it is none, or not sound."""
    if data.startswith(_JPEG_MAGIC) and _JPEG_END in data[-16:]:
        size_hw = _jpeg_size(data)
    else:
        png = plain_png(data)
        size_hw = png.size_hw if png is not None else None
    if size_hw is None or not 0 < size_hw[0] * size_hw[1] <= MAX_PIXELS:
        return None
    flag = cv2.IMREAD_GRAYSCALE
    if data.startswith(_JPEG_MAGIC):
        flag = next(_REDUCED[part] for part in (8, 4, 2, 1) if part == 1 or min(size_hw) >= part * LEAST_SIDE)
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if grey is None:
        return None
    return ImageFacts(size_hw, 1, "bytes", 0.0, hashlib.sha256(data).digest(), np.asarray(grey, np.uint8))


def _any_image(path: Path, data: bytes) -> ImageFacts:
    return facts_of(decode_numbers(path, data), hashlib.sha256(data).digest(), orientation=_orientation(path, data))


def _jpeg_size(data: bytes) -> SizeHW | None:
    """Return the size of a JPEG file of one or three 8-bit channels in which nothing is unusual, else None."""
    at = 2
    while at + 10 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _JPEG_SIZES:
            if data[at + 4] != 8 or data[at + 9] not in (1, 3):
                return None
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        if marker in _JPEG_UNUSUAL and data.startswith(_JPEG_UNUSUAL[marker], at + 4):
            return None
        at += 2 + length
    return None


def _orientation(path: Path, data: bytes) -> int:
    try:
        return open_picture(path, io.BytesIO(data), checksums=False).orientation
    except Exception:  # noqa: BLE001 - what cannot be opened has been decoded by other means, upright as it is
        return 1


def _tiff_bytes_needed(path: str | os.PathLike[str], data: bytes) -> int:
    try:
        tags = open_picture(Path(path), io.BytesIO(data), checksums=False).image.tag_v2  # type: ignore[attr-defined]
        offsets = next(tags[tag] for tag in _TIFF_OFFSETS if tag in tags)
        counts = next(tags[tag] for tag in _TIFF_BYTE_COUNTS if tag in tags)
        return max(int(offset) + int(count) for offset, count in zip(offsets, counts, strict=True))
    except Exception:  # noqa: BLE001 - without its directory, nothing says how long the file should be
        return len(data) + 1
