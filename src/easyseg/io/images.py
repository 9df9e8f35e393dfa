"""The only place where pixels of image and mask files are decoded and encoded.

Images come out as uint8 in RGB order, masks in exactly the values that the file stores. EXIF orientation is applied to
both alike, so that they stay on top of each other.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.errors import OutputError, SampleError
from easyseg.io import atomic
from easyseg.io.decoding import MAX_PIXELS, Picture, decoder_errors, open_picture, opened, upright
from easyseg.io.jpeg_masks import without_compression_noise
from easyseg.pictures import brightness_of, ids_of
from easyseg.structures import Color, ImageArray, SizeHW

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "RawMask",
    "check_image",
    "decode_image",
    "decode_mask",
    "image_size",
    "read_bytes",
    "read_image",
    "read_mask",
    "to_bytes",
    "write_image",
]

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""File name endings taken for images, in lower case."""

_WRITABLE = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_JPEG_END = b"\xff\xd9"
_JPEG_TAIL_BYTES = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class RawMask:
    """A mask exactly as its file stores it.

    Attributes:
        values: (H, W) uint8, uint16 or int32 for "grey" and "palette" (indices into the palette); (H, W, 3) uint8 for
            "rgb".
        kind: how the file stores it.
        palette: with "palette", the RGB colour of each index.
        is_lossy: the file is a JPEG; its values, all near 0 or 255, were brought to these.
    """

    values: npt.NDArray[Any]
    kind: Literal["grey", "palette", "rgb"]
    palette: tuple[Color, ...] | None = None
    is_lossy: bool = False

    def as_rgb(self) -> ImageArray:
        """Return the colours one sees, (H, W, 3) uint8, whichever way they are stored."""
        if self.kind == "rgb":
            return np.asarray(self.values, np.uint8)
        if self.palette is not None:
            table = np.zeros((256, 3), np.uint8)
            table[: len(self.palette)] = self.palette
            return np.asarray(table[self.values])
        return np.repeat(self.values.astype(np.uint8)[..., None], 3, axis=2)


def image_size(path: str | os.PathLike[str]) -> SizeHW:
    """Return height and width of an image file, upright, reading its header only.

    Raises:
        SampleError: the file is missing, empty, no picture, or too large.
    """
    path = Path(path)
    with _header(path) as picture:
        return picture.size_hw


def check_image(path: str | os.PathLike[str]) -> SizeHW:
    """Return an image's height and width, and make sure as cheaply as possible that the file is complete.

    PNG and JPEG files, where it is cheap, are looked through to their end; others are trusted.

    Raises:
        SampleError: the file is missing, empty, cut off, no picture, or too large.
    """
    path = Path(path)
    with _header(path) as picture:
        size_hw, file_format = picture.size_hw, picture.image.format
    if file_format in ("JPEG", "MPO") and not _has_jpeg_end(path):
        read_image(path)  # the end may hide before appended data, so the decoder decides
    return size_hw


def read_image(path: str | os.PathLike[str], *, channels: int = 3) -> ImageArray:
    """Read an image.

    16-bit values keep their upper eight bits; floats are 0..1, or whole numbers 0..255 where one is above 1. Grey
    becomes three equal channels, alpha is left out unless four channels are asked for, and colour becomes grey where
    one is.

    Args:
        path: the file.
        channels: 1 (grey), 3 (RGB) or 4 (RGB and alpha).

    Returns:
        (H, W, channels) uint8, upright, RGB order.

    Raises:
        SampleError: the file is missing, empty, damaged, too large, or holds values that are no brightness.
    """
    path = Path(path)
    if channels not in (1, 3, 4):
        raise SampleError(
            path, f"an image file has 1, 3 or 4 channels, {channels} were asked for. Give such images as arrays."
        )
    return decode_image(path, read_bytes(path), channels=channels)


def decode_image(path: Path, data: bytes, *, channels: int = 3) -> ImageArray:
    """Decode an image as `read_image` does, from the bytes of its file; `path` is for errors."""
    with decoder_errors(path):
        picture = _open_bytes(path, data)
        if picture is None:
            pixels = to_bytes(_decode_tiff(path, data), path)
            return _with_channels(pixels, channels)
        fast = _decode_fast(picture, data)
        pixels = fast if fast is not None else to_bytes(brightness_of(picture.image), path)
        return _with_channels(np.asarray(upright(pixels, picture.orientation)), channels)


def read_mask(path: str | os.PathLike[str]) -> RawMask:
    """Read a mask without changing any value.

    Palette files give indices, 16-bit files their full values, 1-bit files 0 and 1. Colour files stay RGB, unless all
    three channels are equal, which is grey. Alpha is left out.

    Raises:
        SampleError: the file is missing, empty, damaged, too large, or of a kind that cannot hold class ids.
    """
    path = Path(path)
    return decode_mask(path, read_bytes(path))


def decode_mask(path: Path, data: bytes) -> RawMask:
    """Decode a mask as `read_mask` does, from the bytes of its file; `path` is for errors."""
    with decoder_errors(path):
        picture = _open_bytes(path, data)
        if picture is None:
            return _mask_from_values(path, _decode_tiff(path, data))
        image = picture.image
        if image.format in ("JPEG", "MPO"):
            restored = without_compression_noise(path, np.asarray(image))
            return RawMask(upright(restored, picture.orientation), "grey", is_lossy=True)
        if image.mode == "P":
            palette = _palette(image.getpalette("RGB") or [])
            return RawMask(upright(np.asarray(image), picture.orientation), "palette", palette)
        return _mask_from_values(path, upright(ids_of(image), picture.orientation))


def to_bytes(values: npt.NDArray[Any], place: str | Path, *, white: float | None = None) -> ImageArray:
    """Bring brightness of any number type to 0..255.

    Args:
        values: of any shape: bool; whole numbers 0..255; uint16, which keep their upper eight bits; floats 0..1, or
            whole numbers 0..255 where one is above 1.
        place: the file, or what errors call the image.
        white: which float is white, 1 or 255, where more is known than these values say.

    Returns:
        uint8 of the same shape.

    Raises:
        SampleError: the values are none of these.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    low, high = values.min(), values.max()
    is_float = values.dtype.kind == "f"
    if not (low >= 0 and high <= 255):
        raise SampleError(
            place,
            f"the values of type {values.dtype} reach from {low} to {high}; expected 0 to "
            f"{'1, or whole numbers 0 to 255' if is_float else 255}. Give or save the image as 8 bit, before any "
            "normalisation.",
        )
    if white is None:
        white = 1 if values.dtype == bool or (is_float and high <= 1) else 255
        if is_float and white == 255 and (values != np.rint(values)).any():
            raise SampleError(
                place,
                f"the values of type {values.dtype} reach up to {high}, with fractions; expected 0 to 1, or whole "
                "numbers 0 to 255. If 255 is white, type np.rint(image).astype('uint8'); else divide by what is white.",
            )
    return np.rint(values * (255 / white)).astype(np.uint8)


def write_image(path: str | os.PathLike[str], array: npt.NDArray[Any]) -> None:
    """Write an image or a mask; the suffix chooses the format.

    Args:
        path: a file ending in .png, .jpg, .bmp, .tif or .webp; PNG for masks. Its folder is made where missing.
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8 in RGB order; or (H, W) uint16 for PNG and TIFF.

    Raises:
        OutputError: the array or suffix is not one of these, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITABLE:
        raise OutputError(f"{path}: images cannot be written as {suffix!r}; expected one of {', '.join(_WRITABLE)}.")
    is_image = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)))
    is_wide = array.dtype == np.uint16 and array.ndim == 2 and suffix in (".png", ".tif", ".tiff")
    if not (is_image or is_wide) or array.size == 0:
        raise OutputError(
            f"{path}: an array of shape {array.shape} and type {array.dtype} is no image; "
            "expected (H, W), (H, W, 3) or (H, W, 4) uint8."
        )
    if array.ndim == 3 and array.shape[2] in (3, 4):
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    try:
        is_written, encoded = cv2.imencode(suffix, array)
    except cv2.error as error:
        raise OutputError(f"{path}: the image cannot be written as {suffix} ({error.err}).") from error
    if not is_written:
        raise OutputError(f"{path}: the image cannot be written as {suffix}.")
    atomic.write_bytes(path, encoded.tobytes())


@contextlib.contextmanager
def _header(path: Path) -> Iterator[Picture]:
    with opened(path) as source, decoder_errors(path):
        yield open_picture(path, source, checksums=False)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        SampleError: it is missing, empty, or cannot be read.
    """
    with opened(path) as source:
        return source.read()


def _open_bytes(path: Path, data: bytes) -> Picture | None:
    """Open a picture; None stands for a TIFF file that Pillow does not know, such as one of three float bands."""
    try:
        return open_picture(path, io.BytesIO(data), checksums=True)
    except (SyntaxError, KeyError):
        if data[:2] in (b"II", b"MM"):
            return None
        raise


def _has_jpeg_end(path: Path) -> bool:
    with opened(path) as source:
        size = source.seek(0, io.SEEK_END)
        source.seek(max(0, size - _JPEG_TAIL_BYTES))
        return _JPEG_END in source.read()


def _decode_fast(picture: Picture, data: bytes) -> ImageArray | None:
    """Decode plain 8-bit PNG and JPEG files with OpenCV: the same pixels as Pillow's, in less time."""
    is_jpeg = picture.image.format == "JPEG" and picture.image.mode in ("L", "RGB") and _JPEG_END in data[-16:]
    png = picture.png
    is_png = png is not None and png.is_plain and png.bit_depth == 8 and png.color_type in (0, 2)
    if not (is_jpeg or is_png):
        return None
    flag = cv2.IMREAD_GRAYSCALE if picture.image.mode == "L" else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8)  # where it fails, Pillow says why


def _decode_tiff(path: Path, data: bytes) -> npt.NDArray[Any]:
    pixels: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise SampleError(path, "this kind of TIFF file cannot be read. Save it as 8-bit PNG or TIFF.")
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV keeps blue first
    return pixels


def _with_channels(pixels: ImageArray, channels: int) -> ImageArray:
    found = 1 if pixels.ndim == 2 else pixels.shape[2]
    pixels = pixels.reshape(*pixels.shape[:2], found)
    if found == channels:
        return pixels
    if channels == 1:
        grey = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
        return np.asarray(grey, np.uint8)[..., None]
    color = np.repeat(pixels, 3, axis=2) if found == 1 else np.ascontiguousarray(pixels[..., :3])
    return color if channels == 3 else np.dstack([color, np.full(pixels.shape[:2], 255, np.uint8)])


def _mask_from_values(path: Path, values: npt.NDArray[Any]) -> RawMask:
    if values.ndim == 3:
        if values.dtype != np.uint8 or values.shape[2] != 3:
            raise SampleError(
                path,
                f"a mask of {values.shape[2]} channels of type {values.dtype} cannot be read; "
                "expected one channel of class ids, or 8-bit RGB colours.",
            )
        if (values[..., 0] == values[..., 1]).all() and (values[..., 1] == values[..., 2]).all():
            return RawMask(np.ascontiguousarray(values[..., 0]), "grey")
        return RawMask(values, "rgb")
    if values.dtype == bool:
        return RawMask(values.astype(np.uint8), "grey")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.rint(values)).any():
            raise SampleError(path, "the mask holds fractions; class ids are whole numbers. Save it as 8-bit PNG.")
        values = values.astype(np.int32)
    if values.dtype not in (np.uint8, np.uint16):
        values = values.astype(np.int32)
    return RawMask(values, "grey")


def _palette(flat: list[int]) -> tuple[Color, ...]:
    return tuple((flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3))
