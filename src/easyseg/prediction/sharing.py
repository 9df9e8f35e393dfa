"""Measuring in several processes: which images each takes, and how what they found comes together."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Sharing(Protocol):
    """The processes that measure together; such as `training.distributed.World`."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of processes."""
        ...

    def added(self, part: Tensor) -> Tensor:
        """Return the sum of all processes' tensors."""
        ...

    def stacked(self, rows: Tensor) -> Tensor:
        """Return all processes' rows below each other, in the order of their ranks."""
        ...


def parts_of(count: int, batch_size: int, sharing: Sharing | None) -> list[list[int]]:
    """Deal out whole forward passes in turn, so that each holds the same images as with one process."""
    size = sharing.size if sharing is not None else 1
    passes = [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]
    return [[index for one in passes[rank::size] for index in one] for rank in range(size)]


def in_order(rows: Tensor, parts: list[list[int]], sharing: Sharing | None) -> Tensor:
    """Return what all processes found, an image a row, in the order of the images."""
    if sharing is None or sharing.size == 1:
        return rows
    found = sharing.stacked(rows)
    places = torch.tensor([index for part in parts for index in part])
    return torch.empty_like(found).index_copy_(0, places, found)
