"""Convolutions of one pixel that skip pixels, where torch's own would write beyond its memory."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

_SAFE_CHANNELS = 16
"""From this many channels on, torch's own convolution is sound; with 4 to 15 it crashed in every trial."""


class StridedPointwiseConv2d(nn.Conv2d):
    """A convolution with a kernel of one pixel and a stride, which skips the pixels before it convolves.

    It is the same function. On processors with AVX-512, oneDNN 3.13 (torch 2.15) damages memory in the backward pass
    of such a convolution on few channels in channels-last memory: training crashes now and then, or later. Encoders
    with such a branch at their first layer are FastViT, MobileOne and RepVGG.
    """

    @classmethod
    def replacing(cls, convolution: nn.Conv2d) -> StridedPointwiseConv2d:
        """Return a convolution that does the same, with the same parameters."""
        copy = cls(
            convolution.in_channels,
            convolution.out_channels,
            kernel_size=1,
            stride=(convolution.stride[0], convolution.stride[1]),
            bias=convolution.bias is not None,
        )
        copy.weight, copy.bias = convolution.weight, convolution.bias
        return copy.train(convolution.training)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, out, h, w) for features (N, C, H, W)."""
        rows, columns = self.stride
        return F.conv2d(features[:, :, ::rows, ::columns], self.weight, self.bias)


def avoid_strided_pointwise(network: nn.Module) -> None:
    """Replace those convolutions of one pixel whose backward pass is not sound.

    Args:
        network: is changed in place; its parameters and their names stay.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Conv2d and _is_unsound(child):
                setattr(parent, name, StridedPointwiseConv2d.replacing(child))


def _is_unsound(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and max(convolution.stride) > 1
        and convolution.in_channels < _SAFE_CHANNELS
        and convolution.padding == (0, 0)
        and convolution.groups == 1
    )
