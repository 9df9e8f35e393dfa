"""Finding objects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from easyseg import visualization
from easyseg.config import FitSettings, ModelSettings, PredictSettings
from easyseg.data.batches.loaders import Order
from easyseg.data.batches.sampling import grouped_by_shape
from easyseg.data.dataset import Dataset
from easyseg.data.object_readiness import (
    note_on_merged,
    note_on_size,
    notes_on_objects,
    notes_on_unseen,
    refuse_unlearnable,
    refuse_unmeasurable,
)
from easyseg.data.object_sizes import measure_objects
from easyseg.data.sequences import chosen
from easyseg.data.transforms.instance_augmentation import InstanceAugmentation, build_instance_augmentation, most_learnt
from easyseg.devices import Compute
from easyseg.errors import ConfigError, unknown_name
from easyseg.metrics import Direction, InstanceFigures
from easyseg.models.instance.anchors import measure_anchors
from easyseg.models.instance.heads import DetectionLimits
from easyseg.models.instance.model import InstanceModel
from easyseg.models.instance.plan import DetectorPlan
from easyseg.prediction.object_scoring import AnnotatedObjects, ObjectEvaluation, ScoredObjects
from easyseg.prediction.objects import ObjectLimits, ObjectPredictor
from easyseg.prediction.predictor import Predictor, Prepared, Stopwatch, evaluation_mode
from easyseg.prediction.sources import Source, ahead, read_threads
from easyseg.preprocessing import Preprocessing
from easyseg.results import InstanceReport, InstanceResult
from easyseg.results.words import counted
from easyseg.segmenter.building import Model, build_model
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.tasks.object_pictures import annotated, painted, panel
from easyseg.segmenter.tasks.set_up import anchor_note, anchors_for, canvas_of, detections_for
from easyseg.segmenter.tasks.work import AnyResult, MeasuringRequest, Occasion, SetUp, TrialShape
from easyseg.structures import (
    SMALLEST_PIXELS,
    Batch,
    ClassMap,
    ConnectedRegions,
    ImageArray,
    InstanceTarget,
    MaskArray,
    RawObjects,
)
from easyseg.training.distributed import World

_TRAINING_SAMPLE = 50
"""So many training images at the most are measured beside others, to tell what was learnt from what was not."""

_UNVERIFIED = "Note: unverified='ignore' says nothing to a detector: it learns that there is none where none is marked."


@dataclass(frozen=True, slots=True)
class MeasuredObjects:
    """What an evaluation found; see `ScoredObjects`."""

    scored: ScoredObjects
    class_names: tuple[str, ...]

    def figures(self) -> dict[str, float]:
        """Return every figure that can be monitored, by name."""
        figures: dict[str, float] = {}
        for kind in self.scored.scorer.kinds:
            scores = self.scored.scorer.scores(kind)
            of_classes = scores.to_dict(self.class_names) if len(self.class_names) > 1 else scores.to_dict()
            # of single classes AP and AP50: twenty-four figures of each would be more than anybody looks at
            figures |= {name: value for name, value in of_classes.items() if "/" not in name or _is_shown(name)}
        return figures

    def report(self, occasion: Occasion) -> InstanceReport:
        """Return the report on the images that were measured."""
        report = InstanceReport.from_scorer(
            self.scored.scorer,
            names=self.class_names,
            split=occasion.split,
            training=cast(MeasuredObjects, occasion.training).scored.scorer if occasion.training else None,
            image_names=[sample.name for sample in occasion.dataset.samples],
            seconds=self.scored.seconds,
            timing=self.scored.timing,
        )
        return replace(report, details=occasion.details, origin=occasion.origin)


@dataclass(frozen=True, slots=True)
class ObjectMeasuring:
    """An evaluation that can be repeated."""

    evaluation: ObjectEvaluation
    class_names: tuple[str, ...]

    def measure(self, model: Model, poll: Callable[[], None] = lambda: None) -> MeasuredObjects:
        """Measure the model as it is now."""
        return MeasuredObjects(self.evaluation.score(_instance_model(model), poll=poll), self.class_names)


@dataclass(frozen=True, slots=True)
class InstanceWork:
    """Finding objects; see `Work`.

    Attributes:
        has_masks: the model finds masks, and not boxes only.
    """

    has_masks: bool = True

    @property
    def monitor(self) -> str:
        """COCO's main figure."""
        return "mask_ap" if self.has_masks else "box_ap"

    @property
    def floor(self) -> float:
        """Nothing found is an AP of 0: no reason to keep weights, or to lose patience."""
        return 0.0

    @property
    def usual_batch_sizes(self) -> tuple[int, int]:
        """A detector's step takes several times what that of a semantic model does."""
        return 2, 4

    @property
    def usual_learning_rate(self) -> float:
        """A detector that is trained already forgets at more, and a new one learns best at this.

        Mask R-CNN on ResNet-18, from random weights, on 8 images of PennFudan, came in 100 steps of AdamW to a loss of
        0.37 at 1e-3, 0.35 at 5e-4, 0.30 at 2e-4, and 0.43 at 1e-4.
        """
        return 2e-4

    def objects_per_image(self, dataset: Dataset) -> int:
        """Return what some of the images show: nine in ten have as many objects at the most."""
        sample = self.training_sample(dataset, _TRAINING_SAMPLE)
        return measure_objects(sample, Preprocessing(None, None)).count_quantile(0.9) if sample is not None else 0

    def direction_of(self, figure: str, class_names: Sequence[str]) -> Direction:
        """Return whether more or less of a figure is better."""
        kinds = ("mask", "box") if self.has_masks else ("box",)
        known = [f"{kind}_{field.name}" for kind in kinds for field in fields(InstanceFigures)]
        classes = class_names if len(class_names) > 1 else ()
        of_classes = [f"{name}/{class_name}" for class_name in classes for name in known if _is_shown(name)]
        if figure == "loss":
            return "min"
        if figure not in known and figure not in of_classes:
            raise unknown_name("metric of objects", figure, [*known, "loss", *of_classes])
        return "max"

    @property
    def boxes(self) -> Literal["refuse", "fill"]:
        """Boxes are all that a detector without masks learns."""
        return "refuse" if self.has_masks else "fill"

    def suited(self, dataset: Dataset) -> Dataset:
        """Return a dataset of objects: of masks of classes, each connected region is taken for one."""
        if dataset.settings.get("unverified") == "ignore":
            dataset = replace(dataset, notes=(*dataset.notes, _UNVERIFIED))
        found = [sample.objects for sample in dataset.samples if sample.is_annotated]
        if None not in found or not all(isinstance(each, ConnectedRegions | None) for each in found):
            return dataset
        known = dataset.class_map  # as the model was trained, where there is one
        classes = dataset.object_classes if known.stuff else None
        return dataset.as_instances(classes=classes, smallest_pixels=known.smallest_pixels or SMALLEST_PIXELS)

    def check_settings(self, settings: FitSettings) -> None:
        """Refuse what is for pixels."""
        for name in ("loss", "class_weights", "oversample"):
            default = FitSettings.model_fields[name].default
            if getattr(settings, name) != default:
                raise ConfigError(
                    f"{name}={getattr(settings, name)!r} is for models that give each pixel a class; a detector has "
                    f"losses of its own. Take {name} out."
                )

    def set_up(
        self,
        dataset: Dataset,
        validation: Dataset,
        model_settings: ModelSettings,
        preprocessing: Preprocessing,
        model: Model | None,
    ) -> SetUp:
        """Build a detector with anchors of the objects' sizes, or see whether the one there is suits them."""
        sizes = measure_objects(dataset, preprocessing)
        classes = dataset.object_classes
        refuse_unlearnable(sizes, num_classes=len(classes))
        measured = measure_objects(validation, preprocessing)
        refuse_unmeasurable(measured)
        canvas_hw = canvas_of(dataset, preprocessing)
        if model is None:
            anchors = anchors_for(sizes, canvas_hw, model_settings.weights)
            plan = DetectorPlan(anchors=anchors, limits=DetectionLimits(per_image=detections_for(sizes)))
            model = build_model(model_settings, num_classes=len(classes), weights=model_settings.weights, plan=plan)
        fit = measure_anchors(_instance_model(model).anchors, sizes.boxes, canvas_hw=canvas_hw)
        most = _instance_model(model).plan.limits.per_image
        about = notes_on_objects(sizes, detections_per_image=most, most_objects=most_learnt(canvas_hw))
        notes = (
            *about,
            *notes_on_unseen(sizes, measured, classes),
            note_on_size(sizes, preprocessing),
            anchor_note(fit),
        )
        return SetUp(model, (*notes, *note_on_merged(dataset, sizes)))

    def losses(self, dataset: Dataset, settings: FitSettings, world: World) -> Callable[[Model], None]:
        """Return a function that gives a detector the sum over all processes; its losses are its own."""

        def give(model: Model) -> None:
            _instance_model(model).total = world.total if world.size > 1 else None

        return give

    def loss_words(self, settings: FitSettings) -> str:
        """Return nothing: a detector's losses are its own."""
        return ""

    def augmentation(self, settings: FitSettings, preprocessing: Preprocessing, *, seed: int) -> InstanceAugmentation:
        """Return what changes training images and objects at random."""
        return build_instance_augmentation(settings.augment, preprocessing=preprocessing, seed=seed)

    def order(self, order: Order, dataset: Dataset, preprocessing: Preprocessing, *, batch_size: int) -> Order:
        """Let upright images share batches where every image keeps its size, so that little is filled up."""
        if preprocessing.resize is not None:
            return order
        sizes = [dataset.size_hw(index) for index in range(len(dataset))]
        return lambda epoch: grouped_by_shape(order(epoch), sizes, batch_size=batch_size)

    def evaluation(self, request: MeasuringRequest) -> ObjectMeasuring:
        """Prepare an evaluation at the images' original sizes."""
        dataset, fitted, world = request.dataset, request.fitted, request.world
        classes = tuple(fitted.class_map.object_classes)
        channels = fitted.preprocessing.in_channels
        images = AnnotatedObjects(
            len(dataset), lambda i: (dataset.image(i, channels), dataset.truth(i)), len(classes), self.has_masks
        )
        evaluation = ObjectEvaluation(
            images,
            preprocessing=fitted.preprocessing,
            compute=request.compute,
            batch_size=request.batch_size,
            limits=_limits(fitted, mask_threshold=request.threshold),
            threads=read_threads(),
            keep=request.keep,
            sharing=world if world.size > 1 else None,
        )
        return ObjectMeasuring(evaluation, classes)

    def training_sample(self, dataset: Dataset, count: int) -> Dataset | None:
        """Return some of the training images, as many as were measured and not too many."""
        count = min(count, len(dataset), _TRAINING_SAMPLE)
        places = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int)).tolist()
        return replace(dataset, samples=chosen(dataset.samples, places)) if places else None

    def bytes_to_keep(self, dataset: Dataset, preprocessing: Preprocessing) -> int:
        """Return how much memory an evaluation takes that keeps its images; run lengths take next to nothing."""
        sizes = (preprocessing.place(dataset.size_hw(index)).canvas_hw for index in range(len(dataset)))
        return sum(height * width * preprocessing.in_channels for height, width in sizes)

    def results(
        self,
        fitted: FittedModel,
        sources: Iterable[Source],
        settings: PredictSettings,
        *,
        compute: Compute,
        batch_size: int,
        watch: Stopwatch,
    ) -> Generator[InstanceResult, None, None]:
        """Yield a result for each source, in order."""
        preprocessing, network = fitted.preprocessing, _instance_model(fitted.model)
        limited = _Limited(network, score_threshold=settings.score_threshold, nms_iou=settings.nms_iou)
        runner = Predictor(limited, preprocessing=preprocessing, compute=compute, batch_size=batch_size)
        limits = _limits(fitted, mask_threshold=settings.threshold)
        predictor = ObjectPredictor(runner, preprocessing=preprocessing, limits=limits)

        def prepare(one: Source) -> Prepared[tuple[Source, ImageArray]]:
            image = one.pixels(preprocessing.in_channels, preprocessing.value_range)
            return runner.prepare(image, (one, image))

        prepared = ahead(sources, prepare, threads=read_threads(), depth=runner.depth)
        with evaluation_mode(network):
            for found, item in predictor.found(prepared, watch):
                source, image = item.tag
                with watch.on("way back"):
                    objects = predictor.at_original_size(found, item.placement)
                yield InstanceResult(
                    objects,
                    class_names=fitted.class_map.object_classes,
                    size_hw=(image.shape[0], image.shape[1]),
                    image=image,
                    path=source.path,
                )

    def masks_to_show(self, dataset: Dataset, index: int, result: AnyResult) -> tuple[MaskArray, MaskArray, ClassMap]:
        """Return what an image's true and its predicted objects cover, by class."""
        names = cast(InstanceResult, result).class_names
        taken = ClassMap(names=("background", *names), task="multiclass", values=tuple(range(len(names) + 1)))
        truth = annotated(dataset, index)
        return painted(truth), painted(cast(InstanceResult, result)), taken

    def comparison(self, dataset: Dataset, index: int, image: ImageArray, result: AnyResult) -> ImageArray:
        """Return image, truth and prediction side by side."""
        found, truth = cast(InstanceResult, result), annotated(dataset, index, image)
        panels = [panel(picture) for picture in (visualization.as_rgb(image), truth.plot(), found.plot())]
        surely = f"{counted(len(found), 'object')} above {PredictSettings().score_threshold:g}"
        titles = ["image", f"truth: {counted(len(truth), 'object')}", f"prediction: {surely}"]
        return visualization.side_by_side(panels, titles)

    def trial_model(self, settings: ModelSettings, shape: TrialShape) -> Model:
        """Return a model with random weights that can learn."""
        return build_model(settings, num_classes=shape.num_classes, weights=None)

    def trial_batch(self, settings: ModelSettings, shape: TrialShape) -> Batch:
        """Return a batch of noise with squares that it can learn from."""
        count, (height, width) = shape.batch_size, shape.size_hw
        images = torch.randint(0, 256, (count, settings.in_channels, height, width), dtype=torch.uint8)
        targets = tuple(_squares(height, width, max(1, shape.num_objects)) for _ in range(count))
        return Batch(images.contiguous(memory_format=torch.channels_last), targets, tuple(range(count)))


def _is_shown(name: str) -> bool:
    return name.partition("/")[0].endswith(("_ap", "_ap50"))


@dataclass(frozen=True, slots=True)
class _Limited:
    """A detector with the limits of one call; they hold during each pass alone, as several calls may take turns."""

    detector: InstanceModel
    score_threshold: float
    nms_iou: float

    def infer(self, images: torch.Tensor) -> list[RawObjects]:
        with self.detector.limited(score_threshold=self.score_threshold, nms_iou=self.nms_iou):
            return self.detector.infer(images)

    def eval(self) -> InstanceModel:
        return self.detector.eval()

    def modules(self) -> Iterator[nn.Module]:
        return self.detector.modules()


def _limits(fitted: FittedModel, *, mask_threshold: float) -> ObjectLimits:
    """Return what is kept of what a detector finds, which has limits of its own."""
    most = _instance_model(fitted.model).plan.limits.per_image
    return ObjectLimits(mask_threshold=mask_threshold, max_detections=most)


def _squares(height: int, width: int, count: int) -> InstanceTarget:
    side = max(2, min(height, width) // 8)
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    tops = torch.linspace(0, height - side, count).long()
    lefts = torch.linspace(0, width - side, count).long()
    for mask, top, left in zip(masks, tops.tolist(), lefts.tolist(), strict=True):
        mask[top : top + side, left : left + side] = 1
    boxes = torch.stack([lefts, tops, lefts + side, tops + side], dim=1).float()
    return InstanceTarget(boxes, torch.zeros(count, dtype=torch.int64), masks, torch.zeros(count, dtype=torch.bool))


def _instance_model(model: Model) -> InstanceModel:
    return cast(InstanceModel, model)  # this is the work of no other
