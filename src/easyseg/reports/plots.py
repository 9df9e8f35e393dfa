"""Pictures that a report shows and other places do not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from easyseg import visualization
from easyseg.structures import ClassMap, ImageArray, MaskArray, SizeHW

_HIGHEST_PANEL = 480
_WIDEST_PANEL = 560
_SMALLEST_PANEL = 280


def comparison(
    image: npt.NDArray[np.uint8], target: MaskArray, prediction: MaskArray, class_map: ClassMap
) -> ImageArray:
    """Set an image, its truth, the prediction and the mistakes side by side, each at most 560x480 pixels.

    Args:
        image: (H, W) or (H, W, C) uint8.
        target: (H, W) class ids or `IGNORE_INDEX`; multilabel: (classes, H, W) of 0 and 1.
        prediction: likewise.
        class_map: the classes and their colours.

    Returns:
        (H', W', 3) uint8.
    """
    size = image.shape[:2]
    image = _fitted(visualization.as_rgb(image), size, first_axis=0)
    target, prediction = (_fitted(mask, size, first_axis=mask.ndim - 2) for mask in (target, prediction))
    colors, task = class_map.colors, class_map.task
    panels = {
        "image": image,
        "truth": visualization.overlay(image, target, colors, task=task),
        "prediction": visualization.overlay(image, prediction, colors, task=task),
        "mistakes": visualization.error_map(prediction, target, image=image, task=task),
    }
    # the row is shown at the width of a page, so its letters go by its width
    font_pixels = max(13, len(panels) * image.shape[1] // 80)
    return visualization.side_by_side(list(panels.values()), list(panels), font_pixels=font_pixels)


def _fitted(array: npt.NDArray[np.uint8], size_hw: SizeHW, *, first_axis: int) -> npt.NDArray[np.uint8]:
    """Repeat or leave out whole rows and columns, so that class ids stay class ids, until a picture fits a panel."""
    scale = min(_HIGHEST_PANEL / size_hw[0], _WIDEST_PANEL / size_hw[1])
    if scale > 1:
        scale = max(1, math.ceil(_SMALLEST_PANEL / max(size_hw)))  # whole factors keep pixels square
    for axis, length in enumerate(size_hw, start=first_axis):
        taken = np.arange(max(1, round(length * scale))) / scale
        array = array.take(taken.astype(np.intp).clip(0, length - 1), axis)
    return array
