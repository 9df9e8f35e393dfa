"""How much predicted and true objects overlap, from boxes or from run lengths: exactly, and never from dense masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.geometry import RunLengths
from easyseg.structures import SizeHW

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_RUNS_AT_ONCE = 1 << 19  # bounds the memory of pairs of very ragged masks to some tens of megabytes


@dataclass(frozen=True, slots=True, eq=False)
class StackedRuns:
    """The runs of all masks of one image, as if the masks stood side by side.

    Attributes:
        starts: (R,) int64, the first pixel of each run of true pixels: mask number * H * W + x * H + y.
        ends: (R,) int64, the pixel after its last.
        owners: (R,) int64, the number of its mask.
        first_runs: (N + 1,) int64, the place of each mask's first run, and R at the end.
        size_hw: height and width of every mask in pixels; (1, 1) without any mask.
    """

    starts: IntArray
    ends: IntArray
    owners: IntArray
    first_runs: IntArray
    size_hw: SizeHW

    @classmethod
    def of(cls, masks: Sequence[RunLengths]) -> StackedRuns:
        """Stack the masks, which are all of one size."""
        lengths = np.array([len(mask.counts) for mask in masks], np.int64)
        num_runs = lengths // 2
        first_runs = np.concatenate([[0], np.cumsum(num_runs)])
        owners = np.repeat(np.arange(len(masks)), num_runs)
        if not owners.size:
            nothing = np.zeros(0, np.int64)
            return cls(nothing, nothing, owners, first_runs, masks[0].size_hw if masks else (1, 1))
        # every mask's counts add up to its pixels, so one sum over all of them moves from mask to mask by itself
        bounds = np.cumsum(np.concatenate([mask.counts for mask in masks]), dtype=np.int64)
        first_counts = np.cumsum(lengths) - lengths
        is_true = 1 + 2 * (np.arange(len(owners)) - first_runs[owners]) + first_counts[owners]
        return cls(bounds[is_true - 1], bounds[is_true], owners, first_runs, masks[0].size_hw)

    def __len__(self) -> int:
        return len(self.first_runs) - 1

    @property
    def num_runs(self) -> IntArray:
        """(N,) int64, how many runs of true pixels each mask has; 0 where it is empty."""
        return np.diff(self.first_runs)

    @property
    def areas(self) -> IntArray:
        """(N,) int64, how many pixels of each mask are true."""
        total = np.concatenate([[0], np.cumsum(self.ends - self.starts)])
        return np.diff(total[self.first_runs])

    @property
    def boxes(self) -> FloatArray:
        """(N, 4) float64, the smallest box around each mask's true pixels: x1, y1, x2, y2; 0 where it is empty."""
        boxes = np.zeros((len(self), 4))
        filled = np.flatnonzero(self.num_runs)
        if filled.size:
            height, width = self.size_hw
            offsets = self.owners * (height * width)
            left, top = np.divmod(self.starts - offsets, height)
            right, bottom = np.divmod(self.ends - 1 - offsets, height)
            goes_on = left != right  # such a run reaches the bottom of its first column and the top of its last
            firsts = self.first_runs[filled]
            boxes[filled, 0] = np.minimum.reduceat(left, firsts)
            boxes[filled, 1] = np.minimum.reduceat(np.where(goes_on, 0, top), firsts)
            boxes[filled, 2] = np.maximum.reduceat(right, firsts) + 1
            boxes[filled, 3] = np.maximum.reduceat(np.where(goes_on, height - 1, bottom), firsts) + 1
        return boxes


def box_areas(boxes: FloatArray) -> FloatArray:
    """Return the (N,) areas of (N, 4) boxes in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_intersections(predicted: FloatArray, truth: FloatArray) -> FloatArray:
    """Return (P, T) float64, what (P, 4) and (T, 4) boxes have in common, in square pixels."""
    top_left = np.maximum(predicted[:, None, :2], truth[None, :, :2])
    bottom_right = np.minimum(predicted[:, None, 2:], truth[None, :, 2:])
    sides = np.maximum(bottom_right - top_left, 0.0)
    shared: FloatArray = sides[..., 0] * sides[..., 1]
    return shared


def pixels_in_boxes(mask: RunLengths, boxes: FloatArray) -> FloatArray:
    """Return how many true pixels of a mask lie in each of (N, 4) boxes, to the pixel; at most a box's own area."""
    height, width = mask.size_hw
    sums = np.zeros((height + 1, width + 1), np.int64)
    sums[1:, 1:] = mask.to_mask().cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    left, top, right, bottom = np.clip(np.rint(boxes.T), 0, [[width], [height]] * 2).astype(np.int64)
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    shared: FloatArray = np.minimum(inside, box_areas(boxes))
    return shared


def mask_intersections(predicted: StackedRuns, truth: StackedRuns) -> IntArray:
    """Return (P, T) int64, the pixels that predicted and true masks of one image have in common."""
    shared = np.zeros((len(predicted), len(truth)), np.int64)
    rows, columns = np.nonzero(box_intersections(predicted.boxes, truth.boxes))
    num_runs = predicted.num_runs[rows]
    parts = np.cumsum(num_runs) // _RUNS_AT_ONCE
    cuts = np.flatnonzero(np.diff(parts, prepend=0)) if rows.size else np.zeros(0, np.intp)
    for of_rows, of_columns in zip(np.split(rows, cuts), np.split(columns, cuts), strict=True):
        if of_rows.size:
            shared[of_rows, of_columns] = _pair_intersections(predicted, truth, of_rows, of_columns)
    return shared


def intersection_over_union(
    shared: npt.NDArray[Any], predicted_areas: npt.NDArray[Any], truth_areas: npt.NDArray[Any], is_crowd: BoolArray
) -> FloatArray:
    """Return (P, T) float64 in [0, 1]; for a crowd, as in COCO, the share of the prediction that lies within it.

    Args:
        shared: (P, T) intersections.
        predicted_areas: (P,), in the unit of `shared`.
        truth_areas: (T,), likewise.
        is_crowd: (T,) bool.
    """
    whole = np.where(is_crowd, predicted_areas[:, None], predicted_areas[:, None] + truth_areas - shared)
    result = np.zeros(shared.shape)
    np.divide(shared, whole, out=result, where=shared > 0)
    return result


def _pair_intersections(
    predicted: StackedRuns, truth: StackedRuns, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> IntArray:
    """Return the common pixels of pairs of masks, none of which is empty.

    How many true pixels the truth has before a given pixel is known at the edges of its runs and grows evenly within
    them. The difference between both ends of a predicted run is what it has in common with the truth.
    """
    num_runs = predicted.num_runs[rows]
    firsts = np.cumsum(num_runs) - num_runs
    runs = np.arange(num_runs.sum()) + np.repeat(predicted.first_runs[rows] - firsts, num_runs)
    pixels = truth.size_hw[0] * truth.size_hw[1]
    moved = np.repeat((columns - rows) * pixels, num_runs)
    edges = np.stack([truth.starts, truth.ends], axis=1).ravel()
    before = np.concatenate([[0], np.cumsum(truth.ends - truth.starts)])

    def pixels_before(places: IntArray) -> IntArray:
        passed = np.searchsorted(edges, places, side="right")
        whole_runs, is_inside = np.divmod(passed, 2)
        started = before[whole_runs]
        inside: IntArray = np.where(is_inside == 1, places - edges[np.maximum(passed - 1, 0)], 0)
        return started + inside

    common = pixels_before(predicted.ends[runs] + moved) - pixels_before(predicted.starts[runs] + moved)
    result: IntArray = np.add.reduceat(common, firsts)
    return result
