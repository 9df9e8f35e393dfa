"""A short run as the loggers see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easyseg.structures import IGNORE_INDEX, ClassMap
from easyseg.training.callbacks import EpochReport, FitSummary, StepReport
from easyseg.training.loggers import LoggedPicture, LoggedRun, Logger, RunDescription, observing
from easyseg.training.timing import Pace

STEPS_PER_EPOCH = 3

Play = Callable[..., list[str]]


def step_report(step: int) -> StepReport:
    """Return the report of a batch whose loss is its number."""
    return StepReport(
        epoch=(step - 1) // STEPS_PER_EPOCH,
        step=step,
        batch=(step - 1) % STEPS_PER_EPOCH + 1,
        steps_per_epoch=STEPS_PER_EPOCH,
        loss=torch.tensor(float(step)),
        learning_rate=0.1 / step,
        images=2,
        seconds=float(step),
        progress=0.5,
    )


def epoch_report(step: int) -> EpochReport:
    """Return the report of the evaluation after a batch."""
    return EpochReport(
        epoch=step // STEPS_PER_EPOCH - 1,
        step=step,
        seconds=float(step),
        learning_rate=0.1 / step,
        metrics={"loss": 1.0 / step, "mean_iou": step / 100, "iou/road (wet)": 0.25, "iou/absent": float("nan")},
        is_best=True,
        pace=Pace(images=6, steps=3, data_seconds=1.0, compute_seconds=2.0),
    )


def let_them_catch_up(run: LoggedRun) -> None:
    """Wait until every logger has done all it was told, as one whose process is killed much later has."""
    arrived = [threading.Event() for _ in run._workers]
    for worker, event in zip(run._workers, arrived, strict=True):
        worker.submit(lambda _, event=event: event.set())
    assert all(event.wait(60) for event in arrived)


@pytest.fixture
def picture() -> LoggedPicture:
    """A picture of two classes, a corner of which does not count."""
    image = np.full((6, 8, 3), 90, np.uint8)
    truth = np.zeros((6, 8), np.uint8)
    truth[3:] = 1
    truth[0, 0] = IGNORE_INDEX
    prediction = np.zeros((6, 8), np.uint8)
    prediction[2:] = 1
    return LoggedPicture("a street/at night.png", image, truth, prediction, ClassMap("multiclass", ("sky", "road")))


@pytest.fixture
def play(tmp_path: Path, picture: LoggedPicture, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that leads loggers through two epochs, or a part of that, and returns what the user is told."""
    monkeypatch.setattr(observing, "EVERY_STEPS", 2)
    monkeypatch.setattr(observing, "EVERY_SECONDS", 1e9)  # else points come when a test machine is slow
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)

    def lead(
        loggers: Sequence[Logger],
        *,
        first: int = 1,
        last: int = 2 * STEPS_PER_EPOCH,
        state: dict[str, Any] | None = None,
        ends: bool = True,
        is_complete: bool = True,
        states: dict[int, dict[str, Any]] | None = None,
    ) -> list[str]:
        said: list[str] = []
        settings = {"model": "unet", "image_size": [32, 32], "note": "ä" * 900, **{f"x{i}": i for i in range(120)}}
        run = LoggedRun(
            loggers,
            RunDescription("first", folder, settings),
            pictures=lambda: [picture],
            say=said.append,
        )
        if state is not None:
            run.restore(state)
        for step in range(first, last + 1):
            if step == first or step % STEPS_PER_EPOCH == 1:
                run.epoch_started((step - 1) // STEPS_PER_EPOCH)
            run.batch_ended(step_report(step))
            if step % STEPS_PER_EPOCH == 0:
                run.epoch_ended(epoch_report(step))
            if states is not None:
                states[step] = run.state()
        reason = "all 2 epochs are done" if is_complete else "it was interrupted"
        if ends:
            run.fit_ended(FitSummary(reason, 6.0, best_epoch=1, best_value=0.06, is_complete=is_complete))
        else:
            let_them_catch_up(run)
        return said

    return lead
