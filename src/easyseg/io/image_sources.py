"""Reading images wherever a sample says they are: in a file of their own, inside a JSON file, part of a raster."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.errors import SampleError, require_extra
from easyseg.io.images import check_image, decode_image, decoded_size, image_size, read_image, to_bytes
from easyseg.io.json_files import read_json
from easyseg.io.zip_archives import read_archived
from easyseg.structures import ArchivedFile, EmbeddedImage, ImageArray, ImageWindow, SizeHW


def read_source(source: Path | EmbeddedImage | ImageWindow, *, channels: int = 3) -> ImageArray:
    """Return an image's pixels, (H, W, channels) uint8, upright, RGB order.

    Raises:
        SampleError: the file is missing, damaged, or has another number of channels.
        MissingExtraError: a window of a raster is asked for, and rasterio is not installed.
    """
    if isinstance(source, EmbeddedImage):
        return decode_image(source.path, _embedded_bytes(source), channels=channels)
    if isinstance(source, ImageWindow):
        return _read_window(source, channels)
    return read_image(source, channels=channels)


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


def _read_window(source: ImageWindow, channels: int) -> ImageArray:
    rasterio: Any = require_extra("rasterio", extra="geo")
    height, width = source.size_hw
    window = rasterio.windows.Window(source.left, source.top, width, height)
    try:
        with rasterio.open(source.path) as raster:
            bands = [1] * channels if raster.count == 1 else list(range(1, channels + 1))
            if len(bands) > raster.count:
                raise SampleError(
                    source.path,
                    f"the raster has {raster.count} bands, {channels} are needed. Type in_channels={raster.count}.",
                )
            pixels = raster.read(bands, window=window)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise SampleError(source.path, f"the raster cannot be read ({error}). Copy it again.") from error
    return to_bytes(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), source.path)
