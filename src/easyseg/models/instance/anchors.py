"""Anchors: the boxes of fixed shapes from which a detector starts, and which of them suit a dataset's objects."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import ConfigError, DataError
from easyseg.structures import SizeHW

FloatArray: TypeAlias = npt.NDArray[np.float64]

STRIDES = (4, 8, 16, 32, 64)
"""Distance in pixels between neighbouring anchors on each level of the feature pyramid."""

PADDED_TO = 32
"""Images are padded to a multiple of this, in pixels, so that all levels but the last fit exactly."""

_SIZES_PER_STRIDE = tuple(2 ** (step / 2) for step in range(9))
"""Sizes tried on a level, in strides: from 1, where positions lie too far apart for it, to 16."""

_RATIO_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_BOXES = 4000
"""As many boxes are enough to choose by; the figures reported are of all of them."""

_BOXES_AT_ONCE = 20_000

PROPOSAL_IOU = 0.7
"""An anchor that overlaps an object by as much is to propose it."""

_WORTH_BEYOND = 1e-3
_MOST_ROUNDS = 20
_NO_GAIN = 1e-9
"""What rounding makes of sums that are equal; exchanges for less would go round in circles."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """The shapes of anchors.

    Attributes:
        shapes: for each level of the pyramid, from stride 4 to stride 64, the (width, height) of its anchors in pixels.
            All levels have as many, as one layer serves them all.

    Raises:
        ConfigError: there are not five levels, not as many on each, or a side is not above 0.
    """

    shapes: tuple[tuple[tuple[float, float], ...], ...]

    def __post_init__(self) -> None:
        counts = [len(level) for level in self.shapes]
        if len(counts) != len(STRIDES) or len(set(counts)) != 1 or not counts[0]:
            raise ConfigError(
                f"Anchors of {len(counts)} levels with {counts} shapes; expected are {len(STRIDES)} levels with as "
                "many shapes each. Give Anchors.of(sizes=(32, 64, 128, 256, 512)), or what choose_anchors returns."
            )
        if not min(min(shape) for level in self.shapes for shape in level) > 0:
            raise ConfigError(f"Anchors {self.shapes} have sides that are not above 0; give widths and heights.")

    @classmethod
    def of(cls, sizes: tuple[float, ...], ratios: tuple[float, ...] = (0.5, 1.0, 2.0)) -> Anchors:
        """Return anchors of one size per level in several ratios of height to width, with sides of even length.

        Args:
            sizes: square root of the area in pixels, for each level.
            ratios: heights divided by widths.
        """
        return cls(
            tuple(
                # whole pixels to either side of the centre, as torchvision's COCO weights were trained with
                tuple((2.0 * round(size / ratio**0.5 / 2), 2.0 * round(size * ratio**0.5 / 2)) for ratio in ratios)
                for size in sizes
            )
        )

    @property
    def per_position(self) -> int:
        """How many anchors share a centre."""
        return len(self.shapes[0])


COCO_ANCHORS = Anchors.of((32, 64, 128, 256, 512))
"""What torchvision's detectors have, for images of about 800 pixels."""


@dataclass(frozen=True, slots=True)
class AnchorFit:
    """How well anchors suit objects, before anything is learnt.

    A detector learns most easily to find what an anchor overlaps well, so recall below 0.9 at 0.5 is a warning.

    Attributes:
        anchors: the anchors.
        recall_50: share of the objects that some anchor overlaps with an IoU of at least 0.5; NaN without objects.
        recall_70: the same for 0.7, from where on an anchor counts as right in training.
        mean_iou: mean over the objects of the IoU with their best anchor.
    """

    anchors: Anchors
    recall_50: float
    recall_70: float
    mean_iou: float


def measure_anchors(anchors: Anchors, boxes: Any, *, canvas_hw: SizeHW) -> AnchorFit:
    """Measure the best possible recall of anchors at the places where they really are.

    Args:
        anchors: the anchors.
        boxes: (N, 4) pixel x1, y1, x2, y2 on the canvas; crowds left out.
        canvas_hw: height and width of the images that the network gets, in pixels.

    Raises:
        DataError: boxes of another shape, or without width or height.
    """
    return _fit(anchors, _checked(boxes), canvas_hw)


def choose_anchors(boxes: Any, *, canvas_hw: SizeHW, per_position: int = 3) -> AnchorFit:
    """Choose anchors for objects, and measure them.

    One shape after the other is taken, that which brings most to the IoU of the objects with their best anchor, and
    then exchanged for a better one of its level as long as there is one. IoU beyond 0.7 counts for little: such an
    anchor is right in training already, and the places are for objects that none suits.

    Each level takes sizes of 1 to 16 of its strides: smaller ones would fall between the positions, and what larger
    ones cover is beyond the sight of its features. Places that bring nothing keep the usual shapes.

    Weights for COCO expect `COCO_ANCHORS`. With others they have to learn sizes anew, but hold what things look like.

    Args:
        boxes: (N, 4) pixel x1, y1, x2, y2 on the canvas: after images are brought to their size, crowds left out.
        canvas_hw: height and width of the images that the network gets, in pixels.
        per_position: how many shapes each level has.

    Raises:
        DataError: boxes of another shape, or without width or height.
    """
    checked = _checked(boxes)
    seen = checked[:: max(1, -(-len(checked) // _MOST_BOXES))]
    candidates = _candidates(seen)
    values = [_value(_level_ious(shapes, seen, level, canvas_hw).T) for level, shapes in enumerate(candidates)]
    chosen = _exchanged(_greedily(values, per_position), values)
    usual = Anchors.of(tuple(8.0 * stride for stride in STRIDES), ratios=_usual_ratios(per_position))
    filled = tuple(
        tuple(sorted(itertools.islice((*((float(w), float(h)) for w, h in shapes[places]), *others), per_position)))
        for shapes, places, others in zip(candidates, chosen, usual.shapes, strict=True)
    )
    return _fit(Anchors(filled), checked, canvas_hw)


def _value(ious: FloatArray) -> FloatArray:
    """Return what IoUs are worth: all up to that of a match, and next to nothing beyond it."""
    worth: FloatArray = np.minimum(ious, PROPOSAL_IOU) + _WORTH_BEYOND * ious
    return worth


def _greedily(values: Sequence[FloatArray], per_position: int) -> list[list[int]]:
    """Return for each level the candidates taken, at most `per_position`, none of which brings nothing.

    Args:
        values: (candidates, boxes) of each level.
        per_position: see above.
    """
    chosen: list[list[int]] = [[] for _ in values]
    best = np.zeros(values[0].shape[1])
    for _ in range(per_position * len(values)):
        gains = [
            np.maximum(each - best, 0).sum(axis=1) if len(places) < per_position else np.zeros(1)
            for each, places in zip(values, chosen, strict=True)
        ]
        level = int(np.argmax([each.max() for each in gains]))
        place = int(gains[level].argmax())
        if gains[level][place] <= 0:
            break
        chosen[level].append(place)
        best = np.maximum(best, values[level][place])
    return chosen


def _exchanged(chosen: list[list[int]], values: Sequence[FloatArray]) -> list[list[int]]:
    """Return the choice after exchanges of one candidate for a better one of its level, until there is none."""
    chosen = [list(places) for places in chosen]
    for _ in range(_MOST_ROUNDS):
        before = [list(places) for places in chosen]
        for level, slot in [(level, slot) for level, places in enumerate(chosen) for slot in range(len(places))]:
            now, chosen[level][slot] = chosen[level][slot], -1
            rest = np.zeros(values[0].shape[1])
            for each, places in zip(values, chosen, strict=True):
                rest = np.maximum(rest, each[[place for place in places if place >= 0]].max(axis=0, initial=0))
            sums = np.maximum(values[level], rest).sum(axis=1)
            better = int(sums.argmax())
            chosen[level][slot] = better if sums[better] > sums[now] + _NO_GAIN else now
        if chosen == before:
            break
    return chosen


def _usual_ratios(count: int) -> tuple[float, ...]:
    """Return ratios from 1/2 to 2, evenly spaced on a logarithmic scale."""
    return (1.0,) if count == 1 else tuple((2 ** np.linspace(-1, 1, count)).tolist())


def _candidates(boxes: FloatArray) -> FloatArray:
    """Return (levels, M, 2) widths and heights to choose from."""
    sides = boxes[:, 2:] - boxes[:, :2]
    ratios = np.quantile(sides[:, 1] / sides[:, 0], _RATIO_QUANTILES) if len(boxes) else np.ones(1)
    ratios = np.unique(ratios.round(2).clip(0.05, 20))
    sizes = np.multiply.outer(STRIDES, _SIZES_PER_STRIDE)[..., None]
    pairs = np.stack([sizes / np.sqrt(ratios), sizes * np.sqrt(ratios)], axis=-1)
    eighths: FloatArray = (8 * pairs.reshape(len(STRIDES), -1, 2)).round() / 8  # they stay what they are in float32
    return eighths


def _fit(anchors: Anchors, boxes: FloatArray, canvas_hw: SizeHW) -> AnchorFit:
    if not len(boxes):
        return AnchorFit(anchors, float("nan"), float("nan"), float("nan"))
    best = np.concatenate(
        [
            _best_ious(anchors, boxes[start : start + _BOXES_AT_ONCE], canvas_hw)
            for start in range(0, len(boxes), _BOXES_AT_ONCE)
        ]
    )
    return AnchorFit(anchors, float((best >= 0.5).mean()), float((best >= PROPOSAL_IOU).mean()), float(best.mean()))


def _best_ious(anchors: Anchors, boxes: FloatArray, canvas_hw: SizeHW) -> FloatArray:
    each = [
        _level_ious(np.asarray(shapes, np.float64), boxes, level, canvas_hw).max(axis=1)
        for level, shapes in enumerate(anchors.shapes)
    ]
    best: FloatArray = np.max(each, axis=0)
    return best


def _level_ious(shapes: FloatArray, boxes: FloatArray, level: int, canvas_hw: SizeHW) -> FloatArray:
    """Return (N, M), the IoU of N boxes with M shapes, each at the position on a level's grid that suits best."""
    stride = STRIDES[level]
    inner = np.ones((len(boxes), len(shapes)))
    for axis, canvas in enumerate(reversed(canvas_hw)):
        positions = -(-(-(-canvas // PADDED_TO) * PADDED_TO) // stride)
        low, high = boxes[:, axis, None], boxes[:, axis + 2, None]
        centres = np.clip(np.round((low + high) / 2 / stride), 0, positions - 1) * stride
        half = shapes[None, :, axis] / 2
        inner *= (np.minimum(high, centres + half) - np.maximum(low, centres - half)).clip(min=0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None] + shapes.prod(axis=1)[None]
    ious: FloatArray = inner / (areas - inner)
    return ious


def _checked(boxes: Any) -> FloatArray:
    found = np.asarray(boxes, np.float64)
    found = found.reshape(0, 4) if not found.size else found
    if found.ndim != 2 or found.shape[1] != 4:
        raise DataError(f"Boxes of shape {found.shape} for anchors; expected (N, 4) of x1, y1, x2, y2.")
    wrong = np.flatnonzero(~(found[:, :2] < found[:, 2:]).all(axis=1) | ~np.isfinite(found).all(axis=1))
    if wrong.size:
        raise DataError(
            f"Box {wrong[0]} for anchors is {found[wrong[0]].tolist()}, which has no width or height; expected finite "
            "x1 < x2 and y1 < y2. Leave such objects out; easyseg check names them."
        )
    return found
