"""Putting the images of a batch upon each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


def stacked(arrays: Sequence[npt.NDArray[np.uint8]], fill: int) -> npt.NDArray[np.uint8]:
    """Return (N, H, W, ...) of (h, w, ...) arrays; smaller ones are filled up to the right and below.

    Args:
        arrays: one or more.
        fill: the value they are filled up with.
    """
    height = max(array.shape[0] for array in arrays)
    width = max(array.shape[1] for array in arrays)
    if all(array.shape[:2] == (height, width) for array in arrays):
        return np.stack(arrays)
    whole = np.full((len(arrays), height, width, *arrays[0].shape[2:]), fill, np.uint8)
    for place, array in zip(whole, arrays, strict=True):
        place[: array.shape[0], : array.shape[1]] = array
    return whole


def to_images(stack: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Return images (N, H, W, C) as a tensor (N, C, H, W) in channels-last memory."""
    return torch.from_numpy(stack).permute(0, 3, 1, 2)
