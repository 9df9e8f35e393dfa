"""Runs that break off, do not fit into memory, or must not begin: what is lost, what stays, and what is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easyseg import Segmenter
from easyseg.data.batches import loaders
from easyseg.data.reading import load_dataset
from easyseg.errors import ConfigError, ModelError, OutputError, TrainingError, WeightsError
from easyseg.results import History
from easyseg.segmenter import fitting, preparing
from easyseg.segmenter.tasks import semantic
from easyseg.training.callbacks import Callback, StepReport

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
Hash = Callable[[Any], str]


class Breaker(Callback):
    """Raises after a batch."""

    def __init__(self, error: BaseException, *, at: int) -> None:
        self.error = error
        self.at = at

    def batch_ended(self, report: StepReport) -> None:
        if report.step == self.at:
            raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KeyboardInterrupt(), "stopped by Ctrl-C"), (RuntimeError("power failure"), "interrupted by an error")],
    ids=["Ctrl-C", "error"],
)
@pytest.mark.parametrize("ema", [False, 0.5])
def test_broken_off_run_hands_over_its_best_model(
    shapes: Path, error: BaseException, reason: str, ema: bool | float
) -> None:
    """After the first epoch there is a model, and the figures are those of its best epoch, to the last digit."""
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    settings = {"epochs": 3, "batch_size": 2, "run_dir": None, "verbose": False, "learning_rate": 0.01, "ema": ema}
    with pytest.raises(type(error)):
        segmenter.fit(shapes, callbacks=Breaker(error, at=7), **settings)
    assert segmenter.history is not None
    assert segmenter.history["epoch"] == [1]
    assert segmenter.history.stopped == f"it was {reason}"
    assert not segmenter.network.training
    assert segmenter.evaluate(shapes).mean_iou == segmenter.history.best["mean_iou"]


def test_run_without_an_epoch_leaves_no_model(shapes: Path) -> None:
    """There is nothing worth keeping yet, and the error of `predict` says what to type."""
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    with pytest.raises(KeyboardInterrupt):
        segmenter.fit(shapes, batch_size=2, run_dir=None, verbose=False, callbacks=Breaker(KeyboardInterrupt(), at=2))
    assert segmenter.history is None
    with pytest.raises(ModelError, match=r"no trained model yet"):
        segmenter.evaluate(shapes)


def test_failed_second_run_leaves_the_first_weights(fit: Fit, shapes: Path, weights_hash: Hash) -> None:
    """Not the ones that diverged; they measure as before, to the last digit."""
    segmenter, _ = fit(shapes, epochs=1)
    before, report = weights_hash(segmenter), segmenter.evaluate(shapes)
    again = {"epochs": 1, "batch_size": 2, "run_dir": None, "verbose": False}
    with pytest.raises(TrainingError):
        segmenter.fit(shapes, loss=lambda logits, targets: logits.sum() * float("nan"), **again)
    assert weights_hash(segmenter) == before
    assert segmenter.evaluate(shapes).mean_iou == report.mean_iou


def test_model_outlives_files_that_cannot_be_written(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures or a report that fail after an hour of training do not cost the model."""

    def refuse(*_: object, **__: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(fitting, "finish_run", refuse)
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    with pytest.raises(OutputError, match="the disk is full"):
        segmenter.fit(shapes, epochs=1, batch_size=2, run_dir=tmp_path / "run", verbose=False)
    assert segmenter.evaluate(shapes).mean_iou == segmenter.history.best["mean_iou"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"loss": "focall"}, "focall"), ({"augment": "strnog"}, "strnog"), ({"class_weights": [1, 2]}, "class_weights")],
)
def test_mistake_leaves_no_run_folder(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], words: str
) -> None:
    """And costs no model either: the corrected command may use the same folder."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was built")

    with monkeypatch.context() as patched:
        patched.setattr(semantic, "build_model", refuse)
        with pytest.raises(ConfigError, match=words):
            fit(shapes, run_dir=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
    fit(shapes, run_dir=tmp_path / "run", epochs=1)


def test_missing_weights_leave_no_run_folder(shapes: Path, tmp_path: Path) -> None:
    """A file of weights that is not there is told before anything is written."""
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        Segmenter("unet", "test_resnet", weights=tmp_path / "missing.safetensors", image_size=32).fit(
            shapes, run_dir=tmp_path / "run", verbose=False
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("run_dir", ["auto", "run", None])
def test_nothing_is_written_into_the_dataset(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree_hash: Hash, run_dir: str | None
) -> None:
    """Whoever works inside of it must name another place, for the validation images, too."""
    dataset = Path(shutil.copytree(shapes, tmp_path / "copy"))
    monkeypatch.chdir(dataset)
    before = tree_hash(dataset)
    for data, validation in ((".", None), (shapes, dataset), (shapes, load_dataset(dataset))):
        with pytest.raises(OutputError, match="would lie in the dataset") if run_dir else nullcontext():
            fit(data, validation, run_dir=run_dir, epochs=1)
    assert tree_hash(dataset) == before


def test_images_that_do_not_fit_into_memory_are_told(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cache="ram" is a promise; the error says how much it would take, and nothing was written."""
    monkeypatch.setattr(preparing.defaults, "available_memory", lambda: 32_767)
    with pytest.raises(ConfigError, match=r"cache='ram': the decoded .* take 32,768 bytes, and 32,767 are free.*Type"):
        fit(shapes, cache="ram", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fit(shapes, cache="auto", epochs=1)
    monkeypatch.setattr(preparing.defaults, "available_memory", lambda: 32_768)
    fit(shapes, cache="ram", epochs=1)
    monkeypatch.setattr(preparing.defaults, "free_disk_bytes", lambda _: 32_767)
    with pytest.raises(ConfigError, match=r"cache='disk': the decoded .* take 32,768 bytes, and 32,767 are free.*Type"):
        fit(shapes, cache="disk", run_dir=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_kept_on_the_disk_serve_later_trainings(
    fit: Fit, shapes: Path, weights_hash: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With too little memory they lie in a file, which is named; a second training decodes none, and ends the same."""
    plain, _ = fit(shapes, epochs=2, cache="none")
    monkeypatch.setattr(preparing.defaults, "available_memory", lambda: 100)
    first, _ = fit(shapes, epochs=2, verbose=True)
    said = capsys.readouterr().err
    assert "Decoded images are kept in" in said
    assert "cache='none' does without" in said
    monkeypatch.setattr(loaders._Decode, "__call__", lambda self, index: pytest.fail("decoded once more"))
    second, _ = fit(shapes, epochs=2)
    assert weights_hash(plain) == weights_hash(first) == weights_hash(second)


def test_cache_that_workers_cannot_share_is_refused(fit: Fit, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes do not start by fork, the images would be decoded again and again."""
    monkeypatch.setattr("easyseg.data.batches.loaders.start_method", lambda: "spawn")
    with pytest.raises(ConfigError, match=r"cache='ram': worker processes do not share memory.*workers=0"):
        fit(shapes, cache="ram", workers=1)


@pytest.mark.parametrize(
    ("cache_bytes", "kept"),
    [(32_768 + 9_344, True), (32_768 + 9_343, False), (9_344, True), (9_343, False), (0, False)],
)
def test_validation_images_are_kept_where_they_fit_beside_the_training_images(
    fit: Fit, shapes: Path, monkeypatch: pytest.MonkeyPatch, cache_bytes: int, kept: bool
) -> None:
    """Two canvases of 32 x 32 x 3 and two masks of 40 x 40, beside eight images and masks of 32 x 32."""
    found: list[bool] = []
    build = semantic.Evaluation

    def noted(*arguments: Any, **settings: Any) -> Any:
        found.append(settings["keep"])
        return build(*arguments, **settings)

    monkeypatch.setattr(semantic, "Evaluation", noted)
    monkeypatch.setattr(preparing.defaults, "choose_cache_bytes", lambda *_: (cache_bytes, 0))
    fit(shapes, epochs=1)
    assert found == [kept]


def test_operations_that_are_not_repeatable_are_told_in_our_words(fit: Fit, shapes: Path) -> None:
    """As torch refuses them on a GPU."""

    def refused(logits: Tensor, targets: Tensor) -> Tensor:
        raise RuntimeError(
            "cumsum does not have a deterministic implementation, but you set torch.use_deterministic_algorithms(True)"
        )

    with pytest.raises(TrainingError, match=r"deterministic=True: cumsum is not repeatable on cpu"):
        fit(shapes, loss=refused, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_too_little_memory_for_a_batch_is_told(fit: Fit, shapes: Path) -> None:
    """The error names the batch size and what to type."""

    def hungry(logits: Tensor, targets: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(
        TrainingError, match=r"memory of cpu does not suffice.*one image at a time out of a batch of 2.*Type a smaller"
    ):
        fit(shapes, loss=hungry)
