"""Detectors: any encoder, any size, any batch; what is frozen stays, and what is not there costs nothing."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from detectors import LOSSES, TWO_DISCS, batch_of, build, check_found, check_parts, check_same, draw, learn, total
from torch import Tensor

from easyseg.errors import ConfigError, DataError, ModelError
from easyseg.models.instance.anchors import Anchors
from easyseg.models.instance.heads import DetectionLimits
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.summary import summarize
from easyseg.structures import Batch
from easyseg.training.parts import names_by_part, resolve_parts


def test_boxes_only() -> None:
    """Faster R-CNN has neither the loss nor the results of masks, and does not look at them."""
    model = build("faster_rcnn", "test_convnext").train()
    batch = batch_of(2)
    assert isinstance(batch.targets, tuple)
    nothing = torch.zeros(2, 0, 0, dtype=torch.uint8)
    losses = learn(model, replace(batch, targets=tuple(replace(target, masks=nothing) for target in batch.targets)))
    assert list(losses) == [name for name in LOSSES if name != "mask"]
    found = model.eval().infer(batch.images)
    check_found(found, batch)
    assert found[0].masks is None
    check_parts(model)


def test_bfloat16_keeps_losses_and_objects_in_full_precision() -> None:
    """Under autocast nothing about coordinates or losses is rounded, and gradients are finite."""
    model = build("mask_rcnn", "test_convnext").train()
    batch = batch_of(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.losses(batch)
        found = model.infer(batch.images)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert torch.isfinite(total(losses))
    total(losses).backward()
    check_found(found, batch)


def test_normalisation_and_padding_happen_inside() -> None:
    """Bytes and floats of 0..255 give the same; padding is the mean colour, to the right and below."""
    model = build("mask_rcnn", "test_convnext").eval()
    images = batch_of(1, 70, 101).images
    check_same(model.infer(images), model.infer(images.float()))
    padded = model._padded(images)
    assert padded.shape == (1, 3, 96, 128)
    assert padded.is_contiguous(memory_format=torch.channels_last)
    assert not padded[:, :, 70:].any()
    assert not padded[:, :, :, 101:].any()
    assert torch.allclose(padded[:, :, :70, :101], (images / 255 - 0.5) / 0.5, atol=1e-5), "its own statistics"
    other = build("mask_rcnn", "mobilenetv3_small_100")
    assert other.pixel_mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (33, 64)])
def test_the_smallest_images_work(size: tuple[int, int]) -> None:
    """Even a single pixel, in training too."""
    model = build("mask_rcnn", "test_resnet").train()
    batch = batch_of(1, *size, discs=())
    learn(model, batch)
    check_found(model.infer(batch.images), batch)


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(channels: int) -> None:
    """The encoder's first layer and the statistics follow."""
    model = build("faster_rcnn", "test_convnext", in_channels=channels).train()
    image, target = draw(96, 96, TWO_DISCS, channels=channels)
    learn(model, Batch(image[None], (target,), (0,)))
    assert model.in_channels == channels
    with pytest.raises(ModelError, match=rf"\(N, {channels}, H, W\) is expected"):
        model.infer(torch.zeros(1, channels + 1, 96, 96))


def test_images_without_objects_teach_what_is_none() -> None:
    """Alone or beside others they give finite losses; the parts about objects are 0."""
    model = build("mask_rcnn", "test_convnext").train()
    image, empty = draw(96, 96, ())
    losses = learn(model, Batch(image.expand(2, -1, -1, -1), (empty, empty), (0, 1)))
    assert losses["box"] == losses["mask"] == losses["rpn_box"] == 0
    assert losses["classifier"] > 0
    assert losses["objectness"] > 0
    other = batch_of(1)
    assert isinstance(other.targets, tuple)
    mixed = Batch(torch.cat([image[None], other.images]), (empty, *other.targets), (0, 1))
    assert torch.isfinite(total(learn(model, mixed)))


def with_crowds(batch: Batch, is_crowd: list[bool]) -> Batch:
    """Return the batch with some of its objects as crowds."""
    assert isinstance(batch.targets, tuple)
    crowds = torch.tensor(is_crowd)
    targets = (replace(each, is_crowd=crowds, masks=each.masks[~crowds]) for each in batch.targets)
    return replace(batch, targets=tuple(targets))


def test_nothing_is_learnt_from_crowds() -> None:
    """An image that is all crowd costs exactly 0, with a gradient of 0 for every weight; no NaN."""
    model = build("mask_rcnn", "test_convnext").train()
    batch = with_crowds(batch_of(2, 70, 101, discs=((48, 48, 400, 0),)), [True])
    losses = model.losses(batch)
    assert list(losses) == LOSSES
    assert [loss.item() for loss in losses.values()] == [0.0] * 5
    total(losses).backward()
    assert not any(parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in model.network.roi_heads.parameters())


def test_crowds_are_neither_objects_nor_background() -> None:
    """The second stage gets no proposals from inside of a crowd, but for those that match an object there."""
    model = build("mask_rcnn", "test_convnext", is_quick=False).train()
    seen: list[list[Tensor]] = []
    heads = model.network.roi_heads
    heads.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    batch = batch_of(1, 128, 128, discs=((40, 40, 30, 0), (64, 64, 800, 0)))
    torch.manual_seed(0)
    model.losses(with_crowds(batch, [False, True]))
    torch.manual_seed(0)
    model.losses(with_crowds(batch, [False, False]))
    (within,), (without,) = seen
    assert 0 < len(within) < len(without)
    low = torch.maximum(within[:, :2], torch.tensor([10.0, 10]))
    high = torch.minimum(within[:, 2:], torch.tensor([70.0, 70]))
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (within[:, 2:] - within[:, :2]).prod(dim=1)
    assert (shared / (areas + 3600 - shared) > 0.49).all()


def test_a_batch_that_does_not_count_costs_nothing() -> None:
    """A process without an image of a shared batch takes part with losses of 0 that have a gradient."""
    model = build("mask_rcnn", "test_convnext").train()
    losses = model.losses(replace(batch_of(1), indices=(), whole=(0,)))
    assert [loss.item() for loss in losses.values()] == [0.0] * 5
    total(losses).backward()


def test_faults_are_refused_before_anything_runs() -> None:
    """The message names the image; no forward pass is made for it."""
    model = build("mask_rcnn", "test_convnext")
    batch = batch_of(1)
    assert isinstance(batch.targets, tuple)
    wrong = replace(batch, targets=(replace(batch.targets[0], class_ids=torch.tensor([1, 2])),), indices=(41,))
    model.network.register_forward_pre_hook(lambda *_: pytest.fail("the network ran"))
    with pytest.raises(DataError, match=r"Object 1 of image 41 .* 2 as its class"):
        model.losses(wrong)


@pytest.mark.parametrize("part", ["encoder", "fpn", "rpn", "roi_heads"])
def test_a_frozen_part_stays_bit_for_bit(part: str) -> None:
    """Weights and statistics stay, in training too, and the losses of a frozen stage are still there."""
    model = build("mask_rcnn", "test_resnet", plan=DetectorPlan(structure="coco_v2")).train()
    model.freeze(resolve_parts([part], names_by_part(model), asker="test"))
    module = model.network.get_submodule(part)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    others = {name: value.clone() for name, value in model.state_dict().items()}
    losses = learn(model, batch_of(2))
    assert list(losses) == LOSSES
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert any(not torch.equal(value, others[name]) for name, value in model.state_dict().items())
    assert not any(inner.training for inner in module.modules())
    model.freeze(())
    assert all(inner.training for inner in module.modules())


def test_losses_and_predictions_do_not_depend_on_the_mode() -> None:
    """Losses can be had in evaluation, and predictions in training; modes are left as they are."""
    model = build("mask_rcnn", "test_convnext").eval()
    batch = batch_of(1)
    torch.manual_seed(0)
    losses = model.losses(batch)
    assert not any(module.training for module in model.modules())
    found = model.infer(batch.images)
    model.train()
    torch.manual_seed(0)
    assert total(losses) == total(model.losses(batch))
    check_same(found, model.infer(batch.images))
    assert all(module.training for module in model.modules())


def test_statistics_of_pretrained_layers_are_held() -> None:
    """They stay while the weights beside them learn; without pretrained weights they follow the batches."""
    held = build("mask_rcnn", "test_resnet", plan=DetectorPlan(held="encoder")).train()
    free = build("mask_rcnn", "test_resnet").train()
    for model, stays in ((held, True), (free, False)):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        learn(model, batch_of(2))
        after = model.state_dict()
        assert (
            torch.equal(before["network.encoder.body.bn1.running_mean"], after["network.encoder.body.bn1.running_mean"])
            == stays
        )
        assert not torch.equal(before["network.encoder.body.bn1.weight"], after["network.encoder.body.bn1.weight"])
    assert not copy.deepcopy(held).train().network.get_submodule("encoder.body.bn1").training
    held.freeze([name for name, _ in held.named_parameters()])
    held.freeze(())
    assert not held.network.get_submodule("encoder.body.bn1").training
    held.synchronise_normalisation()
    assert not held.train().network.get_submodule("encoder.body.bn1").training


def test_anchors_are_part_of_the_weights() -> None:
    """Loaded into a model that was built with others, they come with the weights."""
    chosen = Anchors.of((8, 16, 32, 64, 128))
    model = build("mask_rcnn", "test_convnext", plan=DetectorPlan(anchors=chosen))
    other = build("mask_rcnn", "test_convnext")
    assert model.anchors == chosen != other.anchors
    other.load_state_dict(model.state_dict())
    assert other.anchors == chosen


def test_limits_are_kept() -> None:
    """No more objects than asked for."""
    model = build(
        "mask_rcnn", "test_convnext", plan=DetectorPlan(limits=DetectionLimits(0.0, 0.9, 3)), is_quick=False
    ).eval()
    assert len(model.infer(batch_of(1).images)[0]) == 3


def test_the_seed_decides_the_random_start() -> None:
    """The same seed gives the same weights, another one others."""
    first, same, other = (build("mask_rcnn", "test_vit", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_summary_counts_every_part() -> None:
    """Parameters and work of encoder, pyramid and both stages."""
    model = build("mask_rcnn", "test_convnext")
    summary = summarize(model, (96, 96))
    assert [part.name for part in summary.parts] == list(model.parts())
    assert all(part.multiply_adds > 0 for part in summary.parts)
    assert summary.total.parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("own", "whole", "share"), [((0,), (0, 1, 2), 1 / 3), ((0,), (0,), 1), ((), (0, 1), 0)])
def test_shared_batches_weigh_every_image_the_same(own: tuple[int, ...], whole: tuple[int, ...], share: float) -> None:
    """What a process adds to the losses of all is in proportion to its images; all of it travels in one message."""
    model = build("mask_rcnn", "test_convnext").train()
    batch = replace(batch_of(1), indices=own, whole=whole)
    torch.manual_seed(0)
    alone = model.losses(batch_of(1))
    messages: list[Tensor] = []

    def total_of_two(part: Tensor) -> Tensor:
        messages.append(part)
        return part + 1

    model.total = total_of_two
    torch.manual_seed(0)
    shared = model.losses(batch)
    assert len(messages) == 1
    assert list(shared) == LOSSES
    for name, loss in shared.items():
        assert loss.item() == pytest.approx(1 + share * alone[name].item())
    total(shared).backward()
    assert any(parameter.grad is not None for parameter in model.parameters())
    assert "total" not in model.state_dict()


def test_other_limits_hold_inside_a_block_alone() -> None:
    """Less is found with stricter ones; afterwards, an error included, they are the plan's."""
    plan = DetectorPlan(limits=DetectionLimits(per_image=2000))
    model = build("faster_rcnn", "test_convnext", plan=plan, is_quick=False).eval()
    images = batch_of(1).images

    def found(**limits: float) -> int:
        with model.limited(**limits):
            return len(model.infer(images)[0])

    assert found(score_threshold=0.0, nms_iou=1.0) > found(score_threshold=0.0, nms_iou=0.5)
    assert 0 < found(score_threshold=0.0, nms_iou=0.0) < found(score_threshold=0.0, nms_iou=0.5)
    assert found(score_threshold=1.0, nms_iou=1.0) == 0
    with pytest.raises(KeyError), model.limited(score_threshold=1.0, nms_iou=1.0):
        raise KeyError
    heads = model.network.roi_heads
    assert (heads.score_thresh, heads.nms_thresh) == (0.05, 0.5)
    with pytest.raises(ConfigError, match=r"nms_iou=1\.5"), model.limited(score_threshold=0.5, nms_iou=1.5):
        pass
