"""Stages of a training: what is trained, for how long, how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from easyseg.config.base import Settings
from easyseg.config.kinds import Count, Positive, Schedule
from easyseg.config.parts import read_selectors
from easyseg.config.words import explain
from easyseg.errors import ConfigError, UnknownNameError, closest, known_arguments, unknown_name

FINE_TUNE = "fine_tune"

OTHER_WORDS = {"title": "name", "lr": "learning_rate", "encoder_lr": "encoder_learning_rate", "parts": "train"}
"""What people write in YAML, and the setting they mean."""

_NUMBERED = re.compile(r"stage[ _-]?(\d+)", re.IGNORECASE)


class Stage(Settings):
    """A stretch of a training with its own parts, length and learning rate; None: as in `fit`.

    Args:
        name: what the stage is called, in messages and in the history.
        train: the parts that learn: "head", "decoder", "heads" (both), "encoder", "encoder[0]" (the shallowest stage),
            "encoder[-1]" (the deepest), "encoder[-2:]", "all", patterns over the names of parameters such as
            "*.bn1.*", or a list of these; "not encoder[0]" takes away. Everything else is frozen.
        epochs: passes over the training images.
        learning_rate: highest learning rate.
        encoder_learning_rate: the encoder's; None: in the proportion it has in `fit`, and where the stage trains
            nothing but the encoder, `learning_rate`.
        schedule: course of the learning rate over the stage: "onecycle", "cosine", "poly", "step", "constant".
        step_size: epochs after which the learning rate falls to a tenth, again and again; implies the schedule "step".
        layer_decay: by what a layer of the encoder learns slower than the one behind it, 0..1; 1: not at all.
        patience: the stage ends after so many evaluations without a better one.
        batch_size: images per step.
        restore_best: the stage ends with the best weights so far, not with the last.

    Raises:
        ConfigError: a value is of the wrong type or out of range, or contradicts another.
        UnknownNameError: a part has an unknown name; the message names the nearest.

    Example:
        >>> Stage("heads", train="heads", epochs=5, learning_rate=1e-2, step_size=4).schedule
        'step'
    """

    name: str | None = Field(None, description="What the stage is called.")
    train: tuple[str, ...] = Field(("all",), description="Parts that learn, such as head or encoder[-1].")
    epochs: Count | None = Field(None, description="Passes over the training images.")
    learning_rate: Positive | None = Field(None, description="Highest learning rate.")
    encoder_learning_rate: Positive | None = Field(None, description="Highest learning rate of the encoder.")
    schedule: Schedule | None = Field(None, description="Course of the learning rate over the stage.")
    step_size: Count | None = Field(
        None, description="Whole epochs after which the learning rate falls to a tenth, again and again."
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="What each layer's learning rate is of the next deeper one's, in the encoder."
    )
    patience: Count | None = Field(None, description="End after so many evaluations without a better one.")
    batch_size: Count | None = Field(None, description="Images per step.")
    restore_best: bool = Field(False, description="End with the best weights so far, not with the last.")

    @known_arguments({word: f"{name}=..." for word, name in OTHER_WORDS.items()})
    def __init__(
        self,
        name: str | None = None,
        *,
        train: str | Sequence[str] = "all",
        epochs: int | None = None,
        learning_rate: float | None = None,
        encoder_learning_rate: float | None = None,
        schedule: Literal["onecycle", "cosine", "poly", "step", "constant"] | None = None,
        step_size: int | None = None,
        layer_decay: float | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        restore_best: bool = False,
    ) -> None:
        scope = locals()
        values = {field: scope[field] for field in type(self).model_fields}
        try:
            self.refuse_switches(values)
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(f"{_called(name)}: {explain(type(self).model_fields, values, error)}") from None
        except ConfigError as error:
            raise type(error)(f"{_called(name)}: {error}") from None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Make a stage of what stands in YAML or a dict, where `title` is the name and `lr` the learning rate.

        Raises:
            ConfigError: a value is wrong; the message names the stage.
            UnknownNameError: a key is no setting of a stage; the message names stage and nearest.
        """
        title = values.get("name", values.get("title"))
        renamed: dict[str, Any] = {}
        for word, value in values.items():
            name = OTHER_WORDS.get(word, word)
            if name not in cls.model_fields:
                stranger = unknown_name("setting of a stage", word, (*cls.model_fields, *OTHER_WORDS))
                raise UnknownNameError(f"{_called(title)}: {stranger}")
            if name in renamed:
                raise ConfigError(f"{_called(title)}: {name!r} is given twice. Take one of them out.")
            renamed[name] = value
        if title is not None:
            renamed["name"] = str(title)
        return cls(**renamed)

    @field_validator("train", mode="before")
    @classmethod
    def _known_words(cls, value: object) -> object:
        return read_selectors(value)

    @model_validator(mode="before")
    @classmethod
    def _step_by_step(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("step_size") is not None and values.get("schedule") is None:
            return {**values, "schedule": "step"}
        return values

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if self.step_size is not None and self.schedule != "step":
            raise ValueError(
                f"step_size={self.step_size} goes with schedule='step', not with {self.schedule!r}. Leave one out."
            )
        check_step_size(self.step_size, self.epochs)
        return self


def check_step_size(step_size: int | None, epochs: int | None) -> None:
    """Refuse a step that the stage is over before.

    Raises:
        ValueError: it is; the message says in what unit it counts.
    """
    if step_size is not None and epochs is not None and step_size >= epochs:
        raise ValueError(
            f"step_size={step_size} counts epochs, and the stage has {epochs}: its learning rate would never fall. "
            f"Type {f'a step_size below {epochs}' if epochs > 1 else 'no step_size'}, or schedule='constant'."
        )


def read_stages(given: Any) -> tuple[Stage, ...] | Literal["fine_tune"] | None:
    """Make stages of what people give: `Stage` objects, dicts, a list or a dict of them, or "fine_tune".

    Stages without a name are called "stage 1", "stage 2" and so on.

    Raises:
        ConfigError: it is none of these, or there is no stage, or two have one name.
    """
    if given is None:
        return None
    if given == FINE_TUNE:
        return "fine_tune"
    if isinstance(given, str):
        near = f" Did you mean {FINE_TUNE!r}?" if closest(given, [FINE_TUNE]) else ""
        raise ConfigError(f"stages={given!r}: expected {FINE_TUNE!r} or a list of stages.{near} {_EXAMPLE}")
    if isinstance(given, Mapping) and given and all(isinstance(value, Mapping) for value in given.values()):
        given = [{"title": name, **value} if "name" not in value else value for name, value in given.items()]
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    if not items:
        raise ConfigError(f"stages={given!r} holds no stage. {_EXAMPLE} Or leave it out, to train in one go.")
    stages = tuple(_stage_of(item, number) for number, item in enumerate(items, start=1))
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two stages are called {name!r}. Give each a name of its own, so that messages are clear."
            )
    return stages


def gather_numbered_stages(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take what a YAML file holds as `stage1:`, `stage2:` and so on together, as `stages`.

    Each must say what it trains: files of this form come from programs in which that was fixed.

    Raises:
        ConfigError: one does not say it, or there is a key `stages`, too.
    """
    numbers = {key: int(match[1]) for key in values if (match := _NUMBERED.fullmatch(key))}
    if not numbers:
        return dict(values)
    if "stages" in values:
        raise ConfigError(f"There are 'stages' and {min(numbers)!r}. Put all stages into the list 'stages'.")
    stages = []
    for key in sorted(numbers, key=lambda key: numbers[key]):
        stage = values[key]
        if not isinstance(stage, Mapping) or not stage.keys() & {"train", "parts"}:
            raise ConfigError(
                f"{key} does not say which parts it trains. Add a line such as 'train: heads' for all but the encoder, "
                "'train: [heads, \"encoder[1:]\"]' for all but the encoder's first stage, or 'train: all'."
            )
        stages.append(stage if stage.keys() & {"name", "title"} else {"title": key, **stage})
    return {key: value for key, value in values.items() if key not in numbers} | {"stages": stages}


def _stage_of(item: Any, number: int) -> Stage:
    if isinstance(item, Mapping):
        if not item.keys() & {"name", "title"}:
            item = {"name": f"stage {number}", **item}
        return Stage.of(item)
    if not isinstance(item, Stage):
        raise ConfigError(f"Stage {number} is {item!r}, which is no stage. {_EXAMPLE}")
    return item if item.name is not None else item.model_copy(update={"name": f"stage {number}"})


def _called(name: object) -> str:
    return "A stage" if name is None else f"Stage {str(name)!r}"


_EXAMPLE = "Type such as stages=[Stage('heads', train='heads', epochs=5), Stage('all', epochs=20)]."
