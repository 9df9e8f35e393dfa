"""How large and how many objects are, before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data.batches.object_batches import DecodeObjects
from easyseg.data.dataset import Dataset
from easyseg.data.object_sizes import measure_objects
from easyseg.data.objects.canvas_objects import boxes_of
from easyseg.data.reading import load_dataset
from easyseg.errors import DataError, SampleError
from easyseg.geometry import RunLengths
from easyseg.preprocessing import Preprocessing
from easyseg.structures import BoxShape, ClassMap, LabelledObject, MaskPart, NumberedObjects, Polygons, Sample, Shape

NAMES = ClassMap("multiclass", ("car", "bus"), "names", object_names=(("car",), ("bus",)), ignored_names=("bird",))
CANVAS = Preprocessing((100, 100))
SQUARE = np.array([[10, 20], [30, 20], [30, 60], [10, 60]], np.float64)


def of(*shapes: Shape, name: str = "car", **given: bool) -> Sample:
    """Return an image of 50 x 50 pixels with objects of one class."""
    return Sample(np.zeros((50, 50, 3), np.uint8), objects=tuple(LabelledObject(name, s, **given) for s in shapes))


def measured(*samples: Sample):
    """Measure samples on a canvas of twice their size."""
    return measure_objects(Dataset(samples, NAMES), CANVAS)


def test_boxes_of_every_kind_of_shape() -> None:
    """Outlines, boxes, run lengths, masks and numbers give the same box on the canvas, cut at the image's edge."""
    mask = np.zeros((50, 50), np.uint8)
    mask[20:, 10:30] = 1
    shapes = (Polygons(((SQUARE,),)), Polygons(((SQUARE / 50,),), is_relative=True), BoxShape(10, 20, 30, 60))
    found = measured(of(*shapes, RunLengths.from_mask(mask), MaskPart(mask)))
    assert found.boxes.tolist() == [[20, 40, 60, 100]] * 5
    assert found.counts.tolist() == [5]
    sample = Sample(np.zeros((50, 50, 3), np.uint8), objects=NumberedObjects(mask, "car"))
    assert measured(sample).boxes.tolist() == [[20, 40, 60, 100]]


def test_counts_crowds_and_empty_images() -> None:
    """Crowds and objects that do not count are no objects; images without any are counted."""
    square = Polygons(((SQUARE,),))
    found = measured(
        of(square, square), of(square, is_crowd=True), of(square, name="bird"), of(), of(square, name="bus"),
        of(square, name="background"),
    )  # fmt: skip
    assert found.counts.tolist() == [2, 0, 0, 0, 1, 0]
    assert found.class_ids.tolist() == [0, 0, 1]
    assert (found.num_crowds, found.num_empty, found.num_vanished, found.most) == (2, 4, 0, 2)
    assert found.count_quantile(0.5) == 0
    assert found.count_quantile(1) == 2


def test_what_covers_no_pixel_has_vanished() -> None:
    """Lines, points between pixels, objects outside of the image, and what is too small for the canvas."""
    line = Polygons(((np.array([[0, 0], [40, 0], [20, 0]], float),),))
    thin = Polygons(((np.array([[5.1, 5], [5.2, 5], [5.2, 45], [5.1, 45]], float),),))
    outside = Polygons(((SQUARE + 100,),))
    found = measured(of(line, thin, outside, BoxShape(3, 3, 3, 9)))
    assert (len(found.boxes), found.num_vanished) == (0, 4)
    small = Dataset((of(BoxShape(0, 0, 1, 1), BoxShape(20, 20, 40, 40)),), NAMES)
    assert measure_objects(small, Preprocessing((10, 10))).num_vanished == 1
    assert measure_objects(small, Preprocessing((10, 10))).side_quantile(0) >= 4
    assert measure_objects(small, CANVAS).side_quantile(0) < 4


def test_masks_of_classes_are_refused_by_name() -> None:
    """Where objects are not told apart, the message offers the ways out."""
    sample = Sample(np.zeros((9, 9, 3), np.uint8), np.ones((9, 9), np.uint8))
    with pytest.raises(DataError, match=r"masks of classes.*as_instances\(\)"):
        measure_objects(Dataset((sample,), ClassMap("binary", ("roof",))), CANVAS)


def test_masks_of_another_size_are_refused_by_name() -> None:
    """A run length mask for another image names the image and the object."""
    with pytest.raises(SampleError, match=r"object 1: its mask has 40 x 40 pixels"):
        measured(of(Polygons(((SQUARE,),)), RunLengths.from_mask(np.ones((40, 40)))))
    other = Sample(np.zeros((50, 50, 3), np.uint8), objects=(), size_hw=(60, 60))
    with pytest.raises(SampleError, match="its annotation is for 60 x 60"):
        measured(other)


def test_outlines_that_are_no_pixels_are_refused() -> None:
    """Infinite points are an error here already, not in the middle of an epoch."""
    broken = SQUARE.copy()
    broken[0, 0] = np.inf
    with pytest.raises(SampleError, match="object 0"):
        measured(of(Polygons(((broken,),))))


@pytest.mark.parametrize(
    ("name", "given"), [("pennfudan", {}), ("car_damage_via", {"annotations": "*_multiclass.json"})]
)
def test_real_boxes_are_those_of_training(shared_data: Path, name: str, given: dict[str, str]) -> None:
    """On real data, the quick boxes are those of the masks, thin corners aside."""
    dataset = load_dataset(shared_data / name, **given).split("train")
    preprocessing = Preprocessing((512, 512))
    decode = DecodeObjects(dataset, preprocessing)
    exact = np.concatenate([boxes_of(decode.objects(index)) for index in range(len(dataset))])
    found = measure_objects(dataset, preprocessing).boxes
    assert found.shape == exact.shape
    assert np.mean(np.abs(found - exact) <= 1) > 0.97
    assert np.abs(found - exact).max() < 6


def test_masks_of_another_size_are_named() -> None:
    """Before any step: drawn in the upper left corner, they would teach that objects lie there."""
    with pytest.raises(SampleError, match=r"object 1: its mask has 25 x 25 pixels, its image 50 x 50"):
        measured(of(MaskPart(np.ones((50, 50), np.uint8)), MaskPart(np.ones((25, 25), np.uint8))))
