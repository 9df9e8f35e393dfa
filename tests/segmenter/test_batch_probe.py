"""`batch_size="auto"`: as many images as fit into memory, tried where a failure harms nobody."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from easyseg import Segmenter
from easyseg.config import ModelSettings
from easyseg.errors import ConfigError
from easyseg.segmenter import batch_probe, planning
from easyseg.segmenter.batch_probe import (
    BYTES_PER_PIXEL,
    BatchChoice,
    ProbeRequest,
    choose_fitting_batch,
    largest_fitting,
    probe,
    run_probe,
)
from easyseg.segmenter.tasks import instance, semantic
from easyseg.training.callbacks import Callback, StepReport

SMALL = ProbeRequest(
    ModelSettings(model="unet", encoder="test_resnet", weights=None, image_size=64).to_dict(),
    num_classes=3,
    task="multiclass",
    optimizer="adamw",
    size_hw=(64, 64),
    device="cpu",
    precision="fp32",
)


@pytest.mark.parametrize(
    ("peaks", "usual", "limit", "expected"),
    [
        ({1: 100, 2: 150}, 16, 900, 16),
        ({1: 100, 2: 150}, 16, 800, 15),
        ({1: 100, 2: 150}, 16, 849, 15),
        ({1: 100, 2: 150}, 16, 850, 16),
        ({1: 100, 2: 150}, 16, 90, 1),
        ({1: 100}, 16, 900, 1),
        ({}, 16, 900, 1),
        ({1: 100, 2: 100}, 16, 100, 1),
        ({1: 100, 2: 100}, 16, 900, 16),
    ],
)
def test_largest_batch_that_fits(peaks: dict[int, int], usual: int, limit: float, expected: int) -> None:
    """A line through what was measured; never more than usual, never less than one image."""
    assert largest_fitting(peaks, usual=usual, limit=limit) == expected


def test_nothing_is_tried_where_memory_is_plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is a generous guess; half of it in two bytes."""

    def refuse(request: ProbeRequest) -> dict[int, int]:
        raise AssertionError("tried")

    monkeypatch.setattr(batch_probe, "probe", refuse)
    needed = int(8 * 64 * 64 * BYTES_PER_PIXEL / 0.8) + 1
    assert choose_fitting_batch(8, SMALL, free_bytes=needed) == BatchChoice(8)
    assert choose_fitting_batch(8, replace(SMALL, precision="bf16"), free_bytes=needed // 2 + 1) == BatchChoice(8)
    assert choose_fitting_batch(1, SMALL, free_bytes=1) == BatchChoice(1), "one image is the least"
    with pytest.raises(AssertionError, match="tried"):
        choose_fitting_batch(8, SMALL, free_bytes=needed - 3)


def test_smaller_batch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is free, and what to type."""
    monkeypatch.setattr(batch_probe, "probe", lambda request: {1: 1_000_000, 2: 1_500_000})
    choice = choose_fitting_batch(8, SMALL, free_bytes=3_750_000)
    assert choice.batch_size == 5
    assert "Batch size 5 in place of 8" in choice.note
    assert "Type batch_size=8" in choice.note
    assert choose_fitting_batch(8, SMALL, free_bytes=6_000_000) == BatchChoice(8)


def test_a_process_of_its_own_takes_the_steps() -> None:
    """What it tells is the memory of a whole training step, the optimizer's included."""
    peaks = probe(replace(SMALL, size_hw=(256, 256), batch_sizes=(1, 8)))
    assert list(peaks) == [1, 8]
    assert peaks[1] > 50e6, "at least what torch itself takes"
    assert peaks[8] - peaks[1] > 7 * 256 * 256 * 100


def test_process_that_is_ended_for_its_memory_has_told_what_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full main memory ends a process without a word."""
    program = """import os; print('{"batch_size": 1, "bytes": 5}', flush=True); os.kill(os.getpid(), 9)"""
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **rest: run([sys.executable, "-c", program], **rest))
    assert probe(SMALL) == {1: 5}


def test_trial_that_went_wrong_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual batch size is tried, as if there had been no trial."""
    assert probe(replace(SMALL, optimizer="none such")) is None
    assert choose_fitting_batch(8, replace(SMALL, optimizer="none such"), free_bytes=9) == BatchChoice(8)
    monkeypatch.setattr(batch_probe, "TIMEOUT_SECONDS", 0.01)
    assert probe(SMALL) is None


def test_device_that_is_full_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fitted before counts; other errors are none of its business."""
    written = io.StringIO()
    seen: list[int] = []
    build = semantic.build_model

    def cramped(*arguments: Any, **settings: Any) -> Any:
        model = build(*arguments, **settings)
        real = model.losses

        def limited(batch: Any) -> Any:
            seen.append(len(batch))
            if len(batch) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(batch)

        monkeypatch.setattr(model, "losses", limited)
        return model

    monkeypatch.setattr(semantic, "build_model", cramped)
    run_probe(replace(SMALL, batch_sizes=(1, 2, 4, 8)), written)
    assert [json.loads(line)["batch_size"] for line in written.getvalue().splitlines()] == [1, 2]
    assert seen == [1, 1, 2, 2, 4]


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_every_task_can_be_tried(task: Any) -> None:
    """The noise has the shape that the loss of the task wants."""
    written = io.StringIO()
    classes = 1 if task == "binary" else 3
    run_probe(replace(SMALL, task=task, num_classes=classes, precision="bf16"), written)
    assert len(written.getvalue().splitlines()) == 2


def test_detectors_are_tried_with_as_many_objects_as_images_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image of the noise has so many."""
    counts: list[int] = []
    squares = instance._squares

    def noted(height: int, width: int, count: int) -> Any:
        counts.append(count)
        return squares(height, width, count)

    monkeypatch.setattr(instance, "_squares", noted)
    settings = ModelSettings(model="faster_rcnn", encoder="test_resnet", weights=None, image_size=64).to_dict()
    run_probe(replace(SMALL, settings=settings, num_objects=5, batch_sizes=(1, 2)), io.StringIO())
    assert counts == [5, 5, 5]


def test_run_trains_with_what_fits_and_goes_on_with_it(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run keeps its batch size, however much memory is free by then."""
    choices = iter([BatchChoice(1, "Batch size 1 in place of 2")])
    monkeypatch.setattr(planning, "choose_fitting_batch", lambda usual, request, free_bytes: next(choices))

    def fit(**settings: Any) -> Any:
        segmenter = Segmenter("pspnet", "test_resnet", weights=None, image_size=32)
        return segmenter.fit(shapes, epochs=2, run_dir=tmp_path / "run", verbose=False, patience=None, **settings)

    class Stopper(Callback):
        stops = True

        def batch_ended(self, report: StepReport) -> None:
            if report.step == 12 and self.stops:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=Stopper(), checkpoint_every_seconds=1e-6)
    Stopper.stops = False
    history = fit(callbacks=Stopper())
    assert "Batch size 1 in place of 2" in (tmp_path / "run/log.txt").read_text()
    assert "batch_size: 1" in (tmp_path / "run/config.yaml").read_text()
    assert history["step"][-1] == 16


def test_batch_size_that_memory_chose_belongs_to_the_run(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual one, typed by hand, is another training; what was chosen then, typed or not, is the same."""
    monkeypatch.setattr(planning, "choose_fitting_batch", lambda usual, request, free_bytes: BatchChoice(1))
    session(at=3, batch_size="auto")
    with pytest.raises(ConfigError, match=r"batch_size was 1 and is 2 now"):
        session(batch_size=2)
    session(at=5, batch_size=1)
    monkeypatch.setattr(planning, "choose_fitting_batch", lambda usual, request, free_bytes: BatchChoice(usual))
    assert session(batch_size="auto").history["step"] == [8, 16, 24]


def test_batch_size_that_was_typed_belongs_to_the_run(session: Any) -> None:
    """Memory does not choose another one for a run that goes on."""
    session(at=3, batch_size=1)
    assert session(batch_size="auto").history["step"] == [8, 16, 24]


def test_usual_batch_size_belongs_to_the_run_as_well(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory chose it, too, by sufficing."""
    monkeypatch.setattr(planning, "choose_fitting_batch", lambda usual, request, free_bytes: BatchChoice(usual))
    session(at=2, batch_size="auto", epochs=30)
    with pytest.raises(ConfigError, match=r"batch_size was \d+ and is 3 now"):
        session(batch_size=3, epochs=30)
