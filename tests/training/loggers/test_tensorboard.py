"""Event files, read back by TensorBoard's own reader."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.errors import ConfigError
from easyseg.training.loggers import LoggedPicture, RunDescription, TensorBoardLogger

reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder: Path) -> Any:
    """Return what TensorBoard shows of a folder."""
    events = reading.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return events.Reload()


def points(events: Any, name: str) -> list[tuple[int, float]]:
    """Return a curve as steps and values."""
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_figures_pictures_and_settings_arrive(
    play: Callable[..., list[str]], tmp_path: Path, picture: LoggedPicture
) -> None:
    """Figures at each evaluation, the loss in between, pictures, all settings and the reason of the end are there."""
    folder = tmp_path / "runs/first/tensorboard"
    assert play([TensorBoardLogger()]) == [f"Logging to tensorboard: tensorboard --logdir {folder}"]
    events = read(folder)
    assert points(events, "mean_iou") == [(3, 0.03), (6, 0.06)]
    assert points(events, "training/loss") == [(2, 1.5), (4, 3.5), (6, 5.5)]
    assert points(events, "learning_rate") == [(3, 0.1 / 3), (6, 0.1 / 6)]
    assert points(events, "images_per_second") == [(3, 2.0), (6, 2.0)]
    assert points(events, "iou/road (wet)") == [(3, 0.25), (6, 0.25)]
    assert "iou/absent" not in events.Tags()["scalars"]
    shown = events.Images(f"validation/{picture.key}")
    assert [image.step for image in shown] == [3, 6]
    pixels = np.asarray(Image.open(io.BytesIO(shown[0].encoded_image_string)))
    np.testing.assert_array_equal(pixels, picture.comparison())
    texts = {
        name: events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0] for name in ("settings", "ended")
    }
    assert b"    model: unet" in texts["settings"]
    assert b"x119: 119" in texts["settings"]
    assert texts["ended"].strip() == b"all 2 epochs are done"


def test_a_resumed_run_goes_on_in_the_same_curves(play: Callable[..., list[str]], tmp_path: Path) -> None:
    """What was logged after the checkpoint gives way to what the resumed session logs."""
    states: dict[int, dict[str, Any]] = {}
    play([TensorBoardLogger()], last=6, ends=False, states=states)
    play([TensorBoardLogger()], first=5, last=9, state=states[4])
    events = read(tmp_path / "runs/first/tensorboard")
    assert points(events, "mean_iou") == [(3, 0.03), (6, 0.06), (9, 0.09)]
    # the resumed session counts its points from the fifth batch on
    assert [step for step, _ in points(events, "training/loss")] == [2, 4, 6, 8]
    assert len(events.Tensors("settings/text_summary")) == 1


def test_a_folder_of_its_own(play: Callable[..., list[str]], tmp_path: Path) -> None:
    """The event files go where the user says, also with no run folder."""
    logger = TensorBoardLogger(tmp_path / "elsewhere")
    logger.start(RunDescription("easyseg", None, {}))
    logger.metrics({"loss": 1.0}, step=1)
    assert points(read(tmp_path / "elsewhere"), "loss") == [(1, 1.0)]
    assert "elsewhere" in repr(logger)
    assert not (tmp_path / "runs/first/tensorboard").exists()


def test_no_folder_at_all_is_refused() -> None:
    """Without a run folder, the message says what to type."""
    with pytest.raises(ConfigError, match=r"run_dir=None.*TensorBoardLogger\('FOLDER'\)"):
        TensorBoardLogger().start(RunDescription("easyseg", None, {}))
