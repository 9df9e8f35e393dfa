"""What a model consists of."""

from __future__ import annotations

import torch

from easyseg.models.semantic import build_semantic
from easyseg.models.summary import summarize


def test_parameters_and_work_of_each_part() -> None:
    """Frozen parameters are not trainable; the multiply-adds of the head follow from its shape."""
    model = build_semantic("unet", "resnet18", num_classes=5, weights=None)
    for parameter in model.parts()["encoder[0]"].parameters():
        parameter.requires_grad_(False)
    summary = summarize(model, (64, 96))
    by_name = {part.name: part for part in summary.parts}
    assert list(by_name) == [*(f"encoder[{number}]" for number in range(4)), "decoder", "head"]
    assert by_name["encoder[0]"].trainable == 0
    assert by_name["head"].parameters == by_name["head"].trainable == 16 * 9 * 5 + 5
    assert by_name["head"].multiply_adds == 64 * 96 * 16 * 9 * 5
    # the deepest stage: two blocks of two convolutions of 3 by 3 and a shortcut, at 1/32
    assert by_name["encoder[3]"].multiply_adds == 2 * 3 * (9 * 512 * (256 + 512 + 512 + 512) + 256 * 512)
    assert summary.total.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert summary.total.trainable == summary.total.parameters - by_name["encoder[0]"].parameters


def test_attention_counts_as_work() -> None:
    """Matrix products outside of layers are counted: they grow with the square of the number of tokens."""
    model = build_semantic("dpt", "test_vit", num_classes=2, weights=None)
    small, large = (summarize(model, (size, size)).parts[0].multiply_adds for size in (64, 256))
    assert large > 16 * small


def test_the_model_is_left_as_found() -> None:
    """Modes, statistics and gradients stay; no hook remains."""
    model = build_semantic("pan", "resnet18", num_classes=2, weights=None).train()
    frozen = model.parts()["encoder[0]"].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summarize(model, (40, 40))
    assert model.training
    assert not any(module.training for module in frozen.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_table_is_readable() -> None:
    """Printing gives one line per part, aligned, and a total."""
    model = build_semantic("unet", "resnet18", num_classes=11, weights=None)
    lines = str(summarize(model, (192, 256))).splitlines()
    assert lines[0] == "unet, resnet18, one image of 192 × 256 pixels"
    assert lines[2].split() == ["part", "parameters", "trainable", "multiply-adds"]
    assert lines[-1].split() == ["total", "14,329,659", "14,329,659", "4.12", "G"]
    assert len({len(line) for line in lines[1:]}) == 1
