"""`Segmenter.fit`: from settings and data to a trained model, a history and a run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from easyseg.config import FitSettings, ModelSettings, evaluation_interval
from easyseg.data.dataset import Dataset, as_dataset
from easyseg.data.loaders import TrainingLoader, cache_bytes_needed, start_method
from easyseg.data.sampling import epoch_order, rare_class_weights
from easyseg.data.transforms import Augmentation, build_augmentation
from easyseg.devices import Compute, repeatable_only
from easyseg.errors import ConfigError, TrainingError
from easyseg.metrics.semantic import direction_of
from easyseg.prediction.scoring import Evaluation
from easyseg.preprocessing import Preprocessing
from easyseg.reports.run_folder import RunFolder
from easyseg.results import History
from easyseg.segmenter import defaults
from easyseg.segmenter.class_weights import balanced_class_weights
from easyseg.segmenter.evaluating import bytes_to_keep, new_evaluation
from easyseg.segmenter.finishing import finish_run, plan_run_path, run_config
from easyseg.segmenter.fitted import FittedModel, build_model
from easyseg.segmenter.recording import Announcer, Recording
from easyseg.training.callbacks import BestTracker, Callback, EarlyStopping, FitInfo, FitSummary, ProgressBar
from easyseg.training.engine import LoopPlan, train
from easyseg.training.losses import build_loss
from easyseg.training.optim import MovingAverage, build_optimizer

BROKEN_OFF = "it was interrupted by an error"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A dataset and the two parts of it that training needs."""

    whole: Dataset
    train: Dataset
    val: Dataset


def run_training(
    data: Any,
    validation: Any,
    settings: FitSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
    hand_over: Callable[[FittedModel, History], None],
) -> History:
    """Train, hand over the best model, after an error or Ctrl-C, too, and return the course of the training.

    Args:
        data: as for `Segmenter.fit`.
        validation: likewise.
        settings: of the training.
        model_settings: of the model, where it is built now.
        compute: device and number format.
        fitted: a model to go on from, or None.
        hand_over: is given the model and the course of the training as soon as neither changes any more.
    """
    begun = time.perf_counter()
    goes_on = fitted is not None
    halves = read_halves(data, validation, model_settings, fitted)
    settings = _resolved(settings, halves, model_settings, compute, goes_on=goes_on)
    # what is cheap to refuse comes before the model, and the folder last: a mistake leaves none behind
    path = plan_run_path(settings.run_dir, model_settings, _folders(halves, validation))
    preprocessing = _preprocessing_for(model_settings, fitted)
    augmentation = build_augmentation(settings.augment, preprocessing=preprocessing, seed=model_settings.seed)
    fitted = _model_for(halves.train, settings, model_settings, fitted, preprocessing).on(compute)
    config = run_config(halves.whole, validation, settings, model_settings)
    with (
        _seeded(model_settings.seed, compute, deterministic=settings.deterministic),
        closing(_new_loader(halves.train, fitted, augmentation, settings, compute, seed=model_settings.seed)) as loader,
    ):
        evaluation = _new_evaluation(halves.val, fitted, settings, compute, spare_bytes=loader.spare_bytes)
        announcer = _announced(path, config, halves.whole, fitted, settings, compute)
        average = _new_average(fitted, settings)
        recording = Recording(
            fitted,
            evaluation,
            average=average,
            monitor=settings.monitor,
            model_settings=model_settings,
            folder=announcer.folder,
            goes_on=goes_on,
        )
        with _rescued(recording, hand_over), _memory_in_words(settings, compute):
            plan = _new_plan(settings, compute, len(loader), begun)
            recording.history.stopped = _train(fitted, loader, plan, settings, recording, average)
    best = recording.best_model()
    hand_over(best, recording.history)  # before files are written, which may fail
    if announcer.folder is not None:
        finish_run(announcer.folder, best, recording, halves.val, compute=compute, config=config)
        announcer.say(f"Results: {announcer.folder.path}  (open {announcer.folder.report})")
    return recording.history


@contextmanager
def _rescued(recording: Recording, hand_over: Callable[[FittedModel, History], None]) -> Iterator[None]:
    """Leave a usable model behind when the block breaks off: the best so far, or else the one from before."""
    try:
        yield
    except BaseException:  # Ctrl-C is none of `Exception`
        recording.history.stopped = BROKEN_OFF
        rescued = recording.rescued_model()
        if rescued is not None:
            hand_over(rescued, recording.history)
        raise


def _announced(
    path: Path | None,
    config: dict[str, Any],
    dataset: Dataset,
    fitted: FittedModel,
    settings: FitSettings,
    compute: Compute,
) -> Announcer:
    """Make the run folder with its config, and say what is about to happen."""
    folder = RunFolder(path) if path is not None else None
    announcer = Announcer(folder, verbose=settings.verbose is not False)
    announcer.begin(dataset, fitted, settings, compute)
    if folder is not None:
        folder.write_config(config)
    return announcer


def _train(
    fitted: FittedModel,
    loader: TrainingLoader,
    plan: LoopPlan,
    settings: FitSettings,
    recording: Recording,
    average: MovingAverage | None,
) -> str:
    """Set the loop going with everybody who watches it, and return why it ended."""
    best = BestTracker(
        settings.monitor,
        min_delta=settings.min_delta,
        check_best_cooldown=settings.check_best_cooldown,
        class_names=fitted.class_map.names,
    )
    patience = [EarlyStopping(settings.patience)] if settings.patience is not None else []
    observers: list[Callback] = [recording, *patience, ProgressBar(verbose=settings.verbose), *settings.callbacks]
    info = FitInfo(
        epochs=plan.epochs if plan.time_budget is None else None,
        steps_per_epoch=plan.steps_per_epoch,
        batch_size=int(settings.batch_size),
        num_images=loader.num_images,
        device=str(plan.compute.device),
        precision=plan.compute.precision,
        monitor=settings.monitor,
        run_dir=recording.run_dir,
    )
    if settings.compile:
        fitted.model.network.compile()
    for observer in observers:
        observer.fit_started(info)
    reason = BROKEN_OFF
    try:
        reason = train(
            fitted.model,
            loader,
            plan=plan,
            optimizer=_new_optimizer(fitted, settings),
            evaluate=recording.measure,
            best=best,
            observers=observers,
            after_step=(lambda: average.update(fitted.model)) if average is not None else (lambda: None),
        )
    finally:
        summary = FitSummary(reason, time.perf_counter() - plan.started_at, best.epoch, best.value)
        for observer in observers:
            observer.fit_ended(summary)
    return reason


def read_halves(data: Any, validation: Any, model_settings: ModelSettings, fitted: FittedModel | None) -> TrainingData:
    """Read the data, look for broken files, and part it into training and validation."""
    classes = None if fitted else model_settings.classes
    class_map = fitted.class_map if fitted else None
    dataset = as_dataset(data, validation=validation, classes=classes, class_map=class_map, seed=model_settings.seed)
    dataset = dataset.with_splits()
    halves = TrainingData(dataset, dataset.split("train"), dataset.split("val"))
    halves.train.verify()
    halves.val.verify()
    return halves


def _resolved(
    settings: FitSettings, halves: TrainingData, model_settings: ModelSettings, compute: Compute, *, goes_on: bool
) -> FitSettings:
    """Replace every "auto" by what it means here, so that the run's config says what was really done."""
    kind = compute.device.type
    direction_of(settings.monitor, halves.train.classes)  # a misspelt figure is found now, not after the first epoch
    decoder, encoder = defaults.choose_learning_rates(
        settings.learning_rate,
        settings.encoder_learning_rate,
        optimizer=settings.optimizer,
        pretrained=model_settings.weights is not None and not goes_on,
    )
    chosen = {
        "batch_size": defaults.choose_batch_size(settings.batch_size, device_type=kind, num_images=len(halves.train)),
        "learning_rate": decoder,
        "encoder_learning_rate": encoder,
        "workers": defaults.choose_workers(settings.workers, device_type=kind, start_method=start_method()),
    }
    return settings.model_copy(update=chosen)


def _preprocessing_for(model_settings: ModelSettings, fitted: FittedModel | None) -> Preprocessing:
    if fitted is not None:
        return fitted.preprocessing
    size = model_settings.image_size if model_settings.resize else None
    return Preprocessing(size, model_settings.resize, model_settings.in_channels)


def _model_for(
    dataset: Dataset,
    settings: FitSettings,
    model_settings: ModelSettings,
    fitted: FittedModel | None,
    preprocessing: Preprocessing,
) -> FittedModel:
    """Build the model for a dataset's classes, or take the one there is."""
    batch_size = int(settings.batch_size)
    class_weights = settings.class_weights
    if class_weights == "balanced":
        class_weights = balanced_class_weights(dataset)
    criterion = build_loss(
        settings.loss,
        task=dataset.task,
        num_classes=len(dataset.classes),
        class_weights=class_weights,
    )
    if fitted is not None:
        fitted = replace(fitted, batch_size=batch_size)
    else:
        model = build_model(model_settings, num_classes=len(dataset.classes), weights=model_settings.weights)
        fitted = FittedModel(model, dataset.class_map, preprocessing, batch_size)
    fitted = replace(fitted, split_seed=dataset.seed, validation_fraction=dataset.validation_fraction)
    fitted.model.criterion = criterion
    return fitted


def _new_loader(
    dataset: Dataset,
    fitted: FittedModel,
    augmentation: Augmentation,
    settings: FitSettings,
    compute: Compute,
    *,
    seed: int,
) -> TrainingLoader:
    weights = rare_class_weights(dataset.pixel_counts()) if settings.oversample else None
    cache_bytes = defaults.choose_cache_bytes(settings.cache)
    loader = TrainingLoader(
        dataset,
        preprocessing=fitted.preprocessing,
        augmentation=augmentation,
        order=lambda epoch: epoch_order(
            len(dataset), seed=seed, epoch=epoch, weights=weights, oversample=settings.oversample
        ),
        batch_size=int(settings.batch_size),
        workers=int(settings.workers),
        cache_bytes=cache_bytes,
        pin_memory=compute.device.type == "cuda",
    )
    if settings.cache == "ram" and not loader.cached_bytes:
        needed = cache_bytes_needed(dataset, fitted.preprocessing)
        reason = f"the decoded training images take {needed:,} bytes, and {cache_bytes:,} are free"
        if needed <= cache_bytes:
            reason = "worker processes do not share memory on this system; type workers=0"
        raise ConfigError(f"cache='ram': {reason}. Type cache='auto', or a smaller image_size.")
    return loader


def _new_evaluation(
    dataset: Dataset, fitted: FittedModel, settings: FitSettings, compute: Compute, *, spare_bytes: int
) -> Evaluation:
    """Prepare the measuring after each epoch; its images are kept where they fit beside the training images."""
    keep = spare_bytes > 0 and bytes_to_keep(dataset, fitted.preprocessing) <= spare_bytes
    return new_evaluation(dataset, fitted, compute=compute, batch_size=fitted.batch_size, keep=keep)


def _new_plan(settings: FitSettings, compute: Compute, steps_per_epoch: int, begun: float) -> LoopPlan:
    interval, unit = evaluation_interval(settings.evaluate_every)
    return LoopPlan(
        compute=compute,
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
        evaluate_every=interval if unit == "steps" else interval * steps_per_epoch,
        schedule=settings.schedule,
        accumulate=settings.accumulate,
        clip_gradients=settings.clip_gradients,
        time_budget=settings.time_budget,
        started_at=begun,
    )


def _new_optimizer(fitted: FittedModel, settings: FitSettings) -> torch.optim.Optimizer:
    return build_optimizer(
        fitted.model.parts(),
        optimizer=settings.optimizer,
        learning_rate=float(settings.learning_rate),
        encoder_learning_rate=float(settings.encoder_learning_rate),
        weight_decay=settings.weight_decay,
        adam_epsilon=settings.adam_epsilon,
    )


def _new_average(fitted: FittedModel, settings: FitSettings) -> MovingAverage | None:
    if settings.ema is False:
        return None
    return MovingAverage(fitted.model) if settings.ema is True else MovingAverage(fitted.model, settings.ema)


@contextmanager
def _seeded(seed: int, compute: Compute, *, deterministic: bool) -> Iterator[None]:
    """Decide all chance by `seed` inside the block, and leave torch's generators and switches as they were."""
    devices = [compute.device] if compute.device.type == "cuda" else []
    strictness = repeatable_only(compute.device) if deterministic else nullcontext()
    with torch.random.fork_rng(devices=devices), strictness:
        torch.manual_seed(seed)
        yield


@contextmanager
def _memory_in_words(settings: FitSettings, compute: Compute) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The memory of {compute.device} does not suffice for batches of {settings.batch_size} images. Type a "
            "smaller batch_size (accumulate=2 makes up for half of it), a smaller image_size, or device='cpu'."
        ) from error


def _folders(halves: TrainingData, validation: Any) -> list[Path | None]:
    """Return the folders of the data, into which nothing is written."""
    if isinstance(validation, (str, os.PathLike)):
        return [halves.whole.path, Path(validation)]
    return [halves.whole.path, validation.path if isinstance(validation, Dataset) else None]
