"""The network of a detector: encoder, pyramid, proposals, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import box_iou

from easyseg.models.instance.heads import FIRST_LABEL, OBJECT_IOU, by_name
from easyseg.models.instance.proposals import ProposalNetwork, in_crowd, returning, to_images
from easyseg.models.instance.timm_encoder import TimmEncoder
from easyseg.structures import RawObjects, SizeHW

_SECOND_STAGE = {"loss_classifier": "classifier", "loss_box_reg": "box", "loss_mask": "mask"}
_FIRST_STAGE = {"loss_objectness": "objectness", "loss_rpn_box_reg": "rpn_box"}


class Detector(nn.Module):
    """Faster R-CNN or Mask R-CNN on normalised images that are padded already.

    Args:
        encoder: images to features.
        fpn: features to the levels of a pyramid.
        rpn: the first stage.
        roi_heads: the second stage.
    """

    def __init__(self, encoder: TimmEncoder, fpn: nn.Module, rpn: ProposalNetwork, roi_heads: RoIHeads) -> None:
        super().__init__()
        self.encoder = encoder
        self.fpn = fpn
        self.rpn = rpn
        self.roi_heads = roi_heads

    def forward(self, padded: Tensor) -> list[Tensor]:
        """Return the pyramid's five levels (N, 256, h, w), finest first, for images (N, C, H, W)."""
        levels: list[Tensor] = self.fpn(self.encoder(padded))
        return levels

    def losses(self, padded: Tensor, image_hw: SizeHW, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the named losses, each a scalar.

        Args:
            padded: (N, C, H, W) normalised images.
            image_hw: height and width of what they show, in pixels; the rest is padding.
            targets: of each image.
        """
        levels = by_name(self(padded))
        with returning(self.rpn, losses=True):
            proposals, first = self.rpn(to_images(padded, *image_hw), levels, targets)
        kept = [_outside_crowds(boxes, target) for boxes, target in zip(proposals, targets, strict=True)]
        second = self._second_losses(levels, kept, image_hw, targets)
        return {ours: second[theirs] for theirs, ours in _SECOND_STAGE.items() if theirs in second} | {
            ours: first[theirs] for theirs, ours in _FIRST_STAGE.items()
        }

    def detect(self, padded: Tensor, image_hw: SizeHW) -> list[RawObjects]:
        """Return the objects found in each image; the arguments are those of `losses`."""
        levels = by_name(self(padded))
        with returning(self.rpn, losses=False), returning(self.roi_heads, losses=False):
            proposals, _ = self.rpn(to_images(padded, *image_hw), levels)
            found, _ = self.roi_heads(levels, proposals, [image_hw] * len(padded))
        return [
            RawObjects(
                boxes=each["boxes"],
                scores=each["scores"],
                class_ids=each["labels"] - FIRST_LABEL,
                masks=each["masks"][:, 0] if "masks" in each else None,
            )
            for each in found
        ]

    def _second_losses(
        self,
        levels: dict[str, Tensor],
        proposals: list[Tensor],
        image_hw: SizeHW,
        targets: Sequence[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        if not any(len(boxes) + len(target["boxes"]) for boxes, target in zip(proposals, targets, strict=True)):
            # only crowds, everywhere: torchvision would divide by the number of boxes
            nothing = torch.stack([parameter.sum() for parameter in self.roi_heads.parameters()]).sum() * 0
            names = list(_SECOND_STAGE) if self.roi_heads.has_mask() else list(_SECOND_STAGE)[:-1]
            return dict.fromkeys(names, nothing)
        with returning(self.roi_heads, losses=True):
            _, losses = self.roi_heads(levels, proposals, [image_hw] * len(proposals), targets)
        return dict(losses)


def _outside_crowds(proposals: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Return the proposals (M, 4) that do not lie mostly in a crowd, or match an object."""
    if not len(target["crowds"]):
        return proposals
    kept = ~in_crowd(proposals, target["crowds"], target["canvas"])
    if len(target["boxes"]):
        kept |= box_iou(proposals, target["boxes"]).amax(dim=1) >= OBJECT_IOU
    return proposals[kept]
