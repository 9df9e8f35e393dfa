"""Polygons as COCO fills them, to the last pixel.

The COCO reference does not ask which pixel centres lie inside, as `polygons_to_mask` does. It draws the outline on a
grid five times as fine, one point per step along the longer side of an edge, rounds twice on the way, and fills each
column of pixels between the outline's crossings of the column's centre. A result that is to be compared with published
COCO figures needs the same pixels. Here only the crossings are computed, all at once, so the cost does not grow with
the length of the edges outside of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from easyseg.geometry.polygons import Points, checked_points, in_batches
from easyseg.geometry.run_lengths import RunLengths, checked_size
from easyseg.structures import SizeHW

MAX_COORDINATE = 2**20
"""Largest coordinate, in pixels, that is filled; no picture is as wide, and rounding is exact up to here."""

_FINER = 5
_CENTRE = 2  # the middle one of a pixel's five points
_CROSSINGS_AT_ONCE = 1 << 18  # bounds the memory that hostile outlines of very many long edges can take

_Numbers = npt.NDArray[np.int64]


def coco_rings_to_run_lengths(rings: Iterable[Points], size_hw: SizeHW) -> RunLengths:
    """Fill the rings of one object as the COCO reference does, bit for bit.

    Args:
        rings: (K, 2) float pixel x, y each, closed by themselves; together they are one object, so a pixel in two of
            them is inside. A ring that crosses itself is filled by the even-odd rule; one of fewer than three points
            fills nothing.
        size_hw: height and width of the mask in pixels.

    Raises:
        DataError: a size that no picture has, points that are not (K, 2), or coordinates that are not finite or
            beyond `MAX_COORDINATE`.
    """
    size_hw = checked_size(size_hw)
    return RunLengths.union([_fill(_fine_points(ring), size_hw) for ring in rings], size_hw)


def _fine_points(ring: Points) -> _Numbers:
    """Return a ring on the fine grid, rounded half up towards positive numbers and to zero below, as C does."""
    fine: _Numbers = (_FINER * checked_points(ring, MAX_COORDINATE) + 0.5).astype(np.int64)
    return fine


def _fill(points: _Numbers, size_hw: SizeHW) -> RunLengths:
    flips = np.zeros(0, np.int64)
    for crossings in _crossings(points, size_hw):
        flips = np.concatenate([flips, crossings])
        if len(flips) > _CROSSINGS_AT_ONCE:  # crossings that cancel need not be kept
            places, times = np.unique(flips, return_counts=True)
            flips = places[times % 2 == 1]
    return RunLengths.from_flips(flips, size_hw)


def _crossings(points: _Numbers, size_hw: SizeHW) -> Iterator[_Numbers]:
    """Yield where the outline crosses the centres of pixel columns, as positions x * H + y of the pixel below.

    A column's crossing lies between the fine points 2 and 3 of its five, of which the higher one counts.
    """
    height, width = size_hw
    begin, end = points, np.roll(points, -1, axis=0)
    left, right = np.minimum(begin[:, 0], end[:, 0]), np.maximum(begin[:, 0], end[:, 0])
    first = np.maximum(-(-(left - _CENTRE) // _FINER), 0)
    last = np.minimum((right - _CENTRE - 1) // _FINER, width - 1)
    counts = np.maximum(last - first + 1, 0)
    crossing = np.flatnonzero(counts)
    begin, end, first, counts = begin[crossing], end[crossing], first[crossing], counts[crossing]
    for chosen, within in in_batches(counts, _CROSSINGS_AT_ONCE):
        edge = np.repeat(np.arange(chosen.start, chosen.stop), counts[chosen])
        column = within + first[edge]
        row = (_upper_points(begin[edge], end[edge], _FINER * column + _CENTRE) + _CENTRE) // _FINER
        yield column * height + np.clip(row, 0, height)


def _upper_points(begin: _Numbers, end: _Numbers, x: _Numbers) -> _Numbers:
    """Return the y of the higher of an edge's two fine points at columns x and x + 1.

    An edge is stepped along its longer side, in the direction in which that grows, and rounded on the other.
    """
    width, height = np.abs(end - begin).T
    is_flat = width >= height
    grows = np.where(is_flat, begin[:, 0] <= end[:, 0], begin[:, 1] <= end[:, 1])[:, None]
    start, stop = np.where(grows, begin, end), np.where(grows, end, begin)
    y = np.empty(len(x), np.int64)
    y[is_flat] = _along_x(start[is_flat], stop[is_flat], x[is_flat])
    y[~is_flat] = _along_y(start[~is_flat], stop[~is_flat], x[~is_flat])
    return y


def _along_x(start: _Numbers, stop: _Numbers, x: _Numbers) -> _Numbers:
    run, rise = (stop - start).T
    slope, steps = rise / run, x - start[:, 0]
    here = (start[:, 1] + slope * steps + 0.5).astype(np.int64)
    there = (start[:, 1] + slope * (steps + 1) + 0.5).astype(np.int64)
    upper: _Numbers = np.minimum(here, there)
    return upper


def _along_y(start: _Numbers, stop: _Numbers, x: _Numbers) -> _Numbers:
    run, rise = (stop - start).T
    slope, goes_right = run / rise, run > 0

    def has_crossed(steps: _Numbers) -> npt.NDArray[np.bool_]:
        at: npt.NDArray[np.float64] = start[:, 0] + slope * steps + 0.5
        crossed: npt.NDArray[np.bool_] = (at >= x + 1) == goes_right
        return crossed

    steps = np.ceil((x + 0.5 - start[:, 0]) / slope).astype(np.int64)
    # the quotient is within one step of the sums that the reference rounds
    steps = np.where(has_crossed(steps - 1), steps - 1, steps)
    steps = np.where(has_crossed(steps), steps, steps + 1)
    upper: _Numbers = start[:, 1] + steps - 1
    return upper
