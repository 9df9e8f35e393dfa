"""What is kept of an image once it was measured: a few numbers per object, no masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.metrics.instance.matching import IOU_THRESHOLDS, SIZES
from easyseg.metrics.instance.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class MatchTable:
    """P predictions and T true objects of one or more images, and how they were matched.

    Predictions stand image by image, within an image by falling score. Columns that begin with `truth_` have T rows.

    Attributes:
        image_ids: (P,) int64.
        class_ids: (P,) int64.
        scores: (P,) float64.
        ranks: (P,) int64, how many of the same image and class have a higher score.
        outcomes: (P, A, K) uint8, `FALSE`, `TRUE` or `IGNORED` by size and IoU threshold.
        mistakes: (P,) uint8, what is wrong with each prediction, of `Mistake`.
        targets: (P,) int64, the row of the true object it finds, or would find without its mistake; -1: none.
        truth_image_ids: (T,) int64.
        truth_class_ids: (T,) int64.
        truth_counts: (T, A) bool, whether it counts in each size.
        truth_parts: (T,) int64, of how many separate parts it consists, where that was counted; else 0.
    """

    image_ids: IntArray
    class_ids: IntArray
    scores: FloatArray
    ranks: IntArray
    outcomes: npt.NDArray[np.uint8]
    mistakes: npt.NDArray[np.uint8]
    targets: IntArray
    truth_image_ids: IntArray
    truth_class_ids: IntArray
    truth_counts: BoolArray
    truth_parts: IntArray

    @classmethod
    def join(cls, tables: Iterable[MatchTable]) -> MatchTable:
        """Return all tables as one, sorted by image, so that their order decides nothing."""
        parts = [_EMPTY, *tables]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
        num_truths = np.cumsum([0] + [len(part.truth_class_ids) for part in parts[:-1]])
        shifts = np.repeat(num_truths, [len(part.class_ids) for part in parts])
        columns["targets"] = np.where(columns["targets"] < 0, -1, columns["targets"] + shifts)
        order = np.argsort(columns["image_ids"], kind="stable")
        truth_order = np.argsort(columns["truth_image_ids"], kind="stable")
        # a place more, so that -1 stays -1
        new_rows = np.full(len(truth_order) + 1, -1)
        new_rows[truth_order] = np.arange(len(truth_order))
        columns["targets"] = new_rows[columns["targets"]]
        return cls(
            **{name: column[truth_order if name.startswith("truth_") else order] for name, column in columns.items()}
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> MatchTable:
        """Return the table that `to_arrays` gave."""
        return cls(**{name: arrays[name] for name in _COLUMNS})

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name, such as for sending them to another process."""
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS = tuple(field.name for field in fields(MatchTable))
_EMPTY = MatchTable(
    image_ids=np.zeros(0, np.int64),
    class_ids=np.zeros(0, np.int64),
    scores=np.zeros(0),
    ranks=np.zeros(0, np.int64),
    outcomes=np.zeros((0, len(SIZES), len(IOU_THRESHOLDS)), np.uint8),
    mistakes=np.zeros(0, np.uint8),
    targets=np.zeros(0, np.int64),
    truth_image_ids=np.zeros(0, np.int64),
    truth_class_ids=np.zeros(0, np.int64),
    truth_counts=np.zeros((0, len(SIZES)), bool),
    truth_parts=np.zeros(0, np.int64),
)
