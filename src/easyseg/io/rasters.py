"""Georeferenced rasters: what they show of the earth, and where coordinates lie in their pixels. Needs rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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


def to_pixels(raster: Raster, rings: Sequence[Points], *, source_crs: str, file: Path) -> list[Points]:
    """Return where coordinates lie in a raster.

    Args:
        raster: its header; without a coordinate system, coordinates are pixels already.
        rings: (K, 2) float64 x, y each, in `source_crs`.
        source_crs: the coordinates' system, such as "EPSG:4326", with longitude first.
        file: the file they come from, for messages.

    Returns:
        (K, 2) float64 pixel x, y each, counting pixel edges; infinite where the raster's system has no such place.

    Raises:
        SampleError: the coordinate system is unknown.
    """
    if not raster.crs:
        return list(rings)
    rasterio: Any = require_extra("rasterio", extra="geo")
    warp: Any = require_extra("rasterio.warp", extra="geo")
    points = np.concatenate(rings)
    try:
        x, y = warp.transform(source_crs, raster.crs, points[:, 0].tolist(), points[:, 1].tolist())
    except (rasterio.errors.RasterioError, ValueError) as error:
        raise SampleError(
            file,
            f"its coordinates, in {source_crs[:80]!r}, cannot be brought to the raster {raster.path.name} ({error}).",
        ) from error
    moved = _inverse(raster, np.array([x, y], np.float64))
    return np.split(moved.T, np.cumsum([len(ring) for ring in rings])[:-1])


def _inverse(raster: Raster, xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, b, c, d, e, f = raster.to_crs
    if a * e - b * d == 0:
        raise SampleError(raster.path, "the raster's place on the earth is degenerate. Export it again.")
    inverse: npt.NDArray[np.float64] = np.linalg.solve(np.array([[a, b], [d, e]]), xy - np.array([[c], [f]]))
    return inverse
