"""The pixels of one object, whatever says where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.classes.mask_values import load_mask
from easyseg.errors import DataError, SampleError
from easyseg.geometry import BoolMask, Polygon, RunLengths, coco_rings_to_run_lengths, polygons_to_mask
from easyseg.io.images import decode_mask
from easyseg.io.packed import unpacked
from easyseg.io.zip_archives import read_archived
from easyseg.structures import ArchivedFile, BoxShape, MaskPart, Points, Polygons, Shape, SizeHW


def shape_mask(shape: Shape, size_hw: SizeHW) -> BoolMask:
    """Return the pixels of one object, (H, W) bool.

    Raises:
        DataError: the shape is malformed, or does not fit the image.
    """
    if isinstance(shape, Polygons):
        parts = pixel_parts(shape, size_hw)
        if shape.rule == "coco":
            return coco_rings_to_run_lengths([ring for part in parts for ring in part], size_hw).to_mask()
        return polygons_to_mask((Polygon(part[0], part[1:]) for part in parts if part), size_hw)
    if isinstance(shape, RunLengths):
        if shape.size_hw != size_hw:
            raise DataError(
                f"its mask has {shape.size_hw[1]} x {shape.size_hw[0]} pixels, the image {size_hw[1]} x {size_hw[0]}. "
                "Export the annotation for this image."
            )
        return shape.to_mask()
    if isinstance(shape, BoxShape):
        x1, y1, x2, y2 = shape.sides(size_hw)
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        return polygons_to_mask([Polygon(np.array(corners, np.float64))], size_hw)
    return _part_mask(shape, size_hw)


def pixel_parts(shape: Polygons, size_hw: SizeHW) -> tuple[tuple[Points, ...], ...]:
    """Return the outlines of an object with their holes in pixels, (K, 2) float64 x, y each."""
    if not shape.is_relative:
        return shape.parts
    scale = np.array([size_hw[1], size_hw[0]], np.float64)
    return tuple(tuple(ring * scale for ring in part) for part in shape.parts)


def _part_mask(part: MaskPart, size_hw: SizeHW) -> BoolMask:
    values = _values_of(part)
    if values.ndim != 2:
        raise DataError(f"its mask has shape {values.shape}; expected one channel.")
    selected: npt.NDArray[np.bool_] = values == part.value if part.value is not None else _bright(values)
    if part.is_scaled and selected.shape != tuple(size_hw):
        _refuse_other_shape(selected, size_hw)
        scaled = cv2.resize(selected.view(np.uint8), size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(scaled, bool)
    if part.offset_xy is None:
        _refuse_other_size(selected, part, size_hw)
        return selected
    return _placed(selected, part.offset_xy, size_hw)


def _values_of(part: MaskPart) -> npt.NDArray[Any]:
    mask = part.mask
    if isinstance(mask, bytes):
        return decode_mask(Path("embedded mask"), unpacked(mask) if part.is_packed else mask).values
    if isinstance(mask, ArchivedFile):
        return decode_mask(mask.path, read_archived(mask)).values
    return load_mask(mask).values


def _refuse_other_shape(selected: BoolMask, size_hw: SizeHW) -> None:
    """Refuse to scale a mask that is no larger or smaller copy of its image, but for the rounding of its sides."""
    (mask_height, mask_width), (height, width) = selected.shape, size_hw
    # a side that is off by two pixels changes one of the products by twice the other side
    if abs(mask_height * width - mask_width * height) > 2 * (height + width):
        turned = " It may be turned." if (mask_height < mask_width) != (height < width) else ""
        raise DataError(
            f"its mask has {mask_width} x {mask_height} pixels, the image {width} x {height}, which is another shape."
            f"{turned} Save the mask for this image."
        )


def _refuse_other_size(selected: BoolMask, part: MaskPart, size_hw: SizeHW) -> None:
    """Refuse a mask that is to cover its image and has another size."""
    if selected.shape == tuple(size_hw):
        return
    problem = (
        f"mask has {selected.shape[1]} x {selected.shape[0]} pixels, its image {size_hw[1]} x {size_hw[0]}; expected "
        "the same size."
    )
    if isinstance(part.mask, Path):
        raise SampleError(part.mask, f"the {problem} Save the mask at the image's size.")
    raise DataError(
        f"its {problem} Of a mask of a part of the image, say where it lies: MaskPart(..., offset_xy=(x, y))."
    )


def _placed(selected: BoolMask, offset_xy: tuple[int, int], size_hw: SizeHW) -> BoolMask:
    """Put a mask of a part of the image where it belongs; what reaches beyond the image is cut off."""
    if offset_xy == (0, 0) and selected.shape == tuple(size_hw):
        return selected
    (left, top), (height, width) = offset_xy, selected.shape
    mask = np.zeros(size_hw, bool)
    rows = slice(max(0, top), max(0, min(size_hw[0], top + height)))
    columns = slice(max(0, left), max(0, min(size_hw[1], left + width)))
    if rows.start < rows.stop and columns.start < columns.stop:
        mask[rows, columns] = selected[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return mask


def _bright(values: npt.NDArray[Any]) -> BoolMask:
    """Return where a mask is brighter than half of its brightest pixel."""
    return np.asarray(2 * values.astype(np.int64) > values.max(initial=0))
