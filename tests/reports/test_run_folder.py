"""Run folders: made, never overwritten, complete or absent file by file, and found again."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import numpy as np
import pytest

from easyseg.config import read_yaml
from easyseg.errors import CheckpointError, OutputError
from easyseg.io.images import read_image
from easyseg.reports import run_folder
from easyseg.reports.run_folder import BEST_MODEL, RunFolder, check_run_path, claim_run_path, find_run, new_run_path
from easyseg.results import History


def finished_run(path: Path, *, at: int) -> Path:
    """Make a folder with a model file of that time, in seconds."""
    path.mkdir(parents=True)
    (path / BEST_MODEL).write_bytes(b"model")
    os.utime(path / BEST_MODEL, (at, at))
    return path


def test_files_are_written_where_the_properties_say(tmp_path: Path) -> None:
    """Settings, history, pictures and log lie under their names and read back as they were."""
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.write_config({"model": "unet", "image_size": [64, 64], "weights": None, "learning_rate": 0.1 + 0.2})
    history = History()
    history.append({"epoch": 1, "mean_iou": 0.1 + 0.2}, is_best=True)
    folder.write_history(history)
    picture = folder.write_picture("samples/a.png", np.full((2, 3, 3), 7, np.uint8))
    folder.log("first\nsecond")
    folder.log("třetí")

    assert read_yaml(folder.path / "config.yaml") == {
        "model": "unet",
        "image_size": [64, 64],
        "weights": None,
        "learning_rate": 0.1 + 0.2,
    }
    assert "easyseg train config.yaml" in (folder.path / "config.yaml").read_text().splitlines()[0]
    assert "from Python" in (folder.path / "config.yaml").read_text().splitlines()[1]
    folder.write_config({"data": "street"})
    assert "from Python" not in (folder.path / "config.yaml").read_text()
    assert History.from_csv(folder.path / "history.csv").rows == history.rows
    assert picture == folder.path / "samples" / "a.png"
    assert (read_image(picture) == 7).all()
    assert folder.log_path.read_text(encoding="utf-8") == "first\nsecond\ntřetí\n"
    assert folder.best_model == folder.path / "best.safetensors"
    assert folder.report == folder.path / "report.html"


def test_earlier_run_is_never_overwritten(tmp_path: Path) -> None:
    """The error names the folder and what to type, and the earlier run is as it was."""
    first = RunFolder(tmp_path / "run")
    first.write_config({"epochs": 3})
    first.write_history(History())
    first.log("hours of work")
    with pytest.raises(
        OutputError, match=r"an earlier run.*Type another run_dir; to train its model further, weights="
    ):
        RunFolder(tmp_path / "run")
    assert first.log_path.read_text() == "hours of work\n"


def test_run_that_broke_off_at_once_does_not_block_its_folder(tmp_path: Path) -> None:
    """Where there is neither a model nor a history, the corrected command may use the same folder."""
    first = RunFolder(tmp_path / "run")
    first.write_config({"epochs": 3})
    again = RunFolder(tmp_path / "run")
    again.write_config({"epochs": 4})
    assert read_yaml(again.path / "config.yaml") == {"epochs": 4}


@pytest.mark.parametrize("name", ["best.safetensors", "history.csv"])
def test_result_of_a_run_is_never_overwritten(tmp_path: Path, name: str) -> None:
    """A model or a history alone protects its folder, too."""
    (tmp_path / name).write_bytes(b"result")
    with pytest.raises(OutputError, match=r"holds an earlier run"):
        RunFolder(tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"result")]


@pytest.mark.parametrize("names", [("log.txt",), ("notes.txt",), ("config.yaml",), ("config.yaml", "log.txt")])
def test_folder_with_other_files_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A log or settings of somebody else would be lost; the error names one of the files."""
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"holds files that are no run's, such as {names[0]}.*Type a run_dir"):
        RunFolder(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "mine")


def test_empty_folder_may_be_used(tmp_path: Path) -> None:
    """Hidden files, such as those of file managers, do not count."""
    (tmp_path / ".DS_Store").write_text("mine")
    RunFolder(tmp_path)
    assert (tmp_path / ".DS_Store").read_text() == "mine"


@pytest.mark.parametrize("inside", ["", "runs/first", "images"])
def test_nothing_is_kept_in_a_dataset(tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the two paths are written; the error names both, and a place that is none of it."""
    dataset = tmp_path / "data"
    (dataset / "images").mkdir(parents=True)
    monkeypatch.chdir(dataset)
    for given in (Path(), dataset, dataset / ".." / "data"):
        with pytest.raises(OutputError, match=r"would lie in the dataset .*Type another run_dir, such as run_dir='"):
            check_run_path(Path(inside), datasets=[tmp_path / "other", given])
    check_run_path(tmp_path / "data_runs", datasets=[dataset])
    assert [path.name for path in dataset.iterdir()] == ["images"]


def test_paths_are_checked_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good path is not made yet; one without permission is told."""
    check_run_path(tmp_path / "deep" / "run")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("easyseg.reports.run_folder.os.access", lambda *_: False)
    with pytest.raises(OutputError, match=r"deep/run cannot be written: no permission to write there"):
        check_run_path(tmp_path / "deep" / "run")


def test_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the path."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file/run cannot be written: a part of the path is a file"):
        RunFolder(tmp_path / "file" / "run")


def test_folder_that_cannot_be_written_to_is_found_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after an hour of training."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("easyseg.io.atomic.os.open", refuse)
    with pytest.raises(OutputError, match=r"log\.txt cannot be written: no permission to write there"):
        RunFolder(tmp_path / "run")


def test_log_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """Even the log says which file and why."""
    folder = RunFolder(tmp_path / "run")
    folder.log_path.unlink()
    folder.log_path.mkdir()
    with pytest.raises(OutputError, match=r"log\.txt cannot be written"):
        folder.log("line")


def test_new_run_paths_differ_within_one_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of the same moment get a number."""

    class Noon(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Noon:
            return cls(2031, 5, 4, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(run_folder.datetime, "datetime", Noon)
    names = []
    for _ in range(3):
        path = claim_run_path(new_run_path("unet-resnet18", parent=tmp_path / "runs"))
        RunFolder(path)
        names.append(path.name)
    assert names == [
        "2031-05-04_12-00-00_unet-resnet18",
        "2031-05-04_12-00-00_unet-resnet18_2",
        "2031-05-04_12-00-00_unet-resnet18_3",
    ]


def test_last_is_the_newest_run_with_a_model(tmp_path: Path) -> None:
    """The time of the model file decides, not the folder's name; folders without one are passed over."""
    finished_run(tmp_path / "runs" / "z", at=1_000)
    newest = finished_run(tmp_path / "runs" / "a", at=2_000)
    (tmp_path / "runs" / "zz_begun").mkdir()
    assert find_run(tmp_path / "runs" / "last") == newest / BEST_MODEL


def test_relative_last_counts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As typed on the command line: runs/last."""
    finished_run(tmp_path / "runs" / "a", at=1_000)
    monkeypatch.chdir(tmp_path)
    assert find_run("runs/last") == Path("runs/a") / BEST_MODEL


def test_folder_called_last_means_itself(tmp_path: Path) -> None:
    """A run whose name really is "last" is not looked behind."""
    own = finished_run(tmp_path / "runs" / "last", at=1_000)
    finished_run(tmp_path / "runs" / "newer", at=2_000)
    assert find_run(own) == own / BEST_MODEL


def test_file_and_folder_name_the_same_model(tmp_path: Path) -> None:
    """A run folder stands for its best model; a file for itself, whether it exists or not."""
    run = finished_run(tmp_path / "run", at=1_000)
    assert find_run(run) == find_run(run / BEST_MODEL) == run / BEST_MODEL
    assert find_run(tmp_path / "other.safetensors") == tmp_path / "other.safetensors"


def test_missing_runs_are_named(tmp_path: Path) -> None:
    """No run at all, no folder of runs, and a folder without a model each have their own words."""
    with pytest.raises(CheckpointError, match=r"holds no finished run. Train first"):
        find_run(tmp_path / "last")
    with pytest.raises(CheckpointError, match=r"nowhere holds no finished run"):
        find_run(tmp_path / "nowhere" / "last")
    with pytest.raises(CheckpointError, match=r"holds no best\.safetensors; it is no run folder"):
        find_run(tmp_path)
