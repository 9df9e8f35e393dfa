"""Training end to end: repeatable to the bit, observable, and leaving behind what it promises."""

from __future__ import annotations

import copy
import multiprocessing
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from torch import Tensor

from easyseg import Segmenter
from easyseg.data.reading import load_dataset
from easyseg.errors import ConfigError, DataError, TrainingError, UnknownNameError, hint_wording
from easyseg.results import History
from easyseg.segmenter import preparing
from easyseg.segmenter.tasks import semantic
from easyseg.structures import Sample
from easyseg.training.callbacks import Callback, EpochReport, FitInfo, FitSummary, StepReport, StopRequest
from easyseg.training.optim import learning_rate_factor

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
Hash = Callable[[Any], str]


class Diary(Callback):
    """Writes down the moments, and asks to stop at a step."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.moments: list[str] = []
        self.rates: list[float] = []
        self.info: FitInfo | None = None
        self.summary: FitSummary | None = None
        self.stop_at = stop_at

    def fit_started(self, info: FitInfo) -> None:
        self.moments.append("fit started")
        self.info = info

    def epoch_started(self, epoch: int) -> None:
        self.moments.append(f"epoch {epoch} started")

    def batch_ended(self, report: StepReport) -> None:
        self.moments.append(f"batch {report.step}")
        self.rates.append(report.learning_rate)

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        self.moments.append(f"epoch {report.epoch} ended")
        return StopRequest("I have seen enough") if report.step == self.stop_at else None

    def fit_ended(self, summary: FitSummary) -> None:
        self.moments.append("fit ended")
        self.summary = summary


class Pairs(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """A torch dataset of float images (C, H, W) in 0..1 and masks."""

    def __init__(self, images: np.ndarray, masks: np.ndarray) -> None:
        self.images = images
        self.masks = masks

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(self.images[index]).permute(2, 0, 1) / 255
        return image, torch.from_numpy(self.masks[index]).long()


@pytest.fixture(scope="module")
def usual_hash(fit: Fit, shapes: Path, weights_hash: Hash) -> str:
    """Return the weights after a strongly augmented training without workers and cache."""
    return weights_hash(fit(shapes, augment="strong", workers=0, cache="none")[0])


def test_history_tells_the_course(fit: Fit, shapes: Path) -> None:
    """One row per epoch, with losses, every figure and every class; and why it ended."""
    segmenter, history = fit(shapes)
    assert segmenter.history is history
    assert history["epoch"] == [1, 2]
    assert history["step"] == [4, 8]
    assert history.stopped == "all 2 epochs are done"
    assert history.best is not None
    assert history.best["mean_iou"] == max(history["mean_iou"])
    assert {"loss", "val_loss", "seconds", "learning_rate", "iou/disc", "pixel_accuracy"} <= set(history.names)
    assert all(isinstance(row["val_loss"], float) and row["val_loss"] > 0 for row in history.rows)


@pytest.mark.parametrize(("workers", "cache"), [(0, "ram"), (1, "none"), (1, "ram"), (2, "auto"), (2, "none")])
def test_weights_do_not_depend_on_workers_or_cache(
    fit: Fit, shapes: Path, weights_hash: Hash, usual_hash: str, workers: int, cache: str
) -> None:
    """The same run gives the same weights, to the last bit."""
    segmenter, _ = fit(shapes, augment="strong", workers=workers, cache=cache)
    assert weights_hash(segmenter) == usual_hash


def test_seed_decides_everything(fit: Fit, shapes: Path, weights_hash: Hash, usual_hash: str) -> None:
    """Two runs are equal whatever the global generators say; another seed gives another model."""
    torch.manual_seed(123)
    np.random.seed(123)
    again, _ = fit(shapes, augment="strong")
    other, _ = fit(shapes, augment="strong", seed=1)
    assert weights_hash(again) == usual_hash
    assert weights_hash(other) != usual_hash


@pytest.mark.parametrize("deterministic", [False, True])
def test_surroundings_are_left_as_they_were(fit: Fit, shapes: Path, tree_hash: Hash, deterministic: bool) -> None:
    """Global generators, torch's switches and the dataset's folder are as before, with and without workers."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    folder = tree_hash(shapes)
    segmenter, _ = fit(shapes, deterministic=deterministic, workers=1, epochs=1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.is_grad_enabled()
    assert tree_hash(shapes) == folder
    assert not segmenter.network.training


def test_arguments_are_left_as_they_were(fit: Fit, arrays: Draw) -> None:
    """Neither arrays nor lists nor the user's own pipeline are changed."""
    images, masks = arrays(count=6)
    before = images.copy(), masks.copy()
    pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(p=0.5)], seed=5)
    twin = A.Compose([A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(p=0.5)], seed=5)
    watching = [Diary()]
    fit((images, masks), augment=pipeline, callbacks=watching, epochs=1)
    assert np.array_equal(images, before[0])
    assert np.array_equal(masks, before[1])
    assert len(watching) == 1
    for _ in range(5):  # its generator has not moved either
        assert np.array_equal(pipeline(image=images[0])["image"], twin(image=images[0])["image"])


def test_every_kind_of_data_trains_the_same_model(fit: Fit, arrays: Draw, weights_hash: Hash) -> None:
    """Arrays, a torch dataset, pairs and samples of the same images give the same weights."""
    (images, masks), validation = arrays(count=6), arrays(count=2, seed=4)
    kinds: list[Any] = [
        (images, masks),
        Pairs(images, masks),
        list(zip(images, masks, strict=True)),
        [Sample(image, mask) for image, mask in zip(images, masks, strict=True)],
    ]
    assert len({weights_hash(fit(data, validation, epochs=1)[0]) for data in kinds}) == 1


def test_training_goes_on_from_the_weights_there_are(fit: Fit, shapes: Path) -> None:
    """A second `fit` that barely moves ends where the first one did; so does one after loading."""
    segmenter, _ = fit(shapes)
    before = {name: value.clone() for name, value in segmenter.network.named_parameters()}
    barely = {"learning_rate": 1e-9, "weight_decay": 0.0, "epochs": 1, "run_dir": None, "verbose": False}
    history = segmenter.fit(shapes, batch_size=4, **barely)
    for name, value in segmenter.network.named_parameters():
        assert torch.allclose(value, before[name], atol=1e-6), name
    assert segmenter.history is history
    assert history["epoch"] == [1]


def test_loaded_model_can_be_trained_further(fit: Fit, shapes: Path, tmp_path: Path, weights_hash: Hash) -> None:
    """A model that was saved and loaded trains on exactly as the one that stayed."""
    segmenter, _ = fit(shapes, epochs=1)
    loaded = Segmenter.load(segmenter.save(tmp_path / "model"))
    more = {"learning_rate": 0.01, "batch_size": 2, "epochs": 1, "run_dir": None, "verbose": False}
    segmenter.fit(shapes, **more)
    loaded.fit(shapes, **more)
    assert weights_hash(loaded) == weights_hash(segmenter)


def test_data_of_other_classes_is_refused_the_second_time(fit: Fit, shapes: Path, cells: Path) -> None:
    """The error names the classes expected and what to type; the model stays as it was."""
    segmenter, _ = fit(shapes, epochs=1)
    before = segmenter.class_map
    with pytest.raises(DataError, match=r"expected background, disc, square, triangle.*Type load_dataset"):
        segmenter.fit(load_dataset(cells), run_dir=None, verbose=False)
    assert segmenter.class_map == before


def test_time_budget_is_kept(fit: Fit, shapes: Path) -> None:
    """However many epochs fit into it, the run ends about then, right after an evaluation."""
    begun = time.perf_counter()
    diary = Diary()
    _, history = fit(shapes, epochs=1, time_budget=1.5, patience=None, callbacks=diary)
    assert time.perf_counter() - begun < 4
    assert history.stopped == "the time budget of 1.5 s is used up"
    assert f"batch {history['step'][-1]}" == [moment for moment in diary.moments if "batch" in moment][-1]
    assert float(history["seconds"][-1]) < 3
    assert diary.info is not None
    assert diary.info.epochs is None  # nobody knows how many it will be


@pytest.mark.parametrize(
    ("evaluate_every", "steps"), [(1, [4, 8, 12]), (2, [8, 12]), ("2 epochs", [8, 12]), ("5 steps", [5, 10, 12])]
)
def test_evaluations_come_as_often_as_asked(
    fit: Fit, shapes: Path, evaluate_every: int | str, steps: list[int]
) -> None:
    """In epochs or steps, and always at the end."""
    assert fit(shapes, epochs=3, evaluate_every=evaluate_every)[1]["step"] == steps


def test_patience_ends_the_run(fit: Fit, shapes: Path) -> None:
    """Two evaluations without a better one, and no more; without patience it goes on."""
    _, history = fit(shapes, epochs=5, min_delta=0.99, patience=2)
    assert len(history) == 3
    assert history.stopped == "mean_iou has not improved for 2 evaluations"
    assert len(fit(shapes, epochs=5, min_delta=0.99, patience=None)[1]) == 5


def test_first_epochs_are_never_best_during_the_cooldown(fit: Fit, shapes: Path) -> None:
    """However good they were."""
    _, history = fit(shapes, epochs=3, check_best_cooldown=2)
    assert history.best_epoch == 3


def test_without_a_best_epoch_the_last_weights_stay(fit: Fit, shapes: Path, tmp_path: Path, weights_hash: Hash) -> None:
    """A run that ends within the cooldown still has a model, on disk, too."""
    run = tmp_path / "run"
    segmenter, history = fit(shapes, epochs=2, check_best_cooldown=9, run_dir=run)
    assert history.best is None
    assert weights_hash(Segmenter.load(run)) == weights_hash(segmenter)
    assert (run / "report.html").is_file()
    averaged, _ = fit(shapes, epochs=2, check_best_cooldown=9, ema=0.9)
    assert weights_hash(averaged) != weights_hash(segmenter)


@pytest.mark.parametrize("schedule", ["onecycle", "step"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_learning_rate_follows_its_schedule(fit: Fit, shapes: Path, schedule: str, optimizer: str) -> None:
    """Each step has the peak times the schedule's value at that point of the run."""
    diary = Diary()
    fit(shapes, schedule=schedule, optimizer=optimizer, learning_rate=0.02, callbacks=[diary])
    assert diary.rates == pytest.approx(
        [0.02 * learning_rate_factor(schedule, step / 8) for step in range(8)], rel=1e-12
    )


def test_callbacks_see_five_moments_in_order(fit: Fit, shapes: Path) -> None:
    """And know from the start what is going to happen."""
    diary = Diary()
    fit(shapes, epochs=1, batch_size=4, callbacks=diary)
    assert diary.moments == ["fit started", "epoch 0 started", "batch 1", "batch 2", "epoch 0 ended", "fit ended"]
    assert diary.info is not None
    assert (diary.info.epochs, diary.info.steps_per_epoch, diary.info.num_images) == (1, 2, 8)
    assert (diary.info.batch_size, diary.info.monitor, diary.info.run_dir) == (4, "mean_iou", None)
    assert diary.summary is not None
    assert diary.summary.reason == "the one epoch is done"
    assert diary.summary.best_epoch == 0


def test_callback_can_stop_the_run(fit: Fit, shapes: Path) -> None:
    """Its reason stands in the history."""
    _, history = fit(shapes, epochs=9, callbacks=[Diary(stop_at=4)])
    assert history.stopped == "I have seen enough"
    assert len(history) == 1


def test_callbacks_hear_of_the_end_when_something_fails(fit: Fit, shapes: Path) -> None:
    """A loss that is no number ends the run with an error, and with `fit_ended`."""
    diary = Diary()
    with pytest.raises(TrainingError, match=r"finite number.*learning_rate"):
        fit(shapes, loss=lambda logits, targets: logits.sum() * float("nan"), callbacks=diary)
    assert diary.moments[-1] == "fit ended"
    assert diary.summary is not None
    assert diary.summary.reason == "it was interrupted by an error"


@pytest.mark.parametrize("fails", [False, True])
def test_no_process_outlives_the_run(fit: Fit, shapes: Path, fails: bool) -> None:
    """Workers end with the run, even while somebody keeps the error it ended with."""
    before = set(multiprocessing.active_children())
    settings: dict[str, Any] = {"loss": lambda logits, targets: logits.sum() * float("nan")} if fails else {}
    with pytest.raises(TrainingError) if fails else nullcontext() as kept:
        fit(shapes, workers=1, epochs=1, **settings)
    assert set(multiprocessing.active_children()) <= before
    assert (kept is not None) is fails


def test_failed_run_leaves_the_first_model_usable(fit: Fit, shapes: Path) -> None:
    """A second training that diverges costs neither classes nor history."""
    segmenter, history = fit(shapes, epochs=1)
    with pytest.raises(TrainingError):
        segmenter.fit(
            shapes, loss=lambda logits, targets: logits.sum() * float("nan"), epochs=1, run_dir=None, verbose=False
        )
    assert segmenter.history is history
    assert segmenter.classes == ["background", "disc", "square", "triangle"]


def test_own_loss_function_is_used(fit: Fit, shapes: Path) -> None:
    """It sees float logits and whole-number targets, and its values stand in the history."""
    seen: list[tuple[torch.dtype, torch.dtype]] = []

    def constant(logits: Tensor, targets: Tensor) -> Tensor:
        seen.append((logits.dtype, targets.dtype))
        return logits.mean() * 0 + 7

    _, history = fit(shapes, loss=constant, epochs=1)
    assert history["loss"] == [7.0]
    assert history["val_loss"] == [7.0]
    assert set(seen) == {(torch.float32, torch.int64)}


def test_class_weights_reach_the_loss(fit: Fit, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As given; "balanced" from the training images' pixels, 1 on average and larger for rare classes."""
    given: list[Any] = []
    build = semantic.build_loss

    def noted(loss: Any, **settings: Any) -> Any:
        given.append(settings["class_weights"])
        return build(loss, **settings)

    monkeypatch.setattr(semantic, "build_loss", noted)
    fit(shapes, class_weights=[1, 2, 3, 4], epochs=1)
    fit(shapes, class_weights="balanced", epochs=1)
    assert given[0] == [1, 2, 3, 4]
    train = load_dataset(shapes, classes=["background", "disc", "square", "triangle"]).split("train")
    pixels = train.pixel_counts().sum(axis=0)
    assert np.mean(given[1]) == pytest.approx(1)
    assert np.array(given[1]) * np.sqrt(pixels) == pytest.approx(np.full(4, given[1][0] * np.sqrt(pixels[0])))
    with pytest.raises(ConfigError, match=r"class_weights"):
        fit(shapes, class_weights=[1, 2], epochs=1)


def test_rare_classes_can_be_drawn_more_often(fit: Fit, arrays: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """With oversampling, an image of a rare class comes several times in an epoch, instead of others."""
    orders: list[list[int]] = []
    original = preparing.epoch_order

    def noted(*arguments: Any, **settings: Any) -> Any:
        order = original(*arguments, **settings)
        orders.append(order.tolist())
        return order

    monkeypatch.setattr(preparing, "epoch_order", noted)
    images, _ = arrays(count=8)
    masks = np.zeros((8, 40, 40), np.uint8)
    masks[:, :20] = 1
    masks[5, :2] = 2
    validation = images[:2], masks[:2]
    fit((images, masks), validation, oversample=1.0, augment="none")
    assert all(order.count(5) >= 2 for order in orders)
    orders.clear()
    fit((images, masks), validation, oversample=0.0, augment="none")
    assert all(sorted(order) == list(range(8)) for order in orders)


def test_single_images_and_incomplete_batches_train(fit: Fit, arrays: Draw) -> None:
    """Batches of one, and a last batch that is smaller, are no problem for normalisation."""
    assert len(fit(arrays(count=3), arrays(count=1), batch_size=1, epochs=1)[1]) == 1
    assert fit(arrays(count=5), arrays(count=1), batch_size=4, epochs=1)[1]["step"] == [2]


def test_misspelt_monitor_is_found_before_training(fit: Fit, shapes: Path, tmp_path: Path) -> None:
    """Not after the first epoch, and before any folder is made."""
    with pytest.raises(UnknownNameError, match=r"'mean_iuo'.*Did you mean 'mean_iou'"):
        fit(shapes, monitor="mean_iuo", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("monitor", ["iou/disc", "val_loss", "pixel_accuracy"])
def test_any_figure_can_decide_on_the_best_epoch(fit: Fit, shapes: Path, monitor: str) -> None:
    """A class's own figure, or a loss, of which less is better."""
    _, history = fit(shapes, monitor=monitor)
    best = (min if monitor == "val_loss" else max)(history[monitor])
    assert history.best is None or history.best[monitor] == best


def test_silence_and_speech(fit: Fit, shapes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """verbose=False writes nothing at all; "auto" writes plain lines to standard error, where it is no terminal."""
    fit(shapes, epochs=1, verbose=False)
    assert capfd.readouterr() == ("", "")
    fit(shapes, epochs=1, verbose="auto")
    out, err = capfd.readouterr()
    assert out == ""
    for words in ("task multiclass, 4 classes", "unet / test_resnet, random weights, on cpu", "epoch 1/1", "Best:"):
        assert words in err
    assert "\r" not in err


def test_notes_are_repeated_at_the_end(
    fit: Fit, arrays: Draw, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What may have to be acted on stands behind everything else, once, in the words of whoever asked."""
    before = hint_wording.set(str.upper)
    fit(arrays(), epochs=1, verbose="auto", run_dir=tmp_path / "run")
    hint_wording.reset(before)
    lines = capfd.readouterr().err.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith("RESULTS: "))
    assert lines[place + 1].startswith("NOTE: ")
    assert not lines[place + 1].startswith("NOTE: NOTE: ")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.splitlines()[-1].startswith("Note: the 4 classes are named after their mask values")
    assert log.count("put aside for validation") == 1  # good to know, but nothing to do


def test_unknown_settings_are_named(fit: Fit, shapes: Path) -> None:
    """Names are Python's affair, values ours."""
    with pytest.raises(ConfigError, match=r"epochs=0: expected a whole number of at least 1"):
        fit(shapes, epochs=0)
    with pytest.raises(UnknownNameError, match=r"No augmentation named 'strnog'.*'strong'"):
        fit(shapes, augment="strnog")
    with pytest.raises(UnknownNameError, match=r"focall.*Did you mean 'focal'"):
        fit(shapes, loss="focall")


def test_settings_are_not_shared_between_calls(fit: Fit, shapes: Path) -> None:
    """A callback given to one run hears nothing of the next."""
    diary = Diary()
    segmenter, _ = fit(shapes, epochs=1, callbacks=diary)
    heard = copy.copy(diary.moments)
    segmenter.fit(shapes, epochs=1, batch_size=4, run_dir=None, verbose=False)
    assert diary.moments == heard


def test_report_of_the_run_tells_the_loss(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the best epoch, as in the history."""
    reports: list[Any] = []
    monkeypatch.setattr(
        "easyseg.segmenter.finishing.write_report", lambda *_, **settings: reports.append(settings["report"])
    )
    _, history = fit(shapes, run_dir=tmp_path / "run")
    (report,) = reports
    assert report.loss == history.best["val_loss"]
    assert report.mean_iou == history.best["mean_iou"]


def test_few_batches_serve_to_train_and_to_measure(fit: Fit, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`overfit_batches` takes images spread over all of them, the same ones for both, without augmentation."""
    jobs: list[Any] = []
    build = preparing.new_loader

    def noted(job: Any) -> Any:
        jobs.append(job)
        return build(job)

    monkeypatch.setattr("easyseg.segmenter.fitting.new_loader", noted)
    fit(shapes, overfit_batches=2, batch_size=2, patience=1, epochs=1)
    (job,) = jobs
    names = [sample.name for sample in job.data.train.samples]
    everything = [sample.name for sample in load_dataset(shapes).split("train").samples]
    assert names == [everything[index] for index in (0, 2, 5, 7)]
    assert [sample.name for sample in job.data.val.samples] == names
    assert (job.settings.augment, job.settings.patience) == ("none", None)
    fit(shapes, overfit_batches=100, epochs=1)
    assert [sample.name for sample in jobs[1].data.train.samples] == everything
