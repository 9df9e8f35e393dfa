"""From the small masks that a detector finds to run lengths at the image's own size, one object at a time.

The patch of an object says how likely each of its M x M cells is to be part of it, and is stretched over the object's
box. In training, the value of the cell at p (pixels of the canvas, from its edge) is read off the true mask at place p
of the *array*, where whole numbers are pixels' centres (torchvision's `project_masks_on_boxes`): half a pixel beyond
the cell. So a pixel is looked up half a pixel of the canvas before its centre; torchvision itself, which rounds boxes
to pixels besides, does not, and loses much of the overlap of small objects by it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.geometry import RunLengths
from easyseg.preprocessing import Placement

FloatArray = npt.NDArray[np.float32]

_SHIFT = 0.5
_BORDER = 1  # cells of 0 around a patch, so that masks may end within the outer half of its last cells
_PIXELS_AT_ONCE = 1 << 21  # bounds the memory for an object as large as a picture to some megabytes


def paste_mask(
    patch: FloatArray, box: npt.NDArray[np.floating[Any]], placement: Placement, *, threshold: float = 0.5
) -> RunLengths:
    """Return a patch as a mask of the image's own size, interpolated bilinearly.

    Args:
        patch: (M, M) float32 probabilities in 0..1.
        box: (4,) x1, y1, x2, y2 in pixels of the canvas, over which the patch is stretched; it may have no area.
        placement: where the image lies on the canvas.
        threshold: a pixel belongs to the object where the probability is greater, in 0..1.
    """
    x1, y1, x2, y2 = (float(side) for side in box)
    height, width = placement.original_hw
    left, columns = _weights(x1, x2, patch.shape[1], placement, axis=1)
    top, rows = _weights(y1, y2, patch.shape[0], placement, axis=0)
    padded = np.zeros((patch.shape[0] + 2 * _BORDER, patch.shape[1] + 2 * _BORDER), np.float32)
    padded[_BORDER:-_BORDER, _BORDER:-_BORDER] = patch
    along = padded @ columns.T
    inside = np.empty((len(rows), along.shape[1]), bool)
    at_once = max(1, _PIXELS_AT_ONCE // max(1, along.shape[1]))
    for start in range(0, len(rows), at_once):
        inside[start : start + at_once] = rows[start : start + at_once] @ along > threshold
    return RunLengths.from_patch(inside, (left, top), (height, width))


def _weights(begin: float, end: float, num_cells: int, placement: Placement, *, axis: int) -> tuple[int, FloatArray]:
    """Return along an axis the image's first pixel that the box can reach, and for each pixel what the cells count.

    Args:
        begin: where the box begins on the canvas.
        end: where it ends.
        num_cells: the patch's, M.
        placement: where the image lies on the canvas.
        axis: 0 for rows, 1 for columns.

    Returns:
        the number of the pixel, and (pixels, M + 2) float32, two values other than 0 in each row.
    """
    original, offset = placement.original_hw[axis], placement.offset_hw[axis]
    scale = placement.scaled_hw[axis] / original
    cell = max(end - begin, 1e-6) / num_cells
    # beyond half a cell outside of the box all is 0
    reach = [(place + _SHIFT - offset) / scale - 0.5 for place in (begin - cell / 2, end + cell / 2)]
    first = min(max(math.floor(reach[0]), 0), original)
    last = min(max(math.ceil(reach[1]) + 1, first), original)
    places = (np.arange(first, last) + 0.5) * scale + offset - _SHIFT
    cells = ((places - begin) / cell - 0.5 + _BORDER).clip(0, num_cells + 1).astype(np.float32)
    distances = np.abs(cells[:, None] - np.arange(num_cells + 2 * _BORDER, dtype=np.float32))
    weights: FloatArray = np.maximum(1 - distances, 0, out=distances)
    return first, weights
