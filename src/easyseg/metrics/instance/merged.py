"""Signs that the truth draws several objects as one, such as all roofs of an image as a single object."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.geometry import RunLengths
from easyseg.metrics.instance.overlap import box_areas, box_intersections
from easyseg.metrics.instance.records import FloatArray, IntArray, PredictedObjects, TruthObjects

_SMALLEST_PART = 0.1  # of the largest part; what is smaller may be noise at the object's edge
_SHARE_INSIDE = 0.8  # of a prediction, for it to lie within the object
_LARGEST_SHARE = 0.5  # of the object; a prediction that covers more of it is no part of it
_LARGEST_OVERLAP = 0.1  # of the smaller of two predictions, for them to be separate
_LEAST_CERTAINTY = 0.5  # of the best score in the object, below which predictions may be mere guesses


def count_parts(
    truth: TruthObjects,
    prediction: PredictedObjects,
    shared: npt.NDArray[Any],
    *,
    predicted_areas: FloatArray,
    truth_areas: FloatArray,
) -> IntArray:
    """Count the separate parts of objects that are the only one of their class in an image.

    Parts are separate shapes within the true mask, or separate predictions that lie within the object; the larger
    number counts.

    Args:
        truth: the T objects.
        prediction: the P predictions, highest score first.
        shared: (P, T) pixels they have in common.
        predicted_areas: (P,) pixels of each.
        truth_areas: (T,) pixels of each.

    Returns:
        (T,) int64; 0 for objects that are not alone, and for crowds.
    """
    parts = np.zeros(len(truth), np.int64)
    ids, firsts, counts = np.unique(truth.class_ids[~truth.is_crowd], return_index=True, return_counts=True)
    places = np.flatnonzero(~truth.is_crowd)[firsts]
    for class_id, place in zip(ids[counts == 1], places[counts == 1], strict=True):
        is_inside = prediction.class_ids == class_id
        is_inside &= shared[:, place] >= _SHARE_INSIDE * predicted_areas
        is_inside &= (predicted_areas > 0) & (predicted_areas <= _LARGEST_SHARE * truth_areas[place])
        in_mask = 1 if truth.masks is None else _num_shapes(truth.masks[place])
        parts[place] = max(in_mask, _num_separate(prediction.boxes[is_inside], prediction.scores[is_inside]))
    return parts


def _num_shapes(mask: RunLengths) -> int:
    """Return how many shapes of about the same size, which do not even touch at corners, a mask consists of."""
    patch, _ = mask.to_patch()
    if not patch.size:
        return 0
    _, _, figures, _ = cv2.connectedComponentsWithStats(patch.view(np.uint8), connectivity=8)
    areas = figures[1:, cv2.CC_STAT_AREA]
    return int((areas >= _SMALLEST_PART * areas.max()).sum())


def _num_separate(boxes: FloatArray, scores: FloatArray) -> int:
    """Return how many predictions, highest score first, are certain and do not overlap one that was counted before."""
    boxes = boxes[scores >= _LEAST_CERTAINTY * scores.max(initial=0.0)]
    sizes = box_areas(boxes)
    overlaps = box_intersections(boxes, boxes) > _LARGEST_OVERLAP * np.minimum(sizes[:, None], sizes)
    counted = np.zeros(len(boxes), bool)
    for place in range(len(boxes)):
        counted[place] = not overlaps[place, counted].any()
    return int(counted.sum())
