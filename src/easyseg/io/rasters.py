"""Georeferenced rasters: what they show of the earth, and where coordinates lie in their pixels. Needs rasterio."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.errors import SampleError, require_extra
from easyseg.structures import Points, SizeHW


@dataclass(frozen=True, slots=True)
class Raster:
    """What the header of a raster file says.

    Attributes:
        path: the file.
        size_hw: rows and columns.
        is_plain: it holds 8-bit grey, RGB or RGBA pixels, as any picture does.
        crs: its coordinate system as text (WKT), empty where it has none.
        to_crs: the six numbers that bring (column, row) to coordinates: x = a * column + b * row + c, and so on.
    """

    path: Path
    size_hw: SizeHW
    is_plain: bool
    crs: str
    to_crs: tuple[float, float, float, float, float, float]


def read_raster(path: Path) -> Raster:
    """Read the header of a raster file.

    Raises:
        MissingExtraError: rasterio is not installed.
        SampleError: it cannot be read.
    """
    rasterio: Any = require_extra("rasterio", extra="geo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # its coordinates are pixels then
            with rasterio.open(path) as raster:
                crs = "" if raster.crs is None else raster.crs.to_wkt()
                transform = tuple(raster.transform)[:6]
                is_plain = raster.count in (1, 3, 4) and set(raster.dtypes) == {"uint8"}
                return Raster(path, (raster.height, raster.width), is_plain, crs, transform)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise SampleError(path, f"the raster cannot be read ({error}). Copy it again, or remove it.") from error


def brought_to(points: Points, source_crs: str, target_crs: str, *, file: Path) -> Points:
    """Return coordinates in another coordinate system.

    Args:
        points: (N, 2) float64 x, y in `source_crs`.
        source_crs: their system, such as "EPSG:4326", with longitude first.
        target_crs: the system wanted, as text.
        file: the file they come from, for messages.

    Returns:
        (N, 2) float64 x, y; infinite where the system has no such place.

    Raises:
        MissingExtraError: rasterio is not installed.
        SampleError: a system is unknown, or the coordinates cannot be of it.
    """
    warp: Any = require_extra("rasterio.warp", extra="geo")
    try:
        x, y = warp.transform(source_crs, target_crs, points[:, 0].tolist(), points[:, 1].tolist())
    except Exception as error:  # what GDAL itself raises has no public class
        raise SampleError(
            file,
            f"its coordinates, in {source_crs[:80]!r}, cannot be brought to the coordinate system of the rasters "
            f"({error}). Write the right system into the file, or export it in longitude and latitude.",
        ) from error
    return np.stack([np.array(x, np.float64), np.array(y, np.float64)], axis=1)


def to_pixels(raster: Raster, points: Points) -> Points:
    """Return where coordinates lie in a raster.

    Args:
        raster: its header; without a coordinate system, coordinates are pixels already.
        points: (N, 2) float64 x, y in the raster's system.

    Returns:
        (N, 2) float64 pixel x, y, counting pixel edges.

    Raises:
        SampleError: the raster covers no area.
    """
    if not raster.crs:
        return points
    a, b, c, d, e, f = raster.to_crs
    if a * e - b * d == 0:
        raise SampleError(raster.path, "the raster's place on the earth is degenerate. Export it again.")
    inverse: Points = np.linalg.solve(np.array([[a, b], [d, e]]), points.T - np.array([[c], [f]])).T
    return inverse


def bounds(raster: Raster) -> tuple[float, float, float, float]:
    """Return the least and largest coordinates of a raster's corners, as x1, y1, x2, y2 in its system."""
    height, width = raster.size_hw
    if not raster.crs:
        return 0.0, 0.0, float(width), float(height)
    a, b, c, d, e, f = raster.to_crs
    corners = np.array([(a * x + b * y + c, d * x + e * y + f) for x in (0, width) for y in (0, height)])
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return x1, y1, x2, y2
