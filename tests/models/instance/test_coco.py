"""Torchvision's COCO weights give torchvision's results."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectors import batch_of, build, make_quick
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models import detection as zoo

from easyseg.errors import WeightsError
from easyseg.models.instance import coco
from easyseg.models.instance.anchors import Anchors
from easyseg.models.instance.plan import DetectorPlan

BUILDERS: dict[tuple[str, str], Callable[..., nn.Module]] = {
    ("mask_rcnn", "coco_v1"): zoo.maskrcnn_resnet50_fpn,
    ("mask_rcnn", "coco"): zoo.maskrcnn_resnet50_fpn_v2,
    ("faster_rcnn", "coco_v1"): zoo.fasterrcnn_resnet50_fpn,
    ("faster_rcnn", "coco_v2"): zoo.fasterrcnn_resnet50_fpn_v2,
}


def pretend_to_fetch(monkeypatch: pytest.MonkeyPatch, model: str, weights: str) -> Any:
    """Let one of torchvision's networks, with a random start, stand for the file; return it."""
    torch.manual_seed(0)
    settings = {"weights": None, "weights_backbone": None, "min_size": 128, "max_size": 160, "box_score_thresh": 0.0}
    theirs = BUILDERS[model, weights](**settings).eval()
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: theirs.state_dict())
    make_quick(theirs)
    return theirs


@pytest.mark.parametrize(
    ("model", "weights"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair == ("mask_rcnn", "coco") else []) for pair in BUILDERS],
)
def test_every_weight_lands_where_it_belongs(model: str, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With COCO's own number of classes the same image gives the same objects."""
    theirs = pretend_to_fetch(monkeypatch, model, weights)
    ours = build(model, "resnet50", num_classes=90, weights=weights).eval()
    assert ours.weights_note == f"{weights} weights"
    ours.network.roi_heads.score_thresh = 0.0
    for module in theirs.modules() if weights == "coco_v1" else ():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12  # as torchvision does with its real weights
    image = torch.randint(0, 256, (1, 3, 128, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (expected,) = theirs([image[0] / 255])
    (found,) = ours.infer(image)
    assert len(found) == len(expected["boxes"]) == 8
    assert torch.equal(found.class_ids + 1, expected["labels"])
    assert torch.allclose(found.scores, expected["scores"], atol=1e-3)
    assert torch.allclose(found.boxes, expected["boxes"], atol=0.1)
    assert (found.masks is None) == (model == "faster_rcnn")


def test_other_classes_anchors_and_channels_start_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on their numbers keeps its random start, and is named; the first layer is fitted."""
    theirs = pretend_to_fetch(monkeypatch, "mask_rcnn", "coco_v1")
    plan = DetectorPlan(anchors=Anchors.of((16, 32, 64, 128, 256), (1.0,)))
    ours = build("mask_rcnn", "resnet50", num_classes=3, in_channels=1, weights="coco_v1", plan=plan)
    fresh = ours.weights_note.removeprefix("coco_v1 weights; ").removesuffix(" start at random").split(", ")
    assert fresh == [
        "roi_heads.box_predictor.bbox_pred",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.mask_predictor.mask_fcn_logits",
        "rpn.head.bbox_pred",
        "rpn.head.cls_logits",
    ]
    first = ours.network.get_parameter("encoder.body.conv1.weight")
    assert torch.allclose(first, theirs.backbone.body.conv1.weight.sum(dim=1, keepdim=True))
    kept = ours.network.get_parameter("roi_heads.mask_predictor.conv5_mask.weight")
    assert torch.equal(kept, theirs.roi_heads.mask_predictor.conv5_mask.weight)


def test_all_statistics_are_held_and_the_plan_rebuilds(monkeypatch: pytest.MonkeyPatch) -> None:
    """In training no statistics of a pretrained detector move, its weights do; the plan needs no weights again."""
    pretend_to_fetch(monkeypatch, "mask_rcnn", "coco")
    ours = build("mask_rcnn", "resnet50", weights="coco").train()
    assert (ours.plan.structure, ours.plan.held) == ("coco_v2", "all")
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    losses = ours.losses(batch_of(1))
    torch.stack(list(losses.values())).sum().backward()
    after = ours.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "running" in name)
    norm = ours.network.get_parameter("roi_heads.mask_head.0.1.weight")
    assert norm.grad is not None
    monkeypatch.undo()
    again = build("mask_rcnn", "resnet50", weights=None, plan=ours.plan)
    again.load_state_dict(ours.state_dict())
    assert again.plan == ours.plan
    assert not again.train().network.get_submodule("fpn.inner_blocks.0.1").training


def test_a_change_in_torchvision_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of another shape, which is not one that may differ, is an error."""
    theirs = pretend_to_fetch(monkeypatch, "faster_rcnn", "coco_v1")
    theirs.roi_heads.box_head.fc7 = nn.Linear(1024, 512)
    known = coco._RECIPES["faster_rcnn", "coco_v1"]
    changed = coco._Recipe(lambda **_: theirs, known.weights)
    monkeypatch.setitem(coco._RECIPES, ("faster_rcnn", "coco_v1"), changed)
    with pytest.raises(WeightsError, match=r"fc7.weight' has shape \(512, 1024\), and \(1024, 1024\) is expected"):
        build("faster_rcnn", "resnet50", weights="coco_v1")


@pytest.mark.parametrize(
    ("encoder", "plan", "message"),
    [
        (
            "resnet18",
            None,
            r"'resnet50' only, not for 'resnet18'. Type Segmenter\('mask_rcnn', 'resnet50', weights='coco",
        ),
        ("resnet50", DetectorPlan(structure="standard"), r"need structure='coco_v2', not 'standard'"),
    ],
)
def test_coco_weights_that_do_not_fit(encoder: str, plan: DetectorPlan | None, message: str) -> None:
    """The message says what they are for."""
    with pytest.raises(WeightsError, match=message):
        build("mask_rcnn", encoder, weights="coco", plan=plan)


def test_without_network_the_error_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The network never starts from random weights unasked."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=re.compile(r"'coco' for 'resnet50' cannot be fetched: .*TORCH_HOME", re.S)):
        build("mask_rcnn", "resnet50", weights="coco")
