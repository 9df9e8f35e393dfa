"""Anchors: measured where they really are, and chosen for the objects at hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from easyseg.errors import ConfigError, DataError
from easyseg.models.instance import anchors
from easyseg.models.instance.anchors import COCO_ANCHORS, STRIDES, Anchors, choose_anchors, measure_anchors
from easyseg.models.instance.proposals import PyramidAnchors, to_images


def random_boxes(count: int, sides: tuple[float, float], canvas_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return boxes (count, 4) with sides in a range, anywhere on the canvas."""
    generator = np.random.default_rng(seed)
    side = np.exp(generator.uniform(*np.log(sides), (count, 2)))
    corner = generator.uniform(0, 1, (count, 2)) * (np.array(canvas_hw[::-1]) - side)
    return np.concatenate([corner, corner + side], axis=1)


@pytest.mark.parametrize("canvas_hw", [(96, 160), (131, 97), (500, 333)])
def test_recall_is_that_of_all_anchors_there_are(canvas_hw: tuple[int, int]) -> None:
    """Every box against every anchor of the image, as the detector has them, gives the same figures."""
    boxes = random_boxes(300, (4, 90), canvas_hw)
    fit = measure_anchors(COCO_ANCHORS, boxes, canvas_hw=canvas_hw)
    padded = [-(-side // 32) * 32 for side in canvas_hw]
    levels = [torch.zeros(1, 1, *(math.ceil(side / stride) for side in padded)) for stride in STRIDES]
    everywhere = PyramidAnchors(COCO_ANCHORS)(to_images(torch.zeros(1, 3, *padded), *canvas_hw), levels)[0]
    best = box_iou(torch.tensor(boxes), everywhere.double()).amax(dim=1)
    assert fit.mean_iou == pytest.approx(float(best.mean()))
    assert fit.recall_50 == pytest.approx(float((best >= 0.5).double().mean()))
    assert fit.recall_70 == pytest.approx(float((best >= 0.7).double().mean()))
    assert 0 < fit.recall_70 < fit.recall_50 < 1


@pytest.mark.parametrize("sides", [(6, 14), (10, 40), (30, 300), (100, 400)])
def test_chosen_anchors_suit_the_objects(sides: tuple[float, float]) -> None:
    """Small, middling, mixed and large objects: recall is high, and never below that of the usual anchors."""
    boxes = random_boxes(1500, sides, (512, 512))
    fit = choose_anchors(boxes, canvas_hw=(512, 512))
    usual = measure_anchors(COCO_ANCHORS, boxes, canvas_hw=(512, 512))
    assert fit == measure_anchors(fit.anchors, boxes, canvas_hw=(512, 512))
    assert fit.recall_50 > 0.9
    assert fit.mean_iou > usual.mean_iou
    assert fit.recall_70 >= usual.recall_70


def test_places_go_to_objects_that_nothing_suits() -> None:
    """One object met badly is worth more than several met well already; beyond a match little is to be had."""
    values = [anchors._value(np.array([[0.72, 0.72, 0.72, 0.2], [0.99, 0.99, 0.99, 0.1]]))]
    assert anchors._greedily(values, per_position=1) == anchors._exchanged([[1]], values) == [[0]]
    equal = [anchors._value(np.array([[0.72, 0.72], [0.99, 0.99]]))]
    assert anchors._greedily(equal, per_position=2) == [[1]], "better is better where all are met, and once is enough"


def test_exchanges_only_improve(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken first may be of no use in the end; in its place comes what is."""
    boxes = random_boxes(600, (6, 70), (512, 512))
    fit = choose_anchors(boxes, canvas_hw=(512, 512))
    monkeypatch.setattr(anchors, "_exchanged", lambda chosen, _: chosen)
    without = choose_anchors(boxes, canvas_hw=(512, 512))
    assert fit.recall_50 > without.recall_50


def test_long_objects_get_long_anchors() -> None:
    """Cars in a row, five times as wide as high, are met by shapes like theirs."""
    corner = random_boxes(500, (1, 2), (400, 400))[:, :2]
    boxes = np.concatenate([corner, corner + np.array([100, 20])], axis=1)
    fit = choose_anchors(boxes, canvas_hw=(512, 512), per_position=2)
    assert fit.anchors.per_position == 2
    assert fit.recall_70 > 0.95
    assert any(4 < width / height < 6 for level in fit.anchors.shapes for width, height in level)
    assert measure_anchors(COCO_ANCHORS, boxes, canvas_hw=(512, 512)).recall_50 < 0.2


def test_choosing_is_repeatable_and_scales_to_many_boxes() -> None:
    """Of a hundred thousand boxes some are chosen by, and all are measured."""
    boxes = random_boxes(100_000, (20, 120), (512, 512))
    fit = choose_anchors(boxes, canvas_hw=(512, 512))
    assert fit == choose_anchors(boxes, canvas_hw=(512, 512))
    assert fit.mean_iou == pytest.approx(measure_anchors(fit.anchors, boxes, canvas_hw=(512, 512)).mean_iou)
    assert fit.recall_50 > 0.9


@pytest.mark.parametrize("per_position", [1, 3])
def test_without_objects_the_usual_anchors_stay(per_position: int) -> None:
    """There is nothing to choose by, and nothing to measure."""
    fit = choose_anchors([], canvas_hw=(512, 512), per_position=per_position)
    assert math.isnan(fit.recall_50)
    assert math.isnan(fit.mean_iou)
    assert fit.anchors.per_position == per_position
    assert (32, 32) in fit.anchors.shapes[0]


def test_torchvision_rounds_its_anchors() -> None:
    """The usual shapes are those that torchvision's weights know."""
    assert COCO_ANCHORS.shapes[0] == ((46, 22), (32, 32), (22, 46))
    assert Anchors.of((5, 8, 16, 32, 64), (1.0,)).shapes[0] == ((4, 4),)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((((8, 8),),) * 4, r"Anchors of 4 levels with \[1, 1, 1, 1\] shapes"),
        ((((8, 8),),) * 4 + (((8, 8), (9, 9)),), r"5 levels with \[1, 1, 1, 1, 2\]"),
        (((),) * 5, r"\[0, 0, 0, 0, 0\]"),
        ((((8, 0),),) * 5, "not above 0"),
    ],
)
def test_impossible_anchors_are_refused(shapes: tuple[tuple[tuple[float, float], ...], ...], message: str) -> None:
    """The message says what was found and what is expected."""
    with pytest.raises(ConfigError, match=message):
        Anchors(shapes)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"shape \(1, 3\)"),
        ([[1, 2, 3, 4], [5, 5, 5, 9]], r"Box 1 .* \[5.0, 5.0, 5.0, 9.0\]"),
        ([[0, 0, float("inf"), 3]], "Box 0 "),
        ([[0, 0, float("nan"), 3]], "Box 0 "),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: list[list[float]], message: str) -> None:
    """Objects without area would make every figure wrong."""
    with pytest.raises(DataError, match=message):
        choose_anchors(boxes, canvas_hw=(64, 64))
