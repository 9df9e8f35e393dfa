"""`Segmenter.evaluate`: annotated images in, a report out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from easyseg.brightness import ValueRange
from easyseg.config import EvaluateSettings
from easyseg.data.dataset import Dataset
from easyseg.data.fingerprint import held_out_digest
from easyseg.data.reading import as_dataset
from easyseg.devices import Compute
from easyseg.errors import DataError
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.tasks import AnyReport, MeasuringRequest, Occasion, Work, work_of
from easyseg.training.joining import joined_world


def evaluate_split(fitted: FittedModel, data: Any, settings: EvaluateSettings, *, compute: Compute) -> AnyReport:
    """Measure a model on one split of `data`, read with the model's own classes and parted as for its training."""
    work = work_of(fitted.model)
    dataset = as_dataset(
        data,
        class_map=fitted.class_map,
        boxes=work.boxes,
        validation_fraction=fitted.validation_fraction,
        seed=fitted.split_seed,
    )
    dataset = _parted_as_in_training(dataset, fitted, settings.split)
    dataset = work.suited(scaled_as(dataset, fitted.preprocessing.value_range))
    measures_all = settings.split == "all" or not dataset.splits()
    part = dataset if measures_all else dataset.split(settings.split)
    batch_size = fitted.batch_size if settings.batch_size == "auto" else settings.batch_size
    with joined_world(compute.device) as world:
        request = MeasuringRequest(
            part, fitted, compute, batch_size, settings.threshold, keep=False, has_loss=False, world=world
        )
        measured = work.evaluation(request).measure(fitted.model)
        learnt = _learnt(dataset, part, measures_all=measures_all, work=work)
        training = work.evaluation(replace(request, dataset=learnt)).measure(fitted.model) if learnt else None
    split = "all" if measures_all else settings.split
    return measured.report(Occasion(part, split, settings.details, _origin(part, dataset, fitted), training))


def _parted_as_in_training(dataset: Dataset, fitted: FittedModel, split: str) -> Dataset:
    """Put the images aside that the training did, where data without splits, from memory, are those of the training."""
    if dataset.splits() or split == "all" or not fitted.held_out:
        return dataset
    again = replace(dataset, validation_fraction=fitted.validation_fraction).with_splits()
    return again if held_out_digest(again) == fitted.held_out else dataset


def _learnt(dataset: Dataset, part: Dataset, *, measures_all: bool, work: Work) -> Dataset | None:
    """Return training images to compare with, where others are measured and that tells something."""
    if measures_all or "train" not in dataset.splits() or part[0].split == "train":
        return None
    return work.training_sample(dataset.split("train"), len(part))


def scaled_as(dataset: Dataset, value_range: ValueRange | None) -> Dataset:
    """Return the dataset with its images' numbers scaled as a model knows them.

    Raises:
        DataError: the model knows bytes only, and the images hold other numbers.
    """
    if value_range is None and dataset.value_range is not None:
        raise DataError(
            f"The images of {dataset.path or 'the data'} hold other numbers than bytes ({dataset.value_range}), but "
            "the model was trained on bytes, 0 .. 255. Save them as 8-bit images, scaled as those of the training were."
        )
    return replace(dataset, value_range=value_range)


def _origin(part: Dataset, whole: Dataset, fitted: FittedModel) -> str:
    """Say how a drawn split came about; empty where the files or the user parted the data."""
    if not whole.validation_is_drawn or len(part) == len(whole) or part[0].split == "test":
        return ""
    is_other = bool(fitted.held_out) and held_out_digest(whole) != fitted.held_out
    whose = ", not those that the training put aside" if is_other else ""
    return f"{len(part)} of {len(whole)} images, drawn with seed {whole.seed}{whose}; split='all' measures all"
