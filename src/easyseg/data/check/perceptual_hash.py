"""Perceptual fingerprints: few bits that stay nearly the same where a picture is scaled, compressed or lightened.

A picture's brightness, scaled to 32 x 32 pixels, is turned into its 8 x 8 lowest cosine coefficients; their signs are
the 64 bits. The coefficients are taken of the whole picture and of its inner part, too, so that a copy whose edges were
cut off is found: its whole is nearly the inner part of the original. Mirroring only changes the signs of every other
column or row, so the bits of a mirrored picture follow from those of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.structures import ImageArray

CUTS = (0.0, 0.03)
"""Share cut off each edge."""
LEAST_CONTRAST = 0.7
"""Below this standard deviation of its brightness (0..255), a picture shows too little to be told from another."""

Coefficients = npt.NDArray[np.float16]
Bits = npt.NDArray[np.uint64]

_SMALL = 64
_SIDE = 32
_KEPT = 8


def _cut_and_transform(cut: float) -> npt.NDArray[np.float32]:
    """Return (8, 64) what cuts 64 pixels' edges off, brings the rest to 32, and takes 8 cosine coefficients of it."""
    edges = np.linspace(_SMALL * cut, _SMALL * (1 - cut), _SIDE + 1)
    pixels = np.arange(_SMALL)
    # the share of each of the 64 pixels in each of the 32
    shares = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, None)
    shares /= shares.sum(axis=1, keepdims=True)
    frequencies, places = np.arange(_KEPT)[:, None], np.arange(_SIDE)[None]
    cosines = np.cos(np.pi * (2 * places + 1) * frequencies / (2 * _SIDE)) / _SIDE
    return np.asarray(cosines @ shares, np.float32)


_WEIGHTS = np.hypot(*np.mgrid[:_KEPT, :_KEPT]).astype(np.float32) ** 0.5
_TRANSFORMS = np.stack([_cut_and_transform(cut) for cut in CUTS])


def small_picture(grey: ImageArray) -> ImageArray:
    """Return (64, 64) uint8 of a brightness (H, W) uint8."""
    if grey.shape == (_SMALL, _SMALL):
        return grey
    return np.asarray(cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.uint8)


def coefficients_of(pictures: Sequence[ImageArray]) -> Coefficients:
    """Return the coefficients of many pictures at a time.

    Args:
        pictures: N small pictures, (64, 64) uint8 each.

    Returns:
        (N, len(CUTS), 8, 8) float16; row: vertical frequency, column: horizontal.
    """
    if not pictures:
        return np.empty((0, len(CUTS), _KEPT, _KEPT), np.float16)
    brightness = np.stack(pictures).astype(np.float32)
    across = brightness @ _TRANSFORMS.reshape(-1, _SMALL).T  # all cuts at once, (N, 64, 3 * 8)
    parts = [_TRANSFORMS[at] @ across[..., at * _KEPT : (at + 1) * _KEPT] for at in range(len(CUTS))]
    return np.stack(parts, axis=1).astype(np.float16)


def contrasts_of(coefficients: Coefficients) -> npt.NDArray[np.float32]:
    """Return each picture's contrast as far as the coefficients hold it, (N,) float32, about a standard deviation."""
    whole = coefficients[:, 0].reshape(len(coefficients), _KEPT * _KEPT).astype(np.float32)
    weights = np.full((_KEPT, _KEPT), 4.0, np.float32)  # a cosine's mean square is 1/2 in each direction that it varies
    weights[0], weights[:, 0] = 2.0, 2.0
    weights[0, 0] = 0.0
    return np.asarray(np.sqrt((whole**2 * weights.reshape(-1)).sum(axis=1)), np.float32)


def bits_of(coefficients: Coefficients) -> Bits:
    """Return the signs of coefficients (N, 8, 8) as (N,) uint64; the mean brightness is left out."""
    signs = coefficients.reshape(len(coefficients), _KEPT * _KEPT) > 0
    signs[:, 0] = False
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64).reshape(-1)


def _pattern(*, across: bool, down: bool) -> npt.NDArray[np.bool_]:
    """Return which coefficients change their sign, (8, 8) bool."""
    odd = np.arange(_KEPT) % 2 == 1
    return np.asarray((odd[None] & across) ^ (odd[:, None] & down), bool)


MIRRORINGS: dict[str, tuple[bool, bool]] = {
    "": (False, False),
    "mirrored": (True, False),
    "upside down": (False, True),
    "turned by 180°": (True, True),
}
"""What was done to a copy, by name: mirrored across, mirrored down."""


def mirrored_bits(bits: Bits, mirroring: str) -> Bits:
    """Return the bits that mirrored pictures have."""
    across, down = MIRRORINGS[mirroring]
    pattern = np.packbits(_pattern(across=across, down=down).reshape(1, -1), axis=1).view(np.uint64)[0]
    mask = pattern & bits_of(np.ones((1, _KEPT, _KEPT), np.float16))  # the mean has no sign
    return np.asarray(bits ^ mask)


def likeness(first: Coefficients, second: Coefficients, mirroring: str) -> npt.NDArray[np.float32]:
    """Return the cosine of the angle between coefficients (N, 8, 8) of pairs of pictures, (N,) float32.

    It is 1 where one is the other, mirrored so and perhaps lighter or of more contrast. High frequencies, which tell
    more but are weak in most pictures, are weighed up.
    """
    across, down = MIRRORINGS[mirroring]
    signs = np.where(_pattern(across=across, down=down), -1, 1).astype(np.float32)
    one = (first * _WEIGHTS).reshape(len(first), _KEPT * _KEPT)
    other = (second * (_WEIGHTS * signs)).reshape(len(second), _KEPT * _KEPT)
    product = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / np.maximum(product, 1e-6), np.float32)
