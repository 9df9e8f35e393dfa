"""The settings of the dataset doctor."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from easyseg.config.base import Settings
from easyseg.config.kinds import Auto, Count


class CheckSettings(Settings):
    """What `Dataset.check(...)` takes."""

    image_size: tuple[Count, Count] = Field(
        (512, 512), description="Height and width the network is to see; objects too small for it are reported."
    )
    instances: bool = Field(
        False, description="The masks are to train instance segmentation: each object needs a mask of its own."
    )
    near_duplicates: bool = Field(
        True, description="Look for copies that were scaled, compressed, cut, mirrored or lightened, too."
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field(
        "auto", description="Processes that read files; 0: threads only; auto: one a core for many files."
    )
    verbose: bool | Auto = Field("auto", description="Progress bar; auto: on a terminal only.")

    @field_validator("image_size", mode="before")
    @classmethod
    def _square(cls, value: object) -> object:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        return (value, value) if isinstance(value, int) else value
