"""What the segmenter asks of either kind of work: giving each pixel a class, and finding objects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from easyseg.config import FitSettings, ModelSettings, PredictSettings
from easyseg.data.batches.loaders import Order, Preparation, TrainingLoader
from easyseg.data.batches.sampling import Part
from easyseg.data.dataset import Dataset
from easyseg.devices import Compute
from easyseg.metrics import Direction
from easyseg.prediction.predictor import Stopwatch
from easyseg.prediction.sources import Source
from easyseg.preprocessing import Preprocessing
from easyseg.results import InstanceReport, InstanceResult, Report, SemanticResult
from easyseg.segmenter.building import Model
from easyseg.segmenter.fitted import FittedModel
from easyseg.structures import Batch, ClassMap, ImageArray, MaskArray, SizeHW, Task
from easyseg.training.distributed import World

AnyReport: TypeAlias = Report | InstanceReport
AnyResult: TypeAlias = SemanticResult | InstanceResult


@dataclass(frozen=True, slots=True)
class LoaderRequest:
    """What a loader of training batches is made from.

    Attributes:
        dataset: the training images.
        preprocessing: brings them to the network's canvas.
        augmentation: what `Work.augmentation` returned.
        order: which image comes when.
        batch_size: images in a batch.
        preparation: how batches come about.
        part: which part of each batch is wanted here.
    """

    dataset: Dataset
    preprocessing: Preprocessing
    augmentation: Any
    order: Order
    batch_size: int
    preparation: Preparation
    part: Part

    def loader(self) -> TrainingLoader:
        """Prepare the way."""
        return TrainingLoader(
            self.dataset,
            preprocessing=self.preprocessing,
            augmentation=self.augmentation,
            order=self.order,
            batch_size=self.batch_size,
            preparation=self.preparation,
            part=self.part,
        )


@dataclass(frozen=True, slots=True)
class MeasuringRequest:
    """What an evaluation is made from.

    Attributes:
        dataset: the images to measure on, all of them.
        fitted: the model, whose weights may change between two evaluations.
        compute: device and number format.
        batch_size: images per forward pass.
        threshold: probability from which a pixel counts, in 0..1.
        keep: keep what was read in memory after the first time.
        has_loss: report the training loss, too.
        world: the processes that measure together.
    """

    dataset: Dataset
    fitted: FittedModel
    compute: Compute
    batch_size: int
    threshold: float
    keep: bool
    has_loss: bool
    world: World


@dataclass(frozen=True, slots=True)
class TrialShape:
    """What decides how much memory a training step takes, beside the model.

    Attributes:
        num_classes: to tell apart.
        task: decides the loss.
        batch_size: images in a batch.
        size_hw: height and width of the images in pixels.
        num_objects: in an image, each with a mask of its own.
    """

    num_classes: int
    task: Task
    batch_size: int
    size_hw: SizeHW
    num_objects: int = 0


@dataclass(frozen=True, slots=True)
class SetUp:
    """A model that is ready to learn from a dataset, and lines for people on how it was set up from the data."""

    model: Model
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a report says beside the figures.

    Attributes:
        dataset: the images that were measured.
        split: what they are called.
        details: show every image's scores, too.
        origin: how a split that was drawn came about.
        training: the same measured on training images.
    """

    dataset: Dataset
    split: str
    details: bool = False
    origin: str = ""
    training: Measured | None = None


class Measured(Protocol):
    """What an evaluation found."""

    def figures(self) -> dict[str, float]:
        """Return every figure that can be monitored, by name."""
        ...

    def report(self, occasion: Occasion) -> AnyReport:
        """Return the report on the images that were measured."""
        ...


class Evaluating(Protocol):
    """An evaluation that can be repeated."""

    def measure(self, model: Model, poll: Callable[[], None] = lambda: None) -> Measured:
        """Measure the model as it is now; its mode is as before afterwards.

        Args:
            model: the network.
            poll: called after every image; may raise, to break the evaluation off.
        """
        ...


class Work(Protocol):
    """What differs between the two kinds of work."""

    @property
    def usual_batch_sizes(self) -> tuple[int, int]:
        """Images per step where nobody chose: on a CPU, on a GPU."""
        ...

    @property
    def floor(self) -> float:
        """What a model scores by figures of which more is better while it has learnt nothing: never the best one."""
        ...

    @property
    def usual_learning_rate(self) -> float:
        """The highest rate of all but the encoder, with Adam, where nobody chose one."""
        ...

    def objects_per_image(self, dataset: Dataset) -> int:
        """Return how many objects images have; few have more. 0 where objects are not told apart."""
        ...

    @property
    def monitor(self) -> str:
        """The figure that decides which epoch is best where nobody chose one."""
        ...

    def direction_of(self, figure: str, class_names: Sequence[str]) -> Direction:
        """Return whether more or less of a figure is better.

        Raises:
            UnknownNameError: there is no such figure; the message offers the nearest one.
        """
        ...

    @property
    def boxes(self) -> Literal["refuse", "fill"]:
        """What objects are of which only the box is annotated; see `load_dataset`."""
        ...

    def suited(self, dataset: Dataset) -> Dataset:
        """Return the dataset as this work needs it.

        Raises:
            DataError: it does not hold what is to be learnt; the message says what does.
        """
        ...

    def check_settings(self, settings: FitSettings) -> None:
        """Refuse what has no effect on this work, or makes none of it.

        Raises:
            ConfigError: a setting is for the other kind.
        """
        ...

    def set_up(
        self,
        dataset: Dataset,
        validation: Dataset,
        model_settings: ModelSettings,
        preprocessing: Preprocessing,
        model: Model | None,
    ) -> SetUp:
        """Build a model for the classes of a dataset and what it shows, or look at how the one there is suits it.

        Args:
            dataset: the training images.
            validation: those to measure on.
            model_settings: of the model.
            preprocessing: brings images to the network's canvas.
            model: the one to go on with, None for a new one.

        Raises:
            DataError: there is nothing to learn from, or nothing to measure.
        """
        ...

    def losses(self, dataset: Dataset, settings: FitSettings, world: World) -> Callable[[Model], None]:
        """Return what lets a model know what it is to minimise; called before there is one, so mistakes cost none.

        Raises:
            ConfigError, UnknownNameError: a setting is wrong.
        """
        ...

    def loss_words(self, settings: FitSettings) -> str:
        """Return what the log adds on the loss, beginning with a comma; empty where there is nothing to choose."""
        ...

    def augmentation(self, settings: FitSettings, preprocessing: Preprocessing, *, seed: int) -> Any:
        """Return what changes training images at random, for `loader`.

        Raises:
            ConfigError, UnknownNameError: the setting stands for none.
        """
        ...

    def order(self, order: Order, dataset: Dataset, preprocessing: Preprocessing, *, batch_size: int) -> Order:
        """Return which image comes when, so that those in a batch go together."""
        ...

    def evaluation(self, request: MeasuringRequest) -> Evaluating:
        """Prepare an evaluation."""
        ...

    def training_sample(self, dataset: Dataset, count: int) -> Dataset | None:
        """Return the training images to measure beside `count` others, for comparison; None where that tells little."""
        ...

    def bytes_to_keep(self, dataset: Dataset, preprocessing: Preprocessing) -> int:
        """Return how much memory an evaluation takes that keeps what it has read."""
        ...

    def results(
        self,
        fitted: FittedModel,
        sources: Iterable[Source],
        settings: PredictSettings,
        *,
        compute: Compute,
        batch_size: int,
        watch: Stopwatch,
    ) -> Generator[AnyResult, None, None]:
        """Yield a result for each source, in order."""
        ...

    def masks_to_show(self, dataset: Dataset, index: int, result: AnyResult) -> tuple[MaskArray, MaskArray, ClassMap]:
        """Return an image's truth and a prediction as masks that can be drawn beside each other, and their classes."""
        ...

    def comparison(self, dataset: Dataset, index: int, image: ImageArray, result: AnyResult) -> ImageArray:
        """Return image, truth and prediction side by side, (H', W', 3) uint8."""
        ...

    def trial_model(self, settings: ModelSettings, shape: TrialShape) -> Model:
        """Return a model with random weights that can learn, to try how much memory that takes."""
        ...

    def trial_batch(self, settings: ModelSettings, shape: TrialShape) -> Batch:
        """Return a batch of noise that it can learn from."""
        ...
