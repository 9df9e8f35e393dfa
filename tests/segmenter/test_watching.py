"""Loggers in a real training, the pictures they are shown, and the hint where data is slow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from easyseg import Segmenter, load_dataset
from easyseg.config import FitSettings
from easyseg.errors import MissingExtraError, OutputError, UnknownNameError
from easyseg.segmenter import watching
from easyseg.segmenter.watching import SlowDataHint, ValidationPictures
from easyseg.training.callbacks import Callback, EpochReport, FitSummary
from easyseg.training.loggers import LoggedPicture, Logger, RunDescription
from easyseg.training.optim import MovingAverage
from easyseg.training.timing import Pace


class Kept(Logger):
    """Keeps all that it is told."""

    name: ClassVar[str] = "kept"

    def __init__(self, *, fails: bool = False) -> None:
        self.run: RunDescription | None = None
        self.figures: dict[int, Mapping[str, float]] = {}
        self.shown: dict[int, list[LoggedPicture]] = {}
        self.summary: FitSummary | None = None
        self.restored: tuple[Mapping[str, Any], int] | None = None
        self.fails = fails

    def start(self, run: RunDescription) -> str:
        self.run = run
        return ""

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        if self.fails:
            raise ConnectionError("no route to host")
        if "mean_iou" in figures:
            self.figures[step] = figures

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        self.shown[step] = list(pictures)

    def end(self, summary: FitSummary) -> None:
        self.summary = summary

    def state(self) -> dict[str, Any]:
        return {"name": self.run.name} if self.run is not None else {}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        self.restored = (state, step)


class Stopped(Callback):
    """Breaks a training off after an epoch, numbered from 0."""

    def __init__(self, after: int | None = 0) -> None:
        self.after = after

    def epoch_ended(self, report: EpochReport) -> None:
        if report.epoch == self.after:
            raise KeyboardInterrupt


def test_a_logger_gets_settings_figures_and_pictures_of_a_training(
    fit: Callable[..., Any], shapes: Path, tmp_path: Path
) -> None:
    """Every evaluation reaches the logger with the history's very figures, and what the model makes of two images."""
    logger = Kept()
    _, history = fit(shapes, loggers=logger, run_dir=tmp_path / "first")
    assert logger.run is not None
    assert (logger.run.name, logger.run.folder) == ("first", tmp_path / "first")
    assert logger.run.settings["batch_size"] == 2
    assert logger.run.settings["image_size"] == [32, 32]
    assert set(logger.figures) == set(logger.shown) == {4, 8}
    for row in history.rows:
        told = logger.figures[row["step"]]
        for name in ("loss", "val_loss", "mean_iou", "learning_rate", "iou/disc"):
            assert told[name] == row[name]
        assert 0 <= told["data_share"] <= 1
        assert told["images_per_second"] > 0
    assert [picture.image.shape for picture in logger.shown[4]] == [(40, 40, 3)] * 2
    assert len({picture.key for picture in logger.shown[4]}) == 2
    assert logger.summary is not None
    assert logger.summary.is_complete
    assert "images/s, data" in (tmp_path / "first/log.txt").read_text()


def test_loggers_change_nothing_about_the_training(
    fit: Callable[..., Any], shapes: Path, weights_hash: Callable[[Segmenter], str], tmp_path: Path
) -> None:
    """With loggers, failing ones too, the weights are the same to the last bit, and the failure stands in the log."""
    plain, _ = fit(shapes, ema=0.9)
    logged, _ = fit(shapes, ema=0.9, loggers=[Kept(), Kept(fails=True)], run_dir=tmp_path / "first")
    assert weights_hash(logged) == weights_hash(plain)
    log = (tmp_path / "first/log.txt").read_text()
    assert log.count("The logger kept failed and is not used any more: ConnectionError: no route to host.") == 1


def test_a_training_that_breaks_off_says_so(fit: Callable[..., Any], shapes: Path) -> None:
    """After Ctrl-C the logger is told that the run is not complete."""
    logger = Kept()
    with pytest.raises(KeyboardInterrupt):
        fit(shapes, loggers=[logger], callbacks=[Stopped()])
    assert logger.summary is not None
    assert not logger.summary.is_complete


def test_a_resumed_training_goes_on_with_its_loggers(fit: Callable[..., Any], shapes: Path, tmp_path: Path) -> None:
    """The session after an interruption gives each logger what it remembered, and the step from where it goes on."""
    plain = {"epochs": 3, "run_dir": tmp_path / "first"}
    first, second = Kept(), Kept()
    with pytest.raises(KeyboardInterrupt):
        fit(shapes, loggers=[first], callbacks=[Stopped(after=1)], **plain)
    fit(shapes, loggers=[second], callbacks=[Stopped(after=None)], **plain)
    assert second.restored is not None
    state, step = second.restored
    assert state == {"name": "first"}
    assert step in (4, 8)
    assert list(second.figures) == [later for later in (8, 12) if later > step]
    assert second.summary is not None
    assert second.summary.is_complete


def test_names_and_packages_are_checked_before_the_data(
    fit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt name and a missing package are told at once, whatever the data is."""
    with pytest.raises(UnknownNameError, match="Did you mean 'wandb'"):
        fit("no/such/folder", loggers="wanddb")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"easyseg\[mlflow\]"):
        fit("no/such/folder", loggers=["mlflow"])


def test_a_service_that_cannot_start_is_told_before_the_first_batch(fit: Callable[..., Any], shapes: Path) -> None:
    """The user learns of it at once, and nothing has been trained."""

    class Absent(Kept):
        def start(self, run: RunDescription) -> str:
            raise ConnectionError("no route to host")

    logger = Absent()
    with pytest.raises(OutputError, match="kept cannot start"):
        fit(shapes, loggers=[logger])
    assert logger.figures == {}


@pytest.fixture
def pictures(fitted: Segmenter, shapes: Path) -> Callable[..., ValidationPictures]:
    """Return a function that prepares pictures of a split of `shapes`."""

    def prepare(split: str = "train", **settings: Any) -> ValidationPictures:
        data = load_dataset(shapes).split(split)
        return ValidationPictures(fitted._ready(), data, fitted.compute, **settings)

    return prepare


def test_the_same_few_images_are_shown_each_time(pictures: Callable[..., ValidationPictures]) -> None:
    """They are spread over the split, with the truth of the files and the prediction of `predict`."""
    draw = pictures()
    first, second = draw(), draw()
    assert len(first) == watching.PICTURES
    assert [picture.name for picture in first] == [picture.name for picture in second]
    assert [picture.name[:4] for picture in first] == ["0001", "0003", "0006", "0008"]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.prediction, other.prediction)
        assert one.prediction.shape == one.truth.shape == one.image.shape[:2] == (40, 40)
    assert len(pictures("val")()) == 2


def test_the_average_is_what_is_shown(pictures: Callable[..., ValidationPictures], fitted: Segmenter) -> None:
    """With a moving average, its weights predict, and the model's own are there again afterwards."""
    network = fitted.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    average = MovingAverage(network, decay=0.5)
    last_bias = [name for name in before if name.endswith("bias")][-1]
    average.state_dict()[last_bias].copy_(torch.tensor([0.0, 0.0, 1e6, 0.0]))  # sees class 2 everywhere
    own, averaged = pictures()(), pictures(average=average)()
    assert all((picture.prediction == 2).all() for picture in averaged)
    assert not all((picture.prediction == 2).all() for picture in own)
    assert all((value == before[name]).all() for name, value in network.state_dict().items())


def test_large_pictures_are_thinned_out(
    pictures: Callable[..., ValidationPictures], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No side is longer than the limit, and class ids stay class ids."""
    full = pictures()()
    monkeypatch.setattr(watching, "LARGEST_SIDE", 15)
    thin = pictures()()
    for one, other in zip(full, thin, strict=True):
        assert other.image.shape == (14, 14, 3)
        np.testing.assert_array_equal(other.truth, one.truth[::3, ::3])
        np.testing.assert_array_equal(other.prediction, one.prediction[::3, ::3])


def evaluation(epoch: int, data_seconds: float) -> EpochReport:
    """Return the report of an evaluation after a hundred seconds of which so many went into data."""
    return EpochReport(
        epoch=epoch,
        step=1,
        seconds=1.0,
        learning_rate=0.1,
        metrics={},
        is_best=False,
        pace=Pace(images=8, steps=2, data_seconds=data_seconds, compute_seconds=100.0 - data_seconds),
    )


def test_slow_data_is_told_once_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second epoch on, more than 40 % of waiting is told, once, with settings that may help."""
    monkeypatch.setattr(watching, "processor_count", lambda: 8)
    said: list[str] = []
    hint = SlowDataHint(FitSettings(workers=2), is_cached=False, say=said.append)
    hint.epoch_ended(evaluation(0, 90.0))  # workers start and the cache is filled
    hint.epoch_ended(evaluation(1, 39.0))
    assert said == []
    hint.epoch_ended(evaluation(2, 55.0))
    hint.epoch_ended(evaluation(3, 55.0))
    assert said == [
        "Training waits for its data for 55% of the time. What may help: workers=4, or cache='ram', "
        "or a simpler augment, such as augment='light', or a smaller image_size."
    ]


def test_the_hint_names_nothing_that_is_used_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all processors at work, the images cached and no augmentation, only the size is left."""
    monkeypatch.setattr(watching, "processor_count", lambda: 2)
    said: list[str] = []
    hint = SlowDataHint(FitSettings(workers=2, augment="none"), is_cached=True, say=said.append)
    hint.epoch_ended(evaluation(1, 80.0))
    assert said == ["Training waits for its data for 80% of the time. What may help: a smaller image_size."]
