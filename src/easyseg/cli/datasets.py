"""The dataset a command works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import easyseg

if TYPE_CHECKING:
    from easyseg import Dataset, Segmenter


def open_dataset(path: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> str | Dataset:
    """Return what `Segmenter` takes as data.

    Args:
        path: the dataset's folder.
        given: the settings of `load_dataset` that the user gave.
        known: settings of `load_dataset` that follow from the model; those given come first.
    """
    # with nothing to tell, the segmenter reads the folder itself, with its own classes and seed
    return easyseg.load_dataset(path, **{**known, **given}) if given else path


def known_of(segmenter: Segmenter) -> dict[str, Any]:
    """Return settings of `load_dataset` that follow from a model: what reads boxes for those that learn boxes only."""
    from easyseg.segmenter.tasks import work_of  # loads torch, which help and mistakes need not wait for

    boxes = work_of(segmenter.settings).boxes
    return {} if boxes == "refuse" else {"boxes": boxes}
