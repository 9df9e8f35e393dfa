"""Runs in MLflow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from easyseg.config import write_yaml
from easyseg.errors import OutputError, require_extra
from easyseg.training.callbacks import FitSummary
from easyseg.training.loggers.base import LoggedPicture, Logger, RunDescription

MAX_PARAMETERS = 100
"""MLflow takes so many at once."""

MAX_METRICS = 1000
"""Likewise."""

MAX_PARAMETER_LETTERS = 500
"""The least that any of MLflow's stores keeps of a parameter."""


class MLflowLogger(Logger):
    """Logs to MLflow; a resumed run goes on under the same id.

    Args:
        experiment: None: MLFLOW_EXPERIMENT_NAME, or "easyseg".
        tracking_uri: a server's address, or "sqlite:///FILE"; None: MLFLOW_TRACKING_URI, or MLflow's own default in
            the current folder.
        name: of the run; None: the run folder's.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    def __init__(
        self, experiment: str | None = None, *, tracking_uri: str | None = None, name: str | None = None
    ) -> None:
        self._experiment = experiment
        self._tracking_uri = tracking_uri
        self._run_name = name
        self._id: str | None = None
        self._client: Any = None
        self._entities: Any = None

    def start(self, run: RunDescription) -> str:
        """Begin a run, or go on with the one that `restore` named."""
        mlflow = require_extra("mlflow", extra="mlflow")
        self._entities = mlflow.entities
        try:
            # the client alone: mlflow's own verbs keep a current run, which may be the user's
            self._client = mlflow.MlflowClient(self._tracking_uri)
            if self._id is None:
                self._begin(run)
            else:
                self._client.update_run(self._id, status="RUNNING")
        except (mlflow.MlflowException, OSError) as error:
            raise OutputError(
                f"MLflow cannot be reached ({error}). Check MLFLOW_TRACKING_URI, or type "
                "loggers=MLflowLogger(tracking_uri='sqlite:///mlflow.db')."
            ) from error
        return f"run {self._id} in {self._client.tracking_uri}"

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        """Add a point to each curve."""
        now = int(time.time() * 1000)
        points = [self._entities.Metric(_allowed(name), value, now, step) for name, value in figures.items()]
        for first in range(0, len(points), MAX_METRICS):
            self._client.log_batch(self._id, metrics=points[first : first + MAX_METRICS])

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        """Add image, truth, prediction and mistakes, side by side."""
        for picture in pictures:
            self._client.log_image(self._id, picture.comparison(), key=f"validation/{picture.key}", step=step)

    def end(self, summary: FitSummary) -> None:
        """Say how it ended."""
        self._client.set_tag(self._id, "stopped", summary.reason)
        if summary.best_epoch is not None:
            self._client.set_tag(self._id, "best_epoch", str(summary.best_epoch + 1))
        self._client.set_terminated(self._id, "FINISHED" if summary.is_complete else "FAILED")

    def state(self) -> dict[str, Any]:
        """Return the run's id."""
        return {"id": self._id}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Go on with the run of that id."""
        self._id = state["id"]

    def __repr__(self) -> str:
        return f"MLflowLogger({'' if self._experiment is None else repr(self._experiment)})"

    def _begin(self, run: RunDescription) -> None:
        name = self._experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "easyseg")
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known is not None else self._client.create_experiment(name)
        self._id = str(self._client.create_run(experiment, run_name=self._run_name or run.name).info.run_id)
        parameters = [
            self._entities.Param(_allowed(key), str(value)[:MAX_PARAMETER_LETTERS])
            for key, value in run.settings.items()
        ]
        for first in range(0, len(parameters), MAX_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[first : first + MAX_PARAMETERS])
        self._client.log_text(self._id, write_yaml(run.settings), "config.yaml")


def _allowed(name: str) -> str:
    """Return a name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)
