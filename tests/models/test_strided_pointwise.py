"""Convolutions that skip pixels first are the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from easyseg.models.strided_pointwise import StridedPointwiseConv2d, avoid_strided_pointwise


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [(2, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("size", [(8, 9), (1, 1), (7, 16)])
def test_it_is_the_same_function(bias: bool, stride: tuple[int, int], size: tuple[int, int]) -> None:
    """Results and gradients agree, at odd sizes too."""
    plain = nn.Conv2d(3, 5, 1, stride=stride, bias=bias)
    ours = StridedPointwiseConv2d.replacing(plain)
    features = torch.randn(2, 3, *size)
    results = [convolution(features) for convolution in (plain, ours)]
    assert torch.allclose(results[0], results[1], atol=1e-6)
    gradients = [torch.autograd.grad(result.square().sum(), plain.weight)[0] for result in results]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-4)


def test_only_what_is_unsound_is_replaced() -> None:
    """Names and parameters stay, and so do all other layers."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1, stride=2),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.Conv2d(16, 16, 1, stride=2),
        nn.Conv2d(16, 4, 1),
        nn.Sequential(nn.Conv2d(4, 4, 1, stride=2, groups=4), nn.Conv2d(4, 4, 1, stride=2, bias=False)),
    ).eval()
    parameters = dict(network.named_parameters())
    avoid_strided_pointwise(network)
    replaced = [name for name, module in network.named_modules() if isinstance(module, StridedPointwiseConv2d)]
    assert replaced == ["0", "4.1"]
    assert all(parameters[name] is parameter for name, parameter in network.named_parameters())
    assert not any(module.training for module in network.modules())


def test_training_in_channels_last_memory_is_sound() -> None:
    """The case that crashed: some passes leave the process alive and the gradient right."""
    ours = StridedPointwiseConv2d.replacing(nn.Conv2d(3, 48, 1, stride=2, bias=False))
    for _ in range(5):
        images = torch.randn(1, 3, 96, 96).contiguous(memory_format=torch.channels_last)
        ours(images).square().mean().backward()
    assert ours.weight.grad is not None
    assert torch.isfinite(ours.weight.grad).all()
