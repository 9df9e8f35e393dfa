"""The settings of the learning-rate finder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from easyseg.config.base import Settings
from easyseg.config.kinds import Auto, Count, Positive


class RateFinderSettings(Settings):
    """What `Segmenter.find_learning_rate(...)` takes beside the data; what `fit` takes, too, means the same."""

    lowest: Positive = Field(1e-7, description="Learning rate of the first batch.")
    highest: Positive = Field(
        10.0, description="Learning rate of the last batch, where the loss does not diverge before."
    )
    steps: Annotated[int, Field(ge=10)] = Field(100, description="Batches, each with a higher learning rate.")
    batch_size: Count | Auto = Field("auto", description="Images per step.")
    loss: str | Callable[..., Any] = Field(
        "auto", description='Loss by name, sums with "+", such as "ce+dice"; or a function (logits, target) -> scalar.'
    )
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="Optimizer.")
    augment: Any = Field(
        "standard", description="none, light, standard, strong, aerial, medical, or an albumentations Compose."
    )
    class_weights: list[Positive] | Literal["balanced"] | None = Field(
        None, description='Weight of each class in the loss; "balanced": by how rare it is.'
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field("auto", description="Processes that prepare batches.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.highest <= self.lowest:
            raise ValueError(f"highest={self.highest:g} is not above lowest={self.lowest:g}. Type a larger highest.")
        return self
