"""What pictures of objects are made of: annotated ones in the form of a prediction, painted masks, panels."""

from __future__ import annotations

import cv2
import numpy as np

from easyseg.data.dataset import Dataset
from easyseg.metrics.instance import PredictedObjects
from easyseg.results import InstanceResult
from easyseg.structures import ImageArray, MaskArray

_LARGEST_PANEL = 560


def annotated(dataset: Dataset, index: int, image: ImageArray | None = None) -> InstanceResult:
    """Return an image's annotated objects in the form of a prediction; crowds left out."""
    truth = dataset.truth(index)
    kept = np.flatnonzero(~truth.is_crowd)
    objects = PredictedObjects(truth.class_ids, np.ones(len(truth)), truth.masks, truth.boxes).take(kept)
    return InstanceResult(objects, class_names=dataset.object_classes, size_hw=dataset.size_hw(index), image=image)


def painted(result: InstanceResult) -> MaskArray:
    """Return (H, W) uint8, 0 where nothing is and else one more than the class; boxes stand for missing masks."""
    mask = np.zeros(result.size_hw, np.uint8)
    for one in reversed(list(result)):
        if result.has_masks:
            patch, (left, top) = one.patch()
            mask[top : top + patch.shape[0], left : left + patch.shape[1]][patch] = one.class_id + 1
        else:
            x1, y1, x2, y2 = (round(side) for side in one.box)
            mask[y1:y2, x1:x2] = one.class_id + 1
    return mask


def panel(picture: ImageArray) -> ImageArray:
    """Return a picture (H, W, 3) uint8 at the size of a panel, its proportions kept."""
    scale = _LARGEST_PANEL / max(picture.shape[:2])
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)
