"""Boxes cut out of the pyramid: as torchvision cuts them, gradients included, with scales that nothing changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

from easyseg.models.instance.pooling import PyramidRoIAlign

SIZE = (200, 333)


def pyramid(count: int = 2, *, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return four levels for images of `SIZE`, channels last as the network has them."""
    generator = torch.Generator().manual_seed(0)
    return {
        str(place): torch.randn(count, 5, -(-SIZE[0] // s), -(-SIZE[1] // s), generator=generator)
        .to(dtype)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
        for place, s in enumerate((4, 8, 16, 32))
    }


def some_boxes(count: int, seed: int) -> Tensor:
    """Return (count, 4) boxes of all sizes, some of which reach out of the image, and some without area."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 400 - 60
    sides = torch.exp(torch.rand(count, 2, generator=generator) * 7) - 1
    sides[:2] = 0
    return torch.cat([low, low + sides], dim=1)


def theirs(size: int) -> MultiScaleRoIAlign:
    """Return torchvision's, with the scales it ought to find."""
    pooler = MultiScaleRoIAlign(["0", "1", "2", "3"], size, 2)
    ours = PyramidRoIAlign(size)
    pooler.scales, pooler.map_levels = ours.scales, ours.map_levels
    return pooler


@pytest.mark.parametrize("size", [7, 14])
@pytest.mark.parametrize("counts", [(40, 25), (0, 30), (30, 0)])
def test_boxes_are_cut_as_torchvision_cuts_them(size: int, counts: tuple[int, int]) -> None:
    """All levels, several images, boxes over the border: values and gradients agree."""
    boxes = [some_boxes(count, seed) for seed, count in enumerate(counts)]
    results = []
    for pooler in (PyramidRoIAlign(size), theirs(size)):
        levels = pyramid()
        found = pooler(levels, boxes, [SIZE] * 2)
        (found * torch.linspace(-1, 1, found.numel()).view(found.shape)).sum().backward()
        results.append([found, *(level.grad for level in levels.values())])
    assert results[0][0].shape == (sum(counts), 5, size, size)
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, atol=1e-4)


def test_no_boxes_at_all() -> None:
    """Nothing is cut out, and nothing fails, in training either."""
    levels = pyramid()
    found = PyramidRoIAlign(7)(levels, [torch.zeros(0, 4)] * 2, [SIZE] * 2)
    assert found.shape == (0, 5, 7, 7)
    found.sum().backward()
    assert all(level.grad is not None and not level.grad.any() for level in levels.values())


def test_bfloat16_is_summed_up_in_full_precision() -> None:
    """Under autocast the levels come in bfloat16; what is cut out of them is not rounded again."""
    levels, boxes = pyramid(1, dtype=torch.bfloat16), [some_boxes(20, 0)]
    found = PyramidRoIAlign(7)(levels, boxes, [SIZE])
    assert found.dtype == torch.float32
    expected = theirs(7)({name: level.float() for name, level in levels.items()}, boxes, [SIZE])
    assert torch.allclose(found, expected, atol=1e-4)
    found.sum().backward()
    assert all(level.grad is not None and level.grad.dtype == torch.bfloat16 for level in levels.values())


def test_other_devices_use_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """On GPUs its own is quick; here a device without data stands for one."""
    result = torch.zeros(1, 5, 7, 7)
    monkeypatch.setattr(MultiScaleRoIAlign, "forward", lambda *_: result)
    levels = pyramid(1)
    elsewhere = {name: level.detach().to("meta") for name, level in levels.items()}
    assert PyramidRoIAlign(7)(elsewhere, [torch.zeros(1, 4, device="meta")], [SIZE]) is result
    assert PyramidRoIAlign(7)(levels, [torch.zeros(1, 4)], [SIZE]) is not result


def test_scales_do_not_come_from_the_first_image() -> None:
    """A narrow first image, from which torchvision would learn wrong scales for ever, changes nothing."""
    pooler = PyramidRoIAlign(7)
    for height, width in ((8, 200), (512, 512)):
        torch.manual_seed(0)
        levels = {
            str(place): torch.randn(1, 4, -(-height // s), -(-width // s)) for place, s in enumerate((4, 8, 16, 32))
        }
        pooler(levels, [torch.tensor([[0.0, 0, 8, 8]])], [(height, width)])
    assert pooler.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    boxes = torch.tensor([[10.0, 20, 60, 50], [0, 0, 400, 400]])
    found = pooler(levels, [boxes], [(512, 512)])
    assert torch.allclose(found[:1], roi_align(levels["0"], [boxes[:1]], 7, 1 / 4, 2), atol=1e-5)
    assert torch.allclose(found[1:], roi_align(levels["2"], [boxes[1:]], 7, 1 / 16, 2), atol=1e-5)
