"""The separate regions of a mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.errors import ConfigError
from easyseg.geometry.run_lengths import RunLengths


def connected_components(mask: npt.NDArray[np.generic], *, smallest_area: int = 1) -> list[RunLengths]:
    """Return the regions of an (H, W) mask, each as a mask of its own.

    Pixels that touch at a corner only belong to one region (8-connected): thin slanting objects, and those with ragged
    edges, would else fall into many.

    Args:
        mask: true (or not 0) inside.
        smallest_area: leave out regions of fewer pixels.

    Returns:
        the regions, topmost first, each of the mask's size.

    Raises:
        ConfigError: `smallest_area` is less than 1.
    """
    if smallest_area < 1:
        raise ConfigError(f"smallest_area={smallest_area}: a region has at least one pixel. Type smallest_area=1.")
    inside = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
    _, labels, figures, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    sides = [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP, cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]
    kept = np.flatnonzero(figures[1:, cv2.CC_STAT_AREA] >= smallest_area) + 1
    # OpenCV may number regions in the order of blocks of rows
    kept = kept[np.lexsort((figures[kept, cv2.CC_STAT_LEFT], figures[kept, cv2.CC_STAT_TOP]))]
    regions = []
    for label in kept.tolist():
        left, top, width, height = figures[label, sides].tolist()
        patch = labels[top : top + height, left : left + width] == label
        regions.append(RunLengths.from_patch(patch, (left, top), (mask.shape[0], mask.shape[1])))
    return regions
