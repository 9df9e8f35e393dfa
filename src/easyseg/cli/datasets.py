"""The dataset a command works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import easyseg

if TYPE_CHECKING:
    from easyseg import Dataset


def open_dataset(path: str, data: Mapping[str, Any], shared: Mapping[str, Any]) -> str | Dataset:
    """Return what `Segmenter` takes as data.

    Args:
        path: the dataset's folder or list file.
        data: the settings of `load_dataset` that were given.
        shared: settings of the model that concern the dataset, too: classes, seed.
    """
    # with nothing to tell, the segmenter reads the folder itself: a loaded model knows its classes and its split
    return easyseg.load_dataset(path, **data, **shared) if data else path
