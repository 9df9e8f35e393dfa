"""Any of timm's encoders as features for a pyramid, finest first, channels before rows."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn

from easyseg.errors import ModelError
from easyseg.models.hub import quiet_hub
from easyseg.models.instance.pyramid import REDUCTIONS
from easyseg.models.registry import EncoderEntry

PLAIN_REDUCTION = 16
"""Size of the patches of the plain vision transformers that a pyramid can be built on, in pixels."""

ATTEMPTS: tuple[dict[str, Any], ...] = ({}, {"strict_img_size": False}, {"dynamic_img_size": True})
"""Options for timm to try in turn until an encoder takes images of any size; each family knows one of them, or none."""


class TimmEncoder(nn.Module):
    """One of timm's feature extractors, reduced to what a pyramid needs.

    Args:
        body: timm's extractor.

    Attributes:
        num_features: how many timm's extractor gives.
        places: which of timm's features are used.
        reductions: how much smaller than the image each feature is, rising; all 16 for plain vision transformers.
        channels: of each feature.
        is_plain: whether all features have one size.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        info: Any = body.feature_info
        found, channels = [int(each) for each in info.reduction()], [int(each) for each in info.channels()]
        self.num_features = len(found)
        self.is_plain = len(set(found)) == 1
        self.places = _places(found, is_plain=self.is_plain)
        self._is_channels_last = getattr(body, "output_fmt", "NCHW") == "NHWC"
        self.reductions = tuple(found[place] for place in self.places)
        self.channels = tuple(channels[place] for place in self.places)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (N, C, h, w), finest first, for normalised images (N, C, H, W)."""
        features = self.body(images)
        chosen: list[Tensor] = [features[place] for place in self.places]
        return [each.permute(0, 3, 1, 2).contiguous() for each in chosen] if self._is_channels_last else chosen


def build_encoder(encoder: EncoderEntry, *, in_channels: int, pretrained: bool, options: dict[str, Any]) -> TimmEncoder:
    """Build an encoder.

    Args:
        encoder: from timm.
        in_channels: channels of the images; pretrained weights are fitted to them.
        pretrained: fetch timm's weights for it, or take them from the cache.
        options: one of `ATTEMPTS`.

    Raises:
        ModelError: its features make no pyramid.
        Exception: whatever timm raises where an option does not exist or weights cannot be fetched.
    """
    settings = {"features_only": True, "pretrained": pretrained, "in_chans": in_channels, **options}
    with quiet_hub(is_used=pretrained):
        built = TimmEncoder(timm.create_model(encoder.zoo_name, **settings))
        needed = tuple(range(built.places[-1] + 1))
        if len(needed) == built.num_features:
            return built
        # without the stages behind, which would be computed for nothing
        return TimmEncoder(timm.create_model(encoder.zoo_name, out_indices=needed, **settings))


def _places(reductions: list[int], *, is_plain: bool) -> list[int]:
    """Return which features to use: of several with the same reduction the last, which is the deepest."""
    if is_plain:
        if reductions[0] != PLAIN_REDUCTION:
            raise ModelError(
                f"its patches are {reductions[0]} pixels wide, and a pyramid needs {PLAIN_REDUCTION}, so that levels "
                "are 1/4, 1/8, 1/16 and 1/32 of the image"
            )
        return list(range(len(reductions)))
    last = {reduction: place for place, reduction in enumerate(reductions) if reduction in REDUCTIONS}
    if len(last) < 2:
        raise ModelError(f"its features are {reductions} times smaller than the image; some of {REDUCTIONS} are needed")
    return [last[reduction] for reduction in sorted(last)]
