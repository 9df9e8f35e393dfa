"""Changes that move whole pixels: cutting out, zooming, flipping, quarter turns. One resize, the rest is slicing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.preprocessing import PAD_VALUE, resize_image, resize_mask
from easyseg.structures import IGNORE_INDEX, ImageArray, MaskArray, SizeHW

Pair: TypeAlias = tuple[ImageArray, MaskArray]


@dataclass(frozen=True, slots=True)
class Lattice:
    """Which of these changes happen, and how often.

    Attributes:
        flip_horizontal: how often left and right change places, 0 to 1.
        flip_vertical: the same for top and bottom.
        quarter_turns: whether the image is turned by 0, 90, 180 or 270 degrees.
        zoom: smallest and largest factor, drawn evenly on a logarithmic scale, so that halving is as likely as
            doubling. A window of the wanted size is cut at random; zoomed out, the image is put at random into it.
    """

    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    quarter_turns: bool = False
    zoom: tuple[float, float] = (1.0, 1.0)

    def apply(self, image: ImageArray, mask: MaskArray, size_hw: SizeHW, generator: np.random.Generator) -> Pair:
        """Return changed arrays; views of those given where nothing changes.

        Args:
            image: (H, W, C) uint8.
            mask: (H, W) or (H, W, classes) uint8.
            size_hw: height and width of the result.
            generator: all chance comes from here.

        Returns:
            Image and mask of that size, contiguous, with `PAD_VALUE` and `IGNORE_INDEX` outside the given image.
        """
        across, down, turn, row, column, zoom = generator.random(6).tolist()
        turns = int(4 * turn) if self.quarter_turns else 0
        factor = math.exp(math.log(self.zoom[0]) + zoom * math.log(self.zoom[1] / self.zoom[0]))
        # an odd number of turns exchanges the sides, so the window is cut lying down
        window_hw = size_hw if turns % 2 == 0 else (size_hw[1], size_hw[0])
        rows = _Axis.place(image.shape[0], window_hw[0], factor, row)
        columns = _Axis.place(image.shape[1], window_hw[1], factor, column)
        scaled_hw = (rows.scaled, columns.scaled)
        image = resize_image(image[rows.taken, columns.taken], scaled_hw)
        mask = resize_mask(mask[rows.taken, columns.taken], scaled_hw)
        image = _filled_up(image, rows, columns, PAD_VALUE)
        mask = _filled_up(mask, rows, columns, IGNORE_INDEX)
        flips = (down < self.flip_vertical, across < self.flip_horizontal)
        return _moved(image, flips, turns), _moved(mask, flips, turns)


@dataclass(frozen=True, slots=True)
class _Axis:
    """What happens along one side of the image, in pixels.

    Attributes:
        taken: part of the image that is cut out.
        scaled: its length after zooming.
        start: where it begins in the result.
        length: length of the result.
    """

    taken: slice
    scaled: int
    start: int
    length: int

    @staticmethod
    def place(available: int, length: int, factor: float, at: float) -> _Axis:
        """Cut a window of `length` out of `available` pixels zoomed by `factor`, at a relative position in [0, 1)."""
        wanted = max(1, round(length / factor))
        if wanted <= available:
            first = int(at * (available - wanted + 1))
            return _Axis(slice(first, first + wanted), length, 0, length)
        scaled = min(length, max(1, round(available * factor)))
        return _Axis(slice(0, available), scaled, int(at * (length - scaled + 1)), length)


def _filled_up(array: npt.NDArray[np.uint8], rows: _Axis, columns: _Axis, value: int) -> npt.NDArray[np.uint8]:
    if (rows.scaled, columns.scaled) == (rows.length, columns.length):
        return array
    result = np.full((rows.length, columns.length, *array.shape[2:]), value, np.uint8)
    result[rows.start : rows.start + rows.scaled, columns.start : columns.start + columns.scaled] = array
    return result


def _moved(array: npt.NDArray[np.uint8], flips: tuple[bool, bool], turns: int) -> npt.NDArray[np.uint8]:
    down, across = flips
    if down or across:
        # OpenCV flips ten times as fast as a copy with negative strides; it drops a channel axis of 1
        code = -1 if down and across else 0 if down else 1
        flipped: npt.NDArray[Any] = cv2.flip(np.ascontiguousarray(array), code)
        array = flipped.reshape(array.shape)
    return np.ascontiguousarray(np.rot90(array, turns))
