"""Where the time of training goes, and how the loss went lately."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from easyseg.training import timing
from easyseg.training.timing import LossFigures, LossWindow, Pace, StepTimer


class Ticking:
    """Stands in for the `time` module; the clock moves only where a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """The clock of the module under test."""
    ticking = Ticking()
    monkeypatch.setattr(timing, "time", ticking)
    return ticking


def slow_batches(clock: Ticking, seconds: list[float], *, end: float = 0.0) -> Iterator[int]:
    """Yield batches that take so long each, and an end that takes time, too."""
    for number, wait in enumerate(seconds):
        clock.now += wait
        yield number
    clock.now += end


def test_waiting_and_computing_are_told_apart(clock: Ticking) -> None:
    """The wait for a batch is data, the time until `step_done` is computing, and what comes after is neither."""
    timer = StepTimer()
    for _ in timer.timed(slow_batches(clock, [1.0, 3.0], end=0.5)):
        clock.now += 2.0
        timer.step_done(images=8)
        clock.now += 50.0  # an evaluation
    assert timer.pace() == Pace(images=16, steps=2, data_seconds=4.5, compute_seconds=4.0)
    assert timer.pace().data_share == pytest.approx(4.5 / 8.5)
    assert timer.pace().images_per_second == pytest.approx(16 / 8.5)
    assert str(timer.pace()) == "1.9 images/s, data 53 % of the time"


def test_reset_measures_anew(clock: Ticking) -> None:
    """After `reset`, nothing of before is left, in the middle of an epoch, too."""
    timer = StepTimer()
    batches = timer.timed(slow_batches(clock, [1.0, 2.0]))
    next(batches)
    timer.step_done(images=4)
    timer.reset()
    next(batches)
    clock.now += 6.0
    timer.step_done(images=4)
    assert timer.pace() == Pace(images=4, steps=1, data_seconds=2.0, compute_seconds=6.0)


def test_nothing_measured_is_no_division_by_zero() -> None:
    """Before the first batch there is no speed and no share, and nothing to say."""
    pace = StepTimer().pace()
    assert (pace.images_per_second, pace.data_share, str(pace)) == (0.0, 0.0, "")


def test_the_loss_of_a_window_has_median_mean_and_maximum() -> None:
    """The figures are of the last batches only."""
    window = LossWindow(torch.device("cpu"), size=4)
    for loss in (100.0, 1.0, 2.0, 9.0, 4.0):
        window.add(torch.tensor(loss))
    assert window.figures() == LossFigures(median=3.0, mean=4.0, maximum=9.0, count=4)
    assert str(window.figures()) == "median 3.0000, maximum 9.0000"


def test_a_window_can_begin_anew() -> None:
    """After `reset` nothing of before is left, however many batches there were."""
    window = LossWindow(torch.device("cpu"), size=2)
    for loss in (1.0, 2.0, 3.0):
        window.add(torch.tensor(loss))
    window.reset()
    assert window.figures() is None
    window.add(torch.tensor(8.0))
    assert window.figures() == LossFigures(median=8.0, mean=8.0, maximum=8.0, count=1)


def test_a_window_that_began_late_has_no_figures() -> None:
    """After a resume the losses of before are not known, and figures beside a mean of all would not fit it."""
    window = LossWindow(torch.device("cpu"), size=2)
    window.begin_late()
    window.add(torch.tensor(8.0))
    assert window.figures() is None
    window.reset()
    window.add(torch.tensor(8.0))
    assert window.figures() is not None


def test_a_window_that_is_not_full_counts_what_is_there() -> None:
    """The first batches have figures, too; places that were never filled are no losses of 0."""
    window = LossWindow(torch.device("cpu"), size=100)
    assert window.figures() is None
    window.add(torch.tensor(5.0, requires_grad=True))
    window.add(torch.tensor(7.0))
    assert window.figures() == LossFigures(median=6.0, mean=6.0, maximum=7.0, count=2)


def test_a_loss_that_is_no_number_spoils_no_figure() -> None:
    """Batches whose step was skipped are left out."""
    window = LossWindow(torch.device("cpu"), size=4)
    window.add(torch.tensor(math.nan))
    assert window.figures() is None
    window.add(torch.tensor(math.inf))
    window.add(torch.tensor(2.0))
    assert window.figures() == LossFigures(median=2.0, mean=2.0, maximum=2.0, count=1)
