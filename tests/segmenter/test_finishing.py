"""What a training leaves behind on disk, and that it can be run again from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg import Segmenter
from easyseg.cli import main
from easyseg.config import FitSettings, ModelSettings, read_yaml
from easyseg.errors import OutputError
from easyseg.io.images import read_image
from easyseg.results import History

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
Hash = Callable[[Any], str]


def test_run_folder_holds_what_it_promises(run_dir: Path) -> None:
    """Settings, history, model, curves, pictures, report and log; nothing half-written."""
    found = sorted(path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file())
    assert found == [
        *("best.safetensors", "config.yaml", "curves.png", "history.csv", "log.txt", "report.html"),
        *("samples/shapes_0008.png", "samples/shapes_0009.png"),
    ]
    assert read_image(run_dir / "curves.png").shape[0] > 100
    assert read_image(run_dir / "samples" / "shapes_0008.png").shape[1] > 120
    log = (run_dir / "log.txt").read_text(encoding="utf-8")
    assert "8 train, 2 val, 2 test" in log
    assert f"Results: {run_dir}" in log
    assert "mean_iou" in (run_dir / "report.html").read_text(encoding="utf-8")


def test_history_in_the_run_folder_is_exact(fit: Fit, shapes: Path, tmp_path: Path) -> None:
    """Every number reads back as the very same, and so does the best row."""
    segmenter, history = fit(shapes, run_dir=tmp_path / "run", classes=["background", "disc", "square", "triangle"])
    read = History.from_csv(tmp_path / "run" / "history.csv")
    np.testing.assert_equal(read.rows, history.rows)
    assert read.best_epoch == history.best_epoch
    report = Segmenter.load(tmp_path / "run").evaluate(shapes)
    assert report.mean_iou == history.best["mean_iou"]
    assert segmenter.evaluate(shapes).mean_iou == report.mean_iou


def rerun(config: Path) -> Segmenter:
    """Train again by a run folder's config.yaml alone."""
    values = read_yaml(config)
    data = values.pop("data")
    validation = values.pop("validation", None)
    model = {name: values.pop(name) for name in ModelSettings.model_fields}
    assert values.keys() <= FitSettings.model_fields.keys()
    segmenter = Segmenter(**model)
    segmenter.fit(data, validation, **values, run_dir=None, verbose=False)
    return segmenter


def test_config_in_the_run_folder_runs_the_same_training(run_dir: Path, weights_hash: Hash) -> None:
    """The same weights, to the last bit, from settings that differ from all defaults."""
    assert weights_hash(rerun(run_dir / "config.yaml")) == weights_hash(Segmenter.load(run_dir))
    values = read_yaml(run_dir / "config.yaml")
    assert (values["ema"], values["accumulate"], values["loss"], values["seed"]) == (0.5, 2, "focal+tversky", 3)
    assert (values["batch_size"], values["workers"]) == (2, 0)  # what "auto" came to


def test_config_runs_the_same_training_from_the_command_line(
    fit: Fit, cells: Path, tmp_path: Path, weights_hash: Hash
) -> None:
    """Classes found in the data, and a folder of its own for validation, are found again."""
    segmenter, history = fit(cells, cells, run_dir=tmp_path / "run", epochs=1)
    assert main(["train", str(tmp_path / "run" / "config.yaml"), "--run-dir", str(tmp_path / "again")]) == 0
    again = Segmenter.load(tmp_path / "again")
    assert weights_hash(again) == weights_hash(segmenter)
    assert again.class_map == segmenter.class_map
    read = History.from_csv(tmp_path / "again" / "history.csv")
    assert read["mean_iou"] == history["mean_iou"]


def test_finished_run_is_not_overwritten(fit: Fit, shapes: Path, run_dir: Path, tree_hash: Hash) -> None:
    """The error comes before training, and the run is as it was."""
    before = tree_hash(run_dir)
    with pytest.raises(OutputError, match=r"first holds an earlier run.*Type another run_dir"):
        fit(shapes, run_dir=run_dir)
    assert tree_hash(run_dir) == before


def test_runs_are_named_on_their_own(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_hash: Hash
) -> None:
    """Without a name, a run lies below "runs" in the working folder, and is the last one."""
    monkeypatch.chdir(tmp_path)
    segmenter, _ = fit(shapes, run_dir="auto", epochs=1)
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("_unet-test_resnet")
    assert weights_hash(Segmenter.load("runs/last")) == weights_hash(segmenter)


def test_multilabel_run_has_pictures_too(fit: Fit, arrays: Draw, tmp_path: Path) -> None:
    """Masks of several classes per pixel, in images of one channel, are drawn and reported."""
    data = arrays("multilabel", count=6, channels=1)
    fit(data, run_dir=tmp_path / "run", epochs=1, in_channels=1)
    assert (tmp_path / "run" / "report.html").is_file()
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 1
