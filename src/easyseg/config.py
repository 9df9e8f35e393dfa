"""Every setting, declared once: type, range, default and help.

`Segmenter(...)`, `fit(...)`, `evaluate(...)`, `predict(...)`, YAML files, the command line, `config.yaml` in a run
folder and the tables in the documentation all take their settings from the classes below.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeAlias, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from easyseg.errors import ConfigError, closest, unknown_name

Auto: TypeAlias = Literal["auto"]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]

MAX_CONFIG_BYTES = 1_000_000


class Settings(BaseModel):
    """A group of settings: immutable, checked when made, strangers refused with the nearest name."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check `values` and return the settings.

        Raises:
            ConfigError: a value is of the wrong type or out of range; the message names setting, value and help.
            UnknownNameError: a name is no setting of this group.
        """
        for name in values:
            if name not in cls.model_fields:
                raise unknown_name("setting", name, cls.model_fields)
        for name, value in values.items():
            # Python takes True for 1, but who writes epochs=True means something else
            if isinstance(value, bool) and not _takes(cls.model_fields[name].annotation, bool):
                raise ConfigError(_complaint(cls, name, value))
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(_explain(cls, values, error)) from None

    @classmethod
    def collect(cls, scope: Mapping[str, Any]) -> Self:
        """Pick this group's settings out of a function's arguments (`locals()`) and check them."""
        return cls.of({name: scope[name] for name in cls.model_fields if name in scope})

    @classmethod
    def help(cls, name: str) -> str:
        """Return the help text of one setting."""
        return cls.model_fields[name].description or ""

    def changed(self) -> dict[str, Any]:
        """Return, as plain values, the settings that differ from their defaults."""
        default = type(self)().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != default[name]}

    @classmethod
    def expects(cls, name: str) -> str:
        """Return in words what values a setting takes, such as "a whole number of at least 1 or 'auto'"."""
        field = cls.model_fields[name]
        *others, last = _described(field.annotation, field.metadata)
        return f"{', '.join(others)} or {last}" if others else last

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML can hold; objects (a loss function, a transform) become their repr."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields}

    def objects(self) -> dict[str, Any]:
        """Return the settings that hold Python objects, such as a loss function, which YAML has no words for."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if not _is_plain(value)}


class ModelSettings(Settings):
    """What `Segmenter(...)` takes."""

    model: str = Field("unet", description="Architecture; see easyseg.list_models().")
    encoder: str | None = Field("resnet34", description="Backbone; see easyseg.list_encoders().")
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

    format: str = Field("auto", description="Dataset format, such as folders or txt_splits; auto: found out.")
    images: str | Path | None = Field(None, description="Folder of the images, where it is not found by its name.")
    masks: str | Path | None = Field(None, description="Folder of the masks, where it is not found by its name.")
    class_map: Any = Field(None, description="Mask value or RGB colour of each class, such as {road: 1, car: 2}.")
    ignore: Any = Field(None, description="Mask values or RGB colours of pixels that do not count, such as [255].")
    task: Literal["auto", "binary", "multiclass", "multilabel"] = Field(
        "auto", description="One class, classes that exclude each other, or overlapping classes; auto: found out."
    )
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Share of the images put aside for validation where the dataset has no split of its own."
    )


class FitSettings(Settings):
    """What `Segmenter.fit(...)` takes beside the data."""

    epochs: Count = Field(50, description="Passes over the training images.")
    batch_size: Count | Auto = Field("auto", description="Images per step.")
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
    schedule: Literal["onecycle", "cosine", "poly", "step", "constant"] = Field(
        "onecycle", description="Course of the learning rate over the run."
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
    monitor: str = Field("mean_iou", description="Figure that decides which epoch is best.")
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
    cache: Literal["auto", "ram", "none"] = Field("auto", description="Keep decoded images in memory.")
    compile: bool = Field(False, description="Compile the network with torch.compile.")
    deterministic: bool = Field(False, description="Refuse operations that are not repeatable.")
    time_budget: Positive | None = Field(None, description="Train for so many seconds; the schedule fits itself to it.")
    run_dir: str | Path | None = Field("auto", description='Folder for the results; auto: "runs/<date>"; None: none.')
    callbacks: tuple[Any, ...] = Field((), description="Your own observers; see easyseg.callbacks.")
    verbose: bool | Auto = Field("auto", description="Progress bar and messages; auto: a bar only on a terminal.")

    @field_validator("evaluate_every")
    @classmethod
    def _readable_interval(cls, value: int | str) -> int | str:
        evaluation_interval(value)
        return value

    @field_validator("callbacks", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return (value,) if not isinstance(value, (list, tuple)) else tuple(value)


class EvaluateSettings(Settings):
    """What `Segmenter.evaluate(...)` takes beside the data."""

    split: Literal["train", "val", "test", "all"] = Field("val", description="Part of the dataset to measure on.")
    batch_size: Count | Auto = Field("auto", description="Images per forward pass.")
    threshold: Fraction = Field(0.5, description="Probability from which a pixel counts (binary, multilabel).")
    details: bool = Field(False, description="Show the scores of every image, too.")


class PredictSettings(Settings):
    """What `Segmenter.predict(...)` takes beside the source."""

    batch_size: Count | Auto = Field("auto", description="Images per forward pass.")
    threshold: Fraction = Field(0.5, description="Probability from which a pixel counts (binary, multilabel).")
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


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Args:
        path: the file; its keys are setting names, and must not repeat.

    Raises:
        ConfigError: the file is missing, too large, no YAML, uses aliases, repeats a key, or is not a mapping.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} has {size:,} bytes; a config file has at most {MAX_CONFIG_BYTES:,}.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a YAML config ({error}). Check the path.") from error
    try:
        values = _StrictLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} should hold 'setting: value' lines, such as 'epochs: 20'.")
    return values


def write_yaml(values: Mapping[str, Any]) -> str:
    """Return `values` as YAML text in the given order; a Python object becomes a comment that says to pass it anew."""
    plain = {name: _plain(value) for name, value in values.items() if _is_plain(value)}
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    objects = [f"# {name}: {_names(value)}" for name, value in values.items() if not _is_plain(value)]
    note = "# The above, objects of Python, cannot stand here; pass them again: segmenter.fit(..., name=object)"
    return text + "".join(f"{line}\n" for line in ([*objects, note] if objects else []))


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases (which can blow up a small file) and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"the key {key!r} stands there twice")
        return super().construct_mapping(node, deep=deep)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key if isinstance(key, (int, str)) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, set, frozenset, range)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (tuple, list, set, frozenset, range)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Path)) or hasattr(value, "tolist")


def _names(value: Any) -> str:
    """Return what an object is called, on one line, which its repr may not be."""
    if isinstance(value, tuple):
        return ", ".join(map(_names, value))
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _explain(group: type[Settings], values: Mapping[str, Any], error: ValidationError) -> str:
    """Say for each wrong setting what was given, what is expected, and what the setting does."""
    lines: dict[str, str] = {}
    for problem in error.errors():  # a union reports once per member: the first says all
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:  # a rule on several settings
            lines[name] = problem["msg"].removeprefix("Value error, ")
        elif name not in lines:
            own_words = problem["msg"].removeprefix("Value error, ") if problem["type"] == "value_error" else None
            lines[name] = _complaint(group, name, values[name], own_words)
    return "\n".join(lines.values())


def _complaint(group: type[Settings], name: str, value: Any, own_words: str | None = None) -> str:
    near = closest(value, _choices(group.model_fields[name].annotation)) if isinstance(value, str) else None
    suggestion = f" Did you mean {near!r}?" if near else ""
    return f"{name}={value!r}: {own_words or 'expected ' + group.expects(name)}.{suggestion} {name}: {group.help(name)}"


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [item for item in get_args(kind) if isinstance(item, str)]
    return [choice for part in get_args(kind) for choice in _choices(part)]


def _takes(kind: Any, wanted: type) -> bool:
    """Whether a value of type `wanted` is meant by an annotation, not merely convertible to it."""
    if get_origin(kind) in (tuple, list, Literal):
        return False
    return kind in (wanted, Any) or any(_takes(part, wanted) for part in get_args(kind))


def _described(kind: Any, limits: Sequence[Any] = ()) -> list[str]:
    """Put an annotation in words, one phrase for each kind of value it allows."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _described(parts[0], parts[1:])
    if origin is Literal:
        return [repr(part) for part in parts]
    if origin in (Union, UnionType):
        return [phrase for part in parts for phrase in _described(part)]
    if origin in (tuple, list):
        what = " or ".join(_described(parts[0]))
        many = "a list" if origin is list or parts[-1] is ... else f"{len(parts)} values"
        return [f"{many} (each {what})"]
    words = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", Path: "a path"}
    fixed = {type(None): "None", Any: "any value"}
    return [fixed.get(kind) or words.get(kind, "a function") + _in_words(limits)]


def _in_words(limits: Sequence[Any]) -> str:
    """Put pydantic's limits of a number in words, such as " of at least 1"."""
    flat = [inner for limit in limits for inner in (limit.metadata if isinstance(limit, FieldInfo) else [limit])]
    found = {key: getattr(limit, key) for limit in flat for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)}
    if "ge" in found and "le" in found:
        return f" from {found['ge']} to {found['le']}"
    forms = {"ge": "of at least", "gt": "above", "lt": "below"}
    words = " and ".join(f"{form} {found[key]}" for key, form in forms.items() if key in found)
    return f" {words}" if words else ""
