"""Plans travel in a file's header, and build the same detector again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from detectors import batch_of, build, check_same

from easyseg.errors import CheckpointError, ConfigError
from easyseg.models.instance.anchors import Anchors, choose_anchors
from easyseg.models.instance.heads import DetectionLimits
from easyseg.models.instance.plan import DetectorPlan


@pytest.mark.parametrize(
    "plan",
    [
        DetectorPlan(),
        DetectorPlan(Anchors.of((8, 16, 32, 64, 128), (1.0,)), DetectionLimits(0.1, 0.7, 300), "coco_v2", "all"),
        DetectorPlan(choose_anchors([[3, 3, 31, 17], [5, 5, 50, 61]], canvas_hw=(96, 96)).anchors, held="encoder"),
    ],
)
def test_plans_come_back_from_json(plan: DetectorPlan) -> None:
    """Nothing is lost, chosen anchors included."""
    assert DetectorPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_detector_is_built_again_from_its_header() -> None:
    """Names, plan and weights give the same objects; structure and held statistics are those of before."""
    anchors = choose_anchors([[3, 3, 31, 17], [5, 5, 50, 61]], canvas_hw=(96, 96), per_position=2).anchors
    model = build(
        "mask_rcnn", "test_resnet", plan=DetectorPlan(anchors, DetectionLimits(0.0, 0.6, 5), "coco_v2", "all")
    )
    header = json.loads(json.dumps(model.plan.to_dict()))
    again = build("mask_rcnn", "test_resnet", seed=1, plan=DetectorPlan.from_dict(header))
    again.load_state_dict(model.state_dict())
    assert again.plan == model.plan
    assert again.anchors == anchors
    assert not again.train().network.get_submodule("fpn.inner_blocks.0.1").training
    images = batch_of(1).images
    check_same(model.eval().infer(images), again.eval().infer(images))


def test_the_plan_tells_of_the_anchors_that_weights_brought() -> None:
    """A header written after loading says what the network has, not what it was ordered with."""
    brought = Anchors.of((8, 16, 32, 64, 128))
    model = build("mask_rcnn", "test_convnext")
    model.load_state_dict(build("mask_rcnn", "test_convnext", plan=DetectorPlan(brought)).state_dict())
    assert model.plan.anchors == brought


def test_chosen_anchors_survive_single_precision() -> None:
    """Sides are multiples of an eighth, which float32 holds exactly."""
    shapes = torch.tensor(choose_anchors([[3, 3, 30.7, 17.3]], canvas_hw=(96, 96)).anchors.shapes, dtype=torch.float64)
    assert torch.equal(shapes, shapes.float().double())
    assert torch.equal(8 * shapes, (8 * shapes).round())


GOOD = DetectorPlan().to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchors": None}, "TypeError"),
        ({"anchors": [[[8, 8]]] * 4}, "ConfigError: Anchors of 4 levels"),
        ({"anchors": [[[8, 8, 8]]] * 5}, "ValueError: too many values"),
        ({"anchors": [[[8, -8]]] * 5}, "not above 0"),
        ({"limits": {"score_threshold": 0.1}}, "KeyError: 'nms_iou'"),
        ({"limits": {"score_threshold": 0.1, "nms_iou": 0.5, "per_image": 0}}, "at least 1 object"),
        ({"structure": "coco_v3"}, "structure='coco_v3' of a detector is unknown; give 'standard', 'coco_v1'"),
        ({"held": ["encoder"]}, "held=.*'none', 'encoder', 'all'"),
    ],
)  # fmt: skip
def test_headers_that_make_no_detector_are_refused(changes: dict[str, Any], message: str) -> None:
    """The message says what is wrong, and shows what is there."""
    with pytest.raises(CheckpointError, match=message):
        DetectorPlan.from_dict(GOOD | changes)


@pytest.mark.parametrize("name", ["anchors", "limits", "structure", "held"])
def test_headers_that_lack_something_are_refused(name: str) -> None:
    """Nothing is filled in with what happens to be usual now."""
    with pytest.raises(CheckpointError, match=f"KeyError: '{name}'"):
        DetectorPlan.from_dict({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize("limits", [(-0.1, 0.5, 100), (0.05, 1.1, 100), (0.05, 0.5, 0), (float("nan"), 0.5, 100)])
def test_impossible_limits_are_refused(limits: tuple[float, float, int]) -> None:
    """Else nothing, or everything, would be found."""
    with pytest.raises(ConfigError, match="thresholds of 0 to 1, and at least 1 object per image"):
        DetectionLimits(*limits)
