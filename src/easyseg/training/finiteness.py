"""Keeps numbers that are not finite out of a model's weights and statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from easyseg.errors import TrainingError
from easyseg.training.progress import Position

LIMIT = 5
"""So many steps in a row that cannot be used end training: it does not recover from there by itself."""

GPU_LAG = 50
"""A GPU's verdicts are read every so many steps: each reading makes the processor wait for it."""


@dataclass(frozen=True, slots=True)
class SkippedStep:
    """A step that moved nothing, since its loss or gradient was no finite number.

    Attributes:
        epoch: number of the epoch, from 0.
        step: batches of the run that were done before.
        learning_rate: the largest of the parameter groups.
        images: numbers of the images in the dataset.
    """

    epoch: int
    step: int
    learning_rate: float
    images: tuple[int, ...]


class FinitenessGuard:
    """Decides whether a step may move the weights, and puts back normalisation statistics that a bad batch spoilt.

    On a GPU the decision stays there: the fused optimizer itself leaves the weights alone, and the processor learns of
    it up to `GPU_LAG` steps later.

    Args:
        buffers: the model's statistics and other tensors that are no weights.
        optimizer: moves its weights.
        device: of the model.
        report: is given all steps skipped so far, whenever there is a new one.

    Attributes:
        in_a_row: steps skipped since the last good one.
        skipped: all steps skipped.
    """

    def __init__(
        self,
        buffers: Iterable[Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        report: Callable[[Sequence[SkippedStep]], None] = lambda skipped: None,
    ) -> None:
        self.in_a_row = 0
        self.skipped: list[SkippedStep] = []
        self._optimizer = optimizer
        self._decides_on_device = device.type == "cuda" and bool(optimizer.defaults.get("fused"))
        self._report = report
        self._buffers = [buffer for buffer in buffers if buffer.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._waiting: list[tuple[Tensor, SkippedStep]] = []

    def step_begins(self) -> None:
        """Remember the statistics as they are before the step's first forward pass."""
        if not self._decides_on_device and self._buffers:
            torch._foreach_copy_(self._kept, self._buffers)

    def admits(self, finite: Tensor, position: Position, images: Sequence[int]) -> bool:
        """Tell whether the optimizer may be called; where it decides by itself, it is told and may.

        Args:
            finite: bool scalar on the device, whether losses and gradients are finite.
            position: where the run is.
            images: numbers of the images of the step.

        Raises:
            TrainingError: too many steps in a row were not.
        """
        rate = max(float(group["lr"]) for group in self._optimizer.param_groups)
        self._waiting.append((finite, SkippedStep(position.epoch, position.step, rate, tuple(images))))
        if not self._decides_on_device:
            return self.settle()
        vars(self._optimizer)["found_inf"] = (~finite).float()  # torch's own word to a fused optimizer: do not move
        self._put_back_unless(finite)
        if len(self._waiting) >= GPU_LAG:
            self.settle()
        return True

    def settle(self) -> bool:
        """Read the verdicts that wait, and tell whether all were good.

        Raises:
            TrainingError: too many steps in a row were not finite.
        """
        if not self._waiting:
            return True
        verdicts = torch.stack([finite for finite, _ in self._waiting]).tolist()
        steps = [step for _, step in self._waiting]
        self._waiting.clear()
        if all(verdicts):
            self.in_a_row = 0
            return True
        if not self._decides_on_device:
            self.put_back_statistics()
        for good, step in zip(verdicts, steps, strict=True):
            self._count(bool(good), step)
        return False

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps besides `kept_statistics`."""
        skipped = [{**asdict(step), "images": list(step.images)} for step in self.skipped]
        return {"in_a_row": self.in_a_row, "skipped": skipped}

    def kept_statistics(self) -> dict[str, Tensor]:
        """Return the statistics from before the step that is under way, by number."""
        return {str(number): kept for number, kept in enumerate(self._kept)}

    def restore(self, state: Mapping[str, Any], statistics: Mapping[str, Tensor]) -> None:
        """Go on from what `state` and `kept_statistics` returned."""
        self.in_a_row = int(state["in_a_row"])
        self.skipped = [SkippedStep(**{**step, "images": tuple(step["images"])}) for step in state["skipped"]]
        for number, kept in enumerate(self._kept):
            kept.copy_(statistics[str(number)])

    def put_back_statistics(self) -> None:
        """Give the model the statistics from before the step that is under way."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)

    def _put_back_unless(self, finite: Tensor) -> None:
        """Do so on the device, unless the step was good, and keep what the statistics are then; nobody waits for it."""
        if not self._buffers:
            return
        # as one tensor, for a kernel takes longer to launch than to run, and there are hundreds of buffers
        now, before = (torch.cat([each.reshape(-1) for each in group]) for group in (self._buffers, self._kept))
        parts = torch.split(torch.where(finite, now, before), [buffer.numel() for buffer in self._buffers])
        right = [part.view_as(buffer) for part, buffer in zip(parts, self._buffers, strict=True)]
        torch._foreach_copy_(self._buffers, right)
        torch._foreach_copy_(self._kept, right)

    def _count(self, good: bool, step: SkippedStep) -> None:
        if good:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        self.skipped.append(step)
        self._report(self.skipped)
        if self.in_a_row >= LIMIT:
            raise TrainingError(
                f"The loss or its gradient was not a finite number {LIMIT} steps in a row, the last of them step "
                f"{step.step + 1}: training has diverged. Type a learning_rate ten times smaller than "
                f"{step.learning_rate:g}; if that does not help, precision='fp32'. The run folder's nan_report.json "
                "names the images."
            )
