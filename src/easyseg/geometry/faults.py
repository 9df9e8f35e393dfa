"""What can be wrong with a polygon from a file, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.geometry.polygons import Points, checked_points
from easyseg.structures import SizeHW

FaultKind: TypeAlias = Literal[
    "no_pixels", "too_few_points", "duplicate_points", "zero_area", "self_crossing", "outside", "partly_outside"
]

_TOUCHING = 1e-6  # pixels; what lies nearer to an edge lies on it, as far as rounded coordinates can say
_EDGES_AT_ONCE = 256
_PAIRS_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class PolygonFault:
    """One thing that is wrong with a polygon.

    Attributes:
        kind: "no_pixels", the points are not finite numbers in pairs; "too_few_points", less than three different
            ones; "duplicate_points", the same point twice in a row (a last point that repeats the first is usual and
            no fault); "zero_area", all points on a line, or an outline that runs back on itself; "self_crossing", two
            edges cross; "outside", nothing of it lies in the picture; "partly_outside", some points do not.
        detail: what was found, a sentence without the polygon's name.
    """

    kind: FaultKind
    detail: str


def polygon_faults(
    points: npt.ArrayLike, size_hw: SizeHW | None = None, *, margin_pixels: float = 1.0
) -> tuple[PolygonFault, ...]:
    """Return what is wrong with one ring, nothing for a sound one.

    Edges that touch, or run along each other as at the bridges by which holes and parts are joined, do not cross; nor
    does an outline that comes twice through the very same point.

    Args:
        points: (K, 2) pixel x, y, closed by themselves.
        size_hw: height and width of the picture; where None, any place is in the picture.
        margin_pixels: how far beyond the picture's edge a point may lie; annotation tools round.
    """
    try:
        ring = checked_points(points)
    except DataError as error:
        return (PolygonFault("no_pixels", str(error)),)
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    faults = []
    repeats = np.flatnonzero((ring[1:] == ring[:-1]).all(axis=1))
    if repeats.size:
        count = f"{len(repeats)} points repeat" if len(repeats) > 1 else "1 point repeats"
        detail = f"{count} the one before, the first at {ring[repeats[0]].tolist()}."
        faults.append(PolygonFault("duplicate_points", detail))
        ring = np.delete(ring, repeats + 1, axis=0)
    faults += _shape_faults(ring)
    if size_hw is not None and len(ring):
        faults += _place_faults(ring, size_hw, margin_pixels)
    return tuple(faults)


def first_crossing(ring: Points) -> tuple[float, float] | None:
    """Return a point at which a ring crosses itself, None where it does not.

    Args:
        ring: (K, 2) float64 pixel x, y, no point twice in a row.
    """
    begin, end = ring, np.roll(ring, -1, axis=0)  # neighbours share a point, so they never count as crossing
    after = np.roll(ring, -2, axis=0)
    for first, second in _near_pairs(begin, end):
        start, stop = begin[first], end[first]
        # on which side of the first edge the second begins and ends, and of the second the first
        sides = [_side(start, stop, begin[second]), _side(start, stop, end[second])]
        others = [_side(begin[second], end[second], start), _side(begin[second], end[second], stop)]
        crosses = (sides[0] * sides[1] < 0) & (others[0] * others[1] < 0)
        # or the second ends on the first, and goes on beyond it
        goes_on = (sides[1] == 0) & (sides[0] * _side(start, stop, after[second]) < 0)
        along = ((end[second] - start) * (stop - start)).sum(axis=1)
        crosses |= goes_on & (along > 0) & (along < ((stop - start) ** 2).sum(axis=1))
        if crosses.any():
            at = int(np.argmax(crosses))
            return _meeting(start[at], stop[at], begin[second[at]], end[second[at]])
    return None


def _shape_faults(ring: Points) -> list[PolygonFault]:
    different = len(np.unique(ring, axis=0))
    if different < 3:
        return [PolygonFault("too_few_points", f"{different} different points; a polygon has at least 3.")]
    crossing = first_crossing(ring)
    if crossing is not None:
        x, y = crossing
        return [PolygonFault("self_crossing", f"Its outline crosses itself, at x = {x:.1f}, y = {y:.1f} for one.")]
    shifted = ring - ring[0]
    doubled = np.dot(shifted[:, 0], np.roll(shifted[:, 1], -1)) - np.dot(shifted[:, 1], np.roll(shifted[:, 0], -1))
    extent = float(np.ptp(ring, axis=0).max())
    if abs(doubled) <= 2 * _TOUCHING * extent:
        return [PolygonFault("zero_area", f"Its {len(ring)} points enclose no area.")]
    return []


def _place_faults(ring: Points, size_hw: SizeHW, margin_pixels: float) -> list[PolygonFault]:
    limits = np.array(size_hw[::-1], np.float64)
    if (ring.max(axis=0) <= 0).any() or (ring.min(axis=0) >= limits).any():
        found = f"It lies from {ring.min(axis=0).tolist()} to {ring.max(axis=0).tolist()}"
        return [PolygonFault("outside", f"{found}, outside of the picture of {size_hw[1]} x {size_hw[0]} pixels.")]
    beyond = ((ring < -margin_pixels) | (ring > limits + margin_pixels)).any(axis=1)
    if beyond.any():
        place = ring[int(np.argmax(beyond))].tolist()
        detail = f"{int(beyond.sum())} of {len(ring)} points lie outside of the picture, the first at {place}."
        return [PolygonFault("partly_outside", detail)]
    return []


def _near_pairs(begin: Points, end: Points) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield the numbers of pairs of edges that may meet, each pair both ways round.

    Edges in order of where they start along one axis can only meet those that start before they stop.
    """
    low, high = np.minimum(begin, end) - _TOUCHING, np.maximum(begin, end) + _TOUCHING
    # the axis along which the edges are the shorter, for the outline's extent, leaves the fewest pairs
    axis = int(np.argmin((high - low).mean(axis=0) / np.maximum(np.ptp(begin, axis=0), _TOUCHING)))
    order = np.argsort(low[:, axis], kind="stable")
    starts = low[order, axis]
    reach = np.searchsorted(starts, high[order, axis], side="right")
    at = 0
    while at < len(order):
        until = min(at + max(1, min(_EDGES_AT_ONCE, _PAIRS_AT_ONCE // (len(order) - at))), len(order))
        others = order[at : int(reach[at:until].max())]
        mine = order[at:until]
        first, second = (array.ravel() for array in np.meshgrid(mine, others, indexing="ij"))
        overlaps = ((low[first] <= high[second]) & (low[second] <= high[first])).all(axis=1)
        first, second = first[overlaps], second[overlaps]
        yield np.concatenate([first, second]), np.concatenate([second, first])
        at = until


def _side(begin: Points, end: Points, points: Points) -> npt.NDArray[np.float64]:
    """Return 1 or -1 for the side of the lines on which points lie, 0 for those on them."""
    along, offset = end - begin, points - begin
    doubled = along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]
    sides: npt.NDArray[np.float64] = np.sign(doubled) * (np.abs(doubled) > _TOUCHING * np.hypot(*along.T))
    return sides


def _meeting(start: Points, stop: Points, begin: Points, end: Points) -> tuple[float, float]:
    """Return where the lines through two edges meet, which are not parallel."""
    along, across = stop - start, end - begin
    offset = begin - start
    share = (offset[0] * across[1] - offset[1] * across[0]) / (along[0] * across[1] - along[1] * across[0])
    x, y = start + share * along
    return float(x), float(y)
