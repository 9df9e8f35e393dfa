"""What is to be found in one image and what was found there, as the metrics take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.geometry import RunLengths
from easyseg.metrics.instance.overlap import StackedRuns, box_areas
from easyseg.structures import Instances

BoolArray: TypeAlias = npt.NDArray[np.bool_]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]


_FOLLOWS: Any = None
"""What is left out follows from the rest; from the construction on, it is an array."""


@dataclass(frozen=True, slots=True, eq=False)
class TruthObjects:
    """The N objects that an image really has.

    Lists are taken as well as arrays, and what is left out follows from the rest.

    Attributes:
        class_ids: (N,) int64, from 0 on.
        masks: their N masks, all of the image's size; None where only boxes are known.
        boxes: (N, 4) float64 pixel x1, y1, x2, y2; left out: around the masks, 0 for an empty one.
        is_crowd: (N,) bool, regions of objects that were not told apart: predictions in them count neither as right
            nor as wrong. Left out: none is.
        areas: (N,) float64 in pixels, by which objects count as small, medium or large; left out: the masks' areas, or
            the boxes' where there are no masks.
        is_of_every_class: (N,) bool, crowds in which predictions of whatever class count neither as right nor as wrong,
            such as objects that are to be ignored; their own class id says nothing. Left out: none is.
        is_void: (N,) bool, crowds of every class of which the pixels count and never the box, which may span the whole
            image: void pixels of a mask. Left out: none is.

    Raises:
        DataError: lengths differ, neither masks nor boxes, a box that is not finite or whose sides are negative, masks
            of several sizes, an object of every class that is no crowd, void without masks.
    """

    class_ids: IntArray
    masks: tuple[RunLengths, ...] | None = None
    boxes: FloatArray = _FOLLOWS
    is_crowd: BoolArray = _FOLLOWS
    areas: FloatArray = _FOLLOWS
    is_of_every_class: BoolArray = _FOLLOWS
    is_void: BoolArray = _FOLLOWS

    def __post_init__(self) -> None:
        _store_objects(self, "true object")
        count = len(self.class_ids)
        is_crowd, of_every, is_void = (
            np.zeros(count, bool) if flags is None else np.asarray(flags, bool)
            for flags in (self.is_crowd, self.is_of_every_class, self.is_void)
        )
        areas = object_areas(self) if self.areas is None else np.asarray(self.areas, np.float64)
        _check_lengths(
            "true object", count, is_crowd=is_crowd, areas=areas, is_of_every_class=of_every, is_void=is_void
        )
        if (of_every & ~is_crowd).any():
            place = int(np.flatnonzero(of_every & ~is_crowd)[0])
            raise DataError(f"True object {place} is of every class and no crowd; expected is one. Set is_crowd there.")
        if (is_void & ~of_every).any() or (is_void.any() and self.masks is None):
            raise DataError("Void pixels are crowds of every class, with masks; set is_of_every_class and give masks.")
        if not (np.isfinite(areas).all() and (areas >= 0).all()):
            raise DataError("The area of a true object is negative or not finite; give pixels, or leave areas out.")
        object.__setattr__(self, "is_crowd", is_crowd)
        object.__setattr__(self, "areas", areas)
        object.__setattr__(self, "is_of_every_class", of_every)
        object.__setattr__(self, "is_void", is_void)

    @classmethod
    def from_instances(cls, instances: Instances) -> TruthObjects:
        """Return an image's annotated objects with their masks as run lengths, which take a fraction of the memory."""
        masks = tuple(RunLengths.from_mask(mask) for mask in instances.masks)
        return cls(instances.class_ids, masks, instances.boxes.astype(np.float64), instances.is_crowd)

    def __len__(self) -> int:
        return len(self.class_ids)


@dataclass(frozen=True, slots=True, eq=False)
class PredictedObjects:
    """The N objects that a model found in an image, in any order.

    Lists are taken as well as arrays, and boxes that are left out follow from the masks.

    Attributes:
        class_ids: (N,) int64, from 0 on.
        scores: (N,) float64, higher where the model is more certain; finite.
        masks: their N masks, all of the image's size; None where only boxes are predicted.
        boxes: (N, 4) float64 pixel x1, y1, x2, y2; left out: around the masks, 0 for an empty one.

    Raises:
        DataError: lengths differ, neither masks nor boxes, a score or box that is not finite, a box whose sides are
            negative, masks of several sizes.
    """

    class_ids: IntArray
    scores: FloatArray
    masks: tuple[RunLengths, ...] | None = None
    boxes: FloatArray = _FOLLOWS

    def __post_init__(self) -> None:
        _store_objects(self, "predicted object")
        scores = np.asarray(self.scores, np.float64)
        _check_lengths("predicted object", len(self.class_ids), scores=scores)
        if not np.isfinite(scores).all():
            raise DataError(
                "A predicted object's score is NaN or infinite, so it cannot be ranked. "
                "Look for NaN in the model's output first."
            )
        object.__setattr__(self, "scores", scores)

    def __len__(self) -> int:
        return len(self.class_ids)

    def take(self, places: IntArray) -> PredictedObjects:
        """Return the objects at these places, in this order."""
        masks = None if self.masks is None else tuple(self.masks[place] for place in places)
        return PredictedObjects(self.class_ids[places], self.scores[places], masks, self.boxes[places])


def object_areas(objects: TruthObjects | PredictedObjects) -> FloatArray:
    """Return (N,) float64 areas in pixels: of the masks where there are masks, else of the boxes."""
    if objects.masks is None:
        return box_areas(objects.boxes)
    return StackedRuns.of(objects.masks).areas.astype(np.float64)


def _store_objects(objects: TruthObjects | PredictedObjects, noun: str) -> None:
    """Check classes, masks and boxes, and store them in the record as what it promises."""
    class_ids = np.asarray(objects.class_ids)
    if class_ids.size and class_ids.dtype.kind not in "iu":
        raise DataError(f"The class ids of {noun}s are {class_ids.dtype}; expected whole numbers from 0 on.")
    count = len(class_ids)
    masks = None if objects.masks is None else _checked_masks(objects.masks, noun)
    if masks is None and objects.boxes is None and count:
        raise DataError(f"{count} {noun}s have neither masks nor boxes; give masks=... or boxes=....")
    boxes = StackedRuns.of(masks or ()).boxes if objects.boxes is None else _checked_boxes(objects.boxes, noun)
    _check_lengths(noun, count, **({} if masks is None else {"masks": masks}), boxes=boxes)
    object.__setattr__(objects, "class_ids", class_ids.astype(np.int64).reshape(count))
    object.__setattr__(objects, "masks", masks)
    object.__setattr__(objects, "boxes", boxes)


def _checked_masks(masks: Sequence[RunLengths], noun: str) -> tuple[RunLengths, ...]:
    masks = tuple(masks)
    for mask in masks:
        if not isinstance(mask, RunLengths):
            raise DataError(
                f"The mask of a {noun} is a {type(mask).__name__}; expected RunLengths. "
                "Of an (H, W) array, give RunLengths.from_mask(array)."
            )
    sizes = sorted({mask.size_hw for mask in masks})
    if len(sizes) > 1:
        raise DataError(
            f"The masks of one image's {noun}s have several sizes (height, width): {sizes[0]} and {sizes[1]}. "
            "Bring them all to the image's original size first."
        )
    return masks


def _checked_boxes(boxes: Any, noun: str) -> FloatArray:
    found = np.asarray(boxes, np.float64)
    found = found.reshape(0, 4) if not found.size else found
    if found.ndim != 2 or found.shape[1] != 4:
        raise DataError(f"The boxes of {noun}s have shape {found.shape}; expected (N, 4) of x1, y1, x2, y2.")
    wrong = np.flatnonzero(~(np.isfinite(found).all(axis=1) & (found[:, :2] <= found[:, 2:]).all(axis=1)))
    if wrong.size:
        raise DataError(
            f"The box {found[wrong[0]].tolist()} of a {noun} is none; expected finite x1, y1, x2, y2 with x1 <= x2 and "
            "y1 <= y2. Of COCO's x, y, width, height, give [x, y, x + width, y + height]."
        )
    return found


def _check_lengths(noun: str, count: int, **columns: Sequence[Any] | npt.NDArray[Any]) -> None:
    for name, column in columns.items():
        if len(column) != count:
            raise DataError(f"{count} {noun}s by their class ids, but {len(column)} {name}; give as many.")
