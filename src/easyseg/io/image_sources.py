"""Reading images wherever a sample says they are: in a file of their own, inside a JSON file, part of a raster."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.errors import SampleError, require_extra
from easyseg.io.images import (
    check_image,
    decode_image,
    decode_numbers,
    decoded_number_type,
    decoded_size,
    image_size,
    number_type,
    read_image,
    read_numbers,
    to_bytes,
)
from easyseg.io.json_files import read_json
from easyseg.io.zip_archives import read_archived
from easyseg.structures import ArchivedFile, EmbeddedImage, ImageArray, ImageWindow, SizeHW


def read_source(
    source: Path | EmbeddedImage | ImageWindow, *, channels: int = 3, value_range: ValueRange | None = None
) -> ImageArray:
    """Return an image's pixels, (H, W, channels) uint8, upright, RGB order.

    Args:
        source: where it lies.
        channels: how many channels are needed.
        value_range: which of its numbers are black and white; None where they are bytes.

    Raises:
        SampleError: the file is missing, damaged, or has another number of channels.
        MissingExtraError: a window of a raster is asked for, and rasterio is not installed.
    """
    if isinstance(source, EmbeddedImage):
        return decode_image(source.path, _embedded_bytes(source), channels=channels, value_range=value_range)
    if isinstance(source, ImageWindow):
        return _window_pixels(source, channels, value_range)
    return read_image(source, channels=channels, value_range=value_range)


def source_numbers(source: Path | EmbeddedImage | ImageWindow) -> npt.NDArray[Any]:
    """Return an image's numbers as they are stored, (H, W, bands) of any type, upright.

    Raises:
        SampleError: the file is missing or damaged.
        MissingExtraError: a window of a raster is asked for, and rasterio is not installed.
    """
    if isinstance(source, EmbeddedImage):
        return decode_numbers(source.path, _embedded_bytes(source))
    return _window_numbers(source) if isinstance(source, ImageWindow) else read_numbers(source)


def source_number_type(source: Path | EmbeddedImage | ImageWindow) -> np.dtype[Any]:
    """Return the type of an image's numbers, reading no pixels; uint8 for all that holds bytes.

    Raises:
        SampleError: the file is missing or no image.
        MissingExtraError: it is a window of a raster, and rasterio is not installed.
    """
    if isinstance(source, EmbeddedImage):
        return decoded_number_type(source.path, _embedded_bytes(source))
    if isinstance(source, ImageWindow):
        with _opened_raster(source.path) as raster:
            stored: np.dtype[Any] = np.dtype(raster.dtypes[0])
            return stored
    return number_type(source)


def source_size(source: Path | EmbeddedImage | ImageWindow) -> SizeHW:
    """Return an image's height and width, reading no pixels.

    Raises:
        SampleError: the file is missing or no image.
    """
    if isinstance(source, EmbeddedImage):
        return decoded_size(source.path, _embedded_bytes(source))
    return source.size_hw if isinstance(source, ImageWindow) else image_size(source)


def check_source(source: Path | EmbeddedImage | ImageWindow | ArchivedFile) -> SizeHW:
    """Return an image's height and width, and make sure as cheaply as possible that the file is complete.

    Raises:
        SampleError: it is missing, cut off or no image.
    """
    if isinstance(source, ArchivedFile):
        return decoded_size(source.path, read_archived(source))
    return check_image(source) if isinstance(source, Path) else source_size(source)


def _embedded_bytes(source: EmbeddedImage) -> bytes:
    values = read_json(source.path)
    text = values.get(source.field) if isinstance(values, dict) else None
    if not isinstance(text, str) or not text:
        raise SampleError(
            source.path, f"there is no image in the field {source.field!r}. Add the image file beside it."
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SampleError(
            source.path, f"the image in the field {source.field!r} is no base64 ({error}). Save the annotation again."
        ) from error


def _window_pixels(source: ImageWindow, channels: int, value_range: ValueRange | None) -> ImageArray:
    with _opened_raster(source.path) as raster:
        count = raster.count
    if 1 < count < channels:
        raise SampleError(
            source.path, f"the raster has {count} bands, {channels} are needed. Type in_channels={count}."
        )
    if value_range is None:
        pixels = to_bytes(_window_numbers(source, range(min(count, channels))), source.path)
    else:  # there may be a range for each band, so all are read
        pixels = value_range.to_bytes(_window_numbers(source), source.path)
    return np.repeat(pixels, channels, axis=2) if count == 1 else np.ascontiguousarray(pixels[..., :channels])


def _window_numbers(source: ImageWindow, bands: range | None = None) -> npt.NDArray[Any]:
    """Return the numbers of a window, (H, W, bands), of all bands or of these, counted from 0."""
    height, width = source.size_hw
    with _opened_raster(source.path) as raster:
        window = ((source.top, source.top + height), (source.left, source.left + width))
        numbers = raster.read(None if bands is None else [band + 1 for band in bands], window=window)
    return np.ascontiguousarray(np.moveaxis(numbers, 0, -1))


@contextmanager
def _opened_raster(path: Path) -> Iterator[Any]:
    rasterio: Any = require_extra("rasterio", extra="geo")
    try:
        with rasterio.open(path) as raster:
            yield raster
    except (OSError, rasterio.errors.RasterioError) as error:
        raise SampleError(path, f"the raster cannot be read ({error}). Copy it again.") from error
