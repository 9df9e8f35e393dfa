"""Telling a copy of a picture from a picture that merely looks like it, such as the next frame of a video.

A copy may be scaled, compressed, cut at its edges, or lighter; all of this treats the whole picture alike. So one
picture is laid upon the other as well as an affine map can (enhanced correlation coefficient, G. Evangelidis and
E. Psarakis 2008), its brightness is mapped onto the other's by the mean of each level, and what is left is noise in a
copy, but stands out in patches where something in the scene has moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.structures import ImageArray

_LONGER_SIDE = 128
_SHORTEST_SIDE = 16
_BLUR_SIGMA = 1.2
"""Takes the noise of scaling and compression away."""
_PATCH = 9
"""Side of the square over which differences are averaged: whatever moves fills one."""
_LEAST_OVERLAP = 0.6
_LEAST_CONTRAST = 1.5
_LEVELS = 32
_STEP = 8
_DOUBT = 20.0
"""So many pixels of a level weigh as much as the straight line through all levels."""
_MOST_ABSOLUTE = 6.0
_MOST_RELATIVE = 0.27
"""A patch of a copy differs by no more than this, in levels of 0..255 or as a share of the standard deviation; see
`tests/data/check/test_likeness.py` for what copies and neighbouring frames reach."""
_LEAST_CORRELATION = 0.6
_ITERATIONS = ((0.25, 40), (1.0, 30))
"""Scales at which the map is sought, coarse first, and the steps at each."""

_Map = npt.NDArray[np.float32]
_Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much two pictures have in common.

    Attributes:
        residual: largest mean difference of a patch, in levels of 0..255; of a copy, as soon as it is low enough.
        contrast: standard deviation of the picture's brightness.
    """

    residual: float
    contrast: float

    @property
    def is_copy(self) -> bool:
        """Whether one is a copy of the other."""
        return self.residual <= _most_of_copies(self.contrast)


def small_plane(grey: ImageArray) -> ImageArray:
    """Scale a brightness (H, W) uint8 down to what a comparison needs."""
    height, width = grey.shape
    scale = min(1.0, _LONGER_SIDE / max(height, width))
    size = (max(_SHORTEST_SIDE, round(width * scale)), max(_SHORTEST_SIDE, round(height * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def compare(first: ImageArray, second: ImageArray) -> Likeness:
    """Compare two pictures.

    Args:
        first: what `small_plane` made of one.
        second: likewise of the other; turned and mirrored as the first.
    """
    height, width = min(first.shape, second.shape, key=lambda size: size[0] * size[1])  # what one lacks, both must
    scaled = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in (first, second)]
    one, other = (_smooth(plane) for plane in scaled)
    contrast = float(one.std())
    if min(contrast, float(other.std())) < _LEAST_CONTRAST:
        return Likeness(255.0, contrast)  # pictures without contents are all alike
    residual = 255.0
    for mapping in _maps(one, other):
        residual = min(residual, _residual(one, other, mapping))
        if residual <= _most_of_copies(contrast):
            break  # a better map would not change the verdict
    return Likeness(residual, contrast)


def _most_of_copies(contrast: float) -> float:
    """Return the largest residual of copies of a picture of this contrast."""
    return max(_MOST_ABSOLUTE, _MOST_RELATIVE * contrast)


def _smooth(plane: npt.NDArray[Any]) -> _Plane:
    return np.asarray(cv2.GaussianBlur(plane.astype(np.float32), (0, 0), _BLUR_SIGMA), np.float32)


def _maps(first: _Plane, second: _Plane) -> Iterator[_Map]:
    """Yield affine maps that may lay the second picture upon the first, better ones after worse ones."""
    found: npt.NDArray[Any] = np.eye(2, 3, dtype=np.float32)
    yield found
    for scale, steps in _ITERATIONS:
        scaled = (cv2.resize(p, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for p in (first, second))
        one, other = scaled
        found[:, 2] *= scale
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-4)
        try:
            correlation, mapping = cv2.findTransformECC(one, other, found, cv2.MOTION_AFFINE, criteria)
        except cv2.error:  # no correlation to climb
            return
        found = np.asarray(mapping, np.float32)
        found[:, 2] /= scale
        if correlation < _LEAST_CORRELATION:
            return  # most pairs end here, before the larger scale
        yield found


def _residual(first: _Plane, second: _Plane, mapping: _Map) -> float:
    """Return the largest mean difference of a patch after mapping place and brightness."""
    height, width = first.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(second, mapping, (width, height), flags=flags), np.float32)
    inside = cv2.warpAffine(np.ones_like(second), mapping, (width, height), flags=flags) > 0.999
    inside = cv2.erode(inside.view(np.uint8), np.ones((5, 5), np.uint8), borderValue=0).view(bool)
    if inside.mean() < _LEAST_OVERLAP:
        return 255.0
    difference = _as_bright_as(moved, first, inside) - first
    # where a picture is blown out or black, its copy may hold what it has lost
    lost = ((moved > 240) & (difference < 0)) | ((moved < 8) & (difference > 0))
    difference[lost | ~inside] = 0
    return float(cv2.blur(np.abs(difference), (_PATCH, _PATCH)).max())


def _as_bright_as(picture: _Plane, other: _Plane, inside: npt.NDArray[np.bool_]) -> _Plane:
    """Return a picture with each level of brightness brought to the mean that the other has there."""
    x, y = picture[inside], other[inside]
    spread = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 0 else 0.0
    line = float(y.mean()) + slope * (x - float(x.mean()))
    level = np.minimum((x / _STEP).astype(np.int64), _LEVELS - 1)
    counts = np.bincount(level, minlength=_LEVELS)
    offsets = np.bincount(level, y - line, minlength=_LEVELS) / (counts + _DOUBT)
    centres = np.bincount(level, x, minlength=_LEVELS) / np.maximum(counts, 1)
    known = counts > 0
    base = float(y.mean()) + slope * (picture - float(x.mean()))
    return np.asarray(base + np.interp(picture, centres[known], offsets[known]), np.float32)
