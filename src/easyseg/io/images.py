"""The only place where pixels of image and mask files are decoded and encoded.

Images come out as uint8 in RGB order, or as the numbers that the file stores; masks always in exactly these. EXIF
orientation is applied to all alike, so that they stay on top of each other.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.errors import OutputError, SampleError
from easyseg.io import atomic, tiff
from easyseg.io.decoding import MAX_PIXELS, Picture, decoder_errors, open_picture, opened, upright
from easyseg.io.jpeg_masks import without_compression_noise
from easyseg.pictures import brightness_of, ids_of
from easyseg.structures import Color, ImageArray, SizeHW

__all__ = [
    "IMAGE_SUFFIXES", "MAX_PIXELS", "RawMask", "check_image", "decode_image", "decode_mask", "decode_numbers",
    "decoded_number_type", "decoded_size", "image_size", "number_type", "read_image", "read_mask", "read_numbers",
    "to_bytes", "write_image",
]  # fmt: skip

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
    return _header(Path(path))[0]


def decoded_size(path: Path, data: bytes) -> SizeHW:
    """Do what `image_size` does with the bytes of an image file; errors name `path`."""
    return _size_and_format(path, io.BytesIO(data))[0]


def check_image(path: str | os.PathLike[str], data: bytes | None = None) -> SizeHW:
    """Return an image's height and width, and make sure as cheaply as possible that the file is complete.

    PNG and JPEG files, where it is cheap, are looked through to their end; others are trusted. A file that is not
    written yet is given by its bytes, `data`, and errors name `path`.

    Raises:
        SampleError: the file is missing, empty, cut off, no picture, or too large.
    """
    path = Path(path)
    with opened(path) if data is None else io.BytesIO(data) as source:
        size_hw, file_format = _size_and_format(path, source)
        if file_format in ("JPEG", "MPO") and not _has_jpeg_end(source):
            source.seek(0)
            decode_image(path, source.read())  # the end may hide before appended data, so the decoder decides
    return size_hw


def number_type(path: str | os.PathLike[str]) -> np.dtype[Any]:
    """Return the type of the numbers in an image file, reading its header only; uint8 for all that holds bytes.

    Raises:
        SampleError: the file is missing, empty, no picture, or too large.
    """
    path = Path(path)
    with opened(path) as source:
        return _number_type(path, source)


def decoded_number_type(path: Path, data: bytes) -> np.dtype[Any]:
    """Do what `number_type` does with the bytes of an image file; errors name `path`."""
    return _number_type(path, io.BytesIO(data))


def read_image(path: str | os.PathLike[str], *, channels: int = 3, value_range: ValueRange | None = None) -> ImageArray:
    """Read an image.

    Without `value_range`, 16-bit values keep their upper eight bits, and floats are 0..1, or whole numbers 0..255 where
    one is above 1. Grey becomes three equal channels, alpha is left out unless four channels are asked for, and colour
    becomes grey where one is.

    Args:
        path: the file.
        channels: 1 (grey), 3 (RGB), 4 (RGB and alpha), or the number of the file's bands.
        value_range: which of its numbers are black and white.

    Returns:
        (H, W, channels) uint8, upright, RGB order.

    Raises:
        SampleError: the file is missing, empty, damaged, too large, or holds values that are no brightness or another
            number of bands.
    """
    path = Path(path)
    return decode_image(path, read_bytes(path), channels=channels, value_range=value_range)


def decode_image(path: Path, data: bytes, *, channels: int = 3, value_range: ValueRange | None = None) -> ImageArray:
    """Do what `read_image` does with the bytes of an image file; errors name `path`."""
    values = _decode_numbers(path, data)
    pixels = to_bytes(values, path) if value_range is None else value_range.to_bytes(values, path)
    return _with_channels(pixels, channels, path)


def read_numbers(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an image's numbers as they are stored.

    Returns:
        (H, W, bands) of any type of number, upright; RGB and RGBA in this order.

    Raises:
        SampleError: the file is missing, empty, damaged or too large.
    """
    path = Path(path)
    return decode_numbers(path, read_bytes(path))


def decode_numbers(path: Path, data: bytes) -> npt.NDArray[Any]:
    """Do what `read_numbers` does with the bytes of an image file; errors name `path`."""
    values = _decode_numbers(path, data)
    return values[..., None] if values.ndim == 2 else values


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
    """Do what `read_mask` does with the bytes of a mask file; errors name `path`."""
    with decoder_errors(path):
        facts = _tiff_facts(path, io.BytesIO(data))
        if facts is not None and facts.needs_this_module:
            return _mask_from_values(path, upright(tiff.decode(path, data, facts), facts.orientation))
        picture = open_picture(path, io.BytesIO(data), checksums=True)
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


def _header(path: Path) -> tuple[SizeHW, str]:
    """Return an image's size, upright, and its file format."""
    with opened(path) as source:
        return _size_and_format(path, source)


def _size_and_format(path: Path, source: BinaryIO) -> tuple[SizeHW, str]:
    with decoder_errors(path):
        facts = _tiff_facts(path, source)
        if facts is not None and facts.needs_this_module:
            return facts.upright_hw, "TIFF"
        picture = open_picture(path, source, checksums=False)
        return picture.size_hw, picture.image.format or ""


def _number_type(path: Path, source: BinaryIO) -> np.dtype[Any]:
    with decoder_errors(path):
        facts = _tiff_facts(path, source)
        if facts is not None and facts.dtype is not None:
            return facts.dtype
        picture = open_picture(path, source, checksums=False)
        return np.dtype(np.uint16 if picture.png and picture.png.bit_depth == 16 else np.uint8)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        SampleError: it is missing, empty, or cannot be read.
    """
    with opened(path) as source:
        return source.read()


def _decode_numbers(path: Path, data: bytes) -> npt.NDArray[Any]:
    """Return an image's numbers, (H, W) or (H, W, bands), upright."""
    with decoder_errors(path):
        facts = _tiff_facts(path, io.BytesIO(data))
        if facts is not None and facts.needs_this_module:
            return upright(tiff.decode(path, data, facts), facts.orientation)
        picture = open_picture(path, io.BytesIO(data), checksums=True)
        fast = _decode_fast(picture, data)
        return upright(brightness_of(picture.image) if fast is None else fast, picture.orientation)


def _tiff_facts(path: Path, source: BinaryIO) -> tiff.TiffFacts | None:
    """Return what a TIFF file's header says, None for another format; `source` is left at its start."""
    start = source.read(4)
    source.seek(0)
    if not tiff.is_tiff(start):
        return None
    facts = tiff.read_facts(path, source)
    source.seek(0)
    if facts.needs_this_module and facts.is_stack:
        raise SampleError(path, "the file holds several pages. Save each page as a file of its own.")
    if facts.lacks_parts:
        raise SampleError(path, "the TIFF file is damaged: its parts do not cover the picture. Copy it again.")
    return facts


def _has_jpeg_end(source: BinaryIO) -> bool:
    size = source.seek(0, io.SEEK_END)
    source.seek(max(0, size - _JPEG_TAIL_BYTES))
    return _JPEG_END in source.read()


def _decode_fast(picture: Picture, data: bytes) -> npt.NDArray[Any] | None:
    """Decode plain PNG and JPEG files with OpenCV: the same pixels as Pillow's, in less time, and of all their bits."""
    png = picture.png
    if png is not None and png.is_plain and png.bit_depth == 16 and png.color_type == 2:
        deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # Pillow has no 16-bit colours
        return None if deep is None else np.ascontiguousarray(deep[..., ::-1])
    is_jpeg = picture.image.format == "JPEG" and picture.image.mode in ("L", "RGB") and _JPEG_END in data[-16:]
    is_png = png is not None and png.is_plain and png.bit_depth == 8 and png.color_type in (0, 2)
    if not (is_jpeg or is_png):
        return None
    flag = cv2.IMREAD_GRAYSCALE if picture.image.mode == "L" else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8)  # where it fails, Pillow says why


def _with_channels(pixels: ImageArray, channels: int, path: Path) -> ImageArray:
    found = 1 if pixels.ndim == 2 else pixels.shape[2]
    pixels = pixels.reshape(*pixels.shape[:2], found)
    if found == channels:
        return pixels
    if found not in (1, 3, 4) or channels not in (1, 3, 4):
        raise SampleError(path, f"the image has {found} channels, {channels} are needed. Type in_channels={found}.")
    if channels == 1:
        grey = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
        return np.asarray(grey, np.uint8)[..., None]
    color = np.repeat(pixels, 3, axis=2) if found == 1 else np.ascontiguousarray(pixels[..., :3])
    return color if channels == 3 else np.dstack([color, np.full(pixels.shape[:2], 255, np.uint8)])


def _mask_from_values(path: Path, values: npt.NDArray[Any]) -> RawMask:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
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
