"""Several processes that train one model: who they are, and what they tell each other.

The only module that knows `torch.distributed`; everything else asks a `World`. A world of one process, `ALONE`, does
nothing and costs nothing. Values travel as tensors or as JSON, never as pickled objects.

Every verb of a world is for all its processes together: each must come by, in the same order, or the others wait.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from easyseg.structures import Batch
from easyseg.training.trainable import Losses, TrainableModel


@dataclass(frozen=True, slots=True)
class World:
    """The processes that train one model, seen by one of them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
        local_size: number of processes on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks, and writes files."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.highest(0)

    def highest(self, *numbers: int) -> tuple[int, ...]:
        """Return, for each of these numbers, the highest that any process has."""
        if self.size == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return tuple(values.tolist())

    def added(self, part: Tensor) -> Tensor:
        """Return the sum of all processes' tensors of one shape, exact for integers; no gradient goes through it."""
        if self.size == 1:
            return part
        total = part.detach().clone()
        dist.all_reduce(total)
        return total

    def total(self, part: Tensor) -> Tensor:
        """Return the same sum with a gradient: each process gets that of its own part.

        Where every process computes the same loss from such sums, the gradients of all processes add up to that of the
        loss of the whole batch.
        """
        return part if self.size == 1 else cast(Tensor, _Total.apply(part))

    def joined(self, part: Tensor) -> Tensor:
        """Return all processes' columns side by side, in the order of their ranks; gradients as in `total`.

        Args:
            part: (rows, columns); rows are the same for all, columns need not be.
        """
        return part if self.size == 1 else cast(Tensor, _Joined.apply(part, self))

    def stacked(self, rows: Tensor) -> Tensor:
        """Return all processes' rows below each other, in the order of their ranks; any process may have none.

        Args:
            rows: (n, ...), on the CPU; all but n is the same for all.
        """
        if self.size == 1:
            return rows
        counts = self._of_each(len(rows))
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        blocks = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(blocks, padded)
        return torch.cat([block[:count] for block, count in zip(blocks, counts, strict=True)])

    def from_first(self, value: Any) -> Any:
        """Return what the first process has, a value that JSON can hold; those of the others are not looked at."""
        if self.size == 1:
            return value
        return self.of_each(value if self.is_first else None)[0]

    def of_each(self, value: Any) -> list[Any]:
        """Return every process's value, by rank; values are what JSON can hold."""
        if self.size == 1:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        counts = self._of_each(len(own))
        text = self.stacked(own)
        return [json.loads(bytes(part.tolist())) for part in torch.split(text, counts)]

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the first one's values, in place."""
        if self.size == 1:
            return
        by_kind: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for tensor in tensors:
            by_kind.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        for group in by_kind.values():  # one message for all of them: most are tiny
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in group])
            dist.broadcast(flat, src=0)
            for tensor, values in zip(group, torch.split(flat, [tensor.numel() for tensor in group]), strict=True):
                tensor.detach().copy_(values.view(tensor.shape))

    @contextmanager
    def one_before_the_others(self) -> Iterator[None]:
        """Let one process of each machine through the block first, such as to fetch a file that all of them need."""
        if self.local_rank != 0:
            self.barrier()
        yield
        if self.local_rank == 0:
            self.barrier()

    def _of_each(self, number: int) -> list[int]:
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = number
        dist.all_reduce(counts)
        return [int(count) for count in counts]


ALONE = World()
"""The world of a training on one device."""


class _Total(torch.autograd.Function):
    """A sum over processes, whose gradient belongs to each process's own part."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Joined(torch.autograd.Function):
    """Columns of all processes side by side; the gradient of its own ones goes back to each."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, world: World) -> Tensor:
        counts = world._of_each(part.shape[1])
        ctx.columns = slice(sum(counts[: world.rank]), sum(counts[: world.rank + 1]))
        padded = part.new_zeros((part.shape[0], max(counts)))
        padded[:, : part.shape[1]] = part.detach()
        blocks = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(blocks, padded)
        return torch.cat([block[:, :count] for block, count in zip(blocks, counts, strict=True)], dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[:, ctx.columns], None


class _LossesOf(nn.Module):
    """A model whose forward pass is its losses, as DistributedDataParallel watches nothing but `forward`."""

    def __init__(self, model: TrainableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.model.losses(batch)


def replicated(model: TrainableModel, world: World) -> Losses:
    """Return the model's losses; a backward pass through them leaves the gradients of all processes' parts, averaged.

    To be called anew where other parameters learn. All processes get the first one's weights and statistics.

    Args:
        model: on the device where it is trained. Its `losses` return those of the whole batch, see
            `structures.SegmentationModel`.
        world: the processes.
    """
    if world.size == 1:
        return model.losses
    # buffers are spread after every step, see `WeightUpdate`; torch 2.15 has renamed the switch
    names = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    switch: dict[str, Any] = {name: False}
    # a static graph is that of one stage: parameters without a part in the loss are found once and not in every step
    return cast(Losses, DistributedDataParallel(_LossesOf(model), static_graph=True, **switch))
