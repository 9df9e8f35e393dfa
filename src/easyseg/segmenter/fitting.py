"""`Segmenter.fit`: from settings and data to a trained model, a history and a run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from easyseg.config import FitSettings, ModelSettings, evaluation_interval
from easyseg.data.dataset import Dataset, as_dataset
from easyseg.data.loaders import TrainingLoader
from easyseg.data.sampling import epoch_order, rare_class_weights
from easyseg.data.transforms import build_augmentation
from easyseg.devices import Compute
from easyseg.metrics.semantic import direction_of
from easyseg.preprocessing import Preprocessing
from easyseg.results import History
from easyseg.segmenter import defaults
from easyseg.segmenter.evaluating import new_evaluation
from easyseg.segmenter.finishing import finish_run, open_run_folder, run_config
from easyseg.segmenter.fitted import FittedModel, build_model
from easyseg.segmenter.recording import Announcer, Recording
from easyseg.training.callbacks import BestTracker, Callback, EarlyStopping, FitInfo, FitSummary, ProgressBar
from easyseg.training.engine import LoopPlan, train
from easyseg.training.losses import build_loss
from easyseg.training.optim import MovingAverage, build_optimizer


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
) -> tuple[FittedModel, History]:
    """Train and return the best model and the course of the training.

    Args:
        data: as for `Segmenter.fit`.
        validation: likewise.
        settings: of the training.
        model_settings: of the model, where it is built now.
        compute: device and number format.
        fitted: a model to go on from, or None.
    """
    begun = time.perf_counter()
    halves = read_halves(data, validation, model_settings, fitted)
    settings = _resolved(settings, halves, model_settings, compute, goes_on=fitted is not None)
    folder = open_run_folder(settings.run_dir, model_settings)
    fitted = _model_for(halves.train, settings, model_settings, fitted).on(compute)
    config = run_config(halves.whole, validation, settings, model_settings)
    announcer = Announcer(folder, verbose=settings.verbose is not False)
    announcer.begin(halves.whole, fitted, settings, compute)
    if folder is not None:
        folder.write_config(config)
    with _seeded(model_settings.seed, compute, deterministic=settings.deterministic):
        loader = _new_loader(halves.train, fitted, settings, compute, seed=model_settings.seed)
        evaluation = new_evaluation(
            halves.val, fitted, compute=compute, batch_size=fitted.batch_size, keep=loader.is_cached
        )
        average = _new_average(fitted, settings)
        recording = Recording(
            fitted,
            evaluation,
            average=average,
            monitor=settings.monitor,
            model_settings=model_settings,
            folder=folder,
        )
        plan = _new_plan(settings, compute, len(loader), begun)
        with closing(loader):
            recording.history.stopped = _train(fitted, loader, plan, settings, recording, average)
    best = recording.best_model()
    if folder is not None:
        finish_run(folder, best, recording, halves.val, compute=compute, config=config)
        announcer.say(f"Results: {folder.path}  (open {folder.report})")
    return best, recording.history


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
        epochs=plan.epochs,
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
    reason = "it was interrupted by an error"
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
        "workers": defaults.choose_workers(settings.workers, device_type=kind),
    }
    return settings.model_copy(update=chosen)


def _model_for(
    dataset: Dataset, settings: FitSettings, model_settings: ModelSettings, fitted: FittedModel | None
) -> FittedModel:
    """Build the model for a dataset's classes, or take the one there is."""
    batch_size = int(settings.batch_size)
    if fitted is not None:
        fitted = replace(fitted, batch_size=batch_size)
    else:
        preprocessing = Preprocessing(
            model_settings.image_size if model_settings.resize else None,
            model_settings.resize,
            model_settings.in_channels,
        )
        model = build_model(model_settings, num_classes=len(dataset.classes), weights=model_settings.weights)
        fitted = FittedModel(model, dataset.class_map, preprocessing, batch_size)
    fitted = replace(fitted, split_seed=dataset.seed, validation_fraction=dataset.validation_fraction)
    fitted.model.criterion = build_loss(
        settings.loss,
        task=dataset.task,
        num_classes=len(dataset.classes),
        class_weights=_class_weights(settings, dataset),
    )
    return fitted


def _class_weights(settings: FitSettings, dataset: Dataset) -> list[float] | None:
    """Return the weight of each class; "balanced" is one over the square root of its share, 1 on average.

    The square root keeps a class of few pixels from outweighing everything else.
    """
    if settings.class_weights != "balanced":
        return settings.class_weights
    pixels = np.maximum(dataset.pixel_counts().sum(axis=0), 1).astype(float)
    weights = 1 / np.sqrt(pixels / pixels.sum())
    return [float(weight) for weight in weights / weights.mean()]


def _new_loader(
    dataset: Dataset, fitted: FittedModel, settings: FitSettings, compute: Compute, *, seed: int
) -> TrainingLoader:
    weights = rare_class_weights(dataset.pixel_counts()) if settings.oversample else None
    return TrainingLoader(
        dataset,
        preprocessing=fitted.preprocessing,
        augmentation=build_augmentation(settings.augment, preprocessing=fitted.preprocessing, seed=seed),
        order=lambda epoch: epoch_order(
            len(dataset), seed=seed, epoch=epoch, weights=weights, oversample=settings.oversample
        ),
        batch_size=int(settings.batch_size),
        workers=int(settings.workers),
        cache_bytes=defaults.choose_cache_bytes(settings.cache),
        pin_memory=compute.device.type == "cuda",
    )


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
    strict = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(deterministic or strict)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
