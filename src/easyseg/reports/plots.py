"""Pictures that a report shows and other places do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easyseg import visualization
from easyseg.structures import ClassMap, ImageArray, MaskArray

_HIGHEST_PANEL = 480
_WIDEST_PANEL = 560


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
    image, target, prediction = (_reduced(array) for array in (visualization.as_rgb(image), target, prediction))
    colors, task = class_map.colors, class_map.task
    panels = {
        "image": image,
        "truth": visualization.overlay(image, target, colors, task=task),
        "prediction": visualization.overlay(image, prediction, colors, task=task),
        "mistakes": visualization.error_map(prediction, target, image=image, task=task),
    }
    # small images grow by whole factors, so that captions stay readable and pixels square
    grown = [visualization.enlarged(panel, at_least=280) for panel in panels.values()]
    # the row is shown at the width of a page, so its letters go by its width
    width = sum(panel.shape[1] for panel in grown)
    return visualization.side_by_side(grown, list(panels), font_pixels=max(13, width // 80))


def _reduced(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Leave out rows and columns evenly until the picture fits a panel: class ids stay class ids."""
    rows, columns = (0, 1) if array.ndim == 2 or array.shape[2] == 3 else (1, 2)
    scale = min(_HIGHEST_PANEL / array.shape[rows], _WIDEST_PANEL / array.shape[columns], 1.0)
    if scale == 1.0:
        return array
    for axis in (rows, columns):
        length = array.shape[axis]
        array = array.take((np.arange(max(1, round(length * scale))) / scale).astype(np.intp).clip(0, length - 1), axis)
    return array
