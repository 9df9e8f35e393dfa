"""Changes that move whole pixels: cutting out, zooming, flipping, quarter turns. One resize, the rest is slicing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.preprocessing import PAD_VALUE, nearest_sources, resize_image, resize_mask
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
        move = self.draw((image.shape[0], image.shape[1]), size_hw, generator)
        return move.image(image), move.mask(mask)

    def draw(self, image_hw: SizeHW, size_hw: SizeHW, generator: np.random.Generator) -> Move:
        """Return one such change by chance.

        Args:
            image_hw: height and width of the image.
            size_hw: height and width of the result.
            generator: all chance comes from here.
        """
        across, down, turn, row, column, zoom = generator.random(6).tolist()
        turns = int(4 * turn) if self.quarter_turns else 0
        factor = math.exp(math.log(self.zoom[0]) + zoom * math.log(self.zoom[1] / self.zoom[0]))
        # an odd number of turns exchanges the sides, so the window is cut lying down
        window_hw = size_hw if turns % 2 == 0 else (size_hw[1], size_hw[0])
        return Move(
            Axis.place(image_hw[0], window_hw[0], factor, row),
            Axis.place(image_hw[1], window_hw[1], factor, column),
            flips=(down < self.flip_vertical, across < self.flip_horizontal),
            turns=turns,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """A change of whole pixels: a window is cut out and scaled, then flipped, then turned.

    Attributes:
        rows: what happens from top to bottom.
        columns: what happens from left to right.
        flips: whether top and bottom, and left and right, change places.
        turns: quarter turns against the clock, 0 to 3.
    """

    rows: Axis
    columns: Axis
    flips: tuple[bool, bool]
    turns: int

    def image(self, image: ImageArray) -> ImageArray:
        """Return a changed image; a view where nothing changes.

        Args:
            image: (H, W, C) uint8 of the size that the move was drawn for.
        """
        window = image[self.rows.taken, self.columns.taken]
        return self._finished(resize_image(window, (self.rows.scaled, self.columns.scaled)), PAD_VALUE)

    def mask(self, mask: MaskArray) -> MaskArray:
        """Return a changed mask, (H, W) or (H, W, classes) uint8; a view where nothing changes."""
        window = mask[self.rows.taken, self.columns.taken]
        return self._finished(resize_mask(window, (self.rows.scaled, self.columns.scaled)), IGNORE_INDEX)

    def _finished(self, window: npt.NDArray[np.uint8], fill: int) -> npt.NDArray[np.uint8]:
        return _moved(_filled_up(window, self.rows, self.columns, fill), self.flips, self.turns)


@dataclass(frozen=True, slots=True)
class Axis:
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
    def place(available: int, length: int, factor: float, at: float) -> Axis:
        """Cut a window of `length` out of `available` pixels zoomed by `factor`, at a relative position in [0, 1)."""
        wanted = max(1, round(length / factor))
        if wanted <= available:
            first = int(at * (available - wanted + 1))
            return Axis(slice(first, first + wanted), length, 0, length)
        scaled = min(length, max(1, round(available * factor)))
        return Axis(slice(0, available), scaled, int(at * (length - scaled + 1)), length)

    def aimed(self, shown: slice, point: int, *, available: int, at: float) -> Axis:
        """Return the same window moved to where it shows some pixels.

        Args:
            shown: the pixels.
            point: the one in the middle, where the window cannot show all of them.
            available: pixels of the image along this side.
            at: relative position among the places that show all of them, in [0, 1).
        """
        wanted = self.taken.stop - self.taken.start
        lowest, highest = max(0, shown.stop - wanted), min(shown.start, available - wanted)
        if lowest <= highest:
            first = lowest + int(at * (highest - lowest + 1))
        else:
            first = min(max(0, point - wanted // 2), available - wanted)
        return replace(self, taken=slice(first, first + wanted))

    def sources(self) -> npt.NDArray[np.int64]:
        """Return which pixel of the image each pixel of the scaled window shows in a mask, (scaled,) ascending."""
        first, end = int(self.taken.start), int(self.taken.stop)
        return first + nearest_sources(end - first, self.scaled)


def _filled_up(array: npt.NDArray[np.uint8], rows: Axis, columns: Axis, value: int) -> npt.NDArray[np.uint8]:
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
