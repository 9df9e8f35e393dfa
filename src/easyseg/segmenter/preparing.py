"""What a training needs before it begins, each piece made from the settings: data, model, loader, optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from easyseg.config import FitSettings, ModelSettings
from easyseg.data.check.quick import quick_notes
from easyseg.data.dataset import Dataset, as_dataset
from easyseg.data.loaders import TrainingLoader, cache_bytes_needed, start_method
from easyseg.data.sampling import epoch_order, rare_class_weights
from easyseg.data.transforms import Augmentation, build_augmentation
from easyseg.devices import Compute, repeatable_only
from easyseg.errors import ConfigError
from easyseg.metrics.semantic import direction_of
from easyseg.prediction.scoring import Evaluation
from easyseg.preprocessing import Preprocessing
from easyseg.segmenter import defaults
from easyseg.segmenter.class_weights import balanced_class_weights
from easyseg.segmenter.evaluating import bytes_to_keep, new_evaluation
from easyseg.segmenter.finishing import run_config
from easyseg.segmenter.fitted import FittedModel, build_model
from easyseg.segmenter.staging import work_out_stages
from easyseg.training.losses import build_loss
from easyseg.training.optim import MovingAverage, build_optimizer
from easyseg.training.stages import ResolvedStage


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A dataset and the two parts of it that training needs."""

    whole: Dataset
    train: Dataset
    val: Dataset


@dataclass(frozen=True, slots=True)
class Job:
    """A training, decided in every respect, of which nothing has happened yet.

    Attributes:
        data: what to train and to measure on.
        settings: of the training, without any "auto".
        model_settings: of the model.
        compute: device and number format.
        augmentation: changes training images at random.
        fitted: the model to train.
        goes_on: it was trained before.
        stages: what learns when; at least one.
        config: what `config.yaml` says.
    """

    data: TrainingData
    settings: FitSettings
    model_settings: ModelSettings
    compute: Compute
    augmentation: Augmentation
    fitted: FittedModel
    goes_on: bool
    stages: tuple[ResolvedStage, ...]
    config: dict[str, Any]


def read_halves(data: Any, validation: Any, model_settings: ModelSettings, fitted: FittedModel | None) -> TrainingData:
    """Read the data, look for broken files, and part it into training and validation."""
    classes = None if fitted else model_settings.classes
    class_map = fitted.class_map if fitted else None
    dataset = as_dataset(data, validation=validation, classes=classes, class_map=class_map, seed=model_settings.seed)
    dataset = dataset.with_splits()
    dataset.verify("train", "val")
    dataset = replace(dataset, notes=(*dataset.notes, *quick_notes(dataset.samples, dataset.path)))
    return TrainingData(dataset, dataset.split("train"), dataset.split("val"))


def overfitted(halves: TrainingData, settings: FitSettings) -> tuple[TrainingData, FitSettings]:
    """Return what `overfit_batches` asks for: a few images, spread over all, to train and to measure on alike."""
    if settings.overfit_batches is None:
        return halves, settings
    count = min(len(halves.train), settings.overfit_batches * int(settings.batch_size))
    chosen = np.linspace(0, len(halves.train) - 1, count).round().astype(int)
    few = replace(halves.train, samples=tuple(halves.train.samples[index] for index in chosen))
    changes = {"augment": "none", "patience": None, "oversample": 0.0}  # of which each would hide a fault
    return TrainingData(halves.whole, few, few), settings.model_copy(update=changes)


def resolved(
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


def new_job(
    halves: TrainingData,
    validation: Any,
    settings: FitSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
) -> Job:
    """Build the model and decide the rest; `settings` come from `resolved`."""
    goes_on = fitted is not None
    preprocessing = _preprocessing_for(model_settings, fitted)
    augmentation = build_augmentation(settings.augment, preprocessing=preprocessing, seed=model_settings.seed)
    fitted = _model_for(halves.train, settings, model_settings, fitted, preprocessing)
    return Job(
        data=halves,
        settings=settings,
        model_settings=model_settings,
        compute=compute,
        augmentation=augmentation,
        fitted=fitted.on(compute),
        goes_on=goes_on,
        stages=work_out_stages(settings, fitted.model, model_settings, goes_on=goes_on),
        config=run_config(halves.whole, validation, settings, model_settings),
    )


def new_loader(job: Job) -> TrainingLoader:
    """Prepare the training images' way to the network."""
    dataset, settings, preprocessing = job.data.train, job.settings, job.fitted.preprocessing
    weights = rare_class_weights(dataset.pixel_counts()) if settings.oversample else None
    cache_bytes = defaults.choose_cache_bytes(settings.cache)
    loader = TrainingLoader(
        dataset,
        preprocessing=preprocessing,
        augmentation=job.augmentation,
        order=lambda epoch: epoch_order(
            len(dataset), seed=job.model_settings.seed, epoch=epoch, weights=weights, oversample=settings.oversample
        ),
        batch_size=int(settings.batch_size),
        workers=int(settings.workers),
        cache_bytes=cache_bytes,
        pin_memory=job.compute.device.type == "cuda",
    )
    if settings.cache == "ram" and not loader.cached_bytes:
        needed = cache_bytes_needed(dataset, preprocessing)
        reason = f"the decoded training images take {needed:,} bytes, and {cache_bytes:,} are free"
        if needed <= cache_bytes:
            reason = "worker processes do not share memory on this system; type workers=0"
        raise ConfigError(f"cache='ram': {reason}. Type cache='auto', or a smaller image_size.")
    return loader


def new_training_evaluation(job: Job, *, spare_bytes: int) -> Evaluation:
    """Prepare the measuring after each epoch; its images are kept where they fit beside the training images."""
    dataset, fitted = job.data.val, job.fitted
    keep = spare_bytes > 0 and bytes_to_keep(dataset, fitted.preprocessing) <= spare_bytes
    return new_evaluation(dataset, fitted, compute=job.compute, batch_size=fitted.batch_size, keep=keep)


def new_optimizer(job: Job) -> torch.optim.Optimizer:
    """Build the optimizer of all the model's weights."""
    settings = job.settings
    return build_optimizer(
        job.fitted.model.parts(),
        optimizer=settings.optimizer,
        learning_rate=float(settings.learning_rate),
        encoder_learning_rate=float(settings.encoder_learning_rate),
        weight_decay=settings.weight_decay,
        adam_epsilon=settings.adam_epsilon,
    )


def new_average(job: Job) -> MovingAverage | None:
    """Begin a moving average of the weights where one is wanted."""
    ema = job.settings.ema
    if ema is False:
        return None
    return MovingAverage(job.fitted.model) if ema is True else MovingAverage(job.fitted.model, ema)


@contextmanager
def seeded(seed: int, compute: Compute, *, deterministic: bool) -> Iterator[None]:
    """Decide all chance by `seed` inside the block, and leave torch's generators and switches as they were."""
    devices = [compute.device] if compute.device.type == "cuda" else []
    strictness = repeatable_only(compute.device) if deterministic else nullcontext()
    with torch.random.fork_rng(devices=devices), strictness:
        torch.manual_seed(seed)
        yield


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
        fitted = replace(fitted, batch_size=batch_size, unfinished=None)
    else:
        model = build_model(model_settings, num_classes=len(dataset.classes), weights=model_settings.weights)
        fitted = FittedModel(model, dataset.class_map, preprocessing, batch_size)
    fitted = replace(fitted, split_seed=dataset.seed, validation_fraction=dataset.validation_fraction)
    fitted.model.criterion = criterion
    return fitted
