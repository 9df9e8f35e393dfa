"""Giving each pixel a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easyseg.config import FitSettings, ModelSettings, PredictSettings
from easyseg.data.batches.loaders import Order
from easyseg.data.class_weights import balanced_class_weights
from easyseg.data.dataset import Dataset
from easyseg.data.transforms.augmentation import Augmentation, build_augmentation
from easyseg.devices import Compute
from easyseg.metrics.semantic import Direction, direction_of, scores
from easyseg.models.semantic import SemanticModel
from easyseg.prediction.predictor import Predictor, Prepared, Stopwatch, decide, evaluation_mode, probabilities
from easyseg.prediction.scoring import AnnotatedImages, Evaluation, Scored
from easyseg.prediction.sources import Source, ahead, read_threads
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.reports.plots import comparison
from easyseg.results import Report, SemanticResult
from easyseg.segmenter.building import Model, build_model
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.tasks.work import AnyResult, MeasuringRequest, Occasion, SetUp, TrialShape
from easyseg.structures import IGNORE_INDEX, Batch, ClassMap, ImageArray, MaskArray, Task
from easyseg.training.distributed import World
from easyseg.training.losses import build_loss, of_one_process

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MeasuredPixels:
    """What an evaluation found; see `Scored`."""

    scored: Scored
    class_map: ClassMap

    def figures(self) -> dict[str, float]:
        """Return every figure that can be monitored, by name."""
        loss = {} if self.scored.loss is None else {"val_loss": self.scored.loss}
        return loss | scores(self.scored.counts, task=self.class_map.task).to_dict(self.class_map.names)

    def report(self, occasion: Occasion) -> Report:
        """Return the report on the images that were measured."""
        report = Report.from_counts(
            self.scored.counts,
            self.scored.image_counts,
            class_map=occasion.dataset.class_map,
            names=[sample.name for sample in occasion.dataset.samples],
            split=occasion.split,
            loss=self.scored.loss,
            seconds=self.scored.seconds,
            timing=self.scored.timing,
        )
        return replace(report, details=occasion.details, origin=occasion.origin)


@dataclass(frozen=True, slots=True)
class PixelMeasuring:
    """An evaluation that can be repeated."""

    evaluation: Evaluation
    class_map: ClassMap
    has_loss: bool

    def measure(self, model: Model, poll: Callable[[], None] = lambda: None) -> MeasuredPixels:
        """Measure the model as it is now."""
        network = _semantic(model)
        criterion = of_one_process(network.criterion) if self.has_loss else None
        return MeasuredPixels(self.evaluation.score(network, criterion=criterion, poll=poll), self.class_map)


class SemanticWork:
    """Giving each pixel a class; see `Work`."""

    monitor = "mean_iou"
    usual_batch_sizes = (8, 16)
    floor = -math.inf

    @property
    def usual_learning_rate(self) -> float:
        """What Adam takes of most networks."""
        return 1e-3

    def objects_per_image(self, dataset: Dataset) -> int:
        """Pixels tell no objects apart."""
        return 0

    def direction_of(self, figure: str, class_names: Sequence[str]) -> Direction:
        """Return whether more or less of a figure is better."""
        return direction_of(figure, class_names)

    @property
    def boxes(self) -> Literal["refuse"]:
        """A box says of no pixel for sure what it shows."""
        return "refuse"

    def suited(self, dataset: Dataset) -> Dataset:
        """Return the dataset: masks are drawn where there are objects."""
        return dataset

    def check_settings(self, settings: FitSettings) -> None:
        """Take them all."""

    def set_up(
        self,
        dataset: Dataset,
        validation: Dataset,
        model_settings: ModelSettings,
        preprocessing: Preprocessing,
        model: Model | None,
    ) -> SetUp:
        """Build a model for the classes of a dataset where there is none."""
        num_classes = len(dataset.classes)
        return SetUp(model or build_model(model_settings, num_classes=num_classes, weights=model_settings.weights))

    def losses(self, dataset: Dataset, settings: FitSettings, world: World) -> Callable[[Model], None]:
        """Return what gives a model its criterion."""
        class_weights = settings.class_weights
        if class_weights == "balanced":
            class_weights = balanced_class_weights(dataset)
        criterion = build_loss(
            settings.loss,
            task=dataset.task,
            num_classes=len(dataset.classes),
            class_weights=class_weights,
            world=world,
        )

        def give(model: Model) -> None:
            _semantic(model).criterion = criterion

        return give

    def loss_words(self, settings: FitSettings) -> str:
        """Return the loss by name."""
        return f", loss {settings.loss}"

    def augmentation(self, settings: FitSettings, preprocessing: Preprocessing, *, seed: int) -> Augmentation:
        """Return what changes training images and masks at random."""
        return build_augmentation(settings.augment, preprocessing=preprocessing, seed=seed)

    def order(self, order: Order, dataset: Dataset, preprocessing: Preprocessing, *, batch_size: int) -> Order:
        """Return the order as it is."""
        return order

    def evaluation(self, request: MeasuringRequest) -> PixelMeasuring:
        """Prepare an evaluation at the images' original sizes."""
        dataset, fitted, world = request.dataset, request.fitted, request.world
        channels = fitted.preprocessing.in_channels
        evaluation = Evaluation(
            AnnotatedImages(len(dataset), lambda i: (dataset.image(i, channels), dataset.mask(i)), fitted.class_map),
            preprocessing=fitted.preprocessing,
            compute=request.compute,
            batch_size=request.batch_size,
            threshold=request.threshold,
            threads=read_threads(),
            keep=request.keep,
            sharing=world if world.size > 1 else None,
        )
        return PixelMeasuring(evaluation, fitted.class_map, has_loss=request.has_loss)

    def training_sample(self, dataset: Dataset, count: int) -> Dataset | None:
        """Return none: the loss tells it."""
        return None

    def bytes_to_keep(self, dataset: Dataset, preprocessing: Preprocessing) -> int:
        """Return how much memory an evaluation takes that keeps its images; reads the headers of the images."""
        planes = dataset.class_map.num_classes if dataset.task == "multilabel" else 1
        total = 0
        for index in range(len(dataset)):
            height, width = dataset.size_hw(index)
            canvas_height, canvas_width = preprocessing.place((height, width)).canvas_hw
            total += canvas_height * canvas_width * preprocessing.in_channels + height * width * planes
        return total

    def results(
        self,
        fitted: FittedModel,
        sources: Iterable[Source],
        settings: PredictSettings,
        *,
        compute: Compute,
        batch_size: int,
        watch: Stopwatch,
    ) -> Generator[SemanticResult, None, None]:
        """Yield a result for each source, in order."""
        preprocessing, task = fitted.preprocessing, fitted.class_map.task
        network = _semantic(fitted.model)
        predictor = Predictor(network, preprocessing=preprocessing, compute=compute, batch_size=batch_size)

        def prepare(one: Source) -> Prepared[tuple[Source, ImageArray]]:
            image = one.pixels(preprocessing.in_channels, preprocessing.value_range)
            return predictor.prepare(image, (one, image))

        prepared = ahead(sources, prepare, threads=read_threads(), depth=predictor.depth)
        with evaluation_mode(network):
            for logits, (one, image), placement in predictor.logits(prepared, watch):
                with watch.on("way back"):
                    full = predictor.at_original_size(logits, placement)
                    mask = decide(full, task=task, threshold=settings.threshold).cpu().numpy()
                    on_demand = _on_demand(predictor, logits, placement, task)
                yield SemanticResult(
                    mask=mask, class_map=fitted.class_map, image=image, path=one.path, probabilities=on_demand
                )

    def masks_to_show(self, dataset: Dataset, index: int, result: AnyResult) -> tuple[MaskArray, MaskArray, ClassMap]:
        """Return an image's truth and prediction."""
        target, result = dataset.mask(index), cast(SemanticResult, result)
        return np.moveaxis(target, 2, 0) if target.ndim == 3 else target, result.mask, result.class_map

    def comparison(self, dataset: Dataset, index: int, image: ImageArray, result: AnyResult) -> ImageArray:
        """Return image, truth, prediction and mistakes side by side."""
        truth, prediction, class_map = self.masks_to_show(dataset, index, result)
        return comparison(image, truth, prediction, class_map)

    def trial_model(self, settings: ModelSettings, shape: TrialShape) -> Model:
        """Return a model with random weights that can learn."""
        model = build_model(settings, num_classes=shape.num_classes, weights=None)
        model.criterion = build_loss("auto", task=shape.task, num_classes=shape.num_classes)
        return model

    def trial_batch(self, settings: ModelSettings, shape: TrialShape) -> Batch:
        """Return a batch of noise that it can learn from."""
        count, (height, width) = shape.batch_size, shape.size_hw
        images = torch.randint(0, 256, (count, settings.in_channels, height, width), dtype=torch.uint8)
        planes = (shape.num_classes,) if shape.task == "multilabel" else ()
        highest = shape.num_classes if shape.task == "multiclass" else 2
        targets = torch.randint(0, highest, (count, *planes, height, width), dtype=torch.uint8)
        targets[..., 0, 0] = IGNORE_INDEX
        return Batch(images.contiguous(memory_format=torch.channels_last), targets, tuple(range(count)))


def _semantic(model: Model) -> SemanticModel:
    return cast(SemanticModel, model)  # this is the work of no other


def _on_demand(predictor: Predictor, logits: Tensor, placement: Placement, task: Task) -> Callable[[], Probabilities]:
    """Return a function that computes the probabilities from a copy of the logits alone.

    A view would keep the whole batch alive, and on a GPU its memory, for as long as somebody keeps the result.
    """
    kept = logits.cpu() if logits.device.type != "cpu" else logits.clone()
    return lambda: probabilities(predictor.at_original_size(kept, placement), task=task).numpy()
