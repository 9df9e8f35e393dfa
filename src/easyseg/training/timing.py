"""How fast training goes, what its time goes into, and how the loss went lately; nothing here waits for the device."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

WINDOW = 100
"""Batches that the figures of the loss look back on."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast training went since the last evaluation.

    On a GPU the work is handed over and done later. Where the GPU is the slower side its queue is full, and the wait
    shows as computing; where the data is the slower side, the wait shows as data.

    Attributes:
        images: trained on in that time.
        steps: batches in that time.
        data_seconds: spent waiting for batches.
        compute_seconds: spent on training with them; evaluations are in neither.
    """

    images: int = 0
    steps: int = 0
    data_seconds: float = 0.0
    compute_seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Images per second of waiting and computing; 0 before the first batch."""
        seconds = self.data_seconds + self.compute_seconds
        return self.images / seconds if seconds > 0 else 0.0

    @property
    def data_share(self) -> float:
        """Share of the time that went into waiting for batches, 0..1."""
        seconds = self.data_seconds + self.compute_seconds
        return self.data_seconds / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        if not self.steps:
            return ""
        return f"{self.images_per_second:.1f} images/s, data {100 * self.data_share:.0f} % of the time"


class StepTimer:
    """Parts the time of a loop into waiting for data and computing.

    Example:
        >>> timer = StepTimer()
        >>> for batch in timer.timed(loader):
        ...     train_on(batch)
        ...     timer.step_done(len(batch))
        >>> print(timer.pace())
    """

    def __init__(self) -> None:
        self._began = 0.0
        self.reset()

    def timed(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield the batches; the time until each is there counts as data."""
        source = iter(batches)
        while True:
            asked = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:  # the wait for the end, too, is a wait for data
                self._data_seconds += time.perf_counter() - asked
                return
            self._began = time.perf_counter()
            self._data_seconds += self._began - asked
            yield batch

    def step_done(self, images: int) -> None:
        """Count a batch; the time since it was there counts as computing."""
        self._compute_seconds += time.perf_counter() - self._began
        self._images += images
        self._steps += 1

    def pace(self) -> Pace:
        """Return what was measured since the last `reset`."""
        return Pace(self._images, self._steps, self._data_seconds, self._compute_seconds)

    def reset(self) -> None:
        """Measure anew from here."""
        self._images = self._steps = 0
        self._data_seconds = self._compute_seconds = 0.0


@dataclass(frozen=True, slots=True)
class LossFigures:
    """How the loss of the last batches was spread.

    Attributes:
        median: half of them were below; one wild batch does not move it.
        mean: of all of them.
        maximum: the worst of them.
        count: how many batches these figures are of.
    """

    median: float
    mean: float
    maximum: float
    count: int

    def __str__(self) -> str:
        return f"median {self.median:.4f}, maximum {self.maximum:.4f}"


class LossWindow:
    """The losses of the last batches, kept on the device until somebody asks.

    Args:
        device: where the losses are.
        size: batches to look back on.
    """

    def __init__(self, device: torch.device, size: int = WINDOW) -> None:
        self._losses = torch.zeros(size, device=device, dtype=torch.float32)
        self._count = 0
        self._is_whole = True

    def begin_late(self) -> None:
        """Take note that losses before these are not known: until the next reset there are no figures."""
        self._is_whole = False

    def add(self, loss: Tensor) -> None:
        """Take in a batch's loss, a scalar."""
        self._losses[self._count % len(self._losses)] = loss.detach()
        self._count += 1

    def reset(self) -> None:
        """Forget the losses so far."""
        self._count = 0
        self._is_whole = True

    def figures(self) -> LossFigures | None:
        """Return the figures of the finite losses, waiting for the device; None where there are none, or not all."""
        if not self._is_whole:
            return None
        losses = [loss for loss in self._losses[: self._count].tolist() if math.isfinite(loss)]
        if not losses:
            return None
        return LossFigures(statistics.median(losses), statistics.fmean(losses), max(losses), len(losses))
