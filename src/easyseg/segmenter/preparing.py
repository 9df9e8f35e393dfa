"""What a training needs before it begins, each piece made from the settings: data, model, loader, optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from easyseg.config import EvaluateSettings, FitSettings, ModelSettings
from easyseg.data.batches.cache import shared_bytes
from easyseg.data.batches.loaders import Preparation, TrainingLoader, cache_bytes_needed, decoded_folder, start_method
from easyseg.data.batches.machine_memory import found_memory, offered_memory
from easyseg.data.batches.sampling import Part, epoch_order, rare_class_weights
from easyseg.data.check.quick import quick_notes
from easyseg.data.dataset import Dataset
from easyseg.data.fingerprint import held_out_digest
from easyseg.data.reading import as_joined_dataset
from easyseg.data.statistics import channel_statistics
from easyseg.devices import Compute, repeatable_only
from easyseg.errors import ConfigError
from easyseg.preprocessing import Preprocessing
from easyseg.segmenter import defaults
from easyseg.segmenter.building import Model, classes_to_learn
from easyseg.segmenter.evaluating import scaled_as
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.run_config import run_config
from easyseg.segmenter.staging import work_out_stages
from easyseg.segmenter.tasks import Evaluating, LoaderRequest, MeasuringRequest, work_of
from easyseg.training.distributed import ALONE, World
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
        world: the processes that train the model together.
        notes: lines for people on how the model was set up from the data.
    """

    data: TrainingData
    settings: FitSettings
    model_settings: ModelSettings
    compute: Compute
    augmentation: Any
    fitted: FittedModel
    goes_on: bool
    stages: tuple[ResolvedStage, ...]
    config: dict[str, Any]
    world: World
    notes: tuple[str, ...] = ()


def read_halves(
    data: Any, validation: Any, model_settings: ModelSettings, fitted: FittedModel | None, *, world: World = ALONE
) -> TrainingData:
    """Read the data, look for broken files, and part it into training and validation."""
    classes = None if fitted else model_settings.classes
    class_map = fitted.class_map if fitted else None
    work = work_of(model_settings)
    dataset = as_joined_dataset(
        data, validation, classes=classes, class_map=class_map, boxes=work.boxes, seed=model_settings.seed
    )
    if fitted is not None:
        dataset = scaled_as(dataset, fitted.preprocessing.value_range)
    dataset = dataset.with_splits()
    if world.is_first:
        dataset.verify("train", "val")
        dataset = replace(dataset, notes=(*dataset.notes, *quick_notes(dataset.samples, dataset.path)))
    dataset = work.suited(dataset)
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
    settings: FitSettings,
    halves: TrainingData,
    model_settings: ModelSettings,
    compute: Compute,
    *,
    goes_on: bool,
    world: World = ALONE,
) -> FitSettings:
    """Replace every "auto" by what it means here, so that the run's config says what was really done."""
    kind = compute.device.type
    work = work_of(model_settings)
    work.check_settings(settings)
    monitor = work.monitor if settings.monitor == "auto" else settings.monitor
    classes = classes_to_learn(halves.train.class_map, model_settings)
    work.direction_of(monitor, classes)  # a misspelt figure is found now, not after the first epoch
    decoder, encoder = defaults.choose_learning_rates(
        settings.learning_rate,
        settings.encoder_learning_rate,
        usual=work.usual_learning_rate,
        optimizer=settings.optimizer,
        pretrained=model_settings.weights is not None and not goes_on,
    )
    chosen = {
        "monitor": monitor,
        "batch_size": defaults.choose_batch_size(
            settings.batch_size,
            usual=work.usual_batch_sizes[kind != "cpu"],
            num_images=len(halves.train),
            processes=world.size,
        ),
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
    world: World = ALONE,
) -> Job:
    """Build the model and decide the rest; `settings` come from `resolved`."""
    goes_on = fitted is not None
    if settings.sync_batchnorm and world.size > 1 and compute.device.type != "cuda":
        raise ConfigError(
            f"sync_batchnorm=True needs a CUDA device for each process, not {compute.device}, for which torch has no "
            "such layer. Type sync_batchnorm=False."
        )
    preprocessing = _preprocessing_for(model_settings, fitted, halves.train)
    augmentation = work_of(model_settings).augmentation(settings, preprocessing, seed=model_settings.seed)
    with world.one_before_the_others():  # pretrained weights are fetched once
        fitted, notes = _model_for(halves, settings, model_settings, fitted, preprocessing)
    stages = work_out_stages(settings, fitted.model, model_settings, goes_on=goes_on)
    if world.size > 1:
        fitted = _parted(fitted, halves.train, settings, stages, world)
    return Job(
        data=halves,
        settings=settings,
        model_settings=model_settings,
        compute=compute,
        augmentation=augmentation,
        fitted=fitted.on(compute),
        goes_on=goes_on,
        stages=stages,
        config=run_config(halves.whole, validation, settings, model_settings),
        world=world,
        notes=notes,
    )


def new_loader(job: Job) -> TrainingLoader:
    """Prepare the training images' way to the network."""
    dataset, settings, preprocessing = job.data.train, job.settings, job.fitted.preprocessing
    weights = rare_class_weights(dataset.pixel_counts()) if settings.oversample else None
    world = job.world
    offered = defaults.choose_cache_bytes(settings.cache, decoded_folder())
    cache_bytes, cache_file_bytes = (-most for most in world.highest(*(-num_bytes for num_bytes in offered)))
    request = LoaderRequest(
        dataset,
        preprocessing,
        augmentation=job.augmentation,
        order=work_of(job.fitted.model).order(
            lambda epoch: epoch_order(
                len(dataset), seed=job.model_settings.seed, epoch=epoch, weights=weights, oversample=settings.oversample
            ),
            dataset,
            preprocessing,
            batch_size=int(settings.batch_size),
        ),
        batch_size=int(settings.batch_size),
        preparation=Preparation(
            workers=int(settings.workers),
            cache_bytes=cache_bytes,  # what all machines have
            cache_file_bytes=cache_file_bytes,
            allocate=shared_bytes if world.size == 1 else lambda length: _machine_bytes(length, world),
            pin_memory=job.compute.device.type == "cuda",
        ),
        part=Part(world.rank, world.size),
    )
    loader = request.loader()
    if settings.cache in ("ram", "disk") and not loader.cached_bytes:
        raise _too_large_to_cache(job, most=max(cache_bytes, cache_file_bytes))
    return loader


def _too_large_to_cache(job: Job, *, most: int) -> ConfigError:
    needed = cache_bytes_needed(job.data.train, job.fitted.preprocessing)
    reason = f"the decoded training images take {needed:,} bytes, and {most:,} are free"
    if needed <= most:
        reason = "worker processes do not share memory on this system; type workers=0"
    return ConfigError(f"cache={job.settings.cache!r}: {reason}. Type cache='auto', or a smaller image_size.")


def cache_note(loader: TrainingLoader) -> str:
    """Say which file decoded images are kept in; nothing where they are not."""
    if loader.cache_file is None:
        return ""
    return (
        f"Decoded images are kept in {loader.cache_file} ({loader.cached_bytes / 1e9:.1f} GB), for later trainings, "
        "too; cache='none' does without."
    )


def new_comparison(job: Job) -> Evaluating | None:
    """Prepare measuring some of the training images after the training; None where that tells nothing."""
    sample = work_of(job.fitted.model).training_sample(job.data.train, len(job.data.val))
    return None if sample is None else _new_evaluation(job, sample, keep=False)


def new_training_evaluation(job: Job, *, spare_bytes: int) -> Evaluating:
    """Prepare the measuring after each epoch; its images are kept where they fit beside the training images."""
    dataset, fitted = job.data.val, job.fitted
    work = work_of(fitted.model)
    keep = spare_bytes > 0 and work.bytes_to_keep(dataset, fitted.preprocessing) <= spare_bytes
    return _new_evaluation(job, dataset, keep=keep)


def _new_evaluation(job: Job, dataset: Dataset, *, keep: bool) -> Evaluating:
    request = MeasuringRequest(
        dataset,
        job.fitted,
        job.compute,
        job.fitted.batch_size,
        threshold=EvaluateSettings().threshold,
        keep=keep,
        has_loss=True,
        world=job.world,
    )
    return work_of(job.fitted.model).evaluation(request)


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
def seeded(seed: int, compute: Compute, *, deterministic: bool, rank: int = 0) -> Iterator[None]:
    """Decide all chance by `seed` inside the block, and leave torch's generators and switches as they were.

    Args:
        seed: of the run.
        compute: its device has a generator of its own.
        deterministic: refuse what is not repeatable.
        rank: of the process; each draws other numbers, or dropout would hide the same features of all images.
    """
    devices = [compute.device] if compute.device.type == "cuda" else []
    strictness = repeatable_only(compute.device) if deterministic else nullcontext()
    with torch.random.fork_rng(devices=devices), strictness:
        torch.manual_seed(int(np.random.SeedSequence((seed, rank)).generate_state(1)[0]) if rank else seed)
        yield


def _parted(
    fitted: FittedModel, dataset: Dataset, settings: FitSettings, stages: tuple[ResolvedStage, ...], world: World
) -> FittedModel:
    """Make ready a model that several processes train, and refuse batches that leave some of them without images."""
    smallest = min(stage.batch_size for stage in stages)
    if min(smallest, len(dataset)) < world.size:
        found = f"batch_size={smallest}" if smallest < world.size else f"{len(dataset)} training images"
        raise ConfigError(
            f"{found} cannot be parted among {world.size} processes; batch_size counts the images of all of them "
            f"together. Type batch_size={world.size} or more, or start fewer processes."
        )
    model = fitted.model
    work_of(model).losses(dataset, settings, world)(model)
    if settings.sync_batchnorm:
        model.synchronise_normalisation()
    # what one process has of a batch, so that measuring takes no more memory than training
    return replace(fitted, batch_size=-(-int(settings.batch_size) // world.size))


def _machine_bytes(length: int, world: World) -> npt.NDArray[np.uint8]:
    """Return memory that the processes of each machine share; all processes come here together."""
    if world.local_rank == 0:
        with offered_memory(length) as (memory, address):
            world.of_each(address)
            world.barrier()  # everybody has it
        return memory
    addresses = world.of_each("")
    memory = found_memory(length, addresses[world.rank - world.local_rank])
    world.barrier()
    return memory


def _preprocessing_for(model_settings: ModelSettings, fitted: FittedModel | None, dataset: Dataset) -> Preprocessing:
    if fitted is not None:
        return fitted.preprocessing
    size = model_settings.image_size if model_settings.resize else None
    return Preprocessing(size, model_settings.resize, model_settings.in_channels, dataset.value_range)


def _model_for(
    halves: TrainingData,
    settings: FitSettings,
    model_settings: ModelSettings,
    fitted: FittedModel | None,
    preprocessing: Preprocessing,
) -> tuple[FittedModel, tuple[str, ...]]:
    """Build the model for a dataset, or take the one there is; return what people should know about it, too."""
    dataset, batch_size, work = halves.train, int(settings.batch_size), work_of(model_settings)
    set_losses = work.losses(dataset, settings, ALONE)
    ready = work.set_up(dataset, halves.val, model_settings, preprocessing, fitted.model if fitted else None)
    if fitted is not None:
        fitted = replace(fitted, batch_size=batch_size, unfinished=None)
    else:
        if model_settings.normalize == "dataset":
            _normalize_by(ready.model, dataset)
        fitted = FittedModel(ready.model, dataset.class_map, preprocessing, batch_size)
    fitted = replace(
        fitted,
        split_seed=dataset.seed,
        validation_fraction=dataset.validation_fraction,
        held_out=held_out_digest(halves.whole),
    )
    set_losses(fitted.model)
    return fitted, ready.notes


def _normalize_by(model: Model, dataset: Dataset) -> None:
    """Let the network normalise by the mean and deviation of these images."""
    statistics = channel_statistics(dataset, channels=model.in_channels)
    # a channel that is the same everywhere has no deviation; one level is the least that makes a difference
    model.normalize_by(statistics.means.tolist(), np.maximum(statistics.deviations, 1).tolist())
