"""What an image's objects are to the metrics, drawn one by one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from easyseg.data.dataset import Dataset
from easyseg.data.objects import drawing
from easyseg.errors import SampleError
from easyseg.structures import BoxShape, ClassMap, ConnectedRegions, LabelledObject, NumberedObjects, Sample

NAMES = ClassMap("multiclass", ("car", "bus"), "names", object_names=(("car",), ("bus",)), ignored_names=("bird",))


def box(name: str, x1: float, y1: float, x2: float, y2: float, *, is_crowd: bool = False) -> LabelledObject:
    """Return an object that is a box."""
    return LabelledObject(name, BoxShape(x1, y1, x2, y2), is_crowd=is_crowd)


def test_truth_is_what_instances_are() -> None:
    """Masks, boxes, classes and crowds are the same; objects without a pixel are left out of both."""
    objects = (box("bus", 2, 3, 9, 8), box("car", 4, 4, 4, 9), box("car", 0, 0, 5, 5, is_crowd=True))
    dataset = Dataset((Sample(np.zeros((20, 30, 3), np.uint8), objects=objects),), NAMES)
    truth, expected = dataset.truth(0), dataset.instances(0)
    assert truth.masks is not None
    assert np.array_equal([mask.to_mask() for mask in truth.masks], expected.masks)
    assert np.array_equal(truth.boxes, expected.boxes)
    assert truth.class_ids.tolist() == expected.class_ids.tolist() == [1, 0]
    assert truth.is_crowd.tolist() == expected.is_crowd.tolist() == [False, True]
    assert not truth.is_of_every_class.any()


def test_objects_that_do_not_count_are_crowds_of_every_class() -> None:
    """They are no instances, and a detector is not told off for finding them."""
    objects = (box("bird", 2, 3, 9, 8), box("car", 10, 10, 15, 15))
    dataset = Dataset((Sample(np.zeros((20, 30, 3), np.uint8), objects=objects),), NAMES)
    truth = dataset.truth(0)
    assert truth.boxes.tolist() == [[2, 3, 9, 8], [10, 10, 15, 15]]
    assert truth.is_crowd.tolist() == truth.is_of_every_class.tolist() == [True, False]
    assert len(dataset.instances(0)) == 1


def test_annotated_boxes_are_measured_as_they_are() -> None:
    """Rounded to pixels, a perfect detector of small objects would miss stricter thresholds; images end somewhere."""
    objects = (box("bus", 2.4, 3.6, 9.3, 8.1), box("car", -4, 17.5, 12.25, 30))
    dataset = Dataset((Sample(np.zeros((20, 30, 3), np.uint8), objects=objects),), NAMES)
    truth = dataset.truth(0)
    assert truth.boxes.tolist() == [[2.4, 3.6, 9.3, 8.1], [0, 17.5, 12.25, 20]]
    assert dataset.instances(0).boxes.tolist() == [[2, 4, 9, 8], [0, 17, 12, 20]]


def test_void_pixels_of_masks_are_a_crowd_of_every_class() -> None:
    """What is found there is neither right nor wrong: it may be an object that nobody marked."""
    image, mask = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    mask[2:8, 3:9], mask[12:18, 20:30], mask[0, 29] = 1, 255, 255
    classes = ClassMap("binary", ("car",), ignored=(255,))
    regions = Dataset((Sample(image, mask, objects=ConnectedRegions()),), classes)
    numbers = Dataset((Sample(image, objects=NumberedObjects(mask, "car", void=(255,))),), NAMES)
    planes = np.stack([mask, np.where(mask == 1, 0, mask)], axis=-1)
    both = ClassMap("multilabel", ("car", "bus"), values=(1,), ignored=(255,))
    layers = Dataset((Sample(image, (planes[..., 0], planes[..., 1]), objects=ConnectedRegions()),), both)
    for dataset in (regions, numbers, layers):
        truth = dataset.truth(0)
        assert truth.is_crowd.tolist() == truth.is_of_every_class.tolist() == [True, False]
        assert truth.is_void.tolist() == [True, False]
        assert truth.areas.tolist() == [61, 36]
        assert len(dataset.instances(0)) == 1


def test_images_without_objects_and_without_annotation() -> None:
    """The first have none to find, the others are refused."""
    image = np.zeros((20, 30, 3), np.uint8)
    dataset = Dataset((Sample(image, objects=()), Sample(image)), NAMES)
    assert len(dataset.truth(0)) == 0
    with pytest.raises(SampleError, match="has no objects"):
        dataset.truth(1)


@pytest.mark.parametrize("kind", ["shapes", "numbers", "regions"])
def test_many_large_masks_never_lie_in_memory_together(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """150 objects in an image of 2000 x 2000 pixels would be 600 MB as masks; a few of these masks are enough."""
    monkeypatch.setattr(drawing, "MOST_INSTANCE_BYTES", 1)  # training has no such limit, so evaluation has none
    size, places = 2000, [(130 * (at % 15) + 9, 180 * (at // 15) + 9) for at in range(150)]
    image = np.zeros((size, size, 1), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    for number, (x, y) in enumerate(places, start=1):
        mask[y : y + 90, x : x + 60] = number if kind == "numbers" else 1
    if kind == "shapes":
        sample = Sample(image, objects=tuple(box("car", x, y, x + 60, y + 90) for x, y in places))
    elif kind == "numbers":
        sample = Sample(image, objects=NumberedObjects(mask, "car"))
    else:
        sample = Sample(image, mask, objects=ConnectedRegions())
    dataset = Dataset((sample,), ClassMap("binary", ("car",)) if kind == "regions" else NAMES)
    tracemalloc.start()
    try:
        truth = dataset.truth(0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(truth) == 150
    assert truth.areas.tolist() == [5400.0] * 150
    assert peak < 15 * size * size
