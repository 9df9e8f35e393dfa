"""Which prediction finds which true object: COCO's matching, for one image, all thresholds and object sizes at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easyseg.metrics.instance.records import BoolArray, FloatArray, IntArray, PredictedObjects

IOU_THRESHOLDS: FloatArray = np.linspace(0.5, 0.95, 10)
"""The K overlaps from which on COCO calls an object found; AP is the mean over them."""

SIZES: tuple[str, ...] = ("all", "small", "medium", "large")
"""The A sizes of objects that are measured, each by itself."""

SIZE_LIMITS: FloatArray = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
"""(A, 2) smallest and largest area of each size in pixels, both included, as COCO has them."""

FALSE, TRUE, IGNORED = 0, 1, 2
"""What a prediction turns out to be: wrong, right, or one that does not count."""

Outcomes = npt.NDArray[np.uint8]


def ranked(prediction: PredictedObjects, limit: int) -> tuple[PredictedObjects, IntArray]:
    """Sort predictions by score and keep the best of each class.

    Args:
        prediction: the N objects of one image.
        limit: how many of each class to keep at most.

    Returns:
        the M objects that are kept, highest score first, equal scores in the order given; and (M,) int64, how many of
        its class stand before each.
    """
    order = np.argsort(-prediction.scores, kind="stable")
    class_ids = prediction.class_ids[order]
    by_class = np.argsort(class_ids, kind="stable")
    first_of_class = np.searchsorted(class_ids[by_class], class_ids[by_class], side="left")
    ranks = np.empty(len(order), np.int64)
    ranks[by_class] = np.arange(len(order)) - first_of_class
    kept = np.flatnonzero(ranks < limit)
    return prediction.take(order[kept]), ranks[kept]


def outside_sizes(areas: FloatArray) -> BoolArray:
    """Return (N, A) bool, whether each of the (N,) areas lies outside each of the sizes."""
    return (areas[:, None] < SIZE_LIMITS[:, 0]) | (areas[:, None] > SIZE_LIMITS[:, 1])


def match(iou: FloatArray, is_same_class: BoolArray, is_crowd: BoolArray, is_ignored: BoolArray) -> IntArray:
    """Match predictions with true objects, as COCO does.

    The predictions choose in turn. Each takes the free object of its class that it overlaps most, if it does so enough;
    of equal overlaps the last one. Objects that do not count are chosen only where no other can be, and crowds stay
    free for any number of predictions.

    Args:
        iou: (P, T) float64, predictions in order of falling score.
        is_same_class: (P, T) bool.
        is_crowd: (T,) bool.
        is_ignored: (T, A) bool, objects that do not count in each size.

    Returns:
        (P, A, K) int64, the place of the object that each prediction takes, for each size and IoU threshold; -1 where
        it takes none.
    """
    num_truths, num_sizes = is_ignored.shape
    taken = np.full((len(iou), num_sizes, len(IOU_THRESHOLDS)), -1, np.int64)
    is_taken = np.zeros((num_sizes, len(IOU_THRESHOLDS), num_truths), bool)
    is_candidate = is_same_class & (iou >= IOU_THRESHOLDS[0])
    for row in np.flatnonzero(is_candidate.any(axis=1)):
        candidates = np.flatnonzero(is_candidate[row])
        overlaps = iou[row, candidates]
        can_take = ~is_taken[:, :, candidates] | is_crowd[candidates]
        can_take &= overlaps >= IOU_THRESHOLDS[:, None]
        # ranks as whole numbers, so that close overlaps are never rounded into a tie
        rank_by_overlap = np.argsort(np.argsort(overlaps, kind="stable"))
        counts = ~is_ignored[candidates].T
        preference = np.where(counts, rank_by_overlap + len(candidates), rank_by_overlap)
        choice = np.where(can_take, preference[:, None, :], -1).argmax(axis=2)
        sizes, thresholds = np.nonzero(can_take.any(axis=2))
        chosen = candidates[choice[sizes, thresholds]]
        taken[row, sizes, thresholds] = chosen
        is_taken[sizes, thresholds, chosen] = True
    return taken


def outcomes(taken: IntArray, is_ignored: BoolArray, is_outside: BoolArray) -> Outcomes:
    """Return what each prediction turns out to be.

    Args:
        taken: (P, A, K) int64 from `match`.
        is_ignored: (T, A) bool, objects that do not count in each size.
        is_outside: (P, A) bool, predictions that are of another size; they count only where they find an object.

    Returns:
        (P, A, K) uint8 of `FALSE`, `TRUE`, `IGNORED`.
    """
    sizes = np.arange(taken.shape[1])[:, None]
    # a row more, which -1 leads to, for predictions that found nothing
    finds_ignored = np.concatenate([is_ignored, np.zeros((1, len(sizes)), bool)])[taken, sizes]
    result = np.where(taken >= 0, TRUE, FALSE).astype(np.uint8)
    result[finds_ignored | ((taken < 0) & is_outside[:, :, None])] = IGNORED
    return result
