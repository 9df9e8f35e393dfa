"""What remains of a run: its history, the best weights, the run folder, and words on the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from easyseg.config import FitSettings, ModelSettings
from easyseg.data.dataset import Dataset
from easyseg.devices import Compute
from easyseg.io.checkpoints import save_checkpoint
from easyseg.metrics.semantic import scores
from easyseg.prediction.scoring import Evaluation, Scored
from easyseg.reports.run_folder import RunFolder
from easyseg.results import History
from easyseg.segmenter.fitted import FittedModel
from easyseg.training.callbacks import Callback, EpochReport, FitInfo, FitSummary, StopRequest
from easyseg.training.optim import MovingAverage


class Recording(Callback):
    """Measures the model when asked, keeps the history and the best weights, and writes them to the run folder.

    Args:
        fitted: the model in training.
        evaluation: what to measure it on.
        average: the moving average that is measured and kept in place of the weights, or None.
        monitor: the figure that decides which epoch is best.
        model_settings: for the model files' header.
        folder: where files go, None for nowhere.
        goes_on: the model was trained before, so its weights are worth keeping until there are better ones.

    Attributes:
        history: one row per evaluation.
        best: what the best evaluation found; None before it.
    """

    def __init__(
        self,
        fitted: FittedModel,
        evaluation: Evaluation,
        *,
        average: MovingAverage | None,
        monitor: str,
        model_settings: ModelSettings,
        folder: RunFolder | None,
        goes_on: bool = False,
    ) -> None:
        self.history = History(monitor=monitor)
        self.best: Scored | None = None
        self._fitted = fitted
        self._evaluation = evaluation
        self._average = average
        self._model_settings = model_settings
        self._folder = folder
        self._goes_on = goes_on
        self._first_weights: dict[str, Tensor] = {}
        self._latest: Scored | None = None
        self._best_weights: dict[str, Tensor] = {}
        self._best_metrics: Mapping[str, float] = {}

    def fit_started(self, info: FitInfo) -> None:
        """Put aside the weights of a model that was trained before."""
        if self._goes_on:
            self._first_weights = _copied(self._fitted.model.state_dict())

    def measure(self) -> dict[str, float]:
        """Measure the model as it is now and return every figure that can be monitored."""
        model, class_map = self._fitted.model, self._fitted.class_map
        with self._measured_weights():
            self._latest = self._evaluation.score(model, criterion=model.criterion)
        figures = scores(self._latest.counts, task=class_map.task).to_dict(class_map.names)
        loss = {} if self._latest.loss is None else {"val_loss": self._latest.loss}
        return {**loss, **figures}

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        """Add a row to the history, epochs counted from 1; keep the weights where they are the best so far."""
        row = {
            "epoch": report.epoch + 1,
            "step": report.step,
            "seconds": report.seconds,
            "learning_rate": report.learning_rate,
        }
        self.history.append({**row, **report.metrics}, is_best=report.is_best)
        if report.is_best:
            self._keep(report.metrics)
        if self._folder is not None:
            self._folder.write_history(self.history)
            self._folder.log(self._line(report))
        return None

    def fit_ended(self, summary: FitSummary) -> None:
        """Say in the log how it ended."""
        if self._folder is not None:
            self._folder.log(f"ended after {summary.seconds:.1f} s: {summary.reason}")

    @property
    def run_dir(self) -> Path | None:
        """The run folder."""
        return self._folder.path if self._folder is not None else None

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

    def _line(self, report: EpochReport) -> str:
        names = dict.fromkeys(["loss", "val_loss", self.history.monitor])
        figures = "  ".join(f"{name} {report.metrics[name]:.4f}" for name in names if name in report.metrics)
        return f"epoch {report.epoch + 1}  step {report.step}  {figures}" + ("  best" if report.is_best else "")

    def _keep(self, metrics: Mapping[str, float]) -> None:
        with self._measured_weights():
            self._best_weights = _copied(self._fitted.model.state_dict())
            self.best = self._latest
            self._best_metrics = dict(metrics)
            self.write_best(replace(self._fitted, metrics=self._best_metrics))

    def _measured_weights(self) -> AbstractContextManager[None]:
        return self._average.applied(self._fitted.model) if self._average is not None else nullcontext()


class Announcer:
    """Says what a run does, on the screen where wanted and always in the run's log.

    Attributes:
        folder: the run folder, None where there is none.
    """

    def __init__(self, folder: RunFolder | None, *, verbose: bool) -> None:
        self.folder = folder
        self._verbose = verbose

    def begin(self, dataset: Dataset, fitted: FittedModel, settings: FitSettings, compute: Compute) -> None:
        """Say what is about to be trained on what, and how."""
        model = fitted.model
        self.say(dataset.describe())
        self.say(f"{model.model_name} / {model.encoder_name}, {model.weights_note}, on {compute}")
        self.say(
            f"batch size {settings.batch_size}, learning rate {settings.learning_rate:g} "
            f"(encoder {settings.encoder_learning_rate:g}), {settings.workers} worker(s), loss {settings.loss}"
        )
        if self.folder is not None:
            self.say(f"run folder {self.folder.path}")

    def say(self, text: str) -> None:
        """Write a text of one or more lines."""
        if self._verbose:
            tqdm.write(text, file=sys.stderr)  # goes around a progress bar, where there is one
        if self.folder is not None:
            self.folder.log(text)


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}
