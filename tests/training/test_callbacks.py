"""Observers: the rule for the best epoch, early stopping, and what people see."""

from __future__ import annotations

import dataclasses
import io
import math
import re

import pytest
import torch

from easyseg.errors import ConfigError, UnknownNameError
from easyseg.training import callbacks
from easyseg.training.callbacks import (
    BestTracker,
    Callback,
    EarlyStopping,
    EpochReport,
    FitInfo,
    FitSummary,
    ProgressBar,
    StepReport,
    StopRequest,
)
from easyseg.training.timing import LossFigures, Pace

INFO = FitInfo(
    epochs=3, steps_per_epoch=4, batch_size=2, num_images=8, device="cpu", precision="fp32", monitor="mean_iou"
)


PACE = Pace(images=8, steps=4, data_seconds=0.5, compute_seconds=1.5)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def epoch_report(epoch, value, *, is_best):
    """Return the report of an evaluation."""
    return EpochReport(
        epoch=epoch,
        step=4 * epoch + 4,
        seconds=1.0,
        learning_rate=1e-3,
        metrics={"loss": 0.7, "mean_iou": value},
        is_best=is_best,
        pace=PACE,
        recent_loss=LossFigures(median=0.6, mean=0.7, maximum=2.5, count=4),
    )


def step_report(step):
    """Return the report of a batch in a run of 12."""
    return StepReport(
        epoch=(step - 1) // 4,
        step=step,
        batch=(step - 1) % 4 + 1,
        steps_per_epoch=4,
        loss=torch.tensor(0.5),
        learning_rate=1e-3,
        images=2,
        seconds=10.0 * step,
        progress=step / 12,
        pace=PACE,
    )


def best_epochs(values, **settings):
    """Return the epochs that were the best when they came."""
    best = BestTracker("mean_iou", **settings)
    return [epoch for epoch, value in enumerate(values) if best.is_better({"mean_iou": value}, epoch=epoch)]


def test_best_is_the_highest_and_the_first_of_equals():
    """A larger score is better; an equal one does not move the best epoch."""
    assert best_epochs([0.3, 0.5, 0.5, 0.4, 0.6]) == [0, 1, 4]


def test_best_of_a_loss_is_the_lowest():
    """The direction follows from the figure's name."""
    best = BestTracker("loss")
    assert [best.is_better({"loss": value}, epoch=0) for value in (1.0, 2.0, 0.5)] == [True, False, True]
    assert best.value == 0.5


def test_small_changes_do_not_count():
    """A change of no more than min_delta is none, and the bar stays where the best one put it."""
    assert best_epochs([0.5, 0.55, 0.59, 0.61, 0.7], min_delta=0.1) == [0, 3]


def test_cooldown_and_unfit_figures_are_never_best():
    """The first epochs and figures that are no finite number are passed over."""
    assert best_epochs([0.9, 0.8, 0.4, math.nan, math.inf, 0.5], check_best_cooldown=2) == [2, 5]


def test_best_tracker_remembers():
    """Epoch and value of the best are there to read, None before there is one."""
    best = BestTracker("iou/road", class_names=["road"])
    assert (best.epoch, best.value) == (None, None)
    best.is_better({"iou/road": 0.25}, epoch=6)
    assert (best.epoch, best.value) == (6, 0.25)


def test_unknown_monitor_is_refused_at_once():
    """A figure that does not exist is refused before training, with the nearest name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'mean_iou'"):
        BestTracker("mean_iuo")


def test_unmeasured_monitor_is_named():
    """A figure that exists but was not measured is named beside those that were."""
    with pytest.raises(ConfigError, match=r"monitor='mean_iou' is not among the figures: loss, mean_dice\. Did you"):
        BestTracker("mean_iou").is_better({"loss": 1.0, "mean_dice": 0.4}, epoch=0)


def stopped_after(marks, patience):
    """Return how many evaluations early stopping lets pass; marks say which were best."""
    stopping = EarlyStopping(patience)
    stopping.fit_started(INFO)
    for count, mark in enumerate(marks, start=1):
        request = stopping.epoch_ended(epoch_report(count, 0.5, is_best=mark == "b"))
        if request is not None:
            return count, request
    return None, None


@pytest.mark.parametrize(
    ("marks", "patience", "count"),
    [("b..b..", 3, None), ("b...b", 3, 4), ("b.", 1, 2), (".....b.b..", 2, 10), ("......", 2, None)],
)
def test_early_stopping_counts_from_the_best(marks, patience, count):
    """Training stops after `patience` evaluations without a better one, counted from the last best one."""
    assert stopped_after(marks, patience)[0] == count


def test_early_stopping_says_why():
    """The request names figure and patience, and leaves later stages alone."""
    assert stopped_after("b..", 2)[1] == StopRequest("mean_iou has not improved for 2 evaluations", stage_only=True)


def test_early_stopping_can_be_used_again():
    """A second run starts counting anew."""
    stopping = EarlyStopping(2)
    for _ in range(2):
        stopping.fit_started(INFO)
        assert stopping.epoch_ended(epoch_report(0, 0.5, is_best=True)) is None
        assert stopping.epoch_ended(epoch_report(1, 0.5, is_best=False)) is None


def test_callback_does_nothing_by_itself():
    """Each moment may be left out."""
    observer = Callback()
    observer.fit_started(INFO)
    observer.epoch_started(0)
    observer.batch_ended(step_report(1))
    assert observer.epoch_ended(epoch_report(0, 0.5, is_best=True)) is None
    observer.fit_ended(FitSummary("done", 1.0))


@pytest.mark.parametrize("record", [INFO, step_report(1), epoch_report(0, 0.5, is_best=True), FitSummary("done", 1.0)])
def test_records_cannot_be_changed(record):
    """Observers never reach in: records are frozen."""
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, None)


def run(bar):
    """Lead a progress bar through two epochs of a run."""
    bar.fit_started(INFO)
    for epoch in range(2):
        bar.epoch_started(epoch)
        for step in range(4 * epoch + 1, 4 * epoch + 5):
            bar.batch_ended(step_report(step))
        bar.epoch_ended(epoch_report(epoch, 0.25 + epoch / 4, is_best=epoch == 1))
    bar.fit_ended(FitSummary("the time is up", 83.0, best_epoch=1, best_value=0.5))


def test_log_gets_one_plain_line_per_epoch():
    """Where the stream is no terminal there are plain lines, and no characters that only a terminal understands."""
    stream = io.StringIO()
    run(ProgressBar(stream=stream))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    loss, pace = "loss 0.7000 (median 0.6000, maximum 2.5000)", "4.0 images/s, data 25 % of the time"
    assert lines[0] == f"epoch 1/3  {loss}  mean_iou 0.2500        {pace}  1:20 left"
    assert lines[1] == f"epoch 2/3  {loss}  mean_iou 0.5000  best  {pace}  0:40 left"
    assert lines[2] == "Training ended after 1:23: the time is up. Best: epoch 2, mean_iou 0.5000."
    assert "\r" not in stream.getvalue()


def test_terminal_gets_a_bar_that_shows_the_run(monkeypatch):
    """On a terminal a bar shows epoch, loss, the last score, speed, time left of the whole run, and memory."""
    monkeypatch.setattr(callbacks, "REFRESH_SECONDS", 0)
    stream = Terminal()
    run(ProgressBar(stream=stream))
    shown = stream.getvalue()
    pace = r"4\.0 images/s, data 25 % of the time"
    assert re.search(rf"epoch 1/3 .*loss 0\.5000  {pace}  1:50 left  [\d.]+ GB", shown)
    assert re.search(rf"epoch 2/3 .*4/4.*loss 0\.5000  mean_iou 0\.2500  {pace}  0:40 left", shown)
    assert "epoch 2/3  loss 0.7000 (median 0.6000, maximum 2.5000)  mean_iou 0.5000  best" in shown


def test_bar_reads_the_loss_rarely(monkeypatch):
    """Between two refreshes the loss is not looked at, so a GPU is not waited for; the epoch's last one is shown."""
    monkeypatch.setattr(callbacks, "REFRESH_SECONDS", 1e9)
    stream = Terminal()
    bar = ProgressBar(stream=stream)
    bar.fit_started(INFO)
    bar.epoch_started(0)
    bar.batch_ended(step_report(1))
    unreadable = dataclasses.replace(step_report(2), loss=torch.zeros(2))
    bar.batch_ended(unreadable)
    bar.batch_ended(step_report(4))
    assert "4/4" in stream.getvalue()
    bar.fit_ended(FitSummary("done", 1.0))
    with pytest.raises(ValueError, match="one element"):
        float(unreadable.loss)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_silence_means_silence(stream):
    """With verbose=False nothing is written, not even on a terminal."""
    run(ProgressBar(verbose=False, stream=stream))
    assert stream.getvalue() == ""


def test_bar_can_be_forced():
    """verbose=True shows the bar even where the stream is no terminal."""
    stream = io.StringIO()
    run(ProgressBar(verbose=True, stream=stream))
    assert "\r" in stream.getvalue()


@pytest.mark.parametrize(("epochs", "name"), [(None, "epoch 1  "), (1, "epoch 1/1  "), (0, "epoch 1  ")])
def test_epochs_without_a_plan_have_no_total(epochs, name):
    """Where time decides how many epochs there are, a line does not pretend to know."""
    stream = io.StringIO()
    bar = ProgressBar(stream=stream)
    bar.fit_started(dataclasses.replace(INFO, epochs=epochs))
    bar.epoch_ended(epoch_report(0, 0.5, is_best=False))
    assert stream.getvalue().startswith(name)


def test_end_without_a_best_epoch():
    """Where no epoch counted, the last line says no best one; monitoring the loss shows it once."""
    stream = io.StringIO()
    bar = ProgressBar(stream=stream)
    bar.fit_started(dataclasses.replace(INFO, monitor="loss"))
    bar.epoch_started(0)
    bar.epoch_ended(epoch_report(0, 0.5, is_best=False))
    bar.fit_ended(FitSummary("interrupted", 3725.0))
    lines = stream.getvalue().splitlines()
    assert lines[0].count("loss") == 1
    assert lines[0].endswith("? left")
    assert lines[1] == "Training ended after 1:02:05: interrupted."


def test_nothing_is_left_at_the_end():
    """The last epoch's line does not speak of 0:00 left."""
    stream = io.StringIO()
    bar = ProgressBar(stream=stream)
    bar.fit_started(INFO)
    bar.epoch_started(2)
    bar.batch_ended(dataclasses.replace(step_report(12), progress=1.0))
    bar.epoch_ended(epoch_report(2, 0.5, is_best=False))
    assert stream.getvalue().startswith("epoch 3/3")
    assert "left" not in stream.getvalue()
