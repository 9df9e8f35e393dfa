"""Objects from targets as torchvision's detectors take them: dictionaries of "labels" with "masks" or "boxes"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.geometry import mask_to_box
from easyseg.results.words import counted
from easyseg.structures import BoxShape, LabelledObject, MaskPart, Shape, SizeHW

FIELDS = ("labels", "masks", "boxes", "iscrowd")
_EXPECTED = (
    "expected {'labels': (N,) whole numbers from 1 on, 'masks': (N, H, W)} as torchvision's detectors take them, with "
    "'boxes': (N, 4) in place of the masks where only boxes are known"
)


def objects_of_target(
    target: Mapping[str, npt.NDArray[Any]],
    name: str,
    *,
    size_hw: SizeHW | None,
    class_names: Sequence[str] | None = None,
    boxes: Literal["refuse", "fill"] = "refuse",
) -> tuple[LabelledObject, ...]:
    """Return the objects of an image.

    Args:
        target: "labels", (N,) whole numbers from 1 on, as 0 is torchvision's background, or names; "masks", (N, H, W)
            0 and 1 (or shares, which count from a half on); perhaps "iscrowd", (N,) 0 and 1. "boxes", (N, 4)
            x1, y1, x2, y2 in pixels, are looked at where there are no masks.
        name: the item's name for errors.
        size_hw: the image's height and width, where it is known.
        class_names: what the labels 1, 2, ... mean; None: "class_1", "class_2", ...
        boxes: without masks, an error, or objects that fill their boxes.

    Raises:
        DataError: it is no such target, or a label has no name.
    """
    labels = _names(target.get("labels"), name, class_names)
    crowds = _numbers(target.get("iscrowd", np.zeros(len(labels))), name, "iscrowd").reshape(-1) != 0
    masks = target.get("masks")
    shapes = _of_boxes(target, name, len(labels), boxes) if masks is None else _of_masks(masks, name, size_hw)
    if len(crowds) != len(labels) or len(shapes) != len(labels):
        raise DataError(
            f"{name}: {counted(len(labels), 'label')}, {counted(len(shapes), 'mask or box', 'masks or boxes')} and "
            f"{len(crowds)} 'iscrowd'; expected as many of each."
        )
    rows = zip(labels, shapes, crowds.tolist(), strict=True)
    return tuple(LabelledObject(label, shape, is_crowd=is_crowd) for label, shape, is_crowd in rows)


def _names(labels: npt.NDArray[Any] | None, name: str, class_names: Sequence[str] | None) -> list[str]:
    """Return the class name of each object."""
    if labels is None:
        raise DataError(f"{name}: the target has no 'labels'; {_EXPECTED}.")
    if labels.dtype.kind == "U":
        return [str(label) for label in labels.reshape(-1)]
    numbers = _numbers(labels, name, "labels").reshape(-1)
    if (numbers < 1).any() or (numbers != np.floor(numbers)).any():
        shown = ", ".join(f"{number:g}" for number in numbers[:9])
        raise DataError(f"{name}: the labels are {shown}; expected whole numbers from 1 on, as 0 is the background.")
    found = numbers.astype(np.int64).tolist()
    if class_names is None:
        return [f"class_{label}" for label in found]
    if found and max(found) > len(class_names):
        classes = f"{counted(len(class_names), 'class', 'classes')}: {', '.join(class_names)}"
        raise DataError(
            f"{name}: label {max(found)}, but {classes}. Name every class in classes=[...], in the order of the labels "
            "1, 2, ..."
        )
    return [class_names[label - 1] for label in found]


def _of_masks(masks: npt.NDArray[Any], name: str, size_hw: SizeHW | None) -> list[Shape]:
    array = _numbers(masks, name, "masks")
    if not len(array):
        return []
    if array.ndim != 3 or (size_hw is not None and array.shape[1:] != tuple(size_hw)):
        image = "" if size_hw is None else f", and the image {size_hw[0]} x {size_hw[1]} pixels"
        raise DataError(f"{name}: the masks have shape {array.shape}{image}; expected (N, H, W) of the image's size.")
    return [_cut_out(mask >= 0.5) for mask in array]


def _of_boxes(
    target: Mapping[str, npt.NDArray[Any]], name: str, count: int, boxes: Literal["refuse", "fill"]
) -> list[Shape]:
    corners = target.get("boxes")
    if corners is None:
        raise DataError(f"{name}: the target has neither 'masks' nor 'boxes'; {_EXPECTED}.")
    if boxes == "refuse" and count:
        raise DataError(
            f"{name}: the target has boxes and no masks; a mask cannot be drawn from a box. Add 'masks', (N, H, W), or "
            "take Segmenter('faster_rcnn', ...), which learns boxes."
        )
    array = _numbers(corners, name, "boxes")
    if array.size and (array.ndim != 2 or array.shape[1] != 4):
        raise DataError(f"{name}: the boxes have shape {array.shape}; expected (N, 4), x1, y1, x2, y2 in pixels.")
    corners = array.reshape(-1, 4)
    turned = np.flatnonzero((corners[:, 2:] < corners[:, :2]).any(axis=1))
    if turned.size:
        raise DataError(
            f"{name}: box {turned[0]} is {corners[turned[0]].tolist()}; expected x1, y1, x2, y2 in pixels with x1 < x2 "
            "and y1 < y2. Of x, y, width and height, torchvision.ops.box_convert(boxes, 'xywh', 'xyxy') makes these."
        )
    return [BoxShape(*corner) for corner in corners.tolist()]


def _cut_out(mask: npt.NDArray[np.bool_]) -> MaskPart:
    """Return an object that takes the memory of its own box only."""
    box = mask_to_box(mask)
    if box is None:
        return MaskPart(np.zeros((1, 1), bool), offset_xy=(0, 0))
    left, top, right, bottom = (int(side) for side in box)
    return MaskPart(np.ascontiguousarray(mask[top:bottom, left:right]), offset_xy=(left, top))


def _numbers(array: npt.NDArray[Any], name: str, field: str) -> npt.NDArray[Any]:
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise DataError(f"{name}: {field!r} holds {array.dtype} values that are no numbers; {_EXPECTED}.")
    return array
