"""Which kind of mistake costs how much: TIDE (Bolya et al., ECCV 2020), from match tables.

A mistake costs what AP50 would gain if all mistakes of its kind, and no others, were corrected. Corrections interact,
so the gains do not add up to what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easyseg.metrics.instance.matching import FALSE, IGNORED, TRUE, Outcomes
from easyseg.metrics.instance.mistakes import Mistake
from easyseg.metrics.instance.precision import interpolated_precision, mean_of_known
from easyseg.metrics.instance.records import BoolArray, FloatArray, IntArray
from easyseg.metrics.instance.tables import MatchTable

_FEWEST_PARTS = 3
"""Parts from which on an object looks like several; one that is seen behind a post has two."""


@dataclass(frozen=True, slots=True)
class MistakeFigures:
    """What one kind of mistake costs.

    Attributes:
        name: "classification", "localisation", "both", "duplicate", "background" or "missed".
        count: how many predictions, or with "missed" true objects, it concerns.
        gain: what AP50 would gain without it; NaN where there is nothing to measure, below 0 in rare cases.
    """

    name: str
    count: int
    gain: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What keeps a model's predictions from being right, at IoU .50.

    Attributes:
        ap50: average precision at IoU .50, as in the scores.
        mistakes: each kind of mistake, in the order of `MistakeFigures`.
        num_truths: true objects that count.
        num_found: how many of them were found.
        num_predictions: predictions that count.
        num_images_with_truth: images with a true object that counts.
        num_merged_images: how many of these hold a single object of some class, which consists of several parts.
        median_merged_parts: of how many, in the median of such objects; 0 where there is none.
        num_beyond_limit: true objects that cannot be found, because fewer predictions of a class count in an image.
    """

    ap50: float
    mistakes: tuple[MistakeFigures, ...]
    num_truths: int
    num_found: int
    num_predictions: int
    num_images_with_truth: int
    num_merged_images: int
    median_merged_parts: int
    num_beyond_limit: int

    @property
    def worst(self) -> MistakeFigures | None:
        """The kind of mistake that costs most; None where none costs anything."""
        costly = [mistake for mistake in self.mistakes if mistake.gain > 0]
        return max(costly, key=lambda mistake: mistake.gain, default=None)


def diagnose(table: MatchTable, *, num_classes: int, max_detections: int) -> Diagnosis:
    """Return what each kind of mistake costs.

    Args:
        table: the matches of all images.
        num_classes: the user's classes.
        max_detections: how many predictions of each class the table has for an image at most.
    """
    outcomes = table.outcomes[:, 0, 0]
    counts = table.truth_counts[:, 0]
    num_truths = np.bincount(table.truth_class_ids[counts], minlength=num_classes)
    ap50 = _ap50(table.class_ids, table.scores, outcomes, num_truths, num_truths)
    merged = counts & (table.truth_parts >= _FEWEST_PARTS)
    images_and_classes = np.stack([table.truth_image_ids, table.truth_class_ids])[:, counts]
    _, objects = np.unique(images_and_classes, axis=1, return_counts=True)
    return Diagnosis(
        ap50=ap50,
        mistakes=tuple(_cost(table, kind, num_truths, ap50) for kind in Mistake if kind != Mistake.NONE),
        num_truths=int(counts.sum()),
        num_found=int((outcomes == TRUE).sum()),
        num_predictions=int((outcomes != IGNORED).sum()),
        num_images_with_truth=len(np.unique(table.truth_image_ids[counts])),
        num_merged_images=len(np.unique(table.truth_image_ids[merged])),
        median_merged_parts=int(np.median(table.truth_parts[merged])) if merged.any() else 0,
        num_beyond_limit=int(np.maximum(objects - max_detections, 0).sum()),
    )


def _cost(table: MatchTable, kind: Mistake, num_truths: IntArray, ap50: float) -> MistakeFigures:
    """Return what one kind of mistake costs, by correcting it."""
    is_affected = _missed(table) if kind == Mistake.MISSED else table.mistakes == kind
    class_ids, outcomes, num_left = table.class_ids, table.outcomes[:, 0, 0], num_truths
    if kind == Mistake.MISSED:
        num_left = num_truths - np.bincount(table.truth_class_ids[is_affected], minlength=len(num_truths))
    elif kind in (Mistake.CLASSIFICATION, Mistake.LOCALISATION):
        class_ids, outcomes = _corrected(table, is_affected)
    else:
        outcomes = np.where(is_affected, IGNORED, outcomes).astype(np.uint8)
    gain = _ap50(class_ids, table.scores, outcomes, num_truths, num_left) - ap50
    return MistakeFigures(kind.name.lower(), int(is_affected.sum()), gain)


def _missed(table: MatchTable) -> BoolArray:
    """Return (T,) bool, objects that count and that no prediction finds, nor would find without its mistake."""
    is_hit = np.zeros(len(table.truth_class_ids), bool)
    is_hit[table.targets[table.targets >= 0]] = True
    return table.truth_counts[:, 0] & ~is_hit


def _corrected(table: MatchTable, is_affected: BoolArray) -> tuple[IntArray, Outcomes]:
    """Return classes and outcomes as if the affected predictions found their targets.

    Of several predictions for one object, the one with the highest score stays and the others go.
    """
    outcomes = table.outcomes[:, 0, 0].copy()
    claimants = np.flatnonzero(is_affected | (outcomes == TRUE))
    claimants = claimants[np.argsort(-table.scores[claimants], kind="stable")]
    _, firsts = np.unique(table.targets[claimants], return_index=True)
    outcomes[claimants] = IGNORED
    outcomes[claimants[firsts]] = TRUE
    class_ids = table.class_ids.copy()
    class_ids[claimants] = table.truth_class_ids[table.targets[claimants]]
    return class_ids, outcomes


def _ap50(
    class_ids: IntArray, scores: FloatArray, outcomes: Outcomes, num_truths: IntArray, num_left: IntArray
) -> float:
    """Return the mean AP over the classes that have true objects.

    Args:
        class_ids: (P,) int64.
        scores: (P,) float64.
        outcomes: (P,) uint8 at IoU .50.
        num_truths: (C,) int64, true objects of each class.
        num_left: (C,) int64, how many of them are to be found; with none left, a class is perfect if nothing wrong is
            predicted, and worth nothing otherwise.
    """
    by_score = np.argsort(-scores, kind="stable")
    found = []
    for class_id in np.flatnonzero(num_truths):
        rows = by_score[class_ids[by_score] == class_id]
        if num_left[class_id]:
            found.append(float(interpolated_precision(outcomes[rows, None], int(num_left[class_id])).mean()))
        else:
            found.append(0.0 if (outcomes[rows] == FALSE).any() else 1.0)
    return mean_of_known(found)
