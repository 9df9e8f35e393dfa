"""The command line on the real library: a tiny dataset from training to pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from easyseg.cli import demo_command, main
from easyseg.cli.options import gather
from easyseg.config import DataSettings, FitSettings, ModelSettings, read_yaml
from easyseg.data.shapes import write_shapes
from easyseg.io.images import read_mask

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
