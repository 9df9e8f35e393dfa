"""Observers of a training run.

A callback is told of five moments and gets records that cannot be changed. It never reaches into the run; where it
wants the run to end, it answers `epoch_ended` with a `StopRequest`.

Example:
    >>> class StopWhenGoodEnough(Callback):
    ...     def epoch_ended(self, report: EpochReport) -> StopRequest | None:
    ...         if report.metrics["mean_iou"] > 0.9:
    ...             return StopRequest("mean IoU is above 0.9")
    ...         return None
    >>> segmenter.fit("data/camvid", callbacks=[StopWhenGoodEnough()])
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from torch import Tensor
from tqdm import tqdm

from easyseg.devices import memory_in_words
from easyseg.errors import ConfigError, closest
from easyseg.metrics import Direction, direction_of
from easyseg.results.words import clock_time, time_left
from easyseg.training.timing import LossFigures, Pace

REFRESH_SECONDS = 0.5
"""The bar moves this often at the most: reading the loss makes the processor wait for a GPU."""


@dataclass(frozen=True, slots=True)
class FitInfo:
    """What is known when training starts.

    Attributes:
        epochs: passes over the data that are planned; None where a time budget decides.
        steps_per_epoch: batches in an epoch.
        batch_size: images in a batch.
        num_images: training images.
        device: such as "cpu" or "cuda:0".
        precision: "fp32", "bf16" or "fp16".
        monitor: the figure that decides which epoch is best.
        run_dir: folder of the results, None where there is none.
    """

    epochs: int | None
    steps_per_epoch: int
    batch_size: int
    num_images: int
    device: str
    precision: str
    monitor: str
    run_dir: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StepReport:
    """What is known after a batch.

    Attributes:
        epoch: number of the epoch, from 0.
        step: batches done in the whole run.
        batch: batches done in this epoch.
        steps_per_epoch: batches in an epoch.
        loss: of this batch, a scalar on the device. `float(loss)` waits until the device has computed it, so ask now
            and then, not every time.
        learning_rate: the largest of the parameter groups.
        images: images in the batch.
        seconds: since training started.
        progress: share of the run that is done, 0 to 1.
        pace: how fast training went since the last evaluation, and what its time went into.
    """

    epoch: int
    step: int
    batch: int
    steps_per_epoch: int
    loss: Tensor
    learning_rate: float
    images: int
    seconds: float
    progress: float
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What is known after an evaluation, which follows every epoch unless `evaluate_every` says otherwise.

    Attributes:
        epoch: number of the epoch, from 0.
        step: batches done in the whole run.
        seconds: since training started.
        learning_rate: the largest of the parameter groups.
        metrics: figures by name: "loss" of training since the last evaluation, and those of the validation images.
        is_best: whether this is the best evaluation so far.
        stage: name of the stage; empty where the training has none.
        pace: how fast training went since the last evaluation, and what its time went into.
        recent_loss: how the loss of the batches since the last evaluation was spread, the last 100 of them at the
            most; None where nobody looked.
    """

    epoch: int
    step: int
    seconds: float
    learning_rate: float
    metrics: Mapping[str, float]
    is_best: bool
    stage: str = ""
    pace: Pace = field(default_factory=Pace)
    recent_loss: LossFigures | None = None


@dataclass(frozen=True, slots=True)
class FitSummary:
    """What is known when training has ended.

    Attributes:
        reason: why it ended, such as "all 50 epochs are done".
        seconds: it took.
        best_epoch: number of the best epoch, from 0; None where no epoch counted.
        best_value: the monitored figure then.
        is_complete: False where an error or Ctrl-C broke it off.
    """

    reason: str
    seconds: float
    best_epoch: int | None = None
    best_value: float | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class StopRequest:
    """An observer's wish to end training.

    Attributes:
        reason: for people, such as "mean_iou has not improved for 10 evaluations".
        stage_only: end the present stage alone, and go on with the next one.
    """

    reason: str
    stage_only: bool = False


class Callback:
    """An observer that does nothing; override the moments of interest."""

    def fit_started(self, info: FitInfo) -> None:
        """Training is about to start."""

    def epoch_started(self, epoch: int) -> None:
        """An epoch, numbered from 0, is about to start."""

    def batch_ended(self, report: StepReport) -> None:
        """A batch has been trained on."""

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        """The model has been evaluated; a `StopRequest` ends training."""
        return None

    def fit_ended(self, summary: FitSummary) -> None:
        """Training has ended."""

    def state(self) -> dict[str, Any]:
        """Return what the callback must remember across an interruption, as values that JSON can hold."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned in the session that was interrupted."""


class BestTracker:
    """The one rule by which an evaluation is the best so far: for the checkpoint, early stopping and the report.

    A figure must be better by more than `min_delta`, so of equal ones the first stays. One that is not a finite number
    is never the best.

    Args:
        monitor: the figure, such as "mean_iou" or "iou/road"; whether more or less is better follows from its name.
        min_delta: smallest change that counts.
        check_best_cooldown: so many first epochs are never the best.
        class_names: the classes, where the figure of one of them is monitored.
        direction: whether more or less of it is better, where its name is none of the figures of pixels.
        floor: what a model scores that has learnt nothing yet; of figures of which more is better, only what is above
            can be the best.

    Raises:
        UnknownNameError: there is no such figure.

    Example:
        >>> best = BestTracker("mean_iou")
        >>> [best.is_better({"mean_iou": value}, epoch=epoch) for epoch, value in enumerate([0.4, 0.5, 0.5])]
        [True, True, False]
        >>> best.epoch, best.value
        (1, 0.5)
    """

    def __init__(
        self,
        monitor: str,
        *,
        min_delta: float = 0.0,
        check_best_cooldown: int = 0,
        class_names: Iterable[str] = (),
        direction: Direction | None = None,
        floor: float = -math.inf,
    ) -> None:
        self.monitor = monitor
        self.epoch: int | None = None
        self.value: float | None = None
        self._sign = 1.0 if (direction or direction_of(monitor, class_names)) == "max" else -1.0
        self._min_delta = min_delta
        self._floor = floor if self._sign > 0 else -math.inf
        self._check_best_cooldown = check_best_cooldown

    def is_better(self, metrics: Mapping[str, float], *, epoch: int) -> bool:
        """Tell whether this evaluation is the best so far, and remember it if so.

        Args:
            metrics: figures by name.
            epoch: number of the epoch, from 0.

        Raises:
            ConfigError: the monitored figure was not measured.
        """
        if self.monitor not in metrics:
            near = closest(self.monitor, metrics)
            hint = f" Did you mean monitor={near!r}?" if near else ""
            raise ConfigError(f"monitor={self.monitor!r} is not among the figures: {', '.join(metrics)}.{hint}")
        value = float(metrics[self.monitor])
        if epoch < self._check_best_cooldown or not math.isfinite(value) or value <= self._floor:
            return False
        if self.value is not None and self._sign * (value - self.value) <= self._min_delta:
            return False
        self.epoch, self.value = epoch, value
        return True


class EarlyStopping(Callback):
    """Asks to stop when so many evaluations in a row were not the best.

    Counting starts with the first best evaluation, so a cooldown takes nothing from the patience.

    In a training of several stages it ends the present one. A stage whose predecessor lost patience begins with all
    of its own; after any other end the count goes on, as the best score does.

    Args:
        patience: evaluations to wait for a better one; None: for ever.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self._monitor = "the monitored figure"
        self._since_best: int | None = None

    def fit_started(self, info: FitInfo) -> None:
        """Start counting anew."""
        self._monitor = info.monitor
        self._since_best = None

    def state(self) -> dict[str, Any]:
        """Return how long it has waited, and how long it would."""
        return {"since_best": self._since_best, "patience": self.patience}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on waiting, with the patience of the stage in which that was: the next one asks how it ended."""
        self._since_best = state["since_best"]
        self.patience = state["patience"]

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        """Ask to stop when patience is at an end."""
        if report.is_best:
            self._since_best = 0
        elif self._since_best is not None:
            self._since_best += 1
            if self._is_at_an_end():
                reason = f"{self._monitor} has not improved for {self._since_best} evaluations"
                return StopRequest(reason, stage_only=True)
        return None

    def stage_started(self, patience: int | None) -> None:
        """Wait as long as the stage that starts wants to."""
        if self._is_at_an_end():
            self._since_best = 0
        self.patience = patience

    def _is_at_an_end(self) -> bool:
        return self.patience is not None and self._since_best is not None and self._since_best >= self.patience


class ProgressBar(Callback):
    """Shows how training goes: a bar on a terminal, and one plain line per evaluation everywhere.

    Args:
        verbose: False shows nothing; True shows the bar even where the stream is no terminal.
        stream: where to write; None: standard error.
    """

    def __init__(self, *, verbose: bool | Literal["auto"] = "auto", stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._is_quiet = verbose is False
        self._has_bar = verbose is True or (verbose == "auto" and self._stream.isatty())
        self._info: FitInfo | None = None
        self._bar: tqdm[NoReturn] | None = None
        self._refreshed_at = -math.inf
        self._seconds_left = math.nan
        self._score = ""

    def fit_started(self, info: FitInfo) -> None:
        """Remember what the run is about."""
        self._info = info

    def epoch_started(self, epoch: int) -> None:
        """Open the epoch's bar."""
        if self._has_bar and not self._is_quiet and self._info is not None:
            self._close_bar()
            self._bar = tqdm(
                total=self._info.steps_per_epoch,
                desc=_epoch_name(epoch, self._info),
                file=self._stream,
                leave=False,
                mininterval=0,  # `batch_ended` keeps the pace
                dynamic_ncols=True,
                bar_format="{desc} {bar} {n_fmt}/{total_fmt}{postfix}",
            )

    def batch_ended(self, report: StepReport) -> None:
        """Move the bar, now and then and at the end of the epoch."""
        if report.progress > 0:
            self._seconds_left = report.seconds * (1 - report.progress) / report.progress
        now = time.perf_counter()
        is_due = now - self._refreshed_at >= REFRESH_SECONDS or report.batch == report.steps_per_epoch
        if self._bar is None or self._info is None or not is_due:
            return
        self._refreshed_at = now
        self._bar.total = report.steps_per_epoch  # a stage may have a batch size of its own
        parts = [
            f"loss {float(report.loss):.4f}",
            self._score,
            str(report.pace),
            time_left(self._seconds_left),
            memory_in_words(self._info.device),
        ]
        self._bar.set_postfix_str("  ".join(part for part in parts if part), refresh=False)
        self._bar.update(report.batch - self._bar.n)

    def epoch_ended(self, report: EpochReport) -> None:
        """Write the evaluation's line."""
        if self._is_quiet or self._info is None:
            return
        monitor = self._info.monitor
        self._score = _figure(monitor, report.metrics)
        parts = [
            _epoch_name(report.epoch, self._info),
            _figure("loss", report.metrics) + (f" ({report.recent_loss})" if report.recent_loss is not None else ""),
            self._score if monitor != "loss" else "",
            "best" if report.is_best else "    ",
            str(report.pace),
            time_left(self._seconds_left),
        ]
        tqdm.write("  ".join(part for part in parts if part), file=self._stream)
        self._stream.flush()

    def fit_ended(self, summary: FitSummary) -> None:
        """Say why and with what result training ended."""
        self._close_bar()
        if self._is_quiet or self._info is None:
            return
        best = ""
        if summary.best_epoch is not None:
            best = f" Best: epoch {summary.best_epoch + 1}, {self._info.monitor} {summary.best_value:.4f}."
        time_taken = clock_time(summary.seconds)
        tqdm.write(f"Training ended after {time_taken}: {summary.reason}.{best}", file=self._stream)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _epoch_name(epoch: int, info: FitInfo) -> str:
    # a run limited by time may pass the number of epochs that was planned
    is_planned = info.epochs is not None and epoch < info.epochs
    return f"epoch {epoch + 1}/{info.epochs}" if is_planned else f"epoch {epoch + 1}"


def _figure(name: str, metrics: Mapping[str, float]) -> str:
    return f"{name} {metrics[name]:.4f}" if name in metrics else ""
