"""The command line on the real library: a tiny dataset from training to pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg.cli import demo_command, main
from easyseg.cli.options import gather
from easyseg.config import DataSettings, FitSettings, ModelSettings, read_yaml
from easyseg.data.shapes import draw_shapes, write_shapes
from easyseg.io.images import read_mask, write_image

SMALL = ["--encoder", "resnet18", "--weights", "none", "--image-size", "32", "--epochs", "1", "--batch-size", "4"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a tiny dataset in it."""
    monkeypatch.chdir(tmp_path)
    write_shapes("shapes", count=8, size=32)
    return tmp_path


def test_from_training_to_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train, train again from the run's own config, evaluate the newest run, and predict with it."""
    assert main(["train", "--data", "shapes", *SMALL, "--ignore", "255", "--run-dir", "runs/first"]) == 0
    assert {"config.yaml", "history.csv", "best.safetensors", "report.html", "curves.png", "log.txt"} <= {
        path.name for path in Path("runs/first").iterdir()
    }
    assert any(Path("runs/first/samples").iterdir())

    config = read_yaml("runs/first/config.yaml")
    assert config["data"] == "shapes"
    gather({}, "runs/first/config.yaml", (ModelSettings, DataSettings, FitSettings))
    assert main(["train", "runs/last/config.yaml", "--run-dir", "runs/second"]) == 0
    first, second = (figures(Path("runs") / name) for name in ("first", "second"))
    assert first == second

    capsys.readouterr()
    assert main(["evaluate", "runs/last", "--json", "out.json"]) == 0
    assert "disc" in capsys.readouterr().out
    assert json.loads(Path("out.json").read_text())["metrics"]["mean_iou"] == second["mean_iou"]

    photos = "shapes/test/images"
    assert main(["predict", "runs/second/best.safetensors", "--source", photos, "--to", "out", "--kind", "mask"]) == 0
    names = sorted(path.name for path in Path(photos).iterdir())
    assert sorted(path.name for path in Path("out").iterdir()) == names
    assert read_mask(Path("out") / names[0]).values.shape == (32, 32)


def figures(run: Path) -> dict[str, float]:
    """Return the figures of a run's last row, without the clock's and those of absent classes."""
    with (run / "history.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    return {name: float(value) for name, value in row.items() if "second" not in name and value not in ("", "nan")}


def test_the_demo_takes_the_whole_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demonstration, cut short, leaves a dataset, a run and pictures, and says time and mean IoU."""
    monkeypatch.setattr(demo_command, "IMAGES", 12)
    monkeypatch.setattr(demo_command, "SECONDS", 1)
    assert main(["demo"]) == 0
    for path in ("data/train/images", "run/best.safetensors", "run/report.html", "pictures"):
        assert (Path("easyseg_demo") / path).exists()
    assert len(list(Path("easyseg_demo/pictures").glob("*.png"))) == 2
    assert "mean IoU" in capsys.readouterr().out.splitlines()[-8]


def test_the_demo_overwrites_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with something in it is refused before anything is drawn; the default takes a free name."""
    assert main(["demo", "--to", "shapes"]) == 2
    assert "shapes" in capsys.readouterr().err
    Path("easyseg_demo").mkdir()
    Path("easyseg_demo_2").mkdir()
    assert demo_command.free_folder(None) == Path("easyseg_demo_3")
    assert demo_command.free_folder("easyseg_demo") == Path("easyseg_demo")


def write_blocks(folder: Path, values: list[Any]) -> None:
    """Write 6 images, and masks in which each value, a number or a colour, has a part of its own."""
    for number in range(6):
        order = np.roll(np.arange(3), number)
        mask = np.array(values, np.uint8)[order].repeat(32 * 11, axis=0)[: 32 * 32]
        write_image(folder / "images" / f"{number}.png", draw_shapes(32, np.random.default_rng(number))[0])
        write_image(folder / "masks" / f"{number}.png", mask.reshape(32, 32, *mask.shape[1:]))


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ([0, 3, 7], "rest=0,car=7,road=3"),
        ([0, 3, 7], "rest=rest,car=7,9,road=3"),
        ([(0, 0, 0), (255, 0, 0), (0, 0, 255)], "rest=#000000,car=#0000ff,road=#ff0000"),
    ],
    ids=["ids", "rest", "colours"],
)
def test_a_class_map_goes_through_the_config(folder: Path, values: list[Any], flag: str) -> None:
    """Train with a class map, train the run's config, and evaluate that run: the same classes and figures."""
    write_blocks(Path("blocks"), values)
    assert main(["train", "--data", "blocks", *SMALL, "--class-map", flag, "--run-dir", "runs/first"]) == 0
    assert main(["train", "runs/first/config.yaml", "--run-dir", "runs/second"]) == 0
    assert figures(Path("runs/first")) == figures(Path("runs/second"))
    assert {"iou/rest", "iou/car", "iou/road"} <= figures(Path("runs/second")).keys()
    assert main(["evaluate", "runs/second", "--json", "out.json"]) == 0
    assert json.loads(Path("out.json").read_text())["metrics"]["mean_iou"] == figures(Path("runs/second"))["mean_iou"]


@pytest.mark.parametrize("with_splits", [True, False])
def test_a_run_with_a_validation_folder_is_evaluated_on_it(
    folder: Path, with_splits: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its validation split where it has one, else all of it; flags on masks speak of the training's folder."""
    other = Path("other")
    write_shapes(other, count=8, size=32)
    if not with_splits:
        other = Path("other/train")
    words = ["--data", "shapes/train", "--images", "images", "--masks", "masks", "--ignore", "255", *SMALL]
    assert main(["train", *words, "--validation", str(other), "--run-dir", "runs/first"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "runs/first", "--json", "out.json"]) == 0
    assert capsys.readouterr().out.startswith("val: 1 image" if with_splits else "all: 6 images")
    best = figures(Path("runs/first"))
    assert json.loads(Path("out.json").read_text())["metrics"]["mean_iou"] == best["mean_iou"]
    assert main(["evaluate", "runs/first", "--split", "train"]) == 0
    assert capsys.readouterr().out.startswith("train: 6 images")
