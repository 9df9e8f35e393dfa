"""What the first stage says of each anchor, at all positions, or, to learn from, at a few."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.rpn import RPNHead

_AROUND = (-1, 0, 1)


class ProposalHead(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's head, whose results are float32 under autocast, too: from them come coordinates.

    It learns from a few hundred of an image's tens of thousands of anchors, so `at` works out those alone, with the
    same weights: its gradient is that of the whole, for a hundredth of the work.
    """

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return (N, A, h, w) logits and (N, 4 A, h, w) deltas for each level (N, C, h, w)."""
        logits, deltas = super().forward(features)
        return [each.float() for each in logits], [each.float() for each in deltas]

    def at(self, features: Sequence[Tensor], chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return (K,) logits and (K, 4) deltas of K anchors, both float32.

        Args:
            features: of each level, (N, C, h, w).
            chosen: (K,) int64 numbers of anchors: by image, level, row, column and shape.
        """
        *before, last = self.conv
        for block in before:
            features = [block(feature) for feature in features]
        convolution = last[0]
        shapes = self.cls_logits.out_channels
        patches = _patches(features, torch.div(chosen, shapes, rounding_mode="floor"))
        hidden = F.linear(patches, convolution.weight.permute(0, 2, 3, 1).flatten(1), convolution.bias).relu_()
        logits = F.linear(hidden, self.cls_logits.weight.flatten(1), self.cls_logits.bias)
        deltas = F.linear(hidden, self.bbox_pred.weight.flatten(1), self.bbox_pred.bias)
        shape = (chosen % shapes)[:, None]
        own = torch.take_along_dim(deltas.view(-1, shapes, 4), shape[:, :, None], dim=1)
        return logits.gather(1, shape)[:, 0].float(), own[:, 0].float()


def _patches(features: Sequence[Tensor], positions: Tensor) -> Tensor:
    """Return (K, 9 C) what lies at and around positions: by row, column and channel, 0 beyond the borders.

    Args:
        features: of each level, (N, C, h, w).
        positions: (K,) by image, level, row and column.
    """
    device, count = positions.device, len(features[0])
    sizes = torch.tensor([feature.shape[2:] for feature in features], device=device)
    areas = sizes.prod(dim=1)
    ends = areas.cumsum(0)
    image, within = torch.div(positions, ends[-1], rounding_mode="floor"), positions % ends[-1]
    level = torch.bucketize(within, ends, right=True)
    height, width = sizes[level].unbind(dim=1)
    begins = ends - areas
    place = within - begins[level]
    steps = torch.tensor([(down, across) for down in _AROUND for across in _AROUND], device=device)
    rows = torch.div(place, width, rounding_mode="floor")[:, None] + steps[:, 0]
    columns = (place % width)[:, None] + steps[:, 1]
    is_inside = (rows >= 0) & (rows < height[:, None]) & (columns >= 0) & (columns < width[:, None])
    first = count * begins[level] + image * areas[level]
    wanted = torch.where(is_inside, first[:, None] + rows * width[:, None] + columns, 0)
    table = torch.cat([feature.permute(0, 2, 3, 1).flatten(0, 2) for feature in features])
    found = table.index_select(0, wanted.flatten()).view(len(positions), len(steps), table.shape[1])
    return (found * is_inside[:, :, None]).flatten(1)
