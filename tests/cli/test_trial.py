"""`easyseg train --dry-run`: a verdict in seconds, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyseg.cli import main
from easyseg.cli.trial import judge_trial, refuse_taken_folder, trial_settings
from easyseg.config import Stage
from easyseg.data.shapes import write_shapes
from easyseg.results import History


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Return a small dataset of shapes."""
    return write_shapes(tmp_path / "shapes", count=12, size=40)


def words(shapes: Path, *more: str) -> list[str]:
    """Return a trial's command."""
    model = ["--encoder", "test_resnet", "--weights", "none", "--image-size", "32", "--batch-size", "2"]
    return ["train", "--data", str(shapes), *model, "--dry-run", *more]


def test_sound_pipeline_passes_and_leaves_nothing(
    shapes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss of one batch falls, the command says so, and there is no run folder."""
    monkeypatch.chdir(shapes.parent)
    assert main(words(shapes, "--learning-rate", "0.02", "--epochs", "3000", "--run-dir", "kept")) == 0
    assert "The trial passed" in capsys.readouterr().out
    assert [path.name for path in shapes.parent.iterdir()] == ["shapes"]


def test_model_that_learns_nothing_fails(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A learning rate of next to nothing shows as a failure, with what to look at."""
    assert main(words(shapes, "--learning-rate", "1e-12")) == 1
    assert "The trial failed" in capsys.readouterr().err


def test_stages_are_tried_one_after_the_other(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each gets its share of the steps, however long it was planned."""
    config = shapes.parent / "stages.yaml"
    config.write_text(
        "stages:\n- {title: heads, train: heads, epochs: 500, lr: 0.02, step_size: 400}\n"
        "- {title: all, epochs: 150, lr: 0.02}\n",
        encoding="utf-8",
    )
    assert main([*words(shapes), str(config)]) == 0
    shown = capsys.readouterr()
    assert "The trial passed" in shown.out
    assert "epoch 20/20" in shown.err


def test_given_settings_do_not_make_a_trial_long() -> None:
    """Neither a time budget nor the stages' own lengths stay."""
    stages = (Stage("long", epochs=500, step_size=400, patience=3),)
    settings = trial_settings({"stages": stages, "time_budget": None})
    assert [(stage.epochs, stage.step_size, stage.patience) for stage in settings["stages"]] == [(20, None, None)]
    assert trial_settings({"time_budget": 9000.0})["time_budget"] is None


def test_trial_tells_no_logger() -> None:
    """A run that is kept nowhere must not show up among those that are."""
    assert trial_settings({"loggers": ("wandb",)})["loggers"] == ()


def test_trial_refuses_the_folder_that_training_would(
    shapes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A finished run is never overwritten; one that was interrupted would go on."""
    monkeypatch.chdir(shapes.parent)
    run = shapes.parent / "run"
    run.mkdir()
    (run / "history.csv").write_text("")
    assert main(words(shapes, "--run-dir", "run")) == 2
    shown = capsys.readouterr().err
    assert "run holds an earlier run" in shown
    assert "A trial" not in shown
    (run / "checkpoints").mkdir()
    refuse_taken_folder("run")


@pytest.mark.parametrize(("losses", "status"), [((1.0, 0.89), 0), ((1.0, 0.91), 1), ((1.0, 1.5), 1)])
def test_verdict_follows_the_loss(losses: tuple[float, float], status: int) -> None:
    """It must come down by a tenth."""
    history = History()
    for loss in losses:
        history.append({"loss": loss, "mean_iou": 0.5})
    assert judge_trial(history) == status
