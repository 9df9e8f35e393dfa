"""What class_weights="balanced" means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easyseg.data.dataset import Dataset
from easyseg.data.threads import map_in_threads

Pixels = npt.NDArray[np.int64]


def balanced_class_weights(dataset: Dataset) -> list[float]:
    """Return a weight for each class that grows with how rare its pixels are; see `weights_of`.

    Raises:
        SampleError: a mask cannot be used.
    """
    pixels = dataset.pixel_counts().sum(axis=0)
    return weights_of(pixels, None if dataset.task == "multiclass" else _background_pixels(dataset))


def weights_of(pixels: Pixels, background: Pixels | None = None) -> list[float]:
    """Return a weight for each class.

    Classes that exclude each other get one over the square root of their share; those that occur have 1 on average. A
    class that stands for itself (binary, multilabel) is weighed against its own background, whose weight is 1: the
    square root of background pixels per pixel of the class. The square root keeps a class of few pixels from
    outweighing everything else. A class without any pixel has nothing to weigh, and gets 1.

    Args:
        pixels: (classes,) of each class.
        background: (classes,) that count and are not of the class; None for classes that exclude each other.
    """
    present = pixels > 0
    counts = np.maximum(pixels, 1).astype(float)
    if background is not None:
        weights = np.sqrt(np.maximum(background, 1) / counts)
    else:
        weights = 1 / np.sqrt(counts / max(1, pixels.sum()))
        weights /= weights[present].mean() if present.any() else 1
    return [float(weight) for weight in np.where(present, weights, 1)]


def _background_pixels(dataset: Dataset) -> Pixels:
    """Return how many pixels are counted and not of the class, for each class: (num_classes,) int64."""

    def of_one(index: int) -> Pixels:
        planes = dataset.mask(index).reshape(-1, dataset.class_map.num_classes)
        return np.asarray(np.count_nonzero(planes == 0, axis=0), np.int64)

    total: Pixels = np.array(map_in_threads(of_one, range(len(dataset)))).sum(axis=0)
    return total
