"""Real runs in a file of MLflow, read back by its own client."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg.errors import OutputError
from easyseg.io.images import read_image
from easyseg.training.loggers import LoggedPicture, MLflowLogger, RunDescription

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # the packages that MLflow needs warn of each other

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in the test's folder: a database, or files where only the small mlflow-skinny is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    if importlib.util.find_spec("sqlalchemy") is None:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return (tmp_path / "mlruns").as_uri()
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs(uri: str, experiment: str = "easyseg") -> list[Any]:
    """Return the runs of an experiment."""
    client = mlflow.MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def points(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    """Return a curve as steps and values."""
    history = mlflow.MlflowClient(uri).get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in history]


def test_figures_pictures_and_settings_arrive(
    play: Callable[..., list[str]], uri: str, picture: LoggedPicture, tmp_path: Path
) -> None:
    """Figures, the loss in between, pictures, all settings and the end are there."""
    said = play([MLflowLogger("roofs", tracking_uri=uri)])
    (run,) = runs(uri, "roofs")
    assert said == [f"Logging to mlflow: run {run.info.run_id} in {uri}"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert points(uri, run, "mean_iou") == [(3, 0.03), (6, 0.06)]
    assert points(uri, run, "training/loss") == [(2, 1.5), (4, 3.5), (6, 5.5)]
    assert points(uri, run, "iou/road _wet_") == [(3, 0.25), (6, 0.25)]
    assert "iou/absent" not in run.data.metrics
    assert run.data.params["model"] == "unet"
    assert run.data.params["x119"] == "119"
    assert len(run.data.params["note"]) == 500
    assert run.data.tags["stopped"] == "all 2 epochs are done"
    assert run.data.tags["best_epoch"] == "2"
    artifacts = Path(mlflow.MlflowClient(uri).download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert "ä" * 900 in (artifacts / "config.yaml").read_text(encoding="utf-8")
    shown = sorted((artifacts / "images").glob(f"validation~{picture.key}+step+*.png"))
    assert [path.name.split("+")[2] for path in shown] == ["3", "6"]
    np.testing.assert_array_equal(read_image(shown[0]), picture.comparison())


def test_a_resumed_run_goes_on_under_its_id(play: Callable[..., list[str]], uri: str) -> None:
    """An interrupted run has failed until it is resumed; then its curves go on."""
    states: dict[int, dict[str, Any]] = {}
    play([MLflowLogger(tracking_uri=uri)], last=4, states=states, is_complete=False)
    (run,) = runs(uri)
    assert run.info.status == "FAILED"
    play([MLflowLogger(tracking_uri=uri)], first=4, state=json.loads(json.dumps(states[3])))
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert points(uri, run, "mean_iou") == [(3, 0.03), (6, 0.06)]


def test_the_users_own_run_is_left_alone(play: Callable[..., list[str]], uri: str) -> None:
    """A run that the user has open in the same process gets nothing, and stays open."""
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run() as own:
        play([MLflowLogger(tracking_uri=uri)])
        assert mlflow.active_run().info.run_id == own.info.run_id
    assert mlflow.MlflowClient(uri).get_run(own.info.run_id).data.metrics == {}


def test_a_store_that_cannot_be_had_is_refused_in_words(tmp_path: Path) -> None:
    """A new run is refused at its start, and the message says what to type."""
    logger = MLflowLogger("roofs", tracking_uri=f"nonsense://{tmp_path}")
    with pytest.raises(OutputError, match=r"MLflow cannot be reached.*MLFLOW_TRACKING_URI"):
        logger.start(RunDescription("one", tmp_path, {}))
    assert repr(logger) == "MLflowLogger('roofs')"
