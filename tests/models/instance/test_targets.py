"""Faults in what is to be learnt are named before they crash, or teach something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from detectors import TWO_DISCS, batch_of, draw

from easyseg.errors import DataError, ModelError
from easyseg.models.instance.targets import to_targets
from easyseg.structures import Batch, InstanceTarget


def batch_with(**fields: Any) -> Batch:
    """Return a batch of images 7 and 9, of which the second has other objects than drawn."""
    image, target = draw(64, 96, TWO_DISCS)
    return Batch(image.expand(2, -1, -1, -1), (target, replace(target, **fields)), (7, 9))


def to(batch: Batch, *, has_masks: bool = True) -> list[dict[str, torch.Tensor]]:
    """Convert for two classes."""
    return to_targets(batch, num_classes=2, has_masks=has_masks)


def test_the_background_is_added_here() -> None:
    """Torchvision's class 0 is none of ours; nothing else changes, and nothing is copied."""
    batch = batch_with()
    first, _ = to(batch)
    assert isinstance(batch.targets, tuple)
    assert first["labels"].tolist() == [1, 2]
    assert first["boxes"] is batch.targets[0].boxes
    assert first["masks"] is batch.targets[0].masks
    assert first["crowds"].shape == (0, 4)
    assert "masks" not in to(batch, has_masks=False)[0]


def test_crowds_are_parted_from_objects() -> None:
    """They are no objects, and their boxes are kept apart."""
    first, second = to(batch_with(is_crowd=torch.tensor([True, False]), masks=MASKS[1:]))
    assert len(first["labels"]) == 2
    assert second["labels"].tolist() == [2]
    assert torch.equal(second["masks"], MASKS[1:])
    assert torch.equal(second["crowds"], first["boxes"][:1])
    only = to(batch_with(is_crowd=torch.tensor([True, True]), masks=MASKS[:0]))[1]
    assert only["boxes"].shape == (0, 4)
    assert only["crowds"].shape == (2, 4)


def test_images_without_objects_are_kept() -> None:
    """They teach what is no object."""
    image, empty = draw(64, 96, ())
    (target,) = to(Batch(image[None], (empty,), (0,)))
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 64, 96)


def test_a_batch_that_does_not_count_has_no_objects() -> None:
    """Without indices it only gives the network something to do."""
    batch = batch_with(class_ids=torch.tensor([99, 99]))
    (target, _) = to(replace(batch, indices=()))
    assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"]) == len(target["crowds"]) == 0


BOXES = torch.tensor([[10.0, 10, 50, 50], [20, 20, 60, 60]])
MASKS = torch.ones(2, 64, 96, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"boxes": BOXES.bfloat16()}, r"boxes of image 9 of the dataset are \(2, 4\) torch.bfloat16; .*torch.float32"),
        ({"boxes": BOXES[:1]}, r"boxes of image 9 .* \(1, 4\)"),
        ({"boxes": torch.zeros(0)}, r"boxes of image 9 .* \(0,\) .*\(2, 4\)"),
        ({"boxes": BOXES[:, [0, 1, 0, 3]]}, r"Object 0 of image 9 of .* \[10.0, 10.0, 10.0, 50.0\] without width"),
        ({"boxes": BOXES[:, [0, 3, 2, 1]]}, r"Object 0 .* without width or height"),
        ({"boxes": BOXES * float("nan")}, r"Object 0 .* without width or height"),
        ({"boxes": BOXES + torch.tensor([[0.0], [40]])}, r"Object 1 .* outside of the image of 64 × 96 pixels"),
        ({"boxes": BOXES - 11}, r"Object 0 .* outside of the image"),
        ({"class_ids": torch.tensor([0, 2])}, r"Object 1 of image 9 .* has 2 as its class; expected are 0 to 1 for 2"),
        ({"class_ids": torch.tensor([-1, 0])}, r"Object 0 .* has -1 as its class"),
        ({"class_ids": torch.tensor([0, 1], dtype=torch.int32)}, r"class_ids of image 9 .*torch.int32; .*torch.int64"),
        ({"is_crowd": torch.tensor([0, 1])}, r"is_crowd of image 9 .*torch.int64; .*torch.bool"),
        ({"masks": MASKS[:, :32]}, r"masks of image 9 of the dataset are \(2, 32, 96\) .* \(2, 64, 96\) torch.uint8"),
        (
            {"is_crowd": torch.tensor([True, False])},
            r"masks of image 9 .* for its 2 objects, of which 1 are crowds without masks, is \(1, 64, 96\)",
        ),
        ({"masks": MASKS.float()}, r"masks of image 9 .*torch.float32"),
        ({"masks": 255 * MASKS}, r"masks of image 9 .* the value 255; expected are 0 and 1"),
    ],
)
def test_faults_are_named(fields: dict[str, Any], message: str) -> None:
    """The message names the image and the object, what was found and what is expected."""
    with pytest.raises(DataError, match=message):
        to(batch_with(**fields))


def test_masks_do_not_matter_where_boxes_are_learnt() -> None:
    """A model that finds boxes only does not ask for masks."""
    batch = batch_with(masks=torch.zeros(2, 0, 0, dtype=torch.uint8))
    assert len(to(batch, has_masks=False)) == 2
    with pytest.raises(DataError, match="masks"):
        to(batch)


def test_masks_of_classes_are_refused() -> None:
    """A batch for semantic models, and one whose objects are of other images."""
    batch = batch_of(2)
    with pytest.raises(ModelError, match=r"masks of classes.*such as 'unet'"):
        to(replace(batch, targets=torch.zeros(2, 96, 96, dtype=torch.uint8)))
    assert isinstance(batch.targets, tuple)
    with pytest.raises(ModelError, match="2 images with objects for 1"):
        to(replace(batch, targets=batch.targets[:1]))


def test_boolean_masks_are_masks() -> None:
    """Zeros and ones by another name."""
    image, target = draw(64, 96, TWO_DISCS)
    as_bool = InstanceTarget(target.boxes, target.class_ids, target.masks.bool(), target.is_crowd)
    assert to(Batch(image[None], (as_bool,), (0,)))[0]["masks"].dtype == torch.bool
