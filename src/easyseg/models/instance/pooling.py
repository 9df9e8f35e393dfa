"""Cuts boxes out of the pyramid's levels: torchvision's RoIAlign, with known scales, and quick on processors, too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from easyseg.models.instance.pyramid import REDUCTIONS
from easyseg.structures import SizeHW

_SAMPLES = 2
"""Points along each side of a cell, over which it is averaged."""


class PyramidRoIAlign(MultiScaleRoIAlign):  # type: ignore[misc]  # torchvision has no types
    """Cuts boxes out of the pyramid's levels, whose scales are known.

    Torchvision's works them out from the first image it sees and keeps them, right or wrong. On processors it also goes
    number by number, on one core, which cost seven times as much as this: a cell is a weighted sum of positions of the
    levels, all channels at once, for which torch has a quick function.

    Args:
        output_size: rows and columns that a box is cut into.
    """

    def __init__(self, output_size: int) -> None:
        names = [str(place) for place in range(len(REDUCTIONS))]
        super().__init__(featmap_names=names, output_size=output_size, sampling_ratio=_SAMPLES)
        self.scales = [1 / reduction for reduction in REDUCTIONS]
        self.map_levels = initLevelMapper(REDUCTIONS[0].bit_length() - 1, REDUCTIONS[-1].bit_length() - 1)

    def forward(self, levels: dict[str, Tensor], boxes: list[Tensor], image_sizes: list[SizeHW]) -> Tensor:
        """Return (K, C, size, size) for K boxes in all.

        Args:
            levels: (N, C, h, w) by name.
            boxes: (M, 4) float32 x1, y1, x2, y2 of each image, in its pixels.
            image_sizes: height and width of each image.
        """
        used = [levels[name] for name in self.featmap_names]
        if used[0].device.type != "cpu":
            pooled: Tensor = super().forward(levels, boxes, image_sizes)
            return pooled
        return _gathered(used, boxes, self.map_levels(boxes), self.output_size[0])


def _gathered(levels: list[Tensor], boxes: list[Tensor], level_of: Tensor, size: int) -> Tensor:
    """Return (K, C, size, size) float32, channels last, as torchvision's `roi_align` gives it.

    Args:
        levels: (N, C, h, w) at 1/4, 1/8, ..
        boxes: of each image.
        level_of: (K,) the level that each box is cut from.
        size: rows and columns.
    """
    sizes = [(level.shape[2], level.shape[3]) for level in levels]
    area = torch.tensor([height * width for height, width in sizes])
    starts = (area.cumsum(0) - area) * len(boxes)
    image_of = torch.repeat_interleave(torch.tensor([len(each) for each in boxes]))
    on_level = torch.cat(boxes) / torch.tensor(REDUCTIONS)[level_of, None]
    extents = torch.tensor(sizes)[level_of]
    rows, row_weights = _positions(on_level[:, 1], on_level[:, 3], extents[:, 0], size)
    columns, column_weights = _positions(on_level[:, 0], on_level[:, 2], extents[:, 1], size)
    firsts = starts[level_of] + image_of * area[level_of]
    # (K, rows, columns, positions down, positions across)
    places = rows[:, :, None, :, None] * extents[:, 1].view(-1, 1, 1, 1, 1) + columns[:, None, :, None, :]
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    table = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2).float() for level in levels])
    cells = F.embedding_bag(
        (places + firsts.view(-1, 1, 1, 1, 1)).flatten(0, 2).flatten(1),
        table,
        mode="sum",
        per_sample_weights=weights.flatten(0, 2).flatten(1),
    )
    return cells.view(-1, size, size, table.shape[1]).permute(0, 3, 1, 2)


def _positions(low: Tensor, high: Tensor, extent: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return along one axis the (K, size, 4) positions that cells are interpolated from, and their weights.

    Args:
        low: (K,) where boxes begin, in positions of their level.
        high: (K,) where they end.
        extent: (K,) how many positions their level has.
        size: cells per box.
    """
    steps = (torch.arange(size * _SAMPLES) + 0.5) / (size * _SAMPLES)
    last = (extent - 1)[:, None]
    points = low[:, None] + (high - low).clamp(min=1)[:, None] * steps  # no box is narrower than a position
    is_near = (points >= -1) & (points <= extent[:, None])
    points = torch.minimum(points.clamp(min=0), last)
    before = points.floor().long()
    fraction = points - before
    positions = torch.stack([before, torch.minimum(before + 1, last)], dim=-1)
    weights = torch.stack([1 - fraction, fraction], dim=-1) * is_near[..., None] / _SAMPLES
    return positions.view(-1, size, 2 * _SAMPLES), weights.view(-1, size, 2 * _SAMPLES)
