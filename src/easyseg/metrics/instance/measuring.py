"""One image: overlaps, matches and mistakes, as rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.metrics.instance.matching import FALSE, TRUE, match, outcomes, outside_sizes
from easyseg.metrics.instance.merged import count_parts
from easyseg.metrics.instance.mistakes import find_mistakes
from easyseg.metrics.instance.overlap import (
    StackedRuns,
    box_areas,
    box_intersections,
    intersection_over_union,
    mask_intersections,
    pixels_in_boxes,
)
from easyseg.metrics.instance.precision import Kind
from easyseg.metrics.instance.records import FloatArray, IntArray, PredictedObjects, TruthObjects
from easyseg.metrics.instance.tables import MatchTable


def measure_image(
    image_id: int, truth: TruthObjects, prediction: PredictedObjects, ranks: IntArray, kind: Kind
) -> MatchTable:
    """Match the predictions of one image with its true objects.

    Args:
        image_id: its number.
        truth: the T objects; with kind "mask" they have masks, of the same size as the predicted ones.
        prediction: the P predictions, highest score first.
        ranks: (P,) int64, how many of its class stand before each.
        kind: what to measure overlaps on.
    """
    shared, predicted_areas, truth_areas = _overlaps(truth, prediction, kind)
    iou = intersection_over_union(shared, predicted_areas, truth_areas, truth.is_crowd)
    is_same_class = (prediction.class_ids[:, None] == truth.class_ids) | truth.is_of_every_class
    # the annotated area decides on an object's size, whatever overlaps are measured on
    is_ignored = truth.is_crowd[:, None] | outside_sizes(truth.areas)
    taken = match(iou, is_same_class, truth.is_crowd, is_ignored)
    found = outcomes(taken, is_ignored, outside_sizes(predicted_areas))
    at_ap50 = found[:, 0, 0]
    mistakes, targets = find_mistakes(iou, is_same_class, truth.is_crowd, at_ap50 == FALSE)
    return MatchTable(
        image_ids=np.full(len(prediction), image_id),
        class_ids=prediction.class_ids,
        scores=prediction.scores,
        ranks=ranks,
        outcomes=found,
        mistakes=mistakes,
        targets=np.where(at_ap50 == TRUE, taken[:, 0, 0], targets),
        truth_image_ids=np.full(len(truth), image_id),
        truth_class_ids=truth.class_ids,
        truth_counts=~is_ignored,
        truth_parts=count_parts(truth, prediction, shared, predicted_areas=predicted_areas, truth_areas=truth_areas),
    )


def _overlaps(
    truth: TruthObjects, prediction: PredictedObjects, kind: Kind
) -> tuple[npt.NDArray[Any], FloatArray, FloatArray]:
    """Return the (P, T) intersections, and the areas (P,) and (T,) they are parts of, in pixels."""
    if kind == "box":
        shared = box_intersections(prediction.boxes, truth.boxes)
        for place, mask in enumerate(truth.masks or ()):
            if truth.is_void[place]:
                shared[:, place] = pixels_in_boxes(mask, prediction.boxes)
        return shared, box_areas(prediction.boxes), box_areas(truth.boxes)
    predicted_runs, truth_runs = StackedRuns.of(prediction.masks or ()), StackedRuns.of(truth.masks or ())
    pixels = mask_intersections(predicted_runs, truth_runs)
    return pixels, predicted_runs.areas.astype(np.float64), truth_runs.areas.astype(np.float64)
