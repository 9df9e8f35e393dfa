"""Feature pyramids: from whatever features an encoder has to five levels of 256 channels, at 1/4 to 1/64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

CHANNELS = 256
"""Channels of every level."""

REDUCTIONS = (4, 8, 16, 32)
"""How much smaller than the image the levels are; the fifth is every second position of the fourth."""

Norm: TypeAlias = Literal["group", "batch"]
_GROUPS = 32


def norm_layer(norm: Norm | None) -> Callable[[int], nn.Module] | None:
    """Return what makes a normalisation of some channels, or None for none."""
    makers: dict[Norm | None, Callable[[int], nn.Module] | None] = {
        None: None,
        "group": lambda channels: nn.GroupNorm(_GROUPS, channels),
        "batch": nn.BatchNorm2d,
    }
    return makers[norm]


class FeaturePyramid(nn.Module):
    """The feature pyramid network, on encoders whose features halve in size.

    Features of encoders differ in magnitude by factors of ten, which the heads, made for one magnitude, do not take
    well; so each is normalised on its way in. Groups of channels are used for it, as a batch of one or two images has
    no statistics to speak of. A level for which the encoder has no feature is what the one above it, enlarged, or the
    one below it, thinned out, makes of it.

    Args:
        channels: of each feature.
        reductions: how much smaller than the image each feature is: some of 4, 8, 16, 32, rising.
        norm: how levels are normalised; None as in torchvision's first Mask R-CNN.
    """

    def __init__(self, channels: Sequence[int], reductions: Sequence[int], norm: Norm | None) -> None:
        super().__init__()
        self._reductions = tuple(reductions)
        make = norm_layer(norm)
        self.inner_blocks = nn.ModuleList(
            Conv2dNormActivation(each, CHANNELS, kernel_size=1, padding=0, norm_layer=make, activation_layer=None)
            for each in channels
        )
        self.layer_blocks = nn.ModuleList(
            Conv2dNormActivation(CHANNELS, CHANNELS, kernel_size=3, norm_layer=make, activation_layer=None)
            for reduction in REDUCTIONS
            if reduction <= max(reductions)
        )
        _initialise(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return five levels (N, 256, h, w), finest first, for features (N, C, h, w), finest first."""
        lateral = {
            reduction: block(feature)
            for reduction, block, feature in zip(self._reductions, self.inner_blocks, features, strict=True)
        }
        coarsest = max(self._reductions)
        summed = lateral[coarsest]
        levels = [self.layer_blocks[-1](summed)]
        for place in reversed(range(len(self.layer_blocks) - 1)):
            own = lateral.get(REDUCTIONS[place])
            size = (2 * summed.shape[2], 2 * summed.shape[3]) if own is None else own.shape[2:]
            from_above = F.interpolate(summed, size=size, mode="nearest")
            summed = from_above if own is None else own + from_above
            levels.insert(0, self.layer_blocks[place](summed))
        while len(levels) <= len(REDUCTIONS):
            levels.append(_thinned_out(levels[-1]))
        return levels


class SimpleFeaturePyramid(nn.Module):
    """The pyramid for plain vision transformers: their last feature, at 1/16, enlarged and reduced.

    Args:
        channels: of the feature.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        scales = (
            nn.Sequential(
                nn.ConvTranspose2d(channels, half, 2, stride=2),
                LayerNorm2d(half),
                nn.GELU(),
                nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ),
            nn.ConvTranspose2d(channels, half, 2, stride=2),
            nn.Identity(),
            nn.MaxPool2d(2),
        )
        widths = (quarter, half, channels, channels)
        self.levels = nn.ModuleList(
            nn.Sequential(
                scale,
                nn.Conv2d(width, CHANNELS, 1, bias=False),
                LayerNorm2d(CHANNELS),
                nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
                LayerNorm2d(CHANNELS),
            )
            for scale, width in zip(scales, widths, strict=True)
        )
        _initialise(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return five levels (N, 256, h, w), finest first, for features of which the last is (N, C, h, w) at 1/16."""
        levels = [level(features[-1]) for level in self.levels]
        return [*levels, _thinned_out(levels[-1])]


def _thinned_out(level: Tensor) -> Tensor:
    return F.max_pool2d(level, kernel_size=1, stride=2)


def _initialise(pyramid: nn.Module) -> None:
    for module in pyramid.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
