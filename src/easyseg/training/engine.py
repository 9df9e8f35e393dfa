"""The training loop: one screen, in the order in which things happen."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import TrainingError
from easyseg.structures import Batch, SegmentationModel
from easyseg.training.callbacks import BestTracker, Callback, EpochReport, StepReport
from easyseg.training.optim import learning_rate_factor, set_learning_rate


class Batches(Protocol):
    """What the loop needs of a loader."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        ...


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """How long the loop runs, how, and on what.

    Attributes:
        compute: device and number format.
        epochs: passes over the data; with a time budget, as many as it allows.
        steps_per_epoch: batches in an epoch.
        evaluate_every: batches between two evaluations; the last batch of the run is always followed by one.
        schedule: course of the learning rate.
        accumulate: batches per optimizer step.
        clip_gradients: largest gradient norm, None for no limit.
        time_budget: seconds from `started_at` until the last evaluation should be done, None for no limit.
        started_at: `time.perf_counter()` at which the run began.
    """

    compute: Compute
    epochs: int
    steps_per_epoch: int
    evaluate_every: int
    schedule: str
    accumulate: int = 1
    clip_gradients: float | None = None
    time_budget: float | None = None
    started_at: float = field(default_factory=time.perf_counter)

    def batches_per_step(self, index: int) -> int:
        """Return how many batches share the optimizer step of the epoch's batch `index`; the last may have fewer."""
        first = index - index % self.accumulate
        return min(self.accumulate, self.steps_per_epoch - first)

    def completes_step(self, index: int) -> bool:
        """Tell whether the optimizer moves after the epoch's batch `index`."""
        return (index + 1) % self.accumulate == 0 or index + 1 == self.steps_per_epoch


def train(
    model: SegmentationModel,
    batches: Batches,
    *,
    plan: LoopPlan,
    optimizer: torch.optim.Optimizer,
    evaluate: Callable[[], Mapping[str, float]],
    best: BestTracker,
    observers: Sequence[Callback] = (),
    after_step: Callable[[], None] = lambda: None,
) -> str:
    """Train a model and return why training ended.

    Args:
        model: trained in place.
        batches: the training data.
        plan: how long, how, and on what device.
        optimizer: its groups carry their highest learning rate.
        evaluate: measures the model as it is now; the figures go to the observers.
        best: decides whether an evaluation is the best so far.
        observers: told what happens; any of them may ask to stop.
        after_step: called after every optimizer step, such as to bring a moving average of the weights up to date.

    Raises:
        TrainingError: the loss stopped being a finite number.
    """
    clock = _Clock(plan)
    update = _WeightUpdate(optimizer, plan, after_step)
    recent = _RecentLoss(plan.compute.device)
    for epoch in clock.epochs():
        for observer in observers:
            observer.epoch_started(epoch)
        model.train()
        for index, batch in enumerate(batches.epoch(epoch)):
            set_learning_rate(optimizer, learning_rate_factor(plan.schedule, clock.progress()))
            with plan.compute.autocast():
                loss = torch.stack(list(model.losses(batch.to(plan.compute.device)).values())).sum()
            update.backward(loss / plan.batches_per_step(index))
            if plan.completes_step(index):
                update.step()
            recent.add(loss)
            clock.step += 1

            step = clock.step_report(epoch, recent.last, highest_rate(optimizer), images=len(batch))
            for observer in observers:
                observer.batch_ended(step)
            if clock.evaluation_is_due():
                figures = {"loss": recent.mean(), **evaluate()}
                is_best = best.is_better(figures, epoch=epoch)
                report = clock.epoch_report(epoch, figures, highest_rate(optimizer), is_best=is_best)
                requests = [request for observer in observers if (request := observer.epoch_ended(report))]
                if requests:
                    return requests[0].reason
                model.train()
                # asked here alone: asked again, a clock that ran on would end the run without an evaluation
                if clock.is_over():
                    return clock.verdict()
    return clock.verdict()


class _WeightUpdate:
    """From a loss to moved weights: scaling for fp16, gradients, clipping, optimizer, in this order."""

    def __init__(self, optimizer: torch.optim.Optimizer, plan: LoopPlan, after_step: Callable[[], None]) -> None:
        self._optimizer = optimizer
        self._scaler = torch.amp.GradScaler(plan.compute.device.type, enabled=plan.compute.needs_scaler)
        self._clip_gradients = plan.clip_gradients
        self._after_step = after_step
        self._weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.zero_grad(set_to_none=True)  # a run that was stopped between two steps leaves gradients behind

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those there are."""
        torch.autograd.backward(self._scaler.scale(loss))

    def step(self) -> None:
        """Move the weights and forget the gradients."""
        if self._clip_gradients is not None:
            self._scaler.unscale_(self._optimizer)  # the norm of scaled gradients means nothing
            nn.utils.clip_grad_norm_(self._weights, self._clip_gradients)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._after_step()


def highest_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the largest learning rate among the optimizer's groups."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


class _Clock:
    """How far the run is: by steps, or by seconds where there is a time budget."""

    def __init__(self, plan: LoopPlan) -> None:
        self.step = 0
        self._plan = plan
        self._total = plan.epochs * plan.steps_per_epoch
        self._evaluation_seconds = 0.0
        self._evaluation_began = 0.0

    def epochs(self) -> Iterator[int]:
        """Yield epoch numbers, from 0; without an end where time decides."""
        return itertools.count() if self._plan.time_budget is not None else iter(range(self._plan.epochs))

    def elapsed(self) -> float:
        return time.perf_counter() - self._plan.started_at

    def progress(self) -> float:
        """Return how much of the run is done, 0..1; time keeps back what the last evaluation took."""
        if self._plan.time_budget is None:
            return self.step / self._total
        return min(1.0, self.elapsed() / max(1e-9, self._plan.time_budget - self._evaluation_seconds))

    def is_over(self) -> bool:
        if self._plan.time_budget is None:
            return self.step >= self._total
        return self.progress() >= 1

    def evaluation_is_due(self) -> bool:
        self._evaluation_began = self.elapsed()
        return self.step % self._plan.evaluate_every == 0 or self.is_over()

    def step_report(self, epoch: int, loss: Tensor, learning_rate: float, *, images: int) -> StepReport:
        return StepReport(
            epoch=epoch,
            step=self.step,
            steps_per_epoch=self._plan.steps_per_epoch,
            loss=loss,
            learning_rate=learning_rate,
            images=images,
            seconds=self.elapsed(),
            progress=self.progress(),
        )

    def epoch_report(
        self, epoch: int, metrics: Mapping[str, float], learning_rate: float, *, is_best: bool
    ) -> EpochReport:
        self._evaluation_seconds = self.elapsed() - self._evaluation_began
        return EpochReport(
            epoch=epoch,
            step=self.step,
            seconds=self.elapsed(),
            learning_rate=learning_rate,
            metrics=metrics,
            is_best=is_best,
        )

    def verdict(self) -> str:
        if self._plan.time_budget is None:
            return f"all {self._plan.epochs} epochs are done"
        return f"the time budget of {self._plan.time_budget:g} s is used up"


class _RecentLoss:
    """The mean loss since the last evaluation, added up on the device so that nothing waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.last = torch.zeros((), device=device)
        self._sum = torch.zeros((), device=device, dtype=torch.float32)
        self._count = 0

    def add(self, loss: Tensor) -> None:
        self.last = loss.detach()
        self._sum += self.last
        self._count += 1

    def mean(self) -> float:
        """Return the mean and start anew.

        Raises:
            TrainingError: it is not a finite number.
        """
        mean = float(self._sum) / self._count
        self._sum.zero_()
        self._count = 0
        if not math.isfinite(mean):
            raise TrainingError(
                f"The loss is {mean}: training has diverged. Type a learning_rate ten times smaller; if that does not "
                "help, precision='fp32'."
            )
        return mean
