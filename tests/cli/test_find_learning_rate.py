"""`easyseg find-learning-rate`: words become a sweep, its suggestion and its plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import easyseg
from easyseg.cli import main
from easyseg.data.shapes import write_shapes
from easyseg.io.images import read_image
from easyseg.results import LearningRateCurve


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Stand in for the sweep: what each one was asked; the loss falls in the middle of four rates."""
    monkeypatch.chdir(tmp_path)
    made: list[dict[str, Any]] = []

    def find(self: easyseg.Segmenter, data: Any, **settings: Any) -> LearningRateCurve:
        made.append({"data": data, "encoder": self.settings.encoder, **settings})
        losses = (1.0, 1.0, 1.0, 1.0) if "loss" in settings else (2.0, 2.0, 0.1, 0.1)
        return LearningRateCurve((1e-4, 1e-3, 1e-2, 1e-1), losses)

    monkeypatch.setattr(easyseg.Segmenter, "find_learning_rate", find)
    return made


def test_the_suggestion_is_printed_and_the_plot_saved(
    asked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The settings given go to the sweep, and the last line is what to type next."""
    words = ["--data", "scans", "--encoder", "resnet18", "--steps", "20", "--plot", "rates.png"]
    assert main(["find-learning-rate", *words]) == 0
    assert asked == [{"data": "scans", "encoder": "resnet18", "steps": 20}]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "Suggested learning rate: 0.01 (4 batches, from 0.0001 to 0.1)"
    assert shown[1] == "Plot: rates.png"
    assert shown[2] == "Use it with: easyseg train --learning-rate 0.01 ..."
    assert read_image(tmp_path / "rates.png").ndim == 3


def test_no_suggestion_is_no_failure(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Where the loss does not fall, the words say so, and nothing is suggested."""
    assert main(["find-learning-rate", "--data", "scans", "--loss", "ce"]) == 0
    shown = capsys.readouterr().out
    assert "did not fall" in shown
    assert "Use it with" not in shown


def test_a_file_for_train_will_do(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    """Of a YAML file for `easyseg train`, what has to do with a sweep is taken, and the rest left."""
    (tmp_path / "config.yaml").write_text("data: scans\nencoder: resnet18\nepochs: 3\nbatch_size: 4\nema: true\n")
    assert main(["find-learning-rate", "config.yaml"]) == 0
    assert asked == [{"data": "scans", "encoder": "resnet18", "batch_size": 4}]


def test_no_data_is_refused(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a dataset, the message says what to type."""
    assert main(["find-learning-rate"]) == 2
    assert "easyseg find-learning-rate --data FOLDER" in capsys.readouterr().err
    assert asked == []


def test_a_real_sweep_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command works from end to end, and leaves the plot and nothing else."""
    monkeypatch.chdir(tmp_path)
    write_shapes(tmp_path / "shapes", count=12, size=40)
    words = ["--data", "shapes", "--encoder", "test_resnet", "--weights", "none", "--image-size", "32"]
    assert main(["find-learning-rate", *words, "--steps", "10", "--batch-size", "2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["learning_rates.png", "shapes"]


def test_frozen_parts_and_stages_of_the_file_are_heeded(
    asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweep freezes what the training will, and its suggestion is for where a staged training takes one."""
    frozen: list[Any] = []
    monkeypatch.setattr(easyseg.Segmenter, "freeze", lambda self, parts: frozen.append(parts))
    (tmp_path / "config.yaml").write_text(
        "data: scans\nfreeze: encoder\nstages:\n- {title: heads, train: heads, epochs: 5, lr: 0.1}\n"
    )
    assert main(["find-learning-rate", "config.yaml"]) == 0
    assert frozen == [("encoder",)]
    shown = capsys.readouterr().out
    assert "Use it as lr of the first stage: 0.01" in shown
    assert "easyseg train" not in shown
