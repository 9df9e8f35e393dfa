"""The first stage: anchors where they belong, crowds left alone, coordinates in full precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from easyseg.models.instance.anchors import COCO_ANCHORS, STRIDES, Anchors
from easyseg.models.instance.proposals import (
    PyramidAnchors,
    build_proposals,
    in_crowd,
    returning,
    to_images,
)


def levels(height: int, width: int, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return random features of all levels for an image of that size."""
    torch.manual_seed(0)
    return [
        torch.randn(2, 256, -(-height // stride), -(-width // stride)).to(dtype=dtype)
        for stride in STRIDES
    ]  # fmt: skip


def named(features: list[Tensor]) -> dict[str, Tensor]:
    """Return features by the names that torchvision has for them."""
    return {str(place): feature for place, feature in enumerate(features)}


def test_anchors_are_those_of_torchvision() -> None:
    """Where sides are multiples of all strides, both agree to the last digit."""
    images = to_images(torch.zeros(2, 3, 128, 192), 128, 192)
    theirs = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    expected = theirs(images, levels(128, 192))
    found = PyramidAnchors(COCO_ANCHORS)(images, levels(128, 192))
    assert len(found) == 2
    assert torch.equal(found[0], expected[0])


def test_odd_sizes_do_not_move_anchors() -> None:
    """On the last level of a 96 pixel image, torchvision would place anchors 48 pixels apart; they are 64 apart."""
    found = PyramidAnchors(COCO_ANCHORS)(to_images(torch.zeros(1, 3, 96, 96), 96, 96), levels(96, 96))[0]
    assert found[-1].tolist() == [64 - 362 / 2, 64 - 724 / 2, 64 + 362 / 2, 64 + 724 / 2]


def test_half_precision_does_not_reach_coordinates() -> None:
    """In bfloat16 there is no 257; anchors and boxes are float32, while features are not."""
    network = build_proposals(COCO_ANCHORS, depth=1, most=100).eval()
    features = levels(512, 512, dtype=torch.bfloat16)
    images = to_images(torch.zeros(2, 3, 512, 512), 512, 512)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, deltas = network.head(features)
        boxes, _ = network(images, named(features))
    assert {each.dtype for each in (*logits, *deltas, *boxes)} == {torch.float32}
    anchors = network.anchor_generator(images, features)[0]
    assert anchors.dtype == torch.float32
    assert 508.0 - 16 in anchors[:, 0].tolist()
    fractions = (boxes[0] - boxes[0].bfloat16().float()).abs()
    assert float(fractions.max()) > 0.1, "boxes hold what bfloat16 cannot"


def test_more_objects_need_more_proposals() -> None:
    """The second stage gets at least as many boxes as there may be objects."""
    network = build_proposals(COCO_ANCHORS, depth=1, most=1500).eval()
    assert network.post_nms_top_n() == network.pre_nms_top_n() == 1500
    assert build_proposals(COCO_ANCHORS, depth=1, most=100).eval().post_nms_top_n() == 1000


CANVAS = torch.tensor([0.0, 0, 128, 128])


def test_in_crowd() -> None:
    """Half of the box has to lie in crowds, in one or in many; what lies outside of the image is not looked at."""
    crowds = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]])
    boxes = torch.tensor([[0.0, 0, 4, 4], [5, 0, 14, 10], [6, 0, 15, 10], [52, 48, 58, 60], [20, 20, 30, 30]])
    beyond = torch.tensor([[-20.0, -20, 10, 10], [-20, -20, 20, 20], [110, 0, 150, 9]])
    assert in_crowd(boxes, crowds, CANVAS).tolist() == [True, True, False, True, False]
    assert in_crowd(beyond, crowds, CANVAS).tolist() == [True, False, False]
    assert in_crowd(boxes, crowds[:0], CANVAS).tolist() == [False] * 5
    strips = torch.tensor([[0.0, 0, 100, 10], [0, 10, 100, 20], [0, 20, 100, 30]])
    assert in_crowd(torch.tensor([[10.0, 0, 40, 60], [10, 0, 40, 61]]), strips, CANVAS).tolist() == [True, False]


def test_in_one_of_very_many_crowds() -> None:
    """The same as adding up what each box has in common with each crowd, beyond the image, too."""
    generator = torch.Generator().manual_seed(0)
    corners, sides = (
        torch.randint(*limits, (1500, 2), generator=generator).float() for limits in ((-30, 150), (1, 40))
    )
    boxes = torch.cat([corners, corners + sides], dim=1)
    crowds, boxes = boxes[:150].clamp(0, 128), boxes[150:]
    low, high = boxes[:, :2].clamp(min=0), boxes[:, 2:].clamp(max=128)
    shared = (torch.minimum(high[:, None], crowds[:, 2:]) - torch.maximum(low[:, None], crowds[:, :2])).clamp(min=0)
    expected = shared.prod(dim=2).sum(dim=1) >= (high - low).clamp(min=0).prod(dim=1) / 2
    assert 0.2 < expected.float().mean() < 0.98
    assert torch.equal(in_crowd(boxes, crowds, CANVAS), expected)


def test_very_many_crowds_are_compared_in_parts() -> None:
    """However many there are, memory stays bounded and each of them counts."""
    corners = torch.arange(1000.0)[:, None]
    crowds = torch.cat([corners, corners, corners + 1, corners + 1], dim=1)
    shapes: set[int] = set()

    class Noting(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            shapes.add(result.numel() if isinstance(result, Tensor) else 0)
            return result

    with Noting():
        found = in_crowd(crowds.flip(0), crowds, torch.tensor([0.0, 0, 1000, 1000]))
    assert found.all()
    assert max(shapes) <= 1000 * 64 * 2


def labels_of(targets: dict[str, Tensor]) -> Tensor:
    """Return what each anchor of the finest level, one per position, is to be in an image of 128 pixels."""
    network = build_proposals(Anchors.of((32, 64, 128, 256, 512), (1.0,)), depth=1, most=10)
    anchors = network.anchor_generator(to_images(torch.zeros(1, 3, 128, 128), 128, 128), levels(128, 128))
    (labels,), _ = network.assign_targets_to_anchors(anchors, [targets])
    return labels[: 32 * 32].view(32, 32)  # the finest level


def test_anchors_in_crowds_are_neither_right_nor_wrong() -> None:
    """They are ignored, but for those that match an object in the crowd; without a crowd they are background."""
    objects = torch.tensor([[48.0, 48, 80, 80]])
    crowd = torch.tensor([[0.0, 0, 128, 70]])
    without = labels_of({"boxes": objects, "crowds": crowd[:0], "canvas": CANVAS})
    within = labels_of({"boxes": objects, "crowds": crowd, "canvas": CANVAS})
    assert without[16, 16] == within[16, 16] == 1
    assert without[5, 5] == 0
    assert within[5, 5] == -1
    assert without[28, 5] == within[28, 5] == 0
    empty = labels_of({"boxes": objects[:0], "crowds": crowd, "canvas": CANVAS})
    assert empty[5, 5] == -1
    assert empty[28, 5] == 0


def test_an_image_of_crowd_costs_nothing() -> None:
    """Where every anchor is ignored the losses are 0 with a gradient, not NaN."""
    network = build_proposals(COCO_ANCHORS, depth=1, most=10)
    canvas = torch.tensor([0.0, 0, 96, 96])
    targets = [{"boxes": torch.zeros(0, 4), "crowds": canvas[None], "canvas": canvas}] * 2
    _, losses = network(to_images(torch.zeros(2, 3, 96, 96), 96, 96), named(levels(96, 96)), targets)
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_learns_what_torchvisions_learns(depth: int, precision: torch.dtype) -> None:
    """Proposals, losses and gradients are torchvision's, which goes back through every position of every level."""
    ours = build_proposals(COCO_ANCHORS, depth=depth, most=10)
    torch.manual_seed(1)
    for parameter in ours.parameters():  # torchvision starts near 0, where wrong places would not be seen
        nn.init.normal_(parameter, std=0.05)
    theirs = RegionProposalNetwork(
        ours.anchor_generator, RPNHead(256, 3, conv_depth=depth), 0.7, 0.3, 256, 0.5,
        ours._pre_nms_top_n, ours._post_nms_top_n, 0.7,
    )  # fmt: skip
    theirs.head.load_state_dict(ours.head.state_dict())
    objects = torch.tensor([[10.0, 12, 50, 40], [60, 30, 90, 95], [0, 100, 33, 128]])
    canvas = torch.tensor([0.0, 0, 160, 128])
    targets = [{"boxes": boxes, "crowds": objects[:0], "canvas": canvas} for boxes in (objects, objects[:0])]
    images = to_images(torch.zeros(2, 3, 128, 160), 128, 160)
    found = []
    for network in (ours, theirs):
        features = [feature.requires_grad_() for feature in levels(128, 160)]
        torch.manual_seed(2)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            boxes, losses = network(images, named(features), targets)
        sum(losses.values()).backward()
        gradients = [each.grad for each in (*features, *network.parameters())]
        found.append((boxes, losses, gradients))
    (boxes, losses, gradients), (their_boxes, their_losses, their_gradients) = found
    tolerance = 1e-5 if precision == torch.float32 else 2e-2
    assert losses.keys() == their_losses.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(their_losses[name].item(), rel=tolerance)
    assert len(gradients) == len(their_gradients) == 5 + 2 * (depth + 2)
    for gradient, expected in zip(gradients, their_gradients, strict=True):
        assert gradient is not None
        assert expected is not None
        assert float(expected.norm()) > 0
        assert float((gradient - expected).norm()) <= tolerance * float(expected.norm())
    if precision == torch.float32:
        assert all(torch.allclose(each, expected, atol=1e-3) for each, expected in zip(boxes, their_boxes, strict=True))


def test_what_returns_losses_leaves_what_is_inside() -> None:
    """The stage itself changes for a while, and changes back after an error; its layers do not."""
    stage = nn.Sequential(nn.Dropout()).eval()

    def work() -> None:
        with returning(stage, losses=True):
            assert stage.training
            assert not stage[0].training
            raise ValueError("anything")

    with pytest.raises(ValueError, match="anything"):
        work()
    assert not stage.training
