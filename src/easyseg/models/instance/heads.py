"""The second stage: what torchvision does with each proposal, in full precision where coordinates come out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from easyseg.errors import ConfigError
from easyseg.models.instance.pooling import PyramidRoIAlign
from easyseg.models.instance.pyramid import CHANNELS, Norm, norm_layer

FIRST_LABEL = 1
"""Torchvision's label of our class 0, as its 0 is the background; so its classes are one more, too."""

OBJECT_IOU = 0.5
"""A proposal that overlaps an object by as much is to become it."""

_BOX_SIZE, _MASK_SIZE = 7, 14
_WIDTH = 1024


@dataclass(frozen=True, slots=True)
class DetectionLimits:
    """What becomes of the boxes that the network finds.

    Attributes:
        score_threshold: objects with a lower score are dropped, in 0..1.
        nms_iou: of two objects of a class that overlap more than this, the less certain one is dropped, in 0..1.
        per_image: the most certain ones that are kept of an image, at least 1.

    Raises:
        ConfigError: a value is out of its range.
    """

    score_threshold: float = 0.05
    nms_iou: float = 0.5
    per_image: int = 100

    def __post_init__(self) -> None:
        if not (0 <= self.score_threshold <= 1 and 0 <= self.nms_iou <= 1 and self.per_image >= 1):
            raise ConfigError(
                f"score_threshold={self.score_threshold}, nms_iou={self.nms_iou} and per_image={self.per_image} of a "
                "detector; give thresholds of 0 to 1, and at least 1 object per image."
            )


class BoxPredictor(FastRCNNPredictor):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's last layers for boxes, with float32 results under autocast, too."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return (N, 1 + C) logits and (N, 4 (1 + C)) deltas."""
        logits, deltas = super().forward(features)
        return logits.float(), deltas.float()


class MaskPredictor(MaskRCNNPredictor):  # type: ignore[misc]  # likewise
    """Torchvision's last layers for masks, with float32 results under autocast, too.

    Each position becomes four, by a matrix of its own each, so all four are one product; they are put in their places
    only when there is a single number left per class. Torch's transposed convolution takes three times as long.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, 1 + C, 28, 28) logits for features (N, 256, 14, 14)."""
        enlarging, last = self.conv5_mask, self.mask_fcn_logits
        count, _, height, width = features.shape
        weight = enlarging.weight.permute(2, 3, 1, 0).flatten(0, 2)  # row, column and channel of what comes out
        hidden = F.linear(features.permute(0, 2, 3, 1), weight, enlarging.bias.repeat(4)).relu_()
        logits = F.linear(hidden.view(count, height, width, 2, 2, last.in_channels), last.weight.flatten(1), last.bias)
        return logits.permute(0, 5, 1, 3, 2, 4).reshape(count, last.out_channels, 2 * height, 2 * width).float()


def build_heads(
    num_classes: int, *, limits: DetectionLimits, has_masks: bool, norm: Norm | None, is_deep: bool
) -> RoIHeads:
    """Build the second stage with torchvision's settings.

    Args:
        num_classes: without background.
        limits: what becomes of the boxes found.
        has_masks: whether it finds masks, too.
        norm: normalisation in its convolutions.
        is_deep: whether boxes go through four convolutions, and not through linear layers only.
    """
    make = norm_layer(norm)
    box_head: nn.Module = (
        FastRCNNConvFCHead((CHANNELS, _BOX_SIZE, _BOX_SIZE), [CHANNELS] * 4, [_WIDTH], norm_layer=make)
        if is_deep
        else TwoMLPHead(CHANNELS * _BOX_SIZE**2, _WIDTH)
    )
    heads = RoIHeads(
        PyramidRoIAlign(_BOX_SIZE),
        box_head,
        BoxPredictor(_WIDTH, num_classes + FIRST_LABEL),
        fg_iou_thresh=OBJECT_IOU,
        bg_iou_thresh=OBJECT_IOU,
        batch_size_per_image=512,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=limits.score_threshold,
        nms_thresh=limits.nms_iou,
        detections_per_img=limits.per_image,
    )
    if has_masks:
        heads.mask_roi_pool = PyramidRoIAlign(_MASK_SIZE)
        heads.mask_head = MaskRCNNHeads(CHANNELS, [CHANNELS] * 4, 1, norm_layer=make)
        heads.mask_predictor = MaskPredictor(CHANNELS, CHANNELS, num_classes + FIRST_LABEL)
    return heads


def by_name(levels: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the pyramid's levels as torchvision names them."""
    return {str(place): level for place, level in enumerate(levels)}
