"""Masks, polygons, run lengths and boxes, and the exact ways between them.

Coordinates are pixels, x to the right and y down, and count pixel *edges*: the pixel in row r and column c covers
c..c+1 by r..r+1. A polygon around a single pixel therefore has area 1, and a polygon can be turned back into the very
mask it came from.
"""

from easyseg.geometry.coco_polygons import coco_rings_to_run_lengths
from easyseg.geometry.components import connected_components
from easyseg.geometry.faults import PolygonFault, polygon_faults
from easyseg.geometry.outlines import polygon_box, polygon_centroid, resample_polygon, simplify_polygon
from easyseg.geometry.polygons import (
    BoolMask,
    Box,
    Points,
    Polygon,
    mask_area,
    mask_to_box,
    mask_to_polygons,
    polygon_area,
    polygons_to_mask,
)
from easyseg.geometry.run_lengths import RunLengths

__all__ = [
    "BoolMask",
    "Box",
    "Points",
    "Polygon",
    "PolygonFault",
    "RunLengths",
    "coco_rings_to_run_lengths",
    "connected_components",
    "mask_area",
    "mask_to_box",
    "mask_to_polygons",
    "polygon_area",
    "polygon_box",
    "polygon_centroid",
    "polygon_faults",
    "polygons_to_mask",
    "resample_polygon",
    "simplify_polygon",
]
