"""What is wrong with each wrong prediction, in the kinds of TIDE (Bolya et al., ECCV 2020).

The definitions are the paper's. Where two of them fit a prediction, the order in which `find_mistakes` asks decides; it
is that of the authors' own program.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from easyseg.metrics.instance.records import BoolArray, FloatArray, IntArray

FOREGROUND_IOU = 0.5
"""Overlap from which on a prediction lies where the object is; AP50's threshold."""

BACKGROUND_IOU = 0.1
"""Overlap up to which a prediction lies on the background."""


class Mistake(IntEnum):
    """What is wrong with a prediction, or, for `MISSED`, with a true object."""

    NONE = 0
    CLASSIFICATION = 1
    LOCALISATION = 2
    BOTH = 3
    DUPLICATE = 4
    BACKGROUND = 5
    MISSED = 6


def find_mistakes(
    iou: FloatArray, is_same_class: BoolArray, is_crowd: BoolArray, is_wrong: BoolArray
) -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Return what is wrong with each prediction of one image, and which object it would find without its mistake.

    Args:
        iou: (P, T) float64.
        is_same_class: (P, T) bool.
        is_crowd: (T,) bool.
        is_wrong: (P,) bool, predictions that count and found nothing at `FOREGROUND_IOU`.

    Returns:
        (P,) uint8 of `Mistake`, and (P,) int64 places of true objects, -1 where the mistake has no single one.
    """
    best_same, same = _best(np.where(is_same_class & ~is_crowd, iou, 0.0))
    best_other, other = _best(np.where(~is_same_class & ~is_crowd, iou, 0.0))
    mistakes = np.select(
        [
            ~is_wrong,
            (best_same >= BACKGROUND_IOU) & (best_same < FOREGROUND_IOU),
            best_other >= FOREGROUND_IOU,
            best_same >= FOREGROUND_IOU,
            np.maximum(best_same, best_other) <= BACKGROUND_IOU,
        ],
        [Mistake.NONE, Mistake.LOCALISATION, Mistake.CLASSIFICATION, Mistake.DUPLICATE, Mistake.BACKGROUND],
        default=Mistake.BOTH,
    ).astype(np.uint8)
    targets = np.where(mistakes == Mistake.CLASSIFICATION, other, same)
    has_target = (mistakes == Mistake.CLASSIFICATION) | (mistakes == Mistake.LOCALISATION)
    return mistakes, np.where(has_target, targets, -1)


def _best(iou: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the largest overlap of each row and its place; 0 and -1 where there is no column."""
    if not iou.shape[1]:
        return np.zeros(len(iou)), np.full(len(iou), -1)
    return iou.max(axis=1), iou.argmax(axis=1)
