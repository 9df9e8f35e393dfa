"""From what a detector finds on the canvas to objects at the image's own size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import ConfigError, ModelError
from easyseg.metrics.instance import PredictedObjects
from easyseg.prediction.objects import FoundOnCanvas, ObjectLimits, ObjectPredictor, fetch
from easyseg.prediction.predictor import Predictor, Stopwatch
from easyseg.preprocessing import Preprocessing
from easyseg.structures import RawObjects

CPU = Compute(torch.device("cpu"), torch.float32)
CANVAS = Preprocessing((64, 64), "pad", 3)


def raw(boxes: Any, scores: Any, class_ids: Any = None, *, has_masks: bool = True) -> RawObjects:
    """Return objects with certain patches."""
    count = len(scores)
    return RawObjects(
        torch.tensor(boxes, dtype=torch.float32).reshape(count, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(class_ids if class_ids is not None else [0] * count, dtype=torch.int64),
        torch.ones(count, 28, 28) if has_masks else None,
    )


class Finder(nn.Module):
    """Finds one object more in each further image, and notes how many images it was shown at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def infer(self, images: Tensor) -> list[RawObjects]:
        self.batches.append(len(images))
        return [raw([[8, 8, 24, 40]] * int(image[0, 0, 0]), [0.9] * int(image[0, 0, 0])) for image in images]


def back(found: RawObjects, original_hw: tuple[int, int] = (32, 64), **limits: Any) -> PredictedObjects:
    """Return objects at the size of an image of half the canvas's height."""
    preprocessing = CANVAS
    predictor = Predictor(Finder(), preprocessing=preprocessing, compute=CPU, batch_size=2)
    objects = ObjectPredictor(predictor, preprocessing=preprocessing, limits=ObjectLimits(**limits))
    return objects.at_original_size(fetch([found])[0], preprocessing.place(original_hw))


def test_images_go_through_the_network_in_batches_and_come_one_by_one() -> None:
    """In order, with what belongs to them; images of one batch may hold any number of objects, none among them."""
    network = Finder()
    predictor = Predictor(network, preprocessing=Preprocessing(None, None, 3), compute=CPU, batch_size=2)
    objects = ObjectPredictor(predictor, preprocessing=Preprocessing(None, None, 3), limits=ObjectLimits())
    items = [predictor.prepare(np.full((4, 6, 3), number, np.uint8), number) for number in (2, 0, 1)]
    watch = Stopwatch()
    found = list(objects.found(items, watch))
    assert [len(one) for one, _ in found] == [2, 0, 1]
    assert [item.tag for _, item in found] == [2, 0, 1]
    assert network.batches == [2, 1]
    assert watch.seconds.keys() == {"reading", "network"}


def test_too_little_memory_is_said_in_words() -> None:
    """As for models of classes."""

    class Hungry(Finder):
        def infer(self, images: Tensor) -> list[RawObjects]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    predictor = Predictor(Hungry(), preprocessing=CANVAS, compute=CPU, batch_size=2)
    objects = ObjectPredictor(predictor, preprocessing=CANVAS, limits=ObjectLimits())
    with pytest.raises(ModelError, match=r"1 image of 64 x 64 pixels.*Type batch_size=1"):
        list(objects.found([predictor.prepare(np.zeros((4, 4, 3), np.uint8), None)], Stopwatch()))


@pytest.mark.parametrize("has_masks", [True, False])
def test_what_is_found_leaves_the_device_in_one_copy(monkeypatch: pytest.MonkeyPatch, has_masks: bool) -> None:
    """Whatever the number of images and objects; and every value arrives."""
    random = torch.Generator().manual_seed(0)
    given = [
        RawObjects(
            torch.rand(count, 4, generator=random),
            torch.rand(count, generator=random),
            torch.randint(0, 65_000, (count,), generator=random),
            torch.rand(count, 5, 5, generator=random) if has_masks else None,
        )
        for count in (3, 0, 2)
    ]
    copies: list[Tensor] = []
    cpu = Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda tensor: copies.append(tensor) or cpu(tensor))
    found = fetch(given)
    assert len(copies) == 1
    for one, expected in zip(found, given, strict=True):
        assert np.array_equal(one.boxes, expected.boxes.numpy())
        assert np.array_equal(one.scores, expected.scores.numpy())
        assert np.array_equal(one.class_ids, expected.class_ids.numpy())
        assert one.class_ids.dtype == np.int64
        if expected.masks is None:
            assert one.patches is None
        else:
            assert np.array_equal(one.patches, expected.masks.numpy())


def test_boxes_and_masks_come_back_to_the_image() -> None:
    """An image of 100 x 200 pixels fills 32 rows in the middle of the canvas; everything grows by 3.125."""
    found = back(raw([[16, 20, 32, 36]], [0.9]), (100, 200))
    assert found.boxes[0] == pytest.approx([50, 12.5, 100, 62.5])
    assert found.masks[0].size_hw == (100, 200)
    left, top, right, bottom = found.masks[0].box
    # half a pixel of the canvas to the right and down, see `pasting`
    assert (left, top, right, bottom) == pytest.approx((51, 14, 102, 64), abs=1.6)


def test_objects_in_the_padding_are_dropped() -> None:
    """Those that reach into it are cut off at the image's edge."""
    found = back(raw([[4, 0, 20, 15], [4, 50, 20, 64], [4, 10, 20, 30]], [0.9, 0.8, 0.7]), (32, 64))
    assert found.boxes.tolist() == [[4, 0, 20, 14]]
    assert found.scores == pytest.approx([0.7])


def test_surplus_objects_are_dropped() -> None:
    """The most certain remain, sorted, with their masks."""
    boxes = [[4, 20, 12, 28], [20, 20, 28, 28], [36, 20, 44, 28], [50, 20, 58, 28]]
    scores = [0.25, 0.75, 0.5, 0.125]
    assert back(raw(boxes, scores)).scores.tolist() == [0.75, 0.5, 0.25, 0.125]
    found = back(raw(boxes, scores, [0, 1, 2, 3]), max_detections=2)
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.class_ids.tolist() == [1, 2]
    assert [mask.box[0] for mask in found.masks] == [21, 37]


def test_not_a_number_is_no_object() -> None:
    """Neither as a score nor in a box."""
    found = back(raw([[4, 20, 12, 28], [4, float("nan"), 12, 28], [30, 20, 40, 28]], [float("nan"), 0.9, 0.8]))
    assert found.scores == pytest.approx([0.8])


def test_objects_without_a_pixel_are_dropped() -> None:
    """A patch that is sure of nothing is no object."""
    given = raw([[4, 20, 12, 28], [20, 20, 30, 28]], [0.9, 0.8])
    given.masks[0] = 0.4
    found = back(given)
    assert found.scores == pytest.approx([0.8])
    assert len(found.masks) == 1
    assert len(back(given, mask_threshold=0.3)) == 2


def test_boxes_without_masks() -> None:
    """Detectors that find boxes only have the same limits."""
    found = back(raw([[4, 20, 12, 28], [4, 0, 12, 5]], [0.9, 0.8], has_masks=False))
    assert found.masks is None
    assert found.boxes.tolist() == [[4, 4, 12, 12]]


@pytest.mark.parametrize("has_masks", [True, False])
def test_an_image_without_objects(has_masks: bool) -> None:
    """Nothing comes back, with masks as models that find them have them."""
    found = back(raw([], [], has_masks=has_masks))
    assert len(found) == 0
    assert found.masks == (() if has_masks else None)


def test_arguments_are_left_alone() -> None:
    """What was found can be brought back with other limits."""
    given = fetch([raw([[4, 0, 12, 28], [5, 0, 12, 28]], [0.5, 0.9])])[0]
    before = [array.copy() for array in (given.boxes, given.scores, given.class_ids, given.patches)]
    predictor = Predictor(Finder(), preprocessing=CANVAS, compute=CPU, batch_size=2)
    ObjectPredictor(predictor, preprocessing=CANVAS, limits=ObjectLimits()).at_original_size(
        given, CANVAS.place((32, 64))
    )
    for array, other in zip((given.boxes, given.scores, given.class_ids, given.patches), before, strict=True):
        assert np.array_equal(array, other)
    assert len(given) == 2
    assert isinstance(given, FoundOnCanvas)


@pytest.mark.parametrize(
    "wrong",
    [{"mask_threshold": -0.1}, {"mask_threshold": 1.5}, {"mask_threshold": float("nan")}, {"max_detections": 0}],
)
def test_limits_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """The message names the limit, its value, and one that works."""
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=rf"{name}={value}; expected .* Type {name}="):
        ObjectLimits(**wrong)
