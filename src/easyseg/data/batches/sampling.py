"""The order of images in an epoch: a function of (seed, epoch), never a state.

Resuming in the middle of an epoch is a slice of the same array, whatever the number of worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.errors import ConfigError
from easyseg.structures import SizeHW

_ORDER_STREAM = 1
"""First word of the seed, so that no other random numbers of the run follow the same sequence."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of every batch belongs to this process, where several share them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> range:
        """Return the places of this process in a batch of `count` images.

        They are neighbours, and as many as any other process has, or one more or less; the first process always has
        some.
        """
        return range(*(-(-count * rank // self.size) for rank in (self.rank, self.rank + 1)))


WHOLE = Part()
"""All of every batch: the part of a process that works alone."""


def epoch_order(
    length: int,
    *,
    seed: int,
    epoch: int,
    weights: npt.NDArray[np.float64] | None = None,
    oversample: float = 0.0,
) -> npt.NDArray[np.int64]:
    """Return which image comes when in an epoch.

    Args:
        length: number of images.
        seed: of the run.
        epoch: number of the epoch, from 0.
        weights: (length,) not negative, how likely each image is drawn where images are drawn; None: evenly.
        oversample: share of the places, 0 to 1, whose image is drawn by `weights` and may so come more than once.

    Returns:
        (length,) int64: a permutation of 0..length-1, except for the places drawn.

    Raises:
        ConfigError: `weights` are not one per image, or negative.
    """
    random = np.random.default_rng(np.random.SeedSequence((_ORDER_STREAM, seed, epoch)))
    order: npt.NDArray[np.int64] = random.permutation(length).astype(np.int64)
    num_drawn = round(oversample * length)
    if weights is None or num_drawn == 0:
        return order
    if weights.shape != (length,) or not (weights >= 0).all():
        raise ConfigError(f"oversampling needs {length} weights, none negative; found shape {weights.shape}.")
    total = weights.sum()
    if total > 0:  # without any class to prefer, the permutation stays
        places = random.choice(length, size=num_drawn, replace=False)
        order[places] = random.choice(length, size=num_drawn, p=weights / total)
    return order


def grouped_by_shape(
    order: npt.NDArray[np.int64], sizes_hw: Sequence[SizeHW], *, batch_size: int
) -> npt.NDArray[np.int64]:
    """Return an order in which batches hold either upright or lying images, as far as numbers allow.

    For images that keep their own sizes, `resize=None`, which a batch fills up to its highest and its widest: mixed,
    half of it would be filling. On a canvas of one size it changes nothing but the order.

    Args:
        order: which image comes when, from `epoch_order`.
        sizes_hw: height and width of every image.
        batch_size: images per batch.

    Returns:
        the same numbers, a function of these arguments: each batch comes when its last image would, and what is left of
        both kinds at the end.
    """
    waiting: dict[bool, list[int]] = {False: [], True: []}
    batches: list[int] = []
    for index in order.tolist():
        kind = waiting[sizes_hw[index][0] > sizes_hw[index][1]]
        kind.append(index)
        if len(kind) == batch_size:
            batches += kind
            kind.clear()
    return np.array([*batches, *waiting[False], *waiting[True]], np.int64)


def rare_class_weights(pixel_counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return how likely each image should be drawn so that rare classes come as often as frequent ones.

    Each image stands for the rarest class it shows, by pixels of the whole dataset. Every class that some image stands
    for gets the same share of the draws, and its images share it evenly.

    Args:
        pixel_counts: (images, classes) integers, pixels of each class in each image.

    Returns:
        (images,) float64 that add up to 1; an image that shows no class has 0. All 0 where no image shows any.
    """
    shows = pixel_counts > 0
    totals = pixel_counts.sum(axis=0).astype(np.float64)
    rarity = np.where(shows, totals, np.inf)
    rarest = rarity.argmin(axis=1)
    stands_for_one = shows.any(axis=1)
    group_sizes = np.bincount(rarest[stands_for_one], minlength=pixel_counts.shape[1])
    weights = np.zeros(len(pixel_counts), np.float64)
    weights[stands_for_one] = 1.0 / group_sizes[rarest[stands_for_one]]
    return weights / max(1, int(np.count_nonzero(group_sizes)))
