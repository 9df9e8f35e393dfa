"""Real offline runs of Weights & Biases, read back from their transaction log."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.errors import OutputError
from easyseg.structures import ClassMap
from easyseg.training.loggers import LoggedPicture, RunDescription, WandbLogger

wandb = pytest.importorskip("wandb")

BLOCK_BYTES = 32768
HEAD_BYTES = 7
WHOLE, LAST = 1, 4
LATEST_SECONDS = 30.0


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing leaves this machine, and nothing is kept outside the test's folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_ENTITY", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a run's log, which is laid out as LevelDB's are."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, content = path.read_bytes(), HEAD_BYTES, b""
    while position + HEAD_BYTES <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < HEAD_BYTES:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if position + HEAD_BYTES + length > len(data):  # still being written
            return
        content += data[position + HEAD_BYTES : position + HEAD_BYTES + length]
        position += HEAD_BYTES + length
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(content)
            content = b""
            yield record


class Run:
    """What an offline run holds."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.rows: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        self.labels: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        for record in records(path):
            if record.HasField("run"):
                self.id, self.project, self.name = record.run.run_id, record.run.project, record.run.display_name
                self.settings = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif record.HasField("history"):
                items = record.history.item
                self.rows.append({".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items})
            elif record.HasField("config"):
                internal = [json.loads(item.value_json) for item in record.config.update if item.key == "_wandb"]
                labels = internal[0].get("mask/class_labels", {}) if internal else {}
                self.labels = {name: one["value"] for name, one in labels.items()}
            elif record.HasField("summary"):
                self.summary |= {item.key: json.loads(item.value_json) for item in record.summary.update if item.key}
            elif record.HasField("exit"):
                self.exit_code = record.exit.exit_code

    def points(self, name: str) -> list[tuple[int, float]]:
        """Return a curve as steps and values."""
        return [(row["step"], row[name]) for row in self.rows if name in row]

    def pixels(self, row: dict[str, Any], name: str) -> np.ndarray:
        """Return a picture of a row."""
        return np.asarray(Image.open(self.folder / "files" / row[f"{name}.path"]))


def runs(folder: Path) -> list[Run]:
    """Return the offline runs below a run folder, oldest first, when wandb's own process has written their ends."""
    until = time.monotonic() + LATEST_SECONDS
    while True:
        paths = folder.glob("wandb/offline-run-*/*.wandb")
        found = [Run(path) for path in sorted(paths, key=lambda path: (_moment(path), path.stat().st_mtime))]
        if all(run.exit_code is not None for run in found) or time.monotonic() > until:
            return found
        time.sleep(0.1)


def _moment(path: Path) -> str:
    """Return when a run began, as the name of its folder says."""
    return path.parent.name.rpartition("-")[0]


def test_figures_masks_and_settings_arrive(
    play: Callable[..., list[str]], tmp_path: Path, picture: LoggedPicture
) -> None:
    """Figures, the loss in between, images with both masks and class names, settings and the end are there."""
    said = play([WandbLogger("roofs", tags=["trial"])])
    (run,) = runs(tmp_path / "runs/first")
    assert said == [f"Logging to wandb: wandb sync {run.folder}"]
    assert (run.project, run.name, run.exit_code) == ("roofs", "first", 0)
    assert run.points("mean_iou") == [(3, 0.03), (6, 0.06)]
    assert run.points("training/loss") == [(2, 1.5), (4, 3.5), (6, 5.5)]
    assert run.points("images_per_second") == [(3, 2.0), (6, 2.0)]
    assert run.points("iou/absent") == []
    assert run.settings["image_size"] == [32, 32]
    assert len(run.settings) >= 123
    key = f"validation/{picture.key}"
    shown = [row for row in run.rows if f"{key}.path" in row]
    assert [row["step"] for row in shown] == [3, 6]
    np.testing.assert_array_equal(run.pixels(shown[0], key), picture.image)
    truth = picture.truth.copy()
    truth[0, 0] = 2  # does not count
    np.testing.assert_array_equal(run.pixels(shown[0], f"{key}.masks.ground_truth"), truth)
    np.testing.assert_array_equal(run.pixels(shown[0], f"{key}.masks.prediction"), picture.prediction)
    names = {"0": "sky", "1": "road", "2": "ignored"}
    assert run.labels == {f"{key}_wandb_delimeter_{kind}": names for kind in ("ground_truth", "prediction")}
    assert run.summary["stopped"] == "all 2 epochs are done"
    assert (run.summary["best_epoch"], run.summary["best_value"]) == (2, 0.06)


def test_a_resumed_run_keeps_its_id(play: Callable[..., list[str]], tmp_path: Path) -> None:
    """An interrupted run is marked so, and the session after it logs under the same id, with steps that go on."""
    states: dict[int, dict[str, Any]] = {}
    play([WandbLogger()], last=4, states=states, is_complete=False)
    play([WandbLogger()], first=4, last=6, state=json.loads(json.dumps(states[3])))
    first, second = runs(tmp_path / "runs/first")
    assert first.id == second.id == states[3]["loggers"][0][1]["id"]
    assert (first.exit_code, second.exit_code) == (1, 0)
    assert second.points("mean_iou") == [(6, 0.06)]
    assert second.project == "easyseg"


def test_a_binary_mask_has_a_background(picture: LoggedPicture, tmp_path: Path) -> None:
    """The one class of a binary task is shown as 1, before a background that has a name."""
    one = replace(picture, class_map=ClassMap("binary", ("roof",)))
    assert log_picture(one, tmp_path).labels == {
        f"validation/{one.key}_wandb_delimeter_{kind}": {"0": "background", "1": "roof", "2": "ignored"}
        for kind in ("ground_truth", "prediction")
    }


def test_overlapping_classes_have_a_mask_each(picture: LoggedPicture, tmp_path: Path) -> None:
    """Classes that overlap become masks that can be switched on one by one."""
    both = np.stack([picture.prediction, 1 - picture.prediction])
    one = replace(picture, truth=both, prediction=both, class_map=ClassMap("multilabel", ("cell", "edge")))
    run = log_picture(one, tmp_path)
    key = f"validation/{one.key}"
    np.testing.assert_array_equal(run.pixels(run.rows[0], f"{key}.masks.prediction/edge"), both[1])
    assert run.labels[f"{key}_wandb_delimeter_ground_truth/cell"] == {"0": "background", "1": "cell", "2": "ignored"}


def test_more_classes_than_a_mask_can_hold_become_a_picture(picture: LoggedPicture, tmp_path: Path) -> None:
    """W&B cannot keep ids above 127; with so many classes the comparison is shown instead."""
    one = replace(picture, class_map=ClassMap("multiclass", tuple(map(str, range(150))), colors=((9, 9, 9),) * 150))
    run = log_picture(one, tmp_path)
    np.testing.assert_array_equal(run.pixels(run.rows[0], f"validation/{one.key}"), one.comparison())
    assert run.labels == {}


def log_picture(picture: LoggedPicture, folder: Path) -> Run:
    """Log one picture and return the run."""
    logger = WandbLogger()
    logger.start(RunDescription("one", folder, {}))
    logger.pictures([picture], step=1)
    wandb.finish()
    (run,) = runs(folder)
    return run


def test_a_service_that_cannot_be_reached_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a login, a new run is refused at its start, and the message says what to type."""

    def refuse(**settings: Any) -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(OutputError, match=r"No API key configured.*wandb login.*WANDB_MODE=offline"):
        WandbLogger("roofs").start(RunDescription("one", tmp_path, {}))
    assert repr(WandbLogger("roofs")) == "WandbLogger('roofs')"


def test_disabled_means_disabled(play: Callable[..., list[str]], tmp_path: Path) -> None:
    """In W&B's disabled mode nothing is written, and nothing fails."""
    assert play([WandbLogger(mode="disabled")]) == ["Logging to wandb"]
    assert runs(tmp_path / "runs/first") == []
