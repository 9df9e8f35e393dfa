"""All objects of an image in a few arrays, for changes that bend pixels: one warp moves many masks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.objects.canvas_objects import CanvasObject, CanvasObjects
from easyseg.structures import MaskArray, SizeHW

Layers = npt.NDArray[np.uint16]

MOST_NUMBERS = 2**16 - 1
"""So many objects have numbers; the largest whole numbers that OpenCV warps have 16 bits."""


_MOST_PLANES = 8
"""Crowds share so many planes at the most; objects that touch each other in rows and columns need four."""


def to_layers(objects: CanvasObjects, size_hw: SizeHW) -> Layers:
    """Write objects into as few layers as it takes that none covers another, the first number 1.

    Args:
        objects: at most `MOST_NUMBERS`.
        size_hw: height and width of the canvas.

    Returns:
        (L, H, W) uint16, 0 where no object is; L is 1 where no object overlaps another.
    """
    layers: list[npt.NDArray[np.uint16]] = []
    for number, item in enumerate(objects, start=1):
        inside = item.mask.view(bool)
        for layer in layers:
            window = layer[item.rows, item.columns]
            if not window[inside].any():
                break
        else:
            layers.append(np.zeros(size_hw, np.uint16))
            window = layers[-1][item.rows, item.columns]
        window[inside] = number
    if len(layers) == 1:
        return layers[0][None]
    return np.stack(layers) if layers else np.zeros((0, *size_hw), np.uint16)


def from_layers(layers: Layers, objects: CanvasObjects) -> CanvasObjects:
    """Return objects where their numbers are now, in their order, without those whose number is gone.

    Args:
        layers: as `to_layers` returned them, changed in any way that invents no numbers.
        objects: as they were given.
    """
    found: dict[int, CanvasObject] = {}
    for layer in layers:
        places = np.flatnonzero(layer)
        numbers = layer.ravel()[places]
        order = np.argsort(numbers, kind="stable")  # so the places of each number stay in order of rows
        places, numbers = places[order], numbers[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=0))
        if not starts.size:
            continue
        ends = np.append(starts[1:], len(places))
        rows, columns = np.divmod(places, layer.shape[1])
        lefts, rights = np.minimum.reduceat(columns, starts), np.maximum.reduceat(columns, starts)
        boxes = np.stack([rows[starts], lefts, rows[ends - 1], rights], axis=1).tolist()
        for number, (top, left, bottom, right) in zip(numbers[starts].tolist(), boxes, strict=True):
            mask = (layer[top : bottom + 1, left : right + 1] == number).view(np.uint8)
            found[number] = replace(objects[number - 1], mask=mask, top=top, left=left)
    return tuple(found[number] for number in sorted(found))


def to_planes(crowds: CanvasObjects, size_hw: SizeHW) -> MaskArray:
    """Draw crowds into a few masks, apart from each other as long as there is room.

    Args:
        crowds: any number.
        size_hw: height and width of the canvas.

    Returns:
        (P, H, W) uint8 of 0 and 1, P of 0 to 8.
    """
    planes: list[MaskArray] = []
    for item in crowds:
        around = (
            slice(max(0, item.rows.start - 1), item.rows.stop + 1),
            slice(max(0, item.columns.start - 1), item.columns.stop + 1),
        )
        plane = next((plane for plane in planes if not plane[around].any()), None)
        if plane is None and len(planes) < _MOST_PLANES:
            planes.append(np.zeros(size_hw, np.uint8))
        plane = planes[-1] if plane is None else plane
        plane[item.rows, item.columns] |= item.mask
    return np.stack(planes) if planes else np.zeros((0, *size_hw), np.uint8)


def from_planes(planes: MaskArray) -> CanvasObjects:
    """Return each connected region of planes, (P, H, W) uint8, not 0 where crowds are, as a crowd."""
    found = []
    for plane in planes:
        _, numbers, facts, _ = cv2.connectedComponentsWithStats((plane > 0).view(np.uint8), connectivity=8)
        for number, (left, top, width, height, area) in enumerate(facts[1:].tolist(), start=1):
            mask = (numbers[top : top + height, left : left + width] == number).view(np.uint8)
            found.append(CanvasObject(mask, top, left, 0, is_crowd=True, whole_area=area))
    return tuple(found)
