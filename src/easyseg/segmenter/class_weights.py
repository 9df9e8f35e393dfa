"""What class_weights="balanced" means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easyseg.data.dataset import Dataset
from easyseg.data.threads import map_in_threads


def balanced_class_weights(dataset: Dataset) -> list[float]:
    """Return a weight for each class that grows with how rare its pixels are.

    Classes that exclude each other get one over the square root of their share, 1 on average. A class that stands for
    itself (binary, multilabel) is weighed against its own background, whose weight is 1: the square root of background
    pixels per pixel of the class. The square root keeps a class of few pixels from outweighing everything else.

    Raises:
        SampleError: a mask cannot be used.
    """
    pixels = np.maximum(dataset.pixel_counts().sum(axis=0), 1).astype(float)
    if dataset.task == "multiclass":
        weights = 1 / np.sqrt(pixels / pixels.sum())
        weights /= weights.mean()
    else:
        weights = np.sqrt(np.maximum(_background_pixels(dataset), 1) / pixels)
    return [float(weight) for weight in weights]


def _background_pixels(dataset: Dataset) -> npt.NDArray[np.int64]:
    """Return how many pixels are counted and not of the class, for each class: (num_classes,) int64."""

    def of_one(index: int) -> npt.NDArray[np.int64]:
        planes = dataset.mask(index).reshape(-1, dataset.class_map.num_classes)
        return np.asarray(np.count_nonzero(planes == 0, axis=0), np.int64)

    total: npt.NDArray[np.int64] = np.array(map_in_threads(of_one, range(len(dataset)))).sum(axis=0)
    return total
