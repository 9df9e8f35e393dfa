"""What a dataset consists of, in figures: pixels and objects of each class, and the brightness of each channel.

Images and masks go by one after the other, several threads decode them, and only counts are kept; so the memory needed
does not depend on how many there are, and the figures do not depend on the order in which threads come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.threads import map_in_threads
from easyseg.results import charts
from easyseg.structures import IGNORE_INDEX, Color, ImageArray, MaskArray, Polygons

if TYPE_CHECKING:
    from easyseg.data.dataset import Dataset

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

SIZE_BINS = 32
"""Objects of 2^k up to 2^(k + 1) pixels fall into bin k."""

_IMAGES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """How bright the channels of a dataset's images are.

    Attributes:
        levels: (C, 256) int64, how many pixels of each channel have each value, as the network gets them.
    """

    levels: Counts

    @property
    def means(self) -> Numbers:
        """The mean of each channel, (C,) float64 in 0..255."""
        mean: Numbers = self.levels @ np.arange(256) / self.levels.sum(axis=1)
        return mean

    @property
    def deviations(self) -> Numbers:
        """The standard deviation of each channel, (C,) float64 in 0..127.5."""
        distances = (np.arange(256) - self.means[:, None]) ** 2
        deviation: Numbers = np.sqrt((self.levels * distances).sum(axis=1) / self.levels.sum(axis=1))
        return deviation


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """How much of each class a dataset holds.

    Where the dataset has objects, these are counted; in masks of classes, an object is a region of one class whose
    pixels touch at an edge or a corner. Classes without countable things, such as road, have few and large ones.

    Attributes:
        names: the classes.
        colors: the RGB colour of each.
        num_images: with a mask.
        pixels: (classes,) int64, pixels of each class.
        images: (classes,) int64, images in which it is.
        object_sizes: (classes, `SIZE_BINS`) int64, how many of its objects have 1, 2..3, 4..7, ... pixels.
        ignored_pixels: pixels that do not count.
        outlines: (classes,) int64, how many outlines of polygons there are, each hole counted as one.
        outline_points: (classes,) int64, of how many points they consist together.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    num_images: int
    pixels: Counts
    images: Counts
    object_sizes: Counts
    ignored_pixels: int
    outlines: Counts
    outline_points: Counts

    @property
    def mean_outline_points(self) -> Numbers:
        """Of how many points an outline of each class consists, (classes,) float64; NaN where there are none."""
        counts = np.where(self.outlines, self.outlines, 1)
        mean: Numbers = np.where(self.outlines, self.outline_points / counts, np.nan)
        return mean

    def plot(self) -> ImageArray:
        """Draw the share of pixels, the images and the objects by size of each class, (H, W, 3) uint8."""
        sizes = {name: sizes.tolist() for name, sizes in zip(self.names, self.object_sizes, strict=True)}
        shares = self.pixels / max(1, int(self.pixels.sum()))
        chart = charts.classes(sizes, shares.tolist(), self.images.tolist(), self.colors, num_images=self.num_images)
        return charts.to_array(chart)

    @property
    def objects(self) -> Counts:
        """How many objects of each class there are, (classes,) int64."""
        total: Counts = self.object_sizes.sum(axis=1)
        return total


def channel_statistics(dataset: Dataset, *, channels: int = 3) -> ChannelStatistics:
    """Count the values of all pixels of all images, each at its own size.

    Args:
        dataset: the images.
        channels: how many the network takes.

    Raises:
        SampleError: an image cannot be read.
    """

    def of_one(index: int) -> Counts:
        image = dataset.image(index, channels=channels)
        flat = image.reshape(-1, channels)
        return np.stack([np.bincount(flat[:, channel], minlength=256) for channel in range(channels)])

    return ChannelStatistics(_total(of_one, len(dataset)))


def class_statistics(dataset: Dataset) -> ClassStatistics:
    """Count pixels and objects of each class in all masks.

    Raises:
        SampleError: a mask cannot be used.
    """
    count = dataset.class_map.num_classes

    def of_one(index: int) -> Counts:
        mask = dataset.mask(index)
        rows = _counted(mask, count, is_binary=dataset.task != "multiclass")
        if dataset[index].objects is not None:
            rows[:, 2 : 2 + SIZE_BINS] = _object_sizes(dataset, index)
        return np.append(np.concatenate([rows, _outlines(dataset, index)], axis=1), np.sum(mask == IGNORE_INDEX))

    total = _total(of_one, len(dataset))
    table = total[:-1].reshape(count, 4 + SIZE_BINS)
    return ClassStatistics(
        names=tuple(dataset.classes),
        colors=dataset.class_map.colors,
        num_images=len(dataset),
        pixels=table[:, 0],
        images=table[:, 1],
        object_sizes=table[:, 2 : 2 + SIZE_BINS],
        ignored_pixels=int(total[-1]),
        outlines=table[:, -2],
        outline_points=table[:, -1],
    )


def _counted(mask: MaskArray, count: int, *, is_binary: bool) -> Counts:
    """Return pixels, presence and object sizes of each class, (classes, 2 + SIZE_BINS)."""
    rows = np.zeros((count, 2 + SIZE_BINS), np.int64)
    for number in range(count):
        plane = mask[..., number] if mask.ndim == 3 else mask
        inside = plane == (1 if is_binary else number)
        if not inside.any():
            continue
        _, _, regions, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=8)
        sizes = regions[1:, cv2.CC_STAT_AREA].astype(np.int64)
        rows[number] = [sizes.sum(), 1, *_in_bins(sizes)]
    return rows


def _object_sizes(dataset: Dataset, index: int) -> Counts:
    """Return how many objects of each class and size an image has, (classes, SIZE_BINS)."""
    rows = np.zeros((dataset.class_map.num_classes, SIZE_BINS), np.int64)
    found = dataset.truth(index)
    sizes = found.areas.astype(np.int64)
    for number, name in enumerate(dataset.object_classes):
        is_counted = (found.class_ids == number) & ~found.is_crowd
        rows[dataset.classes.index(name)] = _in_bins(sizes[is_counted])
    return rows


def _outlines(dataset: Dataset, index: int) -> Counts:
    """Return how many outlines of each class an image has, and how many points these have, (classes, 2)."""
    rows = np.zeros((dataset.class_map.num_classes, 2), np.int64)
    objects = dataset[index].objects
    for item in objects if isinstance(objects, tuple) else ():
        place = dataset.class_map.class_of_object(item.class_name)
        if isinstance(item.shape, Polygons) and place is not None and place != IGNORE_INDEX:
            rings = [ring for part in item.shape.parts for ring in part]
            rows[place] += len(rings), sum(map(len, rings))
    return rows


def _in_bins(sizes: Counts) -> Counts:
    """Return how many sizes, in pixels, lie in each bin, (SIZE_BINS,)."""
    bins = np.frexp(sizes)[1] - 1  # frexp: size = fraction * 2^exponent, fraction in 0.5..1
    return np.bincount(bins, minlength=SIZE_BINS)


def _total(of_one: Callable[[int], Counts], count: int) -> Counts:
    """Add up what each item gives, a few at a time."""

    def of_some(indices: Sequence[int]) -> Counts:
        return reduce(np.add, map_in_threads(of_one, indices))

    starts = range(0, count, _IMAGES_AT_ONCE)
    return reduce(np.add, (of_some(range(start, min(start + _IMAGES_AT_ONCE, count))) for start in starts))
