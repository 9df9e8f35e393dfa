"""The settings of `easyseg download open-images`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from easyseg.config.base import Settings
from easyseg.config.kinds import Count

# Google serves the annotations, Amazon the images; both since 2019, and without an account
_ANNOTATIONS_URL = "https://storage.googleapis.com/openimages"
_IMAGES_URL = "https://open-images-dataset.s3.amazonaws.com"


class DownloadSettings(Settings):
    """What `download_open_images(...)` takes beside the folder."""

    classes: list[str] | None = Field(
        None, description="Classes by name, such as Cat, or by machine name, such as /m/01yrx; None: all 350."
    )
    split: Literal["train", "val", "test"] = Field("train", description="Part of Open Images.")
    limit: Count | None = Field(
        None,
        description="Largest number of images; each class gets an equal share of them, as far as it has so many. "
        "Without classes it has to be given; None then fetches all.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(8, description="Files fetched at a time.")
    annotations_url: str = Field(
        _ANNOTATIONS_URL, description="Where tables and masks are; a mirror has the same layout."
    )
    images_url: str = Field(_IMAGES_URL, description="Where the images are; a mirror has the same layout.")

    @field_validator("annotations_url", "images_url")
    @classmethod
    def _on_the_web(cls, value: str) -> str:
        if not value.lower().startswith(("https://", "http://")):
            raise ValueError("expected an address that begins with https:// or http://")
        return value.rstrip("/")
