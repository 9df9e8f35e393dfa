"""The class most people ever need; it joins the library's parts and computes nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from easyseg.config import Auto, EvaluateSettings, FitSettings, ModelSettings, PredictSettings, RateFinderSettings
from easyseg.config.parts import read_selectors
from easyseg.config.stages import Stage
from easyseg.devices import Compute, resolve_compute
from easyseg.errors import ModelError
from easyseg.io.checkpoints import save_checkpoint
from easyseg.models.assembly import check_pair, check_weights
from easyseg.models.registry import find_encoder, find_model
from easyseg.models.summary import Summary
from easyseg.prediction.sources import is_single
from easyseg.reports.run_folder import find_run
from easyseg.results import History, LearningRateCurve
from easyseg.results.words import counted
from easyseg.segmenter.arguments import check_arguments
from easyseg.segmenter.building import Model
from easyseg.segmenter.evaluating import evaluate_split
from easyseg.segmenter.fitted import FittedModel, read_fitted, summarize_any
from easyseg.segmenter.fitting import run_training
from easyseg.segmenter.predicting import predict_part
from easyseg.segmenter.rate_finding import find_learning_rate
from easyseg.segmenter.staging import freeze_parts
from easyseg.segmenter.tasks import AnyReport
from easyseg.structures import ClassMap


class Segmenter:
    """An image segmentation model that trains, measures, predicts, saves and loads.

    Nothing is read, downloaded or put on a device until a verb needs it; names and pairs that cannot work are refused
    at once.

    Args:
        model: architecture, see `easyseg.list_models()`.
        encoder: backbone, see `easyseg.list_encoders()`; any of smp's and timm's that fits the architecture.
        classes: class names in the order of their ids; None takes them from the data at the first `fit`.
        weights: to start from: "imagenet", "coco" (torchvision's models), None (random), or a .safetensors file's path.
        image_size: height and width the network sees in pixels; one number means a square.
        in_channels: channels of the images.
        resize: how an image comes to `image_size`: "pad", "crop", "stretch", or None to keep every size.
        normalize: by the mean and deviation of what the "encoder" was trained on, or of the "dataset" to train on.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        seed: decides random weights, the split, the order of images and their augmentation.

    Attributes:
        settings: the arguments above, checked.
        class_map: the classes and how mask values become them; None before the first `fit`.
        history: what the last `fit` returned; None before.

    Raises:
        ConfigError: an argument is out of range.
        UnknownNameError: there is no such architecture or encoder; the message names the nearest.
        ModelError: architecture and encoder do not go together; the message names pairs that do.
        WeightsError: there are no such weights; the message names those there are.

    Example:
        >>> from easyseg import Segmenter
        >>> segmenter = Segmenter("unet", "resnet50")
        >>> segmenter.fit("data/camvid", epochs=60)  # doctest: +SKIP
        >>> segmenter.predict("street.jpg").save("street.png")  # doctest: +SKIP
    """

    @check_arguments
    def __init__(
        self,
        model: str = "unet",
        encoder: str | None = "resnet34",
        *,
        classes: Sequence[str] | None = None,
        weights: str | Path | None = "imagenet",
        image_size: int | tuple[int, int] | None = (512, 512),
        in_channels: int = 3,
        resize: Literal["pad", "crop", "stretch"] | None = "pad",
        normalize: Literal["encoder", "dataset"] = "encoder",
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        seed: int = 0,
    ) -> None:
        self.settings = ModelSettings.collect(locals())
        entry = find_model(self.settings.model)
        backbone = find_encoder(self.settings.encoder, entry)
        check_pair(entry, backbone)
        check_weights(entry, backbone, self.settings.weights)
        self.history: History | None = None
        self._fitted: FittedModel | None = None
        self._frozen: tuple[str, ...] = ()
        self._chosen: Compute | None = None

    @property
    def class_map(self) -> ClassMap | None:
        """The classes and how mask values become them; None before the first `fit`."""
        return self._fitted.class_map if self._fitted else None

    @property
    def classes(self) -> list[str] | None:
        """The classes' names in the order of their ids; None where neither the user nor the data has named them."""
        return list(self._fitted.class_map.names) if self._fitted else self.settings.classes

    @property
    def compute(self) -> Compute:
        """The device and the number format; chosen when first needed."""
        self._chosen = self._chosen or resolve_compute(self.settings.device, self.settings.precision)
        return self._chosen

    @property
    def network(self) -> Model:
        """The torch module: images (N, C, H, W) with values 0..255 to logits (N, classes, H, W).

        Raises:
            ModelError: the model has not been trained or loaded.
        """
        return self._ready().model

    @check_arguments
    def fit(
        self,
        data: Any,
        validation: Any = None,
        *,
        epochs: int = 50,
        batch_size: int | Auto = "auto",
        learning_rate: float | Auto = "auto",
        encoder_learning_rate: float | Auto = "auto",
        loss: str | Callable[..., Any] = "auto",
        optimizer: Literal["adamw", "adam", "sgd"] = "adamw",
        adam_epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        schedule: Literal["onecycle", "cosine", "poly", "step", "constant"] = "onecycle",
        stages: Sequence[Stage | Mapping[str, Any]] | Literal["fine_tune"] | None = None,
        freeze: str | Sequence[str] | None = None,
        augment: Any = "standard",
        oversample: float = 0.0,
        patience: int | None = 10,
        monitor: str = "auto",
        min_delta: float = 0.0,
        check_best_cooldown: int = 0,
        evaluate_every: int | str = 1,
        ema: bool | float = False,
        accumulate: int = 1,
        clip_gradients: float | None = 1.0,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
        workers: int | Auto = "auto",
        cache: Literal["auto", "ram", "disk", "none"] = "auto",
        compile: bool = False,
        sync_batchnorm: bool = False,
        deterministic: bool = False,
        time_budget: float | None = None,
        overfit_batches: int | None = None,
        resume: bool | Auto = "auto",
        checkpoint_every_seconds: float = 300.0,
        run_dir: str | Path | None = "auto",
        callbacks: Any = (),
        loggers: Any = (),
        verbose: bool | Auto = "auto",
    ) -> History:
        """Train, keep the best epoch's weights, and write a run folder.

        A second call goes on from the weights of the first. Returns a `History`, as Keras does; it plots itself. After
        an error or Ctrl-C the best model so far is kept; without one, the model is as before.

        Args:
            data: a folder, a `Dataset`, a list of `Sample`, a pair of arrays (N, H, W, C), (N, H, W), a torch dataset.
            validation: the same, for validation only; None takes the validation split of `data`.
            epochs: passes over the training images.
            batch_size: images per step, on all devices together.
            learning_rate: the highest of the schedule.
            encoder_learning_rate: the same for the encoder; "auto": a tenth where it is pretrained, else the same.
            loss: by name, with "+" for sums, such as "ce+dice", or a function (logits, targets) -> scalar.
            optimizer: "adamw", "adam" or "sgd".
            adam_epsilon: epsilon of Adam and AdamW.
            weight_decay: decoupled weight decay.
            schedule: course of the learning rate: "onecycle", "cosine", "poly", "step", "constant".
            stages: a list of `Stage`, or of dicts of what it takes; "fine_tune": the new parts first, then more of all.
            freeze: parts that do not learn, see `Stage`; those of `Segmenter.freeze` come on top.
            augment: "none", "light", "standard", "strong", "aerial", "medical", or an albumentations Compose.
            oversample: share of training images (0..1) drawn by their rarest class.
            patience: stop after so many evaluations without a better one; None: never.
            monitor: the figure that decides which epoch is best, such as "mean_iou", "val_loss", "iou/road", "mask_ap".
            min_delta: the smallest change of it that counts as better.
            check_best_cooldown: so many first epochs are never the best one.
            evaluate_every: epochs between evaluations, or steps: "500 steps".
            ema: keep a moving average of the weights and use it; True, or its decay per step.
            accumulate: batches per optimizer step.
            clip_gradients: largest gradient norm; None: no limit.
            class_weights: weight of each class in the loss, or "balanced".
            workers: processes that prepare batches.
            cache: "ram" keeps decoded images in memory, "disk" in the user's cache folder; "auto": where they fit.
            compile: compile the network with torch.compile.
            sync_batchnorm: on several GPUs, normalise over the images of all of them.
            deterministic: refuse operations that are not repeatable.
            time_budget: train for so many seconds, whatever `epochs` says; the schedule fits itself to it.
            overfit_batches: train and measure on the images of so many batches alone, without augmentation: a trial.
            resume: "auto" goes on where this very training was interrupted; True: there must be one; False: never.
            checkpoint_every_seconds: of training between two checkpoints; one is saved at the ends of epochs, too.
            run_dir: folder for the results; "auto": a new one below "runs"; None: none, and nothing to resume.
            callbacks: observers, see `easyseg.callbacks`.
            loggers: "tensorboard", "wandb", "mlflow", or loggers from `easyseg.loggers`; one, or a list.
            verbose: progress bar and messages; "auto": a bar only on a terminal.

        Raises:
            DataError: something about the dataset; the message names the file and what to type.
            ConfigError: a setting is out of range or does not fit the data.
            WeightsError: the pretrained weights cannot be had.
            TrainingError: the loss stopped being a finite number.
            OutputError: the run folder cannot be written.
        """
        settings = FitSettings.collect(locals()).with_frozen(self._frozen)
        try:
            return run_training(
                data,
                validation,
                settings,
                model_settings=self.settings,
                compute=self.compute,
                fitted=self._fitted,
                hand_over=self._take,
            )
        finally:
            self._set_frozen(self._frozen)  # what the last stage froze is free again

    @check_arguments
    def find_learning_rate(  # noqa: D417 - what `fit` takes, too, is described there
        self,
        data: Any,
        *,
        lowest: float = 1e-7,
        highest: float = 10.0,
        steps: int = 100,
        batch_size: int | Auto = "auto",
        loss: str | Callable[..., Any] = "auto",
        optimizer: Literal["adamw", "adam", "sgd"] = "adamw",
        augment: Any = "standard",
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
        workers: int | Auto = "auto",
    ) -> LearningRateCurve:
        """Find a good learning rate: train for a moment while it rises, and see where the loss falls.

        The model stays as it is. See `curve.suggestion` and `curve.plot()`. What is not named below is as for `fit`.

        Args:
            data: as for `fit`.
            lowest: learning rate of the first batch.
            highest: learning rate of the last batch; the sweep ends before where the loss diverges.
            steps: batches.

        Raises:
            DataError: something about the dataset; the message names the file and what to type.
            ConfigError: a setting is out of range or does not fit the data.
        """
        settings = RateFinderSettings.collect(locals())
        return find_learning_rate(
            data, settings, model_settings=self.settings, compute=self.compute, fitted=self._fitted, frozen=self._frozen
        )

    @check_arguments
    def evaluate(
        self,
        data: Any,
        *,
        split: Literal["train", "val", "test", "all"] = "val",
        batch_size: int | Auto = "auto",
        threshold: float = 0.5,
        details: bool = False,
    ) -> AnyReport:
        """Measure the model on annotated images, each at its original size.

        Args:
            data: as for `fit`. Data in memory that the model was trained on is parted as then; other such data without
                splits is measured whole.
            split: part of the dataset to measure on; "all" for a folder of images that training never saw.
            batch_size: images per forward pass; "auto" takes the one of training, so that figures agree to the bit.
            threshold: probability from which a pixel counts (binary and multilabel), in 0..1.
            details: the report shows every image's scores, too.

        Raises:
            ModelError: the model has not been trained or loaded.
            DataError: something about the dataset; the message names the file and what to type.
        """
        settings = EvaluateSettings.collect(locals())
        return evaluate_split(self._ready(), data, settings, compute=self.compute)

    @check_arguments
    def predict(
        self,
        source: Any,
        *,
        batch_size: int | Auto = "auto",
        threshold: float = 0.5,
        score_threshold: float = 0.5,
        nms_iou: float = 0.5,
        recursive: bool = True,
    ) -> Any:
        """Segment images.

        Args:
            source: an image file, an (H, W, C) uint8 RGB array, a PIL image; a folder, a pattern, an iterable of these.
            batch_size: images per forward pass.
            threshold: probability from which a pixel counts (binary and multilabel; objects), in 0..1.
            score_threshold: objects with a lower score are left out, in 0..1.
            nms_iou: of two objects of a class that overlap more than this IoU, the less certain is left out.
            recursive: look into the folders of a folder, too.

        Returns:
            a `SemanticResult` of one image, a detector's `InstanceResult`; of several an iterator that reads ahead.

        Raises:
            ModelError: the model has not been trained or loaded.
            DataError: there is nothing to predict on, or an image cannot be used.
        """
        settings = PredictSettings.collect(locals())
        results = predict_part(self._ready(), source, settings, compute=self.compute)
        return next(results) if is_single(source) else results

    def freeze(self, parts: str | Sequence[str]) -> None:
        """Keep parts of the model as they are from now on, in every `fit` and all its stages.

        A frozen part is in evaluation mode, too: its normalisation keeps its statistics, and its dropout is off.

        Args:
            parts: such as "encoder", "encoder[0]", ["encoder[:2]", "*.bn1.*"]; see `Stage`.

        Raises:
            UnknownNameError: there is no such part; the message names the nearest.
        """
        self._set_frozen((*self._frozen, *read_selectors(parts)))

    def unfreeze(self, parts: str | Sequence[str] = "all") -> None:
        """Let parts of the model learn again.

        Args:
            parts: as for `freeze`.

        Raises:
            UnknownNameError: there is no such part; the message names the nearest.
        """
        selectors = read_selectors(parts)
        self._set_frozen(() if "all" in selectors else (*self._frozen, *(f"not {part}" for part in selectors)))

    def save(self, path: str | Path) -> Path:
        """Save the model as one .safetensors file with everything needed to use it; returns the file's path.

        Raises:
            ModelError: the model has not been trained or loaded.
            OutputError: the file cannot be written.
        """
        fitted = self._ready()
        return save_checkpoint(path, fitted.model.state_dict(), fitted.header(self.settings))

    @classmethod
    @check_arguments
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    ) -> Self:
        """Load a model that `save` or `fit` wrote. Runs no code from the file and makes no network call.

        Args:
            path: a .safetensors file, a run folder, or "runs/last".
            device: where to run it.
            precision: what to compute in.

        Raises:
            CheckpointError: the file is missing, damaged, or no easyseg model.
        """
        settings, fitted = read_fitted(find_run(path))
        segmenter = cls(**{**dict(settings), "device": device, "precision": precision})
        segmenter._fitted = fitted.on(segmenter.compute)
        return segmenter

    def summary(self) -> Summary:
        """Return the model's parts, parameters and multiply-adds; before `fit`, as it would be built for one class."""
        return summarize_any(self._fitted, self.settings)

    def __repr__(self) -> str:
        state = counted(len(self.classes or []), "class", "classes") if self._fitted else "not trained"
        return f"Segmenter({self.settings.model!r}, {self.settings.encoder!r}): {state}"

    def _take(self, fitted: FittedModel, history: History) -> None:
        self._fitted, self.history = fitted, history

    def _set_frozen(self, selectors: tuple[str, ...]) -> None:
        if self._fitted is not None:  # without a model, its parts are looked up when there is one
            freeze_parts(self._fitted.model, selectors)
        self._frozen = selectors

    def _ready(self) -> FittedModel:
        if self._fitted is None:
            raise ModelError("There is no trained model yet. Type segmenter.fit(data) first, or Segmenter.load(path).")
        return self._fitted
