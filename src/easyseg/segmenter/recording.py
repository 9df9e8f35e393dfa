"""What remains of a run: its history, the best weights, the run folder, and words on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import numpy.typing as npt
from torch import Tensor
from tqdm import tqdm

from easyseg.config import ModelSettings
from easyseg.errors import OutputError, TrainingError, hint_wording
from easyseg.io.checkpoints import save_checkpoint
from easyseg.reports.run_folder import RunFolder
from easyseg.results import History
from easyseg.results.words import counted
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.preparing import Job
from easyseg.segmenter.tasks import Evaluating, Measured, work_of
from easyseg.training.callbacks import Callback, EpochReport, FitInfo, FitSummary, StopRequest
from easyseg.training.optim import MovingAverage
from easyseg.training.run import from_arrays, to_arrays


class Announcer:
    """Says what a run does, on the screen where wanted and always in the run's log.

    Attributes:
        folder: the run folder, None where there is none.
    """

    def __init__(self, folder: RunFolder | None, *, verbose: bool) -> None:
        self.folder = folder
        self._verbose = verbose

    def begin(self, job: Job) -> None:
        """Say what is about to be trained on what, and how."""
        model, settings, processes = job.fitted.model, job.settings, job.world.size
        self.say(job.data.whole.describe())
        weights = "going on from its present weights" if job.goes_on else model.weights_note
        where = f"{processes} x {job.compute}" if processes > 1 else str(job.compute)
        self.say(f"{model.model_name} / {model.encoder_name}, {weights}, on {where}")
        self.say(
            f"batch size {settings.batch_size}, learning rate {settings.learning_rate:g} "
            f"(encoder {settings.encoder_learning_rate:g}), {counted(settings.workers, 'worker')}"
            f"{work_of(model).loss_words(settings)}"
        )
        for note in job.notes:
            self.say(note)
        if settings.time_budget is not None:
            self.say(f"training ends after {settings.time_budget:g} s (time_budget), whatever epochs says")
        if len(job.stages) > 1:
            self.say(f"{len(job.stages)} stages, {sum(stage.epochs for stage in job.stages)} epochs in all")
        if settings.overfit_batches is not None:
            self.say(overfit_note(job))
        if self.folder is not None:
            self.say(f"run folder {self.folder.path}")

    def end(self, job: Job) -> None:
        """Say where the results lie, and repeat what the reader may have to act on: much was said since."""
        if self.folder is not None:
            self.say(f"Results: {self.folder.path}  (open {self.folder.report})")
        for note in (*job.data.whole.notes, *job.notes):
            if note.startswith("Note: "):
                self.say(note)

    def say(self, text: str) -> None:
        """Write a text of one or more lines."""
        if self._verbose:
            tqdm.write(hint_wording.get()(text), file=sys.stderr)  # goes around a progress bar, where there is one
        if self.folder is not None:
            with suppress(OutputError):  # on a full disk, too: a line of the log is worth less than the training
                self.folder.log(text)


class Recording(Callback):
    """Measures the model when asked, keeps the history and the best weights, and writes them to the run folder.

    Args:
        fitted: the model in training.
        evaluation: what to measure it on.
        average: the moving average that is measured and kept in place of the weights, or None.
        monitor: the figure that decides which epoch is best.
        model_settings: for the model files' header.
        announcer: tells people what they should know; files go where its log is.
        goes_on: the model was trained before, so its weights are worth keeping until there are better ones.
        poll: called after every image of an evaluation; may raise, to break it off.

    Attributes:
        history: one row per evaluation.
    """

    def __init__(
        self,
        fitted: FittedModel,
        evaluation: Evaluating,
        *,
        average: MovingAverage | None,
        monitor: str,
        model_settings: ModelSettings,
        announcer: Announcer,
        goes_on: bool = False,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        self._announcer = announcer
        self._has_unwritten = False
        self.history = History(monitor=monitor)
        self._best: Measured | None = None
        self._poll = poll
        self._fitted = fitted
        self._evaluation = evaluation
        self._average = average
        self._model_settings = model_settings
        self._folder = announcer.folder
        self._goes_on = goes_on
        self._first_weights: dict[str, Tensor] = {}
        self._latest: Measured | None = None
        self._best_weights: dict[str, Tensor] = {}
        self._best_metrics: Mapping[str, float] = {}

    def fit_started(self, info: FitInfo) -> None:
        """Put aside the weights of a model that was trained before."""
        if self._goes_on:
            self._first_weights = _copied(self._fitted.model.state_dict())

    def measure(self) -> dict[str, float]:
        """Measure the model as it is now and return every figure that can be monitored.

        Raises:
            TrainingError: its weights or statistics are no finite numbers.
        """
        model = self._fitted.model
        with self._measured_weights():
            _refuse_infinite(model.state_dict())
            self._latest = self._evaluation.measure(model, self._poll)
        return self._latest.figures()

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        """Add a row to the history, epochs counted from 1; keep the weights where they are the best so far."""
        row: dict[str, int | float | str] = {
            **({"stage": report.stage} if report.stage else {}),
            "epoch": report.epoch + 1,
            "step": report.step,
            "seconds": report.seconds,
            "learning_rate": report.learning_rate,
        }
        self.history.append({**row, **report.metrics}, is_best=report.is_best)
        if report.is_best:
            self._keep(report.metrics)
        if self._folder is not None:
            self._write(lambda folder: folder.write_history(self.history))
            self._write(lambda folder: folder.log(self._line(report)))
        return None

    def state(self) -> dict[str, Any]:
        """Return what was found so far, but for the best weights, which `best_arrays` returns."""
        best = [index for index, row in enumerate(self.history.rows) if row is self.history.best]
        return {"rows": self.history.rows, "best": best, "metrics": dict(self._best_metrics)}

    def best_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the best weights as arrays; none before the first best evaluation."""
        return to_arrays(self._best_weights)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for index, row in enumerate(state["rows"]):
            self.history.append(row, is_best=index in state["best"])
        self._best_metrics = state["metrics"]
        if self._folder is not None and len(self.history):
            self._folder.write_history(self.history)  # rows of after the checkpoint come again

    def restore_best(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what `best_arrays` returned, and bring the run folder's model file to that state."""
        self._best_weights = from_arrays(arrays)
        if self._best_weights and self._folder is not None:
            header = replace(self._fitted, metrics=self._best_metrics).header(self._model_settings)
            save_checkpoint(self._folder.best_model, self._best_weights, header)

    def take_up_best(self) -> None:
        """Give the model, and the moving average, the best weights so far; without any, leave them."""
        if self._best_weights:
            self._fitted.model.load_state_dict(self._best_weights)
            if self._average is not None:
                self._average.restore(self._best_weights, updates=self._average.updates)

    def best_score(self) -> Measured | None:
        """Return what the best evaluation found, measured anew where an earlier session found it; None without any.

        Where none was good enough to be the best, the last weights are measured: what is wrong with them is worth most.
        """
        if self._best is None and self.history.rows:
            self._best = self._evaluation.measure(self.best_model().model)
        return self._best

    def fit_ended(self, summary: FitSummary) -> None:
        """Say in the log how it ended."""
        if self._folder is not None:
            with suppress(OutputError):  # the error that ended it is the one to be told
                self._folder.log(f"ended after {summary.seconds:.1f} s: {summary.reason}")

    @property
    def folder(self) -> RunFolder | None:
        """The run folder; None where there is none."""
        return self._folder

    def best_model(self) -> FittedModel:
        """Put the best weights back and return the model; without a best epoch, the last weights are the best."""
        if not self._best_weights:
            with self._measured_weights():
                self._best_weights = _copied(self._fitted.model.state_dict())
        self._fitted.model.load_state_dict(self._best_weights)
        self._fitted.model.eval()
        return replace(self._fitted, metrics=self._best_metrics)

    def rescued_model(self) -> FittedModel | None:
        """Return the best model of a run that broke off; None where there is none, and the weights are as before."""
        if self._best_weights:
            return self.best_model()
        if self._first_weights:
            self._fitted.model.load_state_dict(self._first_weights)
        self._fitted.model.eval()
        return None

    def write_best(self, fitted: FittedModel) -> None:
        """Write the model file of the run folder."""
        if self._folder is not None:
            weights = fitted.model.state_dict()
            save_checkpoint(self._folder.best_model, weights, fitted.header(self._model_settings))

    def write_again(self, best: FittedModel) -> None:
        """Write what could not be written during the training.

        Raises:
            OutputError: it still cannot.
        """
        if self._has_unwritten and self._folder is not None:
            self._folder.write_history(self.history)
            self.write_best(best)

    def _write(self, write: Callable[[RunFolder], None]) -> None:
        """Write a file of the run folder; where that is impossible, training is worth more, and it is tried again."""
        if self._folder is None:
            return
        try:
            write(self._folder)
        except OutputError as error:
            self._has_unwritten = True
            self._announcer.say(f"Training goes on, though a file could not be written: {error}")

    def _line(self, report: EpochReport) -> str:
        names = dict.fromkeys(["loss", "val_loss", self.history.monitor])
        figures = "  ".join(f"{name} {report.metrics[name]:.4f}" for name in names if name in report.metrics)
        notes = [report.recent_loss or "", report.pace, "best" if report.is_best else ""]
        return "  ".join([f"epoch {report.epoch + 1}  step {report.step}  {figures}", *filter(None, map(str, notes))])

    def _keep(self, metrics: Mapping[str, float]) -> None:
        with self._measured_weights():
            self._best_weights = _copied(self._fitted.model.state_dict())
            self._best = self._latest
            self._best_metrics = dict(metrics)
            self._write(lambda folder: self.write_best(replace(self._fitted, metrics=self._best_metrics)))

    def _measured_weights(self) -> AbstractContextManager[None]:
        return self._average.applied(self._fitted.model) if self._average is not None else nullcontext()


def overfit_note(job: Job) -> str:
    """Say what the figures of a run with `overfit_batches` are worth."""
    images = counted(len(job.data.train), "training image")
    return f"Only a trial (overfit_batches): it learns {images} by heart, and its figures are of these very images."


def _refuse_infinite(weights: Mapping[str, Tensor]) -> None:
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise TrainingError(
            f"The weights are no finite numbers any more, such as {broken[0]}: training has diverged. The best model "
            "so far is kept. Type a learning_rate ten times smaller; if that does not help, precision='fp32'."
        )


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
