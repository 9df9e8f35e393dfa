"""The training loop: one screen, in the order in which things happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from easyseg.structures import Batch
from easyseg.training.callbacks import EpochReport, StepReport
from easyseg.training.optim import highest_rate, set_learning_rate
from easyseg.training.progress import Clock, LoopPlan
from easyseg.training.run import TrainingRun


class Batches(Protocol):
    """What the loop needs of a loader."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from batch `start` on."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a stage of training ended.

    Attributes:
        reason: in words.
        ends_run: whether the stages after it are called off.
    """

    reason: str
    ends_run: bool = False


def train(
    run: TrainingRun,
    batches: Batches,
    *,
    plan: LoopPlan,
    evaluate: Callable[[], Mapping[str, float]],
    after_batch: Callable[[Clock], None] = lambda clock: None,
) -> Ending:
    """Train from where the run is to the end of its stage, and return why that ended.

    Args:
        run: the model and everything else that changes.
        batches: the training data.
        plan: how long, how, and on what device.
        evaluate: measures the model as it is now; the figures go to the observers.
        after_batch: called when everything about a batch is done: the moment to save, and to stop by an exception.

    Raises:
        TrainingError: the loss stopped being a finite number.
    """
    clock = Clock(plan, run.position, started_at=run.started_at, world=run.world)
    run.update.begin_stage(run.world)
    ending = _assess(run, clock, plan, evaluate)  # an evaluation that was broken off is made up for
    while ending is None:
        epoch = clock.enter_epoch()
        for observer in run.observers:
            observer.epoch_started(epoch)
        run.model.train()
        for batch in run.timer.timed(batches.epoch(epoch, start=run.position.batch)):
            set_learning_rate(run.optimizer, clock.learning_rate_factor())
            run.recent.add(run.update.learn(batch, plan, run.position))
            run.losses.add(run.recent.last)
            run.timer.step_done(len(batch.whole or batch.indices))
            clock.batch_done()

            step = _step_report(run, clock, plan, images=len(batch.whole or batch.indices))
            for observer in run.observers:
                observer.batch_ended(step)
            ending = _assess(run, clock, plan, evaluate)
            after_batch(clock)
            if ending is not None:
                break
    return ending


def _assess(
    run: TrainingRun, clock: Clock, plan: LoopPlan, evaluate: Callable[[], Mapping[str, float]]
) -> Ending | None:
    """Measure the model where that is due, tell the observers, and return why the stage is at its end, if it is."""
    if not clock.evaluation_is_due():
        return None
    run.guard.settle()
    clock.evaluation_begins()
    measured = evaluate()
    figures = {"loss": run.recent.mean(), **measured}
    clock.evaluation_ends()
    is_best = run.best.is_better(figures, epoch=run.position.epoch)
    report = EpochReport(
        epoch=run.position.epoch,
        step=run.position.step,
        seconds=clock.elapsed(),
        learning_rate=highest_rate(run.optimizer),
        metrics=figures,
        is_best=is_best,
        stage=plan.stage,
        pace=run.timer.pace(),
        recent_loss=run.losses.figures(),
    )
    run.timer.reset()
    run.losses.reset()
    wish = run.world.from_first(_wish(run, report))
    run.model.train()
    # asked once: asked again, a clock that ran on would end the run without an evaluation
    ending = Ending(clock.verdict()) if clock.is_over() else None
    if wish is not None:
        ending = Ending(*wish)
    if ending is not None:
        run.position.end_stage(ending.reason, ends_run=ending.ends_run)
    return ending


def _wish(run: TrainingRun, report: EpochReport) -> tuple[str, bool] | None:
    """Tell the observers; return the first wish to stop, in words, and whether any of them is to end the run."""
    requests = [request for observer in run.observers if (request := observer.epoch_ended(report))]
    if not requests:
        return None
    return requests[0].reason, not all(request.stage_only for request in requests)


def _step_report(run: TrainingRun, clock: Clock, plan: LoopPlan, *, images: int) -> StepReport:
    return StepReport(
        epoch=run.position.epoch,
        step=run.position.step,
        batch=run.position.batch,
        steps_per_epoch=plan.steps_per_epoch,
        loss=run.recent.last,
        learning_rate=highest_rate(run.optimizer),
        images=images,
        seconds=clock.elapsed(),
        progress=clock.run_progress(),
        pace=run.timer.pace(),
    )
