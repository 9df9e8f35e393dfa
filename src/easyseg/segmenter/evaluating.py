"""`Segmenter.evaluate`: annotated images in, a report out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from easyseg.brightness import ValueRange
from easyseg.config import EvaluateSettings
from easyseg.data.dataset import Dataset
from easyseg.data.reading import as_dataset
from easyseg.devices import Compute, processor_count
from easyseg.errors import DataError
from easyseg.prediction.scoring import AnnotatedImages, Evaluation, Scored
from easyseg.preprocessing import Preprocessing
from easyseg.results import Report
from easyseg.segmenter.fitted import FittedModel
from easyseg.training.distributed import World
from easyseg.training.joining import joined_world

READ_THREADS = 4


def evaluate_split(fitted: FittedModel, data: Any, settings: EvaluateSettings, *, compute: Compute) -> Report:
    """Measure a model on one split of `data`, read with the model's own classes and parted as for its training."""
    dataset = as_dataset(
        data,
        class_map=fitted.class_map,
        validation_fraction=fitted.validation_fraction,
        seed=fitted.split_seed,
    )
    dataset = scaled_as(dataset, fitted.preprocessing.value_range)
    measures_all = settings.split == "all" or not dataset.splits()
    part = dataset if measures_all else dataset.split(settings.split)
    batch_size = fitted.batch_size if settings.batch_size == "auto" else settings.batch_size
    with joined_world(compute.device) as world:
        evaluation = new_evaluation(
            part, fitted, compute=compute, batch_size=batch_size, threshold=settings.threshold, world=world
        )
        scored = evaluation.score(fitted.model)
    report = new_report(scored, part, split="all" if measures_all else settings.split)
    return replace(report, details=settings.details, origin=_origin(part, dataset))


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


def _origin(part: Dataset, whole: Dataset) -> str:
    """Say how a drawn split came about; empty where the files or the user parted the data."""
    if not whole.validation_is_drawn or len(part) == len(whole) or part[0].split == "test":
        return ""
    return f"{len(part)} of {len(whole)} images, drawn with seed {whole.seed}; split='all' measures all"


def new_evaluation(
    dataset: Dataset,
    fitted: FittedModel,
    *,
    compute: Compute,
    batch_size: int,
    threshold: float = 0.5,
    keep: bool = False,
    world: World,
) -> Evaluation:
    """Prepare a repeatable evaluation on all of `dataset`, which the processes of `world` do together."""
    channels = fitted.preprocessing.in_channels
    return Evaluation(
        AnnotatedImages(len(dataset), lambda i: (dataset.image(i, channels), dataset.mask(i)), fitted.class_map),
        preprocessing=fitted.preprocessing,
        compute=compute,
        batch_size=batch_size,
        threshold=threshold,
        threads=min(READ_THREADS, processor_count()),
        keep=keep,
        sharing=world if world.size > 1 else None,
    )


def bytes_to_keep(dataset: Dataset, preprocessing: Preprocessing) -> int:
    """Return how much memory an evaluation that keeps its images takes; reads the headers of the images."""
    planes = dataset.class_map.num_classes if dataset.task == "multilabel" else 1
    total = 0
    for index in range(len(dataset)):
        height, width = dataset.size_hw(index)
        canvas_height, canvas_width = preprocessing.place((height, width)).canvas_hw
        total += canvas_height * canvas_width * preprocessing.in_channels + height * width * planes
    return total


def new_report(scored: Scored, dataset: Dataset, *, split: str) -> Report:
    """Turn what an evaluation counted into a report."""
    return Report.from_counts(
        scored.counts,
        scored.image_counts,
        class_map=dataset.class_map,
        names=[sample.name for sample in dataset.samples],
        split=split,
        loss=scored.loss,
        seconds=scored.seconds,
        timing=scored.timing,
    )
