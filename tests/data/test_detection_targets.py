"""Targets as torchvision's detectors take them become objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from easyseg.data.memory import samples_from_memory
from easyseg.data.reading import as_dataset
from easyseg.errors import ClassMapError, DataError, EasySegError
from easyseg.io.images import write_image

IMAGE = torch.zeros(3, 20, 30)


def masks_of(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    """Return (N, 20, 30) uint8 masks with a rectangle each: x1, y1, x2, y2."""
    masks = torch.zeros(len(boxes), 20, 30, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return masks


def target(**changes: Any) -> dict[str, Any]:
    """Return two objects of different classes, one of them a crowd."""
    boxes = ((2, 3, 9, 8), (10, 10, 25, 20))
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.tensor([2, 1]),
        "image_id": 7,
        "area": torch.tensor([35.0, 150.0]),
        "iscrowd": torch.tensor([0, 1]),
        "masks": masks_of(*boxes),
        **changes,
    }


def test_each_mask_is_an_object() -> None:
    """Masks, classes and crowds are those of the target; what else it holds is not looked at."""
    dataset = as_dataset([(IMAGE, target()), (IMAGE, target(iscrowd=torch.tensor([0, 0])))], classes=["roof", "tree"])
    found = dataset.instances(0)
    assert dataset.object_classes == ["roof", "tree"]
    assert np.array_equal(found.masks, masks_of((2, 3, 9, 8), (10, 10, 25, 20)).numpy().astype(bool))
    assert found.boxes.tolist() == [[2, 3, 9, 8], [10, 10, 25, 20]]
    assert found.class_ids.tolist() == [1, 0]
    assert found.is_crowd.tolist() == [False, True]
    assert not dataset.instances(1).is_crowd.any()


def test_labels_without_names() -> None:
    """They are numbered as the labels are, and in their order; background is no name of an object."""
    labels = [target(labels=torch.tensor([10, 2])), target(labels=torch.tensor([2, 2]), iscrowd=None)]
    assert as_dataset([(IMAGE, each) for each in labels]).object_classes == ["class_2", "class_10"]
    named = as_dataset([(IMAGE, target())], classes=["background", "roof", "tree"])
    assert named.object_classes == ["roof", "tree"]
    words = as_dataset([(IMAGE, target(labels=["zebra", "elephant"]))])
    assert words.object_classes == ["elephant", "zebra"]
    assert words.instances(0).class_ids.tolist() == [1, 0]


def test_a_trained_models_classes_name_the_labels() -> None:
    """So that other data of the same kind can be evaluated on."""
    known = as_dataset([(IMAGE, target())], classes=["roof", "tree"]).class_map
    other = as_dataset([(IMAGE, target())], class_map=known)
    assert other.instances(0).class_ids.tolist() == [1, 0]
    with pytest.raises(DataError, match="item 0: label 3, but 2 classes: roof, tree"):
        as_dataset([(IMAGE, target(labels=torch.tensor([3, 1])))], class_map=known)


def test_one_class_is_not_many() -> None:
    """A label too high for a single class, and a target of a single label."""
    known = as_dataset([(IMAGE, target(labels=torch.tensor([1, 1])))], classes=["roof"]).class_map
    with pytest.raises(DataError, match="item 0: label 2, but 1 class: roof"):
        as_dataset([(IMAGE, target(labels=torch.tensor([2, 1])))], class_map=known)
    with pytest.raises(DataError, match="item 0: 1 label, 2 masks or boxes and 1 'iscrowd'"):
        as_dataset([(IMAGE, target(labels=torch.tensor([1]), iscrowd=torch.tensor([0])))], class_map=known)


def test_labels_without_names_keep_their_numbers() -> None:
    """Where the training images lack one, it is not counted on over: it is another class, and refused by name."""
    known = as_dataset([(IMAGE, target(labels=torch.tensor([1, 3])))]).class_map
    assert known.object_classes == ("class_1", "class_3")
    again = as_dataset([(IMAGE, target(labels=torch.tensor([3, 3])))], class_map=known)
    assert again.instances(0).class_ids.tolist() == [1, 1]
    with pytest.raises(EasySegError, match="'class_2'"):
        as_dataset([(IMAGE, target(labels=torch.tensor([2, 3])))], class_map=known).instances(0)


def test_masks_beside_an_images_path(tmp_path: Path) -> None:
    """They have to be of its size, which is known when it is read."""
    write_image(tmp_path / "a.png", np.zeros((20, 30, 3), np.uint8))
    assert len(as_dataset([(tmp_path / "a.png", target())]).instances(0)) == 2
    other = as_dataset([(tmp_path / "a.png", target(masks=torch.ones(2, 10, 15)))])
    with pytest.raises(EasySegError, match="30 x 20 pixels, its annotation is for 15 x 10"):
        other.instances(0)


def test_boxes_say_in_which_order_their_numbers_are() -> None:
    """Torchvision's own boxes do; of others, corners that are none are refused."""
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[2, 3, 4, 5]]), format="XYWH", canvas_size=(20, 30))
    plain = {"labels": torch.tensor([1]), "boxes": boxes}
    with pytest.raises(DataError, match="item 0: the boxes are XYWH; expected XYXY"):
        as_dataset([(IMAGE, plain)], boxes="fill")
    with pytest.raises(DataError, match=r"box 0 is \[10.0, 9.0, 4.0, 5.0\]; expected x1, y1, x2, y2 .*box_convert"):
        as_dataset([(IMAGE, {"labels": [1], "boxes": [[10.0, 9, 4, 5]]})], boxes="fill")


def test_images_without_objects() -> None:
    """Empty targets of any shape are pictures of the background; objects without a pixel are left out."""
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 20, 30)}
    bare = {"boxes": [], "labels": [], "masks": []}
    blank = target(masks=torch.zeros(2, 20, 30))
    dataset = as_dataset([(IMAGE, each) for each in (target(), empty, bare, blank)])
    assert [len(dataset.instances(at)) for at in range(4)] == [2, 0, 0, 0]


def test_objects_take_the_memory_of_their_boxes() -> None:
    """A mask of the whole image for each of a thousand objects would fill it."""
    (sample,) = samples_from_memory([(IMAGE, target())])
    assert isinstance(sample.objects, tuple)
    assert [item.shape.mask.shape for item in sample.objects] == [(5, 7), (10, 15)]


def test_boxes_alone_are_for_those_who_learn_boxes() -> None:
    """As for files: refused, or taken to fill their boxes."""
    data = [(IMAGE, target(masks=None))]
    with pytest.raises(DataError, match=r"item 0: the target has boxes and no masks.*faster_rcnn"):
        as_dataset(data)
    assert as_dataset(data, boxes="fill").instances(0).boxes.tolist() == [[2, 3, 9, 8], [10, 10, 25, 20]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None}, "item 0: the target has no 'labels'; expected"),
        ({"labels": torch.tensor([0, 1])}, "the labels are 0, 1; expected whole numbers from 1 on"),
        ({"labels": torch.tensor([1.5, 1])}, "the labels are 1.5, 1; expected"),
        ({"labels": torch.tensor([1])}, "1 label, 2 masks or boxes and 2 'iscrowd'"),
        ({"labels": [None, 1]}, "'labels' holds object values that are no numbers"),
        ({"masks": masks_of((0, 0, 5, 5))[0]}, r"the masks have shape \(20, 30\)"),
        ({"masks": torch.ones(2, 9, 9)}, r"shape \(2, 9, 9\), and the image 20 x 30 pixels; expected"),
        ({"masks": None, "boxes": None}, "neither 'masks' nor 'boxes'"),
        ({"masks": None, "boxes": torch.zeros(2, 5)}, r"the boxes have shape \(2, 5\)"),
        ({"masks": [np.zeros((20, 30)), np.zeros((9, 9))]}, "several shapes"),
        ({"masks": torch.full((2, 20, 30), torch.nan)}, "'masks' holds float32 values that are no numbers"),
    ],
)
def test_broken_targets(changes: dict[str, Any], words: str) -> None:
    """They are named, with what was expected."""
    with pytest.raises(DataError, match=words):
        as_dataset([(IMAGE, target(**changes))], boxes="fill")


def test_nothing_to_learn() -> None:
    """A dataset without any object has no class."""
    with pytest.raises(ClassMapError, match="name no class"):
        as_dataset([(IMAGE, {"labels": [], "masks": []})])
