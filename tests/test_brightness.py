"""Numbers of images as bytes, by what is black and what white."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.brightness import ValueRange, kind_of_numbers
from easyseg.errors import SampleError

TWELVE_BITS = ValueRange((0.0,), (4095.0,), "integers")


def test_range_is_spread_over_all_levels() -> None:
    """Low becomes 0, high 255, the middle the middle, and what lies outside is cut off."""
    values = np.array([[-100, 100, 1100, 2100, 3000]], np.int16)
    assert ValueRange((100.0,), (2100.0,)).to_bytes(values, "x").tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "int64", "float32", "float64"])
def test_levels_are_the_nearest(dtype: str) -> None:
    """Each number becomes the nearest of the 256 levels, whatever its type."""
    values = np.arange(0, 201, dtype=dtype).reshape(3, 67)
    levels = ValueRange((0.0,), (200.0,)).to_bytes(values, "x")
    assert levels.dtype == np.uint8
    assert np.abs(levels - np.arange(201).reshape(3, 67) * 255 / 200).max() <= 0.5 + 1e-4


def test_channels_may_have_ranges_of_their_own() -> None:
    """With one range for each channel, each is spread on its own."""
    values = np.array([[[5.0, 500.0]]])
    assert ValueRange((0.0, 0.0), (10.0, 1000.0)).to_bytes(values, "x").tolist() == [[[128, 128]]]


def test_large_whole_numbers_keep_their_differences() -> None:
    """Differences of 1 are seen far away from 0, where single precision has none left."""
    values = np.array([[10**9, 10**9 + 1]], np.int64)
    assert ValueRange((1e9,), (1e9 + 1,)).to_bytes(values, "x").tolist() == [[0, 255]]


def test_no_data_is_black() -> None:
    """A NaN becomes 0, and what is infinite an end."""
    values = np.array([[np.nan, -np.inf, np.inf, 1.0]], np.float32)
    assert ValueRange((0.0,), (1.0,)).to_bytes(values, "x").tolist() == [[0, 0, 255, 255]]


def test_all_16_bits_keep_their_upper_byte() -> None:
    """The whole range of 16 bits gives the pixels that a file of 16 bits gives where no range is known."""
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    assert ValueRange((0.0,), (65535.0,), "integers").to_bytes(values, "x").tolist() == [[0, 0, 1, 128, 255]]
    assert ValueRange((0.0,), (65535.0,)).to_bytes(values, "x").tolist() == [[0, 0, 1, 128, 255]]


def test_other_kinds_of_numbers_are_refused() -> None:
    """A range that was measured fits numbers of its kind; one that was chosen fits all."""
    for values in (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)):
        with pytest.raises(SampleError, match=r"^a\.tif: the image holds (bytes|floats) .*0 \.\. 4095 .*on integers"):
            TWELVE_BITS.to_bytes(values, "a.tif")
        ValueRange((0.0,), (4095.0,)).to_bytes(values, "a.tif")


def test_other_numbers_of_channels_are_refused() -> None:
    """Ranges for two channels do not fit three."""
    with pytest.raises(SampleError, match=r"has 3 channels, but there are ranges for 2: 0 \.\. 1, 0 \.\. 2"):
        ValueRange((0.0, 0.0), (1.0, 2.0)).to_bytes(np.zeros((2, 2, 3)), "a.tif")


def test_images_far_above_the_range_are_refused() -> None:
    """An image that would turn white for the most part is told; a few bright pixels are not."""
    values = np.full((10, 10), 60_000, np.uint16)
    with pytest.raises(SampleError, match=r"most of its values lie far above the range 0 \.\. 4095, up to 60000"):
        TWELVE_BITS.to_bytes(values, "a.tif")
    values[:5] = 4000
    assert TWELVE_BITS.to_bytes(values, "a.tif").min() == 249


def test_many_ranges_are_shown_in_short() -> None:
    """Of sixteen channels the first four stand for all."""
    assert str(ValueRange((0.0,) * 16, (1.5,) * 16)) == "0 .. 1.5, 0 .. 1.5, 0 .. 1.5, 0 .. 1.5, ..."


def test_plain_values_and_back() -> None:
    """A range comes back from what a checkpoint holds, and damaged ones are refused."""
    value_range = ValueRange((0.0, -1.5), (1.0, 2.0), "floats")
    assert ValueRange.from_dict(value_range.to_dict()) == value_range
    for lows, highs in (([], []), ([0], [1, 2]), ([1], [1]), ([float("nan")], [1])):
        with pytest.raises(ValueError, match="no range of values"):
            ValueRange.from_dict({"lows": lows, "highs": highs, "numbers": None})


def test_kinds_of_numbers() -> None:
    """Eight unsigned bits are bytes; all other whole numbers, and all fractions, are each of a kind."""
    kinds = {name: kind_of_numbers(np.dtype(name)) for name in ("bool", "uint8", "int8", "uint16", "float16")}
    assert kinds == {
        "bool": "bytes",
        "uint8": "bytes",
        "int8": "integers",
        "uint16": "integers",
        "float16": "floats",
    }
