"""From the objects of a batch to what torchvision learns from, and the faults it would not notice, or crash on."""

from __future__ import annotations

import torch
from torch import Tensor

from easyseg.errors import DataError, ModelError
from easyseg.models.instance.heads import FIRST_LABEL
from easyseg.structures import Batch, InstanceTarget, SizeHW


def to_targets(batch: Batch, *, num_classes: int, has_masks: bool) -> list[dict[str, Tensor]]:
    """Return what torchvision's stages learn from in each image, and what ours need besides.

    That is "boxes" (N, 4), "labels" (N,) and, where masks are learnt, "masks" (N, H, W); and "crowds", the boxes of
    crowds (M, 4), and "canvas", the image's own box (4,).

    Args:
        batch: with objects. Without indices it does not count, and all its images are empty.
        num_classes: without background.
        has_masks: whether masks are learnt from; else they are not looked at.

    Raises:
        ModelError: the batch holds masks of classes, or objects of another number of images.
        DataError: objects that nothing can be learnt from; the message names image and object.
    """
    targets = batch.targets
    if not isinstance(targets, tuple):
        raise ModelError(
            "The batch holds masks of classes, and a detector learns from objects; expected is a tuple with the "
            "InstanceTarget of each image. Take a semantic model, such as 'unet', for masks of classes."
        )
    if not batch.indices:
        return [_without_objects(batch.images) for _ in batch.images]
    if len(targets) != len(batch.images):
        raise ModelError(
            f"{len(batch.images)} images with objects for {len(targets)}; give an InstanceTarget for each."
        )
    height, width = canvas_hw = (batch.images.shape[2], batch.images.shape[3])
    for index, target in zip(batch.indices, targets, strict=True):
        name = f"image {index} of the dataset"
        _check_forms(target, name, canvas_hw if has_masks else None)
        _check_values(target, name, canvas_hw, num_classes, has_masks)
    canvas = torch.tensor([0.0, 0, width, height], device=batch.images.device)
    return [_split_crowds(target, has_masks) | {"canvas": canvas} for target in targets]


def _check_forms(target: InstanceTarget, name: str, canvas_hw: SizeHW | None) -> None:
    count = len(target)
    expected: dict[str, tuple[tuple[int, ...], tuple[torch.dtype, ...]]] = {
        "boxes": ((count, 4), (torch.float32,)),
        "class_ids": ((count,), (torch.int64,)),
        "is_crowd": ((count,), (torch.bool,)),
    }
    for field, (shape, dtypes) in expected.items():
        _check_form(target, field, name, shape, dtypes)
    if canvas_hw is not None:
        num_masks = count - int(target.is_crowd.sum())
        _check_form(target, "masks", name, (num_masks, *canvas_hw), (torch.uint8, torch.bool))


def _check_form(
    target: InstanceTarget, field: str, name: str, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]
) -> None:
    found: Tensor = getattr(target, field)
    if tuple(found.shape) == shape and found.dtype in dtypes:
        return
    objects = f"{len(target)} objects"
    if field == "masks":
        objects += f", of which {len(target) - shape[0]} are crowds without masks,"
    raise DataError(
        f"The {field} of {name} are {tuple(found.shape)} {found.dtype}; expected for its {objects} is {shape} "
        f"{dtypes[0]}. Bring boxes and masks to the batch's images, of which all share one size."
    )


def _check_values(target: InstanceTarget, name: str, canvas_hw: SizeHW, num_classes: int, has_masks: bool) -> None:
    if not len(target):
        return
    boxes, height, width = target.boxes, *canvas_hw
    has_area = (boxes[:, :2] < boxes[:, 2:]).all(dim=1)
    is_inside = (boxes[:, :2] >= 0).all(dim=1) & (boxes[:, 2] <= width) & (boxes[:, 3] <= height)
    is_known = (target.class_ids >= 0) & (target.class_ids < num_classes)
    if not bool((has_area & is_inside & is_known).all()):
        _refuse(
            name,
            boxes,
            ~has_area,
            "without width or height (x1, y1, x2, y2). Leave such objects out; easyseg check names them.",
        )
        _refuse(name, boxes, ~is_inside, f"outside of the image of {height} × {width} pixels. Cut it to the image.")
        _refuse(
            name,
            target.class_ids,
            ~is_known,
            f"as its class; expected are 0 to {num_classes - 1} for {num_classes} classes, without background. "
            "Number the classes from 0 on, in the order of their names.",
        )
    if has_masks and len(target.masks) and int(target.masks.max()) > 1:
        raise DataError(
            f"The masks of {name} have the value {int(target.masks.max())}; expected are 0 and 1. Give masks > 0 of a "
            "mask for each object: one of 0 and 255 with all objects in it would count as a single object."
        )


def _refuse(name: str, values: Tensor, wrong: Tensor, problem: str) -> None:
    places = torch.where(wrong)[0].tolist()
    if places:
        raise DataError(f"Object {places[0]} of {name} has {values[places[0]].tolist()} {problem}")


def _split_crowds(target: InstanceTarget, has_masks: bool) -> dict[str, Tensor]:
    labels = target.class_ids + FIRST_LABEL
    masks = {"masks": target.masks} if has_masks else {}
    if not bool(target.is_crowd.any()):  # nothing need be copied
        return {"boxes": target.boxes, "labels": labels, "crowds": target.boxes[:0], **masks}
    single = ~target.is_crowd
    return {
        "boxes": target.boxes[single],
        "labels": labels[single],
        "crowds": target.boxes[target.is_crowd],
        **masks,
    }


def _without_objects(images: Tensor) -> dict[str, Tensor]:
    boxes = torch.zeros(0, 4, device=images.device)
    return {
        "boxes": boxes,
        "labels": torch.zeros(0, dtype=torch.int64, device=images.device),
        "masks": torch.zeros(0, *images.shape[2:], dtype=torch.uint8, device=images.device),
        "crowds": boxes,
        "canvas": torch.zeros(4, device=images.device),
    }
