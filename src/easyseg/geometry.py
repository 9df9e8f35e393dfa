"""Masks, polygons and boxes, and the exact ways between them.

Coordinates are pixels, x to the right and y down, and count pixel *edges*: the pixel in row r and column c covers
c..c+1 by r..r+1. A polygon around a single pixel therefore has area 1, and a polygon can be turned back into the very
mask it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.structures import SizeHW

BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]


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
        polygons: may overlap, and may reach beyond the picture; any real coordinates.
        size_hw: height and width of the mask.

    Returns:
        (H, W) bool.
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


def _fill(mask: BoolMask, polygon: Polygon) -> None:
    """Set the pixels of `mask` whose centres lie inside, by the even-odd rule.

    In each row of pixel centres, every edge that crosses the row flips all pixels to the right of the crossing.
    """
    height, width = mask.shape
    rings = [ring for ring in (polygon.exterior, *polygon.holes) if len(ring) >= 3]
    if not rings:
        return
    begin = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    upper = np.where((begin[:, 1] <= end[:, 1])[:, None], begin, end)
    lower = np.where((begin[:, 1] <= end[:, 1])[:, None], end, begin)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.intp)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.intp)  # exclusive
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    if not edge.size:
        return
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (lower[edge, 0] - upper[edge, 0]) / (lower[edge, 1] - upper[edge, 1])
    crossing = upper[edge, 0] + (row + 0.5 - upper[edge, 1]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.intp)
    top, left, bottom, right = row.min(), column.min(), row.max() + 1, column.max()
    shape = (bottom - top, right - left + 1)
    flips = np.bincount((row - top) * shape[1] + column - left, minlength=shape[0] * shape[1])
    parity = np.cumsum(flips.reshape(shape), axis=1) % 2
    mask[top:bottom, left:right] |= parity[:, :-1].astype(bool)


def _ring_area(ring: Points) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
