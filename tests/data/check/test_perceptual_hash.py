"""Fingerprints stay nearly the same where a picture is changed as copies are."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from easyseg.data.check.perceptual_hash import (
    CUTS,
    MIRRORINGS,
    bits_of,
    coefficients_of,
    contrasts_of,
    likeness,
    mirrored_bits,
    small_picture,
)
from easyseg.data.shapes import draw_shapes


def picture(seed: int, size: int = 160) -> np.ndarray:
    """Draw a picture and return its brightness."""
    image, _ = draw_shapes(size, np.random.default_rng(seed))
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def coefficients(*pictures: np.ndarray) -> np.ndarray:
    """Return the coefficients of pictures of any size."""
    return coefficients_of([small_picture(grey) for grey in pictures])


def differing(first: np.ndarray, second: np.ndarray) -> int:
    """Return in how many bits the wholes of two pictures differ."""
    both = coefficients(first, second)
    return int(np.bitwise_count(np.bitwise_xor(*bits_of(both[:, 0]))))


@pytest.mark.parametrize(
    "change",
    [
        lambda grey: cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda grey: (grey * 0.8 + 20).astype(np.uint8),
        lambda grey: cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 0),
    ],
    ids=["scaled", "lightened", "compressed"],
)
def test_copies_keep_their_bits(change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Scaling, lightening and compressing change few bits, another picture about half of them."""
    for seed in range(8):
        assert differing(picture(seed), change(picture(seed))) <= 6
        assert differing(picture(seed), picture(seed + 100)) >= 12


def test_the_inner_part_of_a_picture_is_like_its_cut_copy() -> None:
    """What has lost its edges is found among the inner parts."""
    for seed in range(8):
        grey = picture(seed)
        cut = round(CUTS[1] * 160)
        both = coefficients(grey, grey[cut:-cut, cut:-cut])
        inner, whole = bits_of(both[:1, 1]), bits_of(both[1:, 0])
        assert np.bitwise_count(inner ^ whole)[0] <= 6
        assert likeness(both[:1, 1], both[1:, 0], "")[0] > 0.95


@pytest.mark.parametrize("mirroring", MIRRORINGS)
def test_mirrored_bits_are_those_of_the_mirrored_picture(mirroring: str) -> None:
    """The bits of a mirrored picture follow from those of the picture itself."""
    across, down = MIRRORINGS[mirroring]
    for seed in range(8):
        grey = picture(seed)
        mirrored = grey[:: -1 if down else 1, :: -1 if across else 1]
        one, other = coefficients(grey, np.ascontiguousarray(mirrored))
        worked_out = mirrored_bits(bits_of(one[:1]), mirroring)
        assert np.bitwise_count(worked_out ^ bits_of(other[:1]))[0] <= 2
        assert likeness(one[:1], other[:1], mirroring)[0] > 0.999


def test_contrast_is_about_the_standard_deviation() -> None:
    """A picture of one colour has none, and noise-free waves have that of their pixels."""
    waves = np.add.outer(np.zeros(64), 100 + 50 * np.sin(np.arange(64) / 64 * 2 * np.pi))
    flat, wavy = contrasts_of(coefficients(np.full((64, 64), 7, np.uint8), waves.astype(np.uint8)))
    assert flat == 0
    assert wavy == pytest.approx(waves.std(), rel=0.1)


def test_brightness_alone_says_nothing() -> None:
    """Pictures without contents are like nothing, not even each other."""
    both = coefficients(np.full((64, 64), 7, np.uint8), np.full((64, 64), 200, np.uint8))
    assert likeness(both[:1, 0], both[1:, 0], "")[0] == 0
    assert (bits_of(both[:, 0]) & np.uint64(128) == 0).all(), "the mean is no bit"


def test_no_pictures_no_coefficients() -> None:
    """Of nothing there is nothing, in the right shape."""
    assert coefficients_of([]).shape == (0, len(CUTS), 8, 8)
