"""PIL's pictures give the numbers they hold, the right way up."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.pictures import brightness_of, ids_of, is_picture, upright

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def reopened(picture: Image.Image, file_format: str = "PNG", **options: Any) -> Image.Image:
    """Return a picture as a user gets it who opens a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return Image.open(file)


def test_pictures_are_told_from_arrays_and_paths() -> None:
    """Only PIL's own are pictures."""
    assert is_picture(Image.fromarray(RGB))
    assert not any(is_picture(thing) for thing in (RGB, "a.png", None))


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("1", (4, 5)), ("L", (4, 5)), ("LA", (4, 5, 4)), ("P", (4, 5, 3)), ("RGBA", (4, 5, 4)), ("CMYK", (4, 5, 3))],
)
def test_every_mode_becomes_grey_rgb_or_rgba(mode: str, shape: tuple[int, ...]) -> None:
    """Bit maps are white at 255; alpha stays, since whoever reads knows whether it is wanted."""
    white = Image.new("L" if mode == "LA" else "RGB", (5, 4), "white")
    pixels = brightness_of(white.convert(mode))
    assert pixels.dtype == np.uint8
    assert pixels.shape == shape
    assert (pixels == 255).all()


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", "<f4"])
def test_wide_numbers_stay_as_they_are(dtype: str) -> None:
    """16-bit, 32-bit and float pictures keep every digit, in this machine's byte order."""
    values = np.array([[0, 256, 4096], [1, 2, 65535]])
    modes = {"<u2": "I;16", ">u2": "I;16B", "<i4": "I", "<f4": "F"}
    picture = Image.frombytes(modes[dtype], (3, 2), values.astype(dtype).tobytes())
    for read in (brightness_of, ids_of):
        array = read(picture)
        assert array.dtype == np.dtype(dtype).newbyteorder("=")
        assert array.tolist() == values.tolist()


def test_masks_keep_indices_and_lose_alpha() -> None:
    """A palette picture gives indices, grey with alpha the grey, others RGB."""
    palette = Image.frombytes("P", (3, 1), bytes([0, 2, 1]))
    palette.putpalette([9, 9, 9, 50, 0, 0, 0, 60, 0])
    assert ids_of(palette).tolist() == [[0, 2, 1]]
    assert ids_of(Image.new("LA", (2, 1), (7, 128))).tolist() == [[7, 7]]
    assert ids_of(Image.new("RGBA", (1, 1), (1, 2, 3, 0))).tolist() == [[[1, 2, 3]]]
    assert ids_of(Image.new("1", (1, 1), 1)).tolist() == [[True]]


def test_turned_pictures_come_upright() -> None:
    """The EXIF block says which side is up; one that is damaged is passed over."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = reopened(Image.fromarray(RGB), exif=exif)
    assert np.array_equal(brightness_of(upright(turned)), np.rot90(RGB, -1))
    damaged = reopened(Image.fromarray(RGB), exif=b"Exif\0\0nonsense")
    assert np.array_equal(brightness_of(upright(damaged)), RGB)
