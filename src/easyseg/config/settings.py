"""The settings of each verb, declared once: type, range, default and help.

`Segmenter(...)`, `fit(...)`, `evaluate(...)`, `predict(...)`, YAML files, the command line, `config.yaml` in a run
folder and the tables in the documentation all take their settings from the classes below.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from easyseg.config.base import Settings
from easyseg.config.kinds import Auto, Count, Fraction, Positive, Schedule
from easyseg.config.parts import read_selectors
from easyseg.config.stages import Stage, read_stages


class ModelSettings(Settings):
    """What `Segmenter(...)` takes."""

    model: str = Field("unet", description="Architecture; see list_models() or `easyseg list models`.")
    encoder: str | None = Field("resnet34", description="Backbone; see list_encoders() or `easyseg list encoders`.")
    classes: list[str] | None = Field(None, description="Class names in the order of their ids; None: from the data.")
    weights: str | None = Field(
        "imagenet", description='"imagenet", "coco", None (random), or the path of a .safetensors file.'
    )
    image_size: tuple[Count, Count] | None = Field(
        (512, 512), description="Height and width the network sees, in pixels; one number means a square."
    )
    in_channels: Annotated[int, Field(ge=1, le=64)] = Field(3, description="Channels of the images: 3 for RGB.")
    resize: Literal["pad", "crop", "stretch"] | None = Field(
        "pad",
        description='How an image comes to image_size: "pad" scales it to fit and fills up, "crop" trains on random '
        'crops at full resolution, "stretch" ignores the aspect ratio, None keeps every size.',
    )
    normalize: Literal["encoder", "dataset"] = Field(
        "encoder",
        description="Normalise by the mean and deviation of the images the encoder's weights were trained on, or of "
        "the dataset's training images.",
    )
    device: str = Field("auto", description='"auto", "cpu", "cuda", "cuda:1", "mps".')
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Arithmetic of the forward pass; auto: bf16 where the processor has it."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="Decides weights, split, order, augmentation.")

    @field_validator("image_size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        return (value, value) if isinstance(value, int) else value

    @field_validator("weights", mode="before")
    @classmethod
    def _path_as_text(cls, value: object) -> object:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @model_validator(mode="after")
    def _size_where_it_is_needed(self) -> Self:
        if self.image_size is None and self.resize is not None:
            raise ValueError(
                f"image_size=None leaves resize={self.resize!r} without a size to come to. To keep every image at its "
                "own size, type resize=None; else give a size, such as image_size=512."
            )
        return self


class DataSettings(Settings):
    """What `load_dataset(...)` takes beside the path; `classes` and `seed` stand among the model's settings."""

    format: str = Field("auto", description="Dataset format, such as folders, coco or yolo; auto: found out.")
    images: str | Path | None = Field(None, description="Folder of the images, where it is not found by its name.")
    masks: str | Path | None = Field(None, description="Folder of the masks, where it is not found by its name.")
    annotations: str | Path | None = Field(
        None, description="Annotation file to use where a dataset has several, or a pattern such as *_multiclass.json."
    )
    class_attribute: str | None = Field(
        None, description="Attribute that holds the class, in VGG Image Annotator and GeoJSON files; None: found out."
    )
    class_map: Any = Field(
        None,
        description="Mask values, RGB colours or objects of each class, such as {road: 1, car: [2, 3], other: rest}.",
    )
    ignore: Any = Field(
        None, description="Mask values, RGB colours or names of objects that do not count, such as [255]."
    )
    task: Literal["auto", "binary", "multiclass", "multilabel"] = Field(
        "auto", description="One class, classes that exclude each other, or overlapping classes; auto: found out."
    )
    unlabelled: Literal["auto", "background", "skip"] = Field(
        "auto",
        description="Images without any annotation: pictures of the background, or left out; auto: as is usual in the "
        "format.",
    )
    unverified: Literal["background", "ignore"] = Field(
        "background",
        description="Pixels outside of all masks in Open Images, where nobody looked for all objects: background, or "
        "not counted.",
    )
    boxes: Literal["refuse", "fill"] = Field(
        "refuse",
        description="Objects of which only the box is annotated: an error, or taken to fill it, as detectors of boxes "
        "(faster_rcnn) need.",
    )
    object_classes: list[str] | None = Field(
        None, description="In masks of classes: those whose connected regions are objects; None: all but backgrounds."
    )
    smallest_pixels: Count | None = Field(
        None,
        description="In masks of classes: connected regions of fewer pixels are specks and no objects; None: 16.",
    )
    on_bad_sample: Literal["error", "skip"] = Field(
        "error", description="What a sample that cannot be used does: stop with an error, or be left out and listed."
    )
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Share of the images put aside for validation where the dataset has no split of its own."
    )
    value_range: tuple[float, float] | tuple[tuple[float, float], ...] | Auto = Field(
        "auto",
        description="Numbers in the images that become black and white, or a pair for each channel; auto: bytes as "
        "they are, others by what some of the images hold.",
    )

    @field_validator("value_range")
    @classmethod
    def _rising(cls, value: Any) -> Any:
        if value == "auto":
            return value
        pairs = value if not value or isinstance(value[0], tuple) else [value]
        if not pairs or not all(math.isfinite(low) and math.isfinite(high) and low < high for low, high in pairs):
            raise ValueError("expected a low and a higher number such as [0, 4095]")
        return value


class FitSettings(Settings):
    """What `Segmenter.fit(...)` takes beside the data."""

    epochs: Count = Field(50, description="Passes over the training images.")
    batch_size: Count | Auto = Field("auto", description="Images per step, on all devices together.")
    learning_rate: Positive | Auto = Field("auto", description="Highest learning rate of the schedule.")
    encoder_learning_rate: Positive | Auto = Field(
        "auto", description="The same for the encoder; auto: a tenth where it is pretrained, else the same."
    )
    loss: str | Callable[..., Any] = Field(
        "auto", description='Loss by name, sums with "+", such as "ce+dice"; or a function (logits, target) -> scalar.'
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="Optimizer.")
    adam_epsilon: Positive = Field(1e-8, description="Epsilon of Adam and AdamW.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.01, description="Decoupled weight decay.")
    schedule: Schedule = Field("onecycle", description="Course of the learning rate over the run.")
    stages: tuple[Stage, ...] | Literal["fine_tune"] | None = Field(
        None, description="Train in stages; fine_tune: head first, then the encoder's top, then everything."
    )
    freeze: tuple[str, ...] | None = Field(
        None, description="Parts that do not learn, such as encoder, or encoder[0]; in stages, too."
    )
    augment: Any = Field(
        "standard", description="none, light, standard, strong, aerial, medical, or an albumentations Compose."
    )
    oversample: Fraction = Field(
        0.0, description="Share of training images drawn by their rarest class instead of evenly."
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        10, description="Stop after so many evaluations without a better one; None: never."
    )
    monitor: str = Field(
        "auto",
        description="Figure that decides which epoch is best; auto: mean_iou, of objects mask_ap or box_ap.",
    )
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="Smallest change of it that counts as better.")
    check_best_cooldown: Annotated[int, Field(ge=0)] = Field(
        0, description="So many first epochs are never the best one."
    )
    evaluate_every: int | str = Field(
        1, description='Evaluate every so many epochs, or every so many steps: 2, or "500 steps".'
    )
    ema: bool | Annotated[float, Field(gt=0, lt=1)] = Field(
        False, description="Keep a moving average of the weights and use it; True, or its decay per step."
    )
    accumulate: Count = Field(1, description="Batches per optimizer step.")
    clip_gradients: Positive | None = Field(1.0, description="Largest norm of the gradient; None: no limit.")
    class_weights: list[Positive] | Literal["balanced"] | None = Field(
        None, description='Weight of each class in the loss; "balanced": by how rare it is.'
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field("auto", description="Processes that prepare batches.")
    cache: Literal["auto", "ram", "disk", "none"] = Field(
        "auto",
        description="Keep decoded images in memory, or on the disk in the user's cache folder, for later trainings, "
        "too; auto: where they fit into a quarter of what is free.",
    )
    compile: bool = Field(False, description="Compile the network with torch.compile.")
    sync_batchnorm: bool = Field(
        False, description="On several GPUs, normalise over the images of all of them instead of each its own."
    )
    deterministic: bool = Field(False, description="Refuse operations that are not repeatable.")
    time_budget: Positive | None = Field(
        None, description="Train for so many seconds, whatever epochs says; the schedule fits itself to it."
    )
    overfit_batches: Count | None = Field(
        None, description="Train and measure on the images of so many batches alone, without augmentation: a trial."
    )
    resume: bool | Auto = Field(
        "auto",
        description="Go on with the interrupted run of these settings and data; true: there must be one; false: never.",
    )
    checkpoint_every_seconds: Positive = Field(
        300.0, description="Seconds of training between two checkpoints; one is saved at the ends of epochs, too."
    )
    run_dir: str | Path | None = Field("auto", description='Folder for the results; auto: "runs/<date>"; None: none.')
    callbacks: tuple[Any, ...] = Field((), description="Your own observers; see easyseg.callbacks.")
    loggers: tuple[Any, ...] = Field(
        (), description="Where figures and pictures go besides the run folder: tensorboard, wandb, mlflow."
    )
    verbose: bool | Auto = Field("auto", description="Progress bar and messages; auto: a bar only on a terminal.")

    @field_validator("evaluate_every")
    @classmethod
    def _readable_interval(cls, value: int | str) -> int | str:
        evaluation_interval(value)
        return value

    @field_validator("stages", mode="before")
    @classmethod
    def _readable_stages(cls, value: object) -> object:
        return read_stages(value)

    @field_validator("freeze", mode="before")
    @classmethod
    def _known_parts(cls, value: object) -> object:
        return None if value is None or value == () else read_selectors(value)

    @model_validator(mode="after")
    def _stages_have_a_length(self) -> Self:
        if self.stages is not None and self.time_budget is not None:
            raise ValueError("stages and time_budget contradict each other: stages count epochs. Take one of them out.")
        return self

    @model_validator(mode="after")
    def _stages_leave_nothing_without_effect(self) -> Self:
        for name in self.left_to_stages():
            default = type(self).model_fields[name].default
            if getattr(self, name) != default:
                raise ValueError(
                    f"{name}={getattr(self, name)} has no effect, for every stage says its own. Change it in the "
                    "stages, or take it out of those that are to have this one."
                )
        return self

    def with_frozen(self, parts: tuple[str, ...]) -> Self:
        """Return the same with these parts frozen, too."""
        return self.model_copy(update={"freeze": (*parts, *(self.freeze or ())) or None})

    def left_to_stages(self) -> tuple[str, ...]:
        """Return the settings that have no effect, since every stage has its own."""
        if not isinstance(self.stages, tuple):
            return ()
        stages = self.stages
        return tuple(
            name for name in ("epochs", "learning_rate") if all(getattr(stage, name) is not None for stage in stages)
        )

    @field_validator("callbacks", "loggers", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        if value is None or value == "none":
            return ()
        return (value,) if not isinstance(value, (list, tuple)) else tuple(value)


class EvaluateSettings(Settings):
    """What `Segmenter.evaluate(...)` takes beside the data."""

    split: Literal["train", "val", "test", "all"] = Field("val", description="Part of the dataset to measure on.")
    batch_size: Count | Auto = Field("auto", description="Images per forward pass.")
    threshold: Fraction = Field(0.5, description="Probability from which a pixel counts (binary, multilabel, objects).")
    details: bool = Field(False, description="Show the scores of every image, too.")


class PredictSettings(Settings):
    """What `Segmenter.predict(...)` takes beside the source."""

    batch_size: Count | Auto = Field("auto", description="Images per forward pass.")
    threshold: Fraction = Field(0.5, description="Probability from which a pixel counts (binary, multilabel, objects).")
    score_threshold: Fraction = Field(0.5, description="Objects with a lower score are left out (detectors).")
    nms_iou: Fraction = Field(
        0.5,
        description="Of two objects of a class that overlap more than this, the less certain is left out (detectors).",
    )
    recursive: bool = Field(True, description="Look for images in folders inside the source folder, too.")


def evaluation_interval(value: int | str) -> tuple[int, Literal["epochs", "steps"]]:
    """Read `evaluate_every`: 2, "2", "2 epochs" or "500 steps".

    Raises:
        ValueError: it is none of these.
    """
    words = str(value).split()
    number, unit = words[0] if words else "", words[1] if len(words) > 1 else "epochs"
    if len(words) > 2 or not number.isdigit() or int(number) < 1 or unit.rstrip("s") not in ("epoch", "step"):
        raise ValueError('expected a number of epochs such as 2, or of steps such as "500 steps"')
    return int(number), "steps" if unit.startswith("step") else "epochs"
