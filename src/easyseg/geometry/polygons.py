"""Masks to polygons and back, along the edges of their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.structures import SizeHW

BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]

_FARTHEST = 2.0**40  # in pixels; products of two such coordinates still keep their parts of a pixel
_CROSSINGS_AT_ONCE = 1 << 18  # bounds the memory that hostile outlines of very many long edges can take


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """A region with holes.

    Attributes:
        exterior: (K, 2) float64 pixel x, y; clockwise as seen on the screen; the first point is not repeated.
        holes: likewise, one array per hole, counterclockwise.
    """

    exterior: Points
    holes: tuple[Points, ...] = ()


def mask_to_polygons(mask: npt.NDArray[np.generic]) -> list[Polygon]:
    """Trace the outlines of a mask along its pixels' edges.

    Each region of pixels that share an edge (4-connected) becomes one polygon; regions that touch at a corner only
    stay apart. `polygons_to_mask` gives back exactly this mask.

    Args:
        mask: (H, W), true (or not 0) inside.

    Returns:
        the polygons, topmost first, with as few points as possible; empty for an empty mask.
    """
    inside = np.ascontiguousarray(mask, dtype=bool)
    if not inside.any():
        return []
    _, labels = cv2.connectedComponents(inside.view(np.uint8), connectivity=4)
    exteriors: dict[int, Points] = {}
    holes: dict[int, list[Points]] = {}
    for ring in _rings(inside):
        x, y = int(ring[0, 0]), int(ring[0, 1])
        if inside[y, x]:  # a ring begins at its topmost left corner, so this pixel lies within it
            exteriors[int(labels[y, x])] = ring
        else:
            holes.setdefault(int(labels[y - 1, x]), []).append(ring[::-1])
    return [Polygon(ring, tuple(holes.get(label, ()))) for label, ring in exteriors.items()]


def polygons_to_mask(polygons: Iterable[Polygon], size_hw: SizeHW) -> BoolMask:
    """Fill polygons: a pixel is inside where its centre is.

    Args:
        polygons: may overlap, and may reach far beyond the picture; any real coordinates.
        size_hw: height and width of the mask.

    Returns:
        (H, W) bool.

    Raises:
        DataError: points that are not (K, 2), not finite, or more than a million million pixels away.
    """
    mask = np.zeros(size_hw, bool)
    for polygon in polygons:
        _fill(mask, polygon)
    return mask


def polygon_area(polygon: Polygon) -> float:
    """Return the area in square pixels, holes left out."""
    return _ring_area(polygon.exterior) - sum(_ring_area(hole) for hole in polygon.holes)


def mask_area(mask: npt.NDArray[np.generic]) -> int:
    """Return how many pixels of an (H, W) mask are true (or not 0)."""
    return int(np.count_nonzero(mask))


def mask_to_box(mask: npt.NDArray[np.generic]) -> Box | None:
    """Return the smallest box around the true pixels of an (H, W) mask.

    Returns:
        x1, y1, x2, y2 in pixels with 0 <= x1 < x2 <= W and 0 <= y1 < y2 <= H; None for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _rings(inside: BoolMask) -> Iterator[Points]:
    """Yield every closed outline of the mask, clockwise on the screen, from its topmost left corner on.

    Only corners matter. Along a row of the grid, the outline's corners in order are the two ends of the first
    horizontal piece, then of the second, and so on; likewise along a column. So sorting the corners by rows and by
    columns pairs them, and an outline is walked by taking horizontal and vertical partners in turn. Where two pixels
    touch at a corner only, that point is two corners, one for each pixel.
    """
    x, y, vertical_order = _corners(inside)
    by_rows = np.lexsort((np.arange(len(x)), x, y))
    by_columns = np.lexsort((vertical_order, y, x))
    across, down = _partners(by_rows), _partners(by_columns)
    seen = np.zeros(len(x), bool).tolist()
    points = np.stack([x, y], axis=1).astype(np.float64)
    for start in by_rows.tolist():
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            other = across[at]
            seen[at] = seen[other] = True
            ring += [at, other]
            at = down[other]
        yield points[ring]


def _corners(inside: BoolMask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the outline's corners: x, y, and the order of two corners at one point within their column.

    Two corners at one point come as left one, right one.
    """
    padded = np.pad(inside, 1)
    top_left, top_right, bottom_left, bottom_right = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    single = top_left ^ top_right ^ bottom_left ^ bottom_right
    falling = top_left & bottom_right & ~top_right & ~bottom_left
    rising = top_right & bottom_left & ~top_left & ~bottom_right
    y, x = np.nonzero(single)
    double_y, double_x = np.nonzero(falling | rising)
    # of two pixels that touch at a corner, the left one lies above where they fall to the right, else below
    left_order = rising[double_y, double_x].astype(np.intp)
    return (
        np.concatenate([x, double_x, double_x]),
        np.concatenate([y, double_y, double_y]),
        np.concatenate([np.zeros(len(x), np.intp), left_order, 1 - left_order]),
    )


def _partners(order: npt.NDArray[np.intp]) -> list[int]:
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    found: list[int] = partners.tolist()
    return found


def checked_points(ring: npt.ArrayLike, farthest: float = _FARTHEST) -> Points:
    """Return a ring of any origin as points that are safe to compute with.

    Args:
        ring: (K, 2) numbers, x and y in pixels; K may be 0.
        farthest: largest absolute coordinate, in pixels.

    Raises:
        DataError: points of another shape, or not finite, or farther away.
    """
    try:
        points = np.asarray(ring, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"A polygon's points are no numbers ({error}). Give (K, 2) pixels, x and y of each.") from error
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise DataError(f"Points of shape {points.shape} are no polygon. Give (K, 2) pixels, x and y of each.")
    is_near = np.abs(points) <= farthest  # false for a NaN, too
    if not is_near.all():
        row = int(np.flatnonzero(~is_near.all(axis=1))[0])
        raise DataError(
            f"Point {row + 1} of a polygon lies at {points[row].tolist()}; expected pixels, at most {farthest:,.0f} "
            "away from 0. Correct or remove the polygon."
        )
    return points


def in_batches(counts: npt.NDArray[np.integer[Any]], at_once: int) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
    """Cut a list of jobs of different sizes into runs of about `at_once` items in all.

    Args:
        counts: (K,) items of each job.
        at_once: items from which on a new batch begins; a job is never cut.

    Yields:
        the jobs of a batch, and each item's number within its job.
    """
    until = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(until[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(until, done + at_once, side="right")))
        times = counts[start:stop]
        within = np.arange(int(until[stop - 1]) - done) - np.repeat(until[start:stop] - times - done, times)
        yield slice(start, stop), within
        start = stop


def _fill(mask: BoolMask, polygon: Polygon) -> None:
    """Set the pixels of `mask` whose centres lie inside, by the even-odd rule.

    In each row of pixel centres, every edge that crosses the row flips all pixels to the right of the crossing.
    """
    rings = [checked_points(ring) for ring in (polygon.exterior, *polygon.holes)]
    begin = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    goes_down = (begin[:, 1] <= end[:, 1])[:, None]
    upper, lower = np.where(goes_down, begin, end), np.where(goes_down, end, begin)
    height, width = mask.shape
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.intp)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.intp)  # exclusive
    crosses = np.flatnonzero(last > first)
    if not crosses.size:
        return
    upper, lower, first, last = upper[crosses], lower[crosses], first[crosses], last[crosses]
    slope = (lower[:, 0] - upper[:, 0]) / (lower[:, 1] - upper[:, 1])
    sides = np.clip(np.concatenate([upper[:, 0], lower[:, 0]]), 0, width)
    left, top, bottom = int(np.floor(sides.min())), int(first.min()), int(last.max())
    flips = np.zeros((bottom - top, int(np.ceil(sides.max())) - left + 1), np.uint8)  # may overflow: parity stays
    counts = last - first
    for chosen, within in in_batches(counts, _CROSSINGS_AT_ONCE):
        edge = np.repeat(np.arange(chosen.start, chosen.stop), counts[chosen])
        row = within + first[edge]
        crossing = upper[edge, 0] + (row + 0.5 - upper[edge, 1]) * slope[edge]
        column = np.clip(np.ceil(crossing - 0.5), left, left + flips.shape[1] - 1).astype(np.intp)
        np.add.at(flips.reshape(-1), (row - top) * flips.shape[1] + column - left, np.uint8(1))
    parity = np.cumsum(flips, axis=1, dtype=np.uint8) & 1
    mask[top:bottom, left : left + flips.shape[1] - 1] |= parity[:, :-1].astype(bool)


def _ring_area(ring: Points) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
