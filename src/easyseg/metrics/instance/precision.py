"""Average precision and recall as COCO defines them, from match tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np

from easyseg.metrics.instance.matching import FALSE, IOU_THRESHOLDS, SIZES, TRUE, Outcomes
from easyseg.metrics.instance.records import FloatArray, IntArray
from easyseg.metrics.instance.tables import MatchTable

Kind: TypeAlias = Literal["mask", "box"]

RECALL_POINTS: FloatArray = np.linspace(0.0, 1.0, 101)
"""The R recalls at which precision is read off."""

_AP50 = 0
_AP75 = 5


@dataclass(frozen=True, slots=True)
class InstanceFigures:
    """COCO's twelve figures, each from 0 to 1; NaN where there is no true object to measure.

    Attributes:
        ap: average precision, the mean over IoU thresholds .50, .55, ..., .95.
        ap50: average precision at IoU .50.
        ap75: average precision at IoU .75.
        ap_small: `ap` of objects of at most 32 x 32 pixels.
        ap_medium: `ap` of those up to 96 x 96 pixels.
        ap_large: `ap` of larger ones.
        ar1: recall, averaged over the IoU thresholds, with at most one prediction of a class in an image.
        ar10: likewise with at most ten.
        ar: likewise with as many as the scorer takes, which are COCO's 100 if nothing else was said.
        ar_small: `ar` of objects of at most 32 x 32 pixels.
        ar_medium: `ar` of those up to 96 x 96 pixels.
        ar_large: `ar` of larger ones.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar: float
    ar_small: float
    ar_medium: float
    ar_large: float


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """How good the masks, or the boxes, of a dataset's predicted objects are.

    Attributes:
        kind: "mask" or "box", what overlaps were measured on.
        overall: the figures of the dataset, each the mean over the classes that have it.
        classes: the figures of each class, NaN where the dataset has no object of it.
        num_truths: (C, A) int64, true objects of each class that count, by size: all, small, medium, large.
        precision: (C, K, R) float64, the best precision that is left at each recall of `RECALL_POINTS`, for each class
            and IoU threshold, objects of all sizes; NaN where the dataset has no object of the class.
        num_images: how many images were measured.
        max_detections: how many predictions of a class were counted in an image at most.
    """

    kind: Kind
    overall: InstanceFigures
    classes: tuple[InstanceFigures, ...]
    num_truths: IntArray
    precision: FloatArray
    num_images: int
    max_detections: int

    def to_dict(self, names: Sequence[str] = ()) -> dict[str, float]:
        """Return the figures by name: "mask_ap", "mask_ap50", ..., and with class names "mask_ap/roof", ... too."""
        flat = {f"{self.kind}_{name}": value for name, value in plain_figures(self.overall).items()}
        for class_name, figures in zip(names, self.classes, strict=True) if names else ():
            flat |= {f"{self.kind}_{name}/{class_name}": value for name, value in plain_figures(figures).items()}
        return flat


def plain_figures(figures: InstanceFigures) -> dict[str, float]:
    """Return the figures by name."""
    return {field.name: getattr(figures, field.name) for field in fields(figures)}


def score_table(
    table: MatchTable, *, kind: Kind, num_classes: int, num_images: int, max_detections: int
) -> InstanceScores:
    """Compute all figures of a table.

    Args:
        table: the matches of all images.
        kind: what overlaps were measured on.
        num_classes: the user's classes, C.
        num_images: how many images were measured, empty ones included.
        max_detections: how many predictions of each class the table has for an image at most.
    """
    num_truths = np.zeros((num_classes, len(SIZES)), np.int64)
    np.add.at(num_truths, table.truth_class_ids, table.truth_counts)
    classes, precisions = [], np.full((num_classes, len(IOU_THRESHOLDS), len(RECALL_POINTS)), np.nan)
    by_score = np.argsort(-table.scores, kind="stable")
    for class_id in range(num_classes):
        rows = by_score[table.class_ids[by_score] == class_id]
        figures, precisions[class_id] = _class_figures(table.outcomes[rows], table.ranks[rows], num_truths[class_id])
        classes.append(figures)
    names = plain_figures(classes[0])
    overall = InstanceFigures(**{name: mean_of_known([getattr(row, name) for row in classes]) for name in names})
    return InstanceScores(kind, overall, tuple(classes), num_truths, precisions, num_images, max_detections)


def interpolated_precision(outcomes: Outcomes, num_truths: int) -> FloatArray:
    """Return the best precision that is left at each recall.

    Args:
        outcomes: (P, K) uint8, what the predictions of one class are, highest score first.
        num_truths: how many objects there are to find, 1 or more.

    Returns:
        (K, R) float64 in [0, 1]; 0 at recalls that are never reached.
    """
    num_true = np.cumsum(outcomes == TRUE, axis=0)
    num_false = np.cumsum(outcomes == FALSE, axis=0)
    # predictions that do not count may stand first; COCO calls their precision 0
    precision = num_true / np.maximum(num_true + num_false, 1)
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = num_true / num_truths
    result = np.zeros((outcomes.shape[1], len(RECALL_POINTS)))
    for row in range(outcomes.shape[1]):
        places = np.searchsorted(recall[:, row], RECALL_POINTS, side="left")
        is_reached = places < len(outcomes)
        result[row, is_reached] = precision[places[is_reached], row]
    return result


def mean_of_known(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _class_figures(outcomes: Outcomes, ranks: IntArray, num_truths: IntArray) -> tuple[InstanceFigures, FloatArray]:
    """Return the figures of one class, and its (K, R) precision for objects of all sizes.

    Args:
        outcomes: (P, A, K) uint8, highest score first.
        ranks: (P,) int64, how many of the same image stand before each.
        num_truths: (A,) int64, objects that count in each size.
    """
    curves = np.full((len(SIZES), len(IOU_THRESHOLDS), len(RECALL_POINTS)), np.nan)
    for size in np.flatnonzero(num_truths):
        curves[size] = interpolated_precision(outcomes[:, size], int(num_truths[size]))
    ap = curves.mean(axis=2)
    of_all, of_small, of_medium, of_large = ap.mean(axis=1).tolist()
    recall, recall_small, recall_medium, recall_large = _recall(outcomes, num_truths).tolist()
    figures = InstanceFigures(
        ap=of_all,
        ap50=float(ap[0, _AP50]),
        ap75=float(ap[0, _AP75]),
        ap_small=of_small,
        ap_medium=of_medium,
        ap_large=of_large,
        ar1=float(_recall(outcomes[ranks < 1], num_truths)[0]),
        ar10=float(_recall(outcomes[ranks < 10], num_truths)[0]),
        ar=recall,
        ar_small=recall_small,
        ar_medium=recall_medium,
        ar_large=recall_large,
    )
    return figures, curves[0]


def _recall(outcomes: Outcomes, num_truths: IntArray) -> FloatArray:
    """Return (A,) the mean over the IoU thresholds of the share of objects that are found; NaN where there are none."""
    found = (outcomes == TRUE).sum(axis=0).mean(axis=1)
    recall: FloatArray = np.full(len(num_truths), np.nan)
    np.divide(found, num_truths, out=recall, where=num_truths > 0)
    return recall
