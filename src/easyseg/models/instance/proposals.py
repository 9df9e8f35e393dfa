"""Torchvision's region proposals, with anchors that stay where they are, crowds ignored, and little work to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, concat_box_prediction_layers

from easyseg.models.instance.anchors import PROPOSAL_IOU, STRIDES, Anchors
from easyseg.models.instance.proposal_head import ProposalHead
from easyseg.models.instance.pyramid import CHANNELS

MOSTLY = 0.5
"""A box lies in a crowd when this share of what the image shows of it does."""

_CROWDS_AT_ONCE = 64
"""An image of 1024 x 1024 pixels has 260,000 anchors; compared with a thousand crowds at once, they take gigabytes."""

_IGNORED = -1.0  # torchvision's samplers take neither from these
_BETA = 1 / 9  # as in torchvision


class PyramidAnchors(nn.Module):
    """All anchors of an image, in full precision.

    Torchvision's own generator takes the number format of the features, and in bfloat16 a coordinate above 256 is off
    by a pixel; and it works out strides from the sizes of features, which differ where a side is odd.

    Args:
        anchors: their shapes. They are saved with the weights, which are worth nothing with others.
    """

    shapes: Tensor

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.register_buffer("shapes", torch.tensor(anchors.shapes, dtype=torch.float32))

    def forward(self, images: ImageList, features: Sequence[Tensor]) -> list[Tensor]:
        """Return (A, 4) float32 boxes for each image: by level, row, column and shape."""
        levels = [
            self._level(shapes, stride, feature.shape[2], feature.shape[3])
            for shapes, stride, feature in zip(self.shapes, STRIDES, features, strict=True)
        ]
        return [torch.cat(levels)] * len(images.image_sizes)

    @staticmethod
    def _level(shapes: Tensor, stride: int, rows: int, columns: int) -> Tensor:
        y, x = torch.meshgrid(
            torch.arange(rows, device=shapes.device) * stride,
            torch.arange(columns, device=shapes.device) * stride,
            indexing="ij",
        )
        centres = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
        around = torch.cat([-shapes, shapes], dim=1) / 2
        return (centres + around).reshape(-1, 4)


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's region proposal network, which keeps out of crowds.

    An anchor that lies mostly in a crowd and has no object to match is neither right nor wrong: it is not sampled.
    """

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the proposals of each image, (M, 4), and in training the two losses, by torchvision's names."""
        levels = list(features.values())
        anchors = self.anchor_generator(images, levels)
        # before the proposals: autocast keeps its copies of weights, and those made for them would have no gradient
        losses = self._losses(levels, anchors, targets) if self.training and targets is not None else {}
        with torch.no_grad():  # proposals are where the second stage looks; it teaches the first one nothing
            logits, deltas = self.head(levels)
            counts = [level[0].numel() for level in logits]
            logits, deltas = concat_box_prediction_layers(logits, deltas)
            proposals = self.box_coder.decode(deltas, anchors).view(len(anchors), -1, 4)
            boxes, _ = self.filter_proposals(proposals, logits, images.image_sizes, counts)
        return boxes, losses

    def _losses(
        self, levels: list[Tensor], anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        labels, matched = self.assign_targets_to_anchors(anchors, targets)
        wanted = torch.cat(self.box_coder.encode(matched, anchors))
        right, wrong = (torch.where(torch.cat(each))[0] for each in self.fg_bg_sampler(labels))
        chosen = torch.cat([right, wrong])
        logits, deltas = self.head.at(levels, chosen)
        if not len(chosen):  # all are ignored; a mean would be NaN
            return {"loss_objectness": logits.sum(), "loss_rpn_box_reg": deltas.sum()}
        distance = F.smooth_l1_loss(deltas[: len(right)], wanted[right], beta=_BETA, reduction="sum")
        objectness = F.binary_cross_entropy_with_logits(logits, torch.cat(labels)[chosen])
        return {"loss_objectness": objectness, "loss_rpn_box_reg": distance / len(chosen)}

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return for each image (A,) 1 object, 0 background, -1 ignored; and (A, 4) the boxes matched."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            label[(label == 0) & in_crowd(anchor, target["crowds"], target["canvas"])] = _IGNORED
        return labels, boxes


def build_proposals(anchors: Anchors, *, depth: int, most: int) -> ProposalNetwork:
    """Build the region proposal network with torchvision's settings.

    Args:
        anchors: the anchors' shapes.
        depth: convolutions before the last ones.
        most: proposals that the second stage is to get in prediction, at least.
    """
    return ProposalNetwork(
        PyramidAnchors(anchors),
        ProposalHead(CHANNELS, anchors.per_position, conv_depth=depth),
        fg_iou_thresh=PROPOSAL_IOU,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000, "testing": max(1000, most)},
        post_nms_top_n={"training": 2000, "testing": max(1000, most)},
        nms_thresh=0.7,
    )


def in_crowd(boxes: Tensor, crowds: Tensor, canvas: Tensor) -> Tensor:
    """Return (N,) bool, whether boxes lie mostly in crowds; what is outside of the image counts for none.

    What lies in several crowds at once counts for each: crowds are boxes, and those around parts of a region touch.

    Args:
        boxes: (N, 4) float32.
        crowds: (M, 4) float32.
        canvas: (4,) float32, the image's own box.
    """
    if not len(crowds):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    low = torch.maximum(boxes[:, :2], canvas[:2])
    high = torch.minimum(boxes[:, 2:], canvas[2:])
    areas = (high - low).clamp(min=0).prod(dim=1)
    covered = torch.zeros_like(areas)
    by_top = crowds[crowds[:, 1].argsort()]  # so that each group lies in a strip of the image, and few boxes are near
    for some in torch.split(by_top, _CROWDS_AT_ONCE):
        is_near = (low[:, 1] < some[:, 3].max()) & (high[:, 1] > some[:, 1].min())
        near = torch.where(is_near & (covered < MOSTLY * areas))[0]
        shared_low = torch.maximum(low[near, None], some[None, :, :2])
        shared_high = torch.minimum(high[near, None], some[None, :, 2:])
        shared = (shared_high - shared_low).clamp(min=0).prod(dim=2)
        covered[near] += shared.sum(dim=1)
    return covered >= MOSTLY * areas


@contextmanager
def returning(module: nn.Module, *, losses: bool) -> Iterator[None]:
    """Let one of torchvision's stages return losses, or predictions, whatever mode it is in.

    They decide by their own mode, which is evaluation when they are frozen; a frozen one still has to return losses.
    The modules inside keep their mode, and with it normalisation and dropout.
    """
    before = module.training
    module.training = losses
    try:
        yield
    finally:
        module.training = before


def to_images(padded: Tensor, height: int, width: int) -> Any:
    """Return what torchvision's stages take: the padded images (N, C, H, W), all of which show height by width."""
    return ImageList(padded, [(height, width)] * len(padded))
