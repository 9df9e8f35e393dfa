"""Where a run is and how long it goes on: plain numbers, which a checkpoint keeps and a resumed run takes up again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from easyseg.devices import Compute


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """How long one stage of training runs, how, and on what.

    Attributes:
        compute: device and number format.
        epochs: passes over the data; with a time budget, as many as it allows.
        steps_per_epoch: batches in an epoch.
        evaluate_every: batches between two evaluations; the last batch of the stage is always followed by one.
        learning_rate_factor: course of the learning rate, as a share of its peak; given how much of the stage is done,
            0..1, and how many whole epochs of it are.
        accumulate: batches per optimizer step.
        clip_gradients: largest gradient norm, None for no limit.
        time_budget: seconds until the last evaluation should be done, None for no limit.
        stage: name of the stage; empty where the run has only one.
        share: where the stage begins and ends in the whole run, each 0..1.
    """

    compute: Compute
    epochs: int
    steps_per_epoch: int
    evaluate_every: int
    learning_rate_factor: Callable[[float, int], float]
    accumulate: int = 1
    clip_gradients: float | None = None
    time_budget: float | None = None
    stage: str = ""
    share: tuple[float, float] = (0.0, 1.0)

    def batches_per_step(self, index: int) -> int:
        """Return how many batches share the optimizer step of the epoch's batch `index`; the last may have fewer."""
        first = index - index % self.accumulate
        return min(self.accumulate, self.steps_per_epoch - first)

    def completes_step(self, index: int) -> bool:
        """Tell whether the optimizer moves after the epoch's batch `index`."""
        return (index + 1) % self.accumulate == 0 or index + 1 == self.steps_per_epoch


@dataclass(slots=True)
class Position:
    """Where a run is.

    Attributes:
        stage: number of the stage, from 0.
        epoch: number of the epoch in the run, from 0.
        batch: batches of this epoch that are done.
        step: batches of the run that are done.
        stage_step: batches of this stage that are done.
        evaluated_step: `step` of the last evaluation, so that one that was broken off is made up for.
        seconds: training time in earlier sessions of this run.
        evaluation_seconds: what the last evaluation took.
        ending: why the last stage ended; empty in the first one.
        is_called_off: the stages after it are called off.
    """

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stage_step: int = 0
    evaluated_step: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    ending: str = ""
    is_called_off: bool = False

    def end_stage(self, reason: str, *, ends_run: bool) -> None:
        """Go to the beginning of the next stage, in an epoch of its own."""
        self.stage += 1
        self.epoch += 1
        self.batch = self.stage_step = 0
        self.ending = reason
        self.is_called_off = ends_run

    def state(self, *, seconds: float) -> dict[str, Any]:
        """Return the numbers to save, with the seconds that the run has taken by now."""
        return asdict(self) | {"seconds": seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to where `state` was saved."""
        for field in fields(self):
            setattr(self, field.name, state[field.name])


class Clock:
    """Tells what is due, by steps, or by seconds where there is a time budget.

    Args:
        plan: of the stage.
        position: where the run is; moved by `batch_done`.
        started_at: `time.perf_counter()` at which this session began.
    """

    def __init__(self, plan: LoopPlan, position: Position, *, started_at: float) -> None:
        self.position = position
        self._plan = plan
        self._started_at = started_at
        self._total = plan.epochs * plan.steps_per_epoch
        self._evaluation_began = 0.0

    def elapsed(self) -> float:
        """Return the seconds since the run began, those of earlier sessions included, pauses between them not."""
        return self.position.seconds + time.perf_counter() - self._started_at

    def progress(self) -> float:
        """Return how much of the stage is done, 0..1; time keeps back what the last evaluation took."""
        if self._plan.time_budget is None:
            return self.position.stage_step / self._total
        return min(1.0, self.elapsed() / max(1e-9, self._plan.time_budget - self.position.evaluation_seconds))

    def run_progress(self) -> float:
        """Return how much of the whole run is done, 0..1."""
        begin, end = self._plan.share
        return begin + (end - begin) * self.progress()

    def learning_rate_factor(self) -> float:
        """Return the learning rate for the next batch, as a share of its peak."""
        return self._plan.learning_rate_factor(self.progress(), self.position.stage_step // self._plan.steps_per_epoch)

    def enter_epoch(self) -> int:
        """Begin an epoch, unless one is under way, and return its number."""
        if self.position.batch == self._plan.steps_per_epoch:
            self.position.epoch += 1
            self.position.batch = 0
        return self.position.epoch

    def batch_done(self) -> None:
        """Count a batch."""
        self.position.batch += 1
        self.position.step += 1
        self.position.stage_step += 1

    def is_over(self) -> bool:
        """Tell whether the stage is at its end."""
        if self._plan.time_budget is None:
            return self.position.stage_step >= self._total
        return self.progress() >= 1

    def ends_epoch(self) -> bool:
        """Tell whether the epoch is at its end."""
        return self.position.batch == self._plan.steps_per_epoch

    def evaluation_is_due(self) -> bool:
        """Tell whether the model is to be measured now."""
        if self.position.evaluated_step == self.position.step:
            return False
        return self.position.stage_step % self._plan.evaluate_every == 0 or self.is_over()

    def evaluation_begins(self) -> None:
        """Take the time of an evaluation."""
        self._evaluation_began = self.elapsed()

    def evaluation_ends(self) -> None:
        """Remember that the model has been measured, and how long that took."""
        self.position.evaluation_seconds = self.elapsed() - self._evaluation_began
        self.position.evaluated_step = self.position.step

    def verdict(self) -> str:
        """Say why the stage ended."""
        if self._plan.time_budget is None and self._plan.stage:
            return f"all epochs of the stage {self._plan.stage!r} are done"
        if self._plan.time_budget is None:
            return f"all {self._plan.epochs} epochs are done" if self._plan.epochs > 1 else "the one epoch is done"
        return f"the time budget of {self._plan.time_budget:g} s is used up"
