"""What a training leaves behind on disk, and that it can be run again from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easyseg import Segmenter
from easyseg.cli import main
from easyseg.config import FitSettings, ModelSettings, read_yaml
from easyseg.data.reading import load_dataset
from easyseg.errors import OutputError
from easyseg.io.images import read_image, write_image
from easyseg.results import History
from easyseg.structures import ClassMap

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
Hash = Callable[[Any], str]


def test_run_folder_holds_what_it_promises(run_dir: Path) -> None:
    """Settings, history, model, curves, pictures, report and log; nothing half-written."""
    files = (path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file())
    found = sorted(name for name in files if name != ".lock")
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


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    """Return a dataset whose own file gives the classes in another order than their values'."""
    folder = tmp_path / "fields"
    for number in range(6):
        mask = np.arange(40 * 40).reshape(40, 40) // 400 % 3
        write_image(folder / "images" / f"{number}.png", np.full((40, 40, 3), 40 * number, np.uint8))
        write_image(folder / "masks" / f"{number}.png", mask.astype(np.uint8))
    (folder / "label_mapping.json").write_text('{"water": 2, "background": 0, "field": 1}')
    return folder


def from_config(run: Path, again: Path) -> Segmenter:
    """Train by a run's config.yaml on the command line, and return the model."""
    assert main(["train", str(run / "config.yaml"), "--run-dir", str(again)]) == 0
    return Segmenter.load(again)


def test_classes_of_the_datasets_own_file_stay_right(
    fit: Fit, mapped: Path, tmp_path: Path, weights_hash: Hash
) -> None:
    """config.yaml does not repeat them as names in the order of their values, which they are not."""
    segmenter, _ = fit(mapped, run_dir=tmp_path / "run", epochs=1)
    assert read_yaml(tmp_path / "run" / "config.yaml")["classes"] is None
    again = from_config(tmp_path / "run", tmp_path / "again")
    assert again.class_map == segmenter.class_map
    assert dict(zip(again.classes or [], again.class_map.values if again.class_map else (), strict=True)) == {
        "water": 2,
        "background": 0,
        "field": 1,
    }
    assert weights_hash(again) == weights_hash(segmenter)


@pytest.mark.parametrize("in_the_dataset", [False, True])
def test_classes_that_the_user_named_stay(fit: Fit, cells: Path, tmp_path: Path, in_the_dataset: bool) -> None:
    """Whether `Segmenter` or `load_dataset` got them."""
    if in_the_dataset:
        segmenter, _ = fit(load_dataset(cells, classes=["nucleus"]), run_dir=tmp_path / "run", epochs=1)
    else:
        segmenter, _ = fit(cells, classes=["nucleus"], run_dir=tmp_path / "run", epochs=1)
    assert segmenter.classes == ["nucleus"]
    assert from_config(tmp_path / "run", tmp_path / "again").class_map == segmenter.class_map


@pytest.mark.parametrize(
    "wanted",
    [
        {"rest": 0, "water": 2, "field": 1},
        {2: "water", 0: "rest", 1: "field"},
        ClassMap("multiclass", ("water", "rest", "field"), values=(2, 0, 1), colors=((9, 8, 7), (0, 0, 0), (1, 2, 3))),
        ClassMap("binary", ("water",), values=(2,), background=(0,), ignored=(1,)),
    ],
    ids=["by name", "by value", "ClassMap", "binary ClassMap"],
)
def test_class_maps_stay(fit: Fit, mapped: Path, tmp_path: Path, wanted: Any, weights_hash: Hash) -> None:
    """A class map in any form trains the same model from config.yaml, and the run can be evaluated."""
    dataset = load_dataset(mapped, class_map=wanted)
    segmenter, history = fit(dataset, run_dir=tmp_path / "run", epochs=1)
    again = from_config(tmp_path / "run", tmp_path / "again")
    assert again.class_map == segmenter.class_map == dataset.class_map
    assert weights_hash(again) == weights_hash(segmenter)
    assert main(["evaluate", str(tmp_path / "again"), "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert history.best is not None
    assert figures["metrics"]["mean_iou"] == history.best["mean_iou"]


def plain_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return a loss of one's own."""
    return torch.nn.functional.cross_entropy(logits, targets, ignore_index=255)


def test_objects_are_named_in_the_config_and_not_written(fit: Fit, shapes: Path, tmp_path: Path) -> None:
    """config.yaml says in a comment what has to be passed again, and holds nothing that would be refused."""
    fit(shapes, loss=plain_loss, run_dir=tmp_path / "run", epochs=1)
    config = tmp_path / "run" / "config.yaml"
    assert "\n# loss: plain_loss\n" in config.read_text()
    assert not {"loss", "callbacks"} & read_yaml(config).keys()
    assert "plain_loss" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("as_path", [True, False])
def test_validation_folder_stays(fit: Fit, cells: Path, tmp_path: Path, as_path: bool) -> None:
    """A folder or a Dataset of its own stands in config.yaml; the parts of one dataset need no such line."""
    other = shutil.copytree(cells, tmp_path / "other")
    fit(load_dataset(cells), other if as_path else load_dataset(other), run_dir=tmp_path / "run", epochs=1)
    assert read_yaml(tmp_path / "run" / "config.yaml")["validation"] == str(other)
    parted = load_dataset(cells)
    fit(parted.split("train"), parted.split("val"), run_dir=tmp_path / "parts", epochs=1)
    assert "validation" not in read_yaml(tmp_path / "parts" / "config.yaml")


def test_pictures_of_one_name_do_not_replace_each_other(fit: Fit, arrays: Draw, tmp_path: Path) -> None:
    """Images of one name in several folders have a picture each."""
    images, masks = arrays("binary", count=3)
    for folder, image, mask in zip("abc", images, masks, strict=True):
        write_image(tmp_path / "data" / "images" / folder / "1.png", image)
        write_image(tmp_path / "data" / "masks" / folder / "1.png", mask)
    fit(tmp_path / "data", tmp_path / "data", run_dir=tmp_path / "run", epochs=1)
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == ["1.png", "1_2.png", "1_3.png"]
