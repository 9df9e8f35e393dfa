"""What people ask about polygons, and do to them: centre, box, points spread evenly, fewer points.

What measures takes a `Polygon`, holes and all; what changes points takes one closed ring of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easyseg.errors import ConfigError, DataError
from easyseg.geometry.polygons import Box, Points, Polygon, checked_points

_FEWEST = 3  # points of anything that has an area


def polygon_centroid(polygon: Polygon) -> tuple[float, float]:
    """Return the centre of a polygon's area, the mean of all points within it, holes left out.

    Returns:
        x, y in pixels; of a polygon without area the middle of its outline, and of one without length its point. The
        centroid of a bent shape may lie outside of it.

    Raises:
        DataError: the polygon has no points, or some that are no pixels.
    """
    exterior = _some_points(polygon.exterior)
    origin = exterior.mean(axis=0)  # near the polygon, so that far-off coordinates lose no digits
    rings = [exterior - origin, *(_some_points(hole) - origin for hole in polygon.holes)]
    area, moment = 0.0, np.zeros(2)
    for number, ring in enumerate(rings):
        following = np.roll(ring, -1, axis=0)
        doubled = ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]
        sign = np.sign(doubled.sum()) * (-1 if number else 1)  # holes count against it, whichever way they run
        area += sign * doubled.sum() / 2
        moment += sign * ((ring + following) * doubled[:, None]).sum(axis=0) / 6
    extent = float(np.ptp(rings[0], axis=0).max())
    if area > 1e-12 * extent**2:
        x, y = origin + moment / area
        return float(x), float(y)
    following = np.roll(exterior, -1, axis=0)
    lengths = np.hypot(*(following - exterior).T)
    middles = (exterior + following) / 2
    x, y = np.average(middles, axis=0, weights=lengths) if lengths.any() else exterior[0]
    return float(x), float(y)


def polygon_box(polygon: Polygon) -> Box:
    """Return the smallest box around a polygon: x1, y1, x2, y2 in pixels, not cut off at the picture's edges.

    Raises:
        DataError: the polygon has no points, or some that are no pixels.
    """
    points = _some_points(polygon.exterior)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def resample_polygon(points: npt.ArrayLike, count: int) -> Points:
    """Spread points evenly along a closed outline.

    Args:
        points: (K, 2) pixel x, y of a ring.
        count: how many points to return, at least 3.

    Returns:
        (count, 2) float64; the first is the ring's first point, and each lies 1 / count of the outline's length
        further along it. Corners between them are cut off.

    Raises:
        ConfigError: `count` is less than 3.
        DataError: there are no points, or some that are no pixels.
    """
    if count < _FEWEST:
        raise ConfigError(f"count={count}: a polygon has at least {_FEWEST} points. Type count={_FEWEST} or more.")
    ring = _some_points(points)
    closed = np.concatenate([ring, ring[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    wanted = np.arange(count) * (along[-1] / count)
    return np.stack([np.interp(wanted, along, closed[:, 0]), np.interp(wanted, along, closed[:, 1])], axis=1)


def simplify_polygon(points: npt.ArrayLike, tolerance_pixels: float) -> Points:
    """Leave out points of a closed outline without moving it by more than a tolerance (Douglas and Peucker, 1973).

    Args:
        points: (K, 2) pixel x, y of a ring.
        tolerance_pixels: how far a point left out may lie from the new outline, 0 or more; 0 leaves out only what
            lies on a straight edge.

    Returns:
        (k, 2) float64, some of the given points in their order, the first among them; at least 3 where there were as
        many. A tolerance larger than the narrow parts of a shape may make its outline cross itself.

    Raises:
        ConfigError: the tolerance is negative or no number.
        DataError: there are no points, or some that are no pixels.
    """
    if not 0 <= tolerance_pixels < np.inf:
        raise ConfigError(f"tolerance_pixels={tolerance_pixels}: expected 0 or more pixels. Type 1.0, for example.")
    ring = _some_points(points)
    closed = np.concatenate([ring, ring[:1]])
    is_kept = np.zeros(len(closed), bool)
    far = int(np.argmax(np.hypot(*(ring - ring[0]).T)))
    is_kept[[0, far, -1]] = True
    pieces = [(0, far), (far, len(ring))]
    while pieces:
        first, last = pieces.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        middle = first + 1 + int(np.argmax(distances))
        if distances[middle - first - 1] > tolerance_pixels:
            is_kept[middle] = True
            pieces += [(first, middle), (middle, last)]
    chosen = np.flatnonzero(is_kept[:-1])
    if len(chosen) < _FEWEST:  # thinner than the tolerance: the point farthest off keeps most of its area
        chosen = np.union1d(chosen, [int(np.argmax(_distances(ring, ring[0], ring[far])))])
    return ring[chosen]


def _some_points(points: npt.ArrayLike) -> Points:
    checked = checked_points(points)
    if not len(checked):
        raise DataError("The polygon has no points; expected (K, 2) pixels. Leave it out.")
    return checked


def _distances(points: Points, begin: Points, end: Points) -> npt.NDArray[np.float64]:
    """Return how far (K, 2) points lie from the straight piece between two, in pixels."""
    along = end - begin
    squared = float(along @ along)
    share = np.clip((points - begin) @ along / squared, 0, 1) if squared else np.zeros(len(points))
    distances: npt.NDArray[np.float64] = np.hypot(*(points - begin - share[:, None] * along).T)
    return distances
