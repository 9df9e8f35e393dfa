"""What becomes of objects when their image changes: moved, covered by others, cut to pieces.

An object of which too little is left becomes a crowd: the network sees a piece of it, and finding that is neither right
nor wrong. As an object it would teach that slivers are roofs; left out, that roofs at the border are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.objects.canvas_objects import Annotated, CanvasObject, CanvasObjects, trimmed
from easyseg.data.transforms.lattice import Axis, Move
from easyseg.structures import ImageArray, MaskArray, SizeHW

FAIR_SHARE = 0.3
"""An object of which less than this share is left no longer counts."""
_ENOUGH_PIXELS = 32 * 32
"""So many pixels are enough, whatever the share: of a car that fills the image, a crop shows a door."""
_FEWEST_PIXELS = 9
"""Pieces of fewer pixels are slivers."""
_UNCUT = 0.9
"""An object of this share is taken for whole; scaling a small one changes its pixels by about that."""


def still_counts(item: CanvasObject) -> bool:
    """Tell whether enough is left of an object to learn from it."""
    area = item.area
    if area >= _UNCUT * item.whole_area:
        return area > 0
    return area >= _FEWEST_PIXELS and (area >= FAIR_SHARE * item.whole_area or area >= _ENOUGH_PIXELS)


def settled(objects: Iterable[CanvasObject]) -> CanvasObjects:
    """Return what is left of objects: those of which too little is left as crowds, the others with tight boxes."""
    return tuple(item if item.is_crowd or still_counts(item) else replace(item, is_crowd=True) for item in objects)


def taken_as_whole(objects: CanvasObjects) -> CanvasObjects:
    """Return objects as if nothing of them were cut off, all but slivers."""
    areas = [item.area for item in objects]
    pairs = zip(objects, areas, strict=True)
    return tuple(replace(item, whole_area=area) if area >= _FEWEST_PIXELS else item for item, area in pairs)


def moved(objects: CanvasObjects, move: Move) -> CanvasObjects:
    """Return objects where a move of their image brings them, without those that leave it.

    They are the very pixels that `Move.mask` would make of whole masks, at the cost of their own boxes.
    """
    rows, columns = move.rows.sources(), move.columns.sources()
    scale = _scale(move.rows) * _scale(move.columns)
    found = []
    for item in objects:
        first_row, end_row = _range(rows, item.rows)
        first_column, end_column = _range(columns, item.columns)
        if first_row == end_row or first_column == end_column:
            continue
        mask = _taken(item.mask, rows[first_row:end_row] - item.top, axis=0)
        mask = _taken(mask, columns[first_column:end_column] - item.left, axis=1)
        place = (move.rows.start + first_row, move.columns.start + first_column)
        mask, top, left = _turned(mask, place, move)
        found.append(replace(item, mask=mask, top=top, left=left, whole_area=item.whole_area * scale))
    return trimmed(found)


def aimed(move: Move, objects: CanvasObjects, image_hw: SizeHW, generator: np.random.Generator) -> Move:
    """Return a move whose window shows one of the objects, for images of which the window would show none.

    Args:
        move: as drawn.
        objects: the objects before the move, at least one of them no crowd.
        image_hw: height and width of the image before the move.
        generator: chooses the object, and where it comes to lie.
    """
    singles = [item for item in objects if not item.is_crowd]
    item = singles[int(generator.integers(len(singles)))]
    inside = np.flatnonzero(item.mask)
    row, column = divmod(int(inside[generator.integers(len(inside))]), item.mask.shape[1])
    down, across = generator.random(2).tolist()
    return replace(
        move,
        rows=move.rows.aimed(item.rows, item.top + row, available=image_hw[0], at=down),
        columns=move.columns.aimed(item.columns, item.left + column, available=image_hw[1], at=across),
    )


def pasted(onto: Annotated, image: ImageArray, objects: Sequence[CanvasObject]) -> Annotated:
    """Put objects of another image over an image and cut what they cover.

    Their edges stay hard: a network is not to learn objects by a soft border that no photo has.

    Args:
        onto: an image and its objects.
        image: the other image, of the same size.
        objects: what of it is put in.
    """
    below, others = onto
    covered = np.zeros(below.shape[:2], np.uint8)
    for item in objects:
        covered[item.rows, item.columns] |= item.mask
    result = cv2.copyTo(image, covered, below.copy()).reshape(below.shape)  # drops a channel axis of 1
    free = 1 - covered
    left = [replace(item, mask=item.mask & free[item.rows, item.columns]) for item in others]
    return np.asarray(result, np.uint8), (*trimmed(left), *objects)


def _scale(axis: Axis) -> float:
    return axis.scaled / int(axis.taken.stop - axis.taken.start)


def _range(sources: npt.NDArray[np.int64], inside: slice) -> tuple[int, int]:
    """Return the first place that shows a pixel inside, and that after the last."""
    first, end = np.searchsorted(sources, (inside.start, inside.stop)).tolist()
    return first, end


def _taken(mask: MaskArray, places: npt.NDArray[np.int64], *, axis: int) -> MaskArray:
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places):  # nothing is scaled
        return mask[first : last + 1] if axis == 0 else mask[:, first : last + 1]
    return mask.take(places, axis)


def _turned(mask: MaskArray, place: tuple[int, int], move: Move) -> tuple[MaskArray, int, int]:
    """Return a mask after the flips and turns of its image, and the first row and column of its new place."""
    (top, left), (height, width) = place, (move.rows.length, move.columns.length)
    down, across = move.flips
    if down:
        mask, top = mask[::-1], height - top - mask.shape[0]
    if across:
        mask, left = mask[:, ::-1], width - left - mask.shape[1]
    for _ in range(move.turns):
        top, left = width - left - mask.shape[1], top
        mask, height, width = np.rot90(mask), width, height
    return np.ascontiguousarray(mask), top, left
