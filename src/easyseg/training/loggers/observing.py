"""The observer that keeps loggers informed, and never lets one of them disturb the training."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from easyseg.errors import EasySegError, OutputError
from easyseg.training.callbacks import Callback, EpochReport, FitSummary, StepReport
from easyseg.training.loggers.base import LoggedPicture, Logger, RunDescription, finite

EVERY_STEPS = 50
EVERY_SECONDS = 2.0
"""A point of the training's curve comes after so many batches or so much time, whichever is first."""

QUEUE_LENGTH = 500
"""So many calls may wait for a slow logger; one that is still slower is dropped."""

PATIENCE_SECONDS = 120.0
"""So long a run waits, at its end, for a logger to finish."""

HASTE_SECONDS = 10.0
"""The same where the run was broken off: whoever did that may not wait long."""


class LoggedRun(Callback):
    """Tells loggers how a run goes.

    Every logger works in a thread of its own, so one that waits for a network holds nobody up. One that fails is
    reported once, and dropped.

    Args:
        loggers: whom to tell.
        run: what is told at the start.
        pictures: returns what the model makes of a few validation images.
        say: tells the user something.
    """

    def __init__(
        self,
        loggers: Sequence[Logger],
        run: RunDescription,
        *,
        pictures: Callable[[], Sequence[LoggedPicture]],
        say: Callable[[str], None],
    ) -> None:
        self._loggers = list(loggers)
        self._run = run
        self._pictures: Callable[[], Sequence[LoggedPicture]] | None = pictures
        self._say = say
        self._workers: list[_Worker] = []
        self._has_started = False
        self._was_restored = False
        self._step = 0
        self._losses: list[Tensor] = []
        self._told_at = time.perf_counter()

    def epoch_started(self, epoch: int) -> None:
        """Start the loggers, unless they run already; not earlier, as `restore` may come before.

        Raises:
            OutputError: a logger of a new run cannot start.
        """
        self._start()

    def batch_ended(self, report: StepReport) -> None:
        """Now and then, tell the loss and the learning rate; the device is waited for then alone."""
        self._step = report.step
        if not self._workers:
            return
        self._losses.append(report.loss)
        now = time.perf_counter()
        if len(self._losses) < EVERY_STEPS and now - self._told_at < EVERY_SECONDS:
            return
        self._told_at = now
        losses = torch.stack(self._losses)
        self._losses.clear()
        mean = float(losses[losses.isfinite()].mean())  # the others belong to steps that were skipped
        self._tell_figures({"training/loss": mean, "training/learning_rate": report.learning_rate}, step=report.step)

    def epoch_ended(self, report: EpochReport) -> None:
        """Tell all figures of an evaluation, and show pictures."""
        self._start()
        self._step = report.step
        figures = {
            "epoch": report.epoch + 1,
            "seconds": report.seconds,
            "learning_rate": report.learning_rate,
            **report.metrics,
        }
        if report.pace.steps:
            figures |= {"images_per_second": report.pace.images_per_second, "data_share": report.pace.data_share}
        self._tell_figures(figures, step=report.step)
        pictures = self._drawn_pictures()
        if pictures:
            self._tell(lambda logger: logger.pictures(pictures, step=report.step))

    def fit_ended(self, summary: FitSummary) -> None:
        """Let every logger finish, and wait for it a while."""
        self._tell(lambda logger: logger.end(summary))
        deadline = time.perf_counter() + (PATIENCE_SECONDS if summary.is_complete else HASTE_SECONDS)
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.wait(max(0.0, deadline - time.perf_counter()))
        self._drop_failed()

    def state(self) -> dict[str, Any]:
        """Return how far the run was logged, and what each logger must remember."""
        return {"step": self._step, "loggers": [[logger.name, logger.state()] for logger in self._loggers]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the interrupted session was; a logger that it did not have begins anew."""
        self._was_restored = True
        self._step = state["step"]
        known = [(name, of_logger) for name, of_logger in state["loggers"]]
        for logger in self._loggers:
            mine = next((pair for pair in known if pair[0] == logger.name), None)
            if mine is not None:
                known.remove(mine)
                logger.restore(mine[1], step=self._step)

    def _start(self) -> None:
        if self._has_started:
            return
        self._has_started = True
        for logger in self._loggers:
            try:
                place = logger.start(self._run)
            except Exception as error:  # whatever a service raises
                if self._was_restored:  # nobody may be there to start it again
                    self._say(_obituary(logger, error))
                    continue
                if isinstance(error, EasySegError):
                    raise
                raise OutputError(f"The logger {logger.name} cannot start: {_in_words(error)}") from error
            self._workers.append(_Worker(logger))
            self._say(f"Logging to {logger.name}{': ' if place else ''}{place}")
        self._told_at = time.perf_counter()

    def _tell_figures(self, figures: Mapping[str, float], *, step: int) -> None:
        known = finite(figures)
        self._tell(lambda logger: logger.metrics(known, step=step))

    def _tell(self, call: Callable[[Logger], None]) -> None:
        for worker in self._workers:
            worker.submit(call)
        self._drop_failed()

    def _drop_failed(self) -> None:
        for worker in [worker for worker in self._workers if worker.error is not None]:
            self._workers.remove(worker)
            self._say(_obituary(worker.logger, worker.error))

    def _drawn_pictures(self) -> Sequence[LoggedPicture]:
        if self._pictures is None or not self._workers:
            return ()
        try:
            return self._pictures()
        except Exception as error:  # noqa: BLE001 - a picture less must not end a training
            self._pictures = None
            self._say(f"The loggers get no more pictures: {_in_words(error)}. Training goes on.")
            return ()


class _Worker:
    """A logger and the thread in which it works through what it is told."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self.error: Exception | None = None
        self._calls: queue.Queue[Callable[[Logger], None] | None] = queue.Queue()
        # a daemon: one that hangs must not keep the process alive
        self._thread = threading.Thread(target=self._work, name=f"easyseg logger {logger.name}", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[Logger], None]) -> None:
        """Have a call made in its turn."""
        if self._calls.qsize() >= QUEUE_LENGTH:
            self.error = self.error or TimeoutError(f"{QUEUE_LENGTH} messages wait, and it takes none")
            return
        self._calls.put(call)

    def close(self) -> None:
        """Let the thread end once everything is done."""
        self._calls.put(None)

    def wait(self, seconds: float) -> None:
        """Wait for the end of the thread, so long at the most."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.error = self.error or TimeoutError("it did not finish in time")

    def _work(self) -> None:
        while (call := self._calls.get()) is not None and self.error is None:
            try:
                call(self.logger)
            except Exception as error:  # noqa: BLE001 - told to the user by the thread that trains
                self.error = error
                return


def _obituary(logger: Logger, error: Exception | None) -> str:
    return f"The logger {logger.name} failed and is not used any more: {_in_words(error)}."


def _in_words(error: Exception | None) -> str:
    words = " ".join(str(error).split())  # one line, whatever a service writes
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
