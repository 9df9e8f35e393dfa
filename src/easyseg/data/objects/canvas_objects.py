"""The objects of an image on the network's canvas, each as small as it is: what augmentation moves and caches keep.

A byte for every pixel and object would be 50 MB for an image of 512 x 512 pixels with 200 nuclei. Here an object has a
mask of its own box only, and in a cache a bit for each pixel of it, compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.objects.drawing import DrawnObject
from easyseg.preprocessing import Placement, nearest_sources
from easyseg.structures import ImageArray, MaskArray, SizeHW

_SMALLEST_VOID = 16  # pixels: what is no wider holds few boxes, and a ragged mask would have thousands of such parts
_FILLED = 0.75  # the share of its box that a part of the void covers
_LENGTH_BYTES = 4
_FIELDS = 6  # top, left, height, width, class, whether it is a crowd


@dataclass(frozen=True, slots=True, eq=False)
class CanvasObject:
    """One object.

    Attributes:
        mask: (h, w) uint8, 1 where the object is and 0 elsewhere in its box.
        top: the box's first row on the canvas.
        left: its first column.
        class_id: its place in the dataset's `object_classes`.
        is_crowd: whether it is a region of objects that were not told apart.
        whole_area: pixels it would cover if nothing of it were cut off or covered by something else.
    """

    mask: MaskArray
    top: int
    left: int
    class_id: int
    is_crowd: bool
    whole_area: float

    @property
    def area(self) -> int:
        """How many pixels it covers."""
        return cv2.countNonZero(self.mask)

    @property
    def rows(self) -> slice:
        """The rows of its box."""
        return slice(self.top, self.top + self.mask.shape[0])

    @property
    def columns(self) -> slice:
        """The columns of its box."""
        return slice(self.left, self.left + self.mask.shape[1])


CanvasObjects: TypeAlias = tuple[CanvasObject, ...]
Annotated: TypeAlias = tuple[ImageArray, CanvasObjects]
"""An image on the canvas and its objects."""


def trimmed(objects: Iterable[CanvasObject]) -> CanvasObjects:
    """Return objects whose boxes lie tightly around them, without those that cover no pixel."""
    found = []
    for item in objects:
        left, top, width, height = cv2.boundingRect(item.mask) if item.mask.size else (0, 0, 0, 0)
        if not width:
            continue
        if (height, width) != item.mask.shape:
            mask = np.ascontiguousarray(item.mask[top : top + height, left : left + width])
            item = replace(item, mask=mask, top=item.top + top, left=item.left + left)
        found.append(item)
    return tuple(found)


def to_canvas(drawn: Iterable[DrawnObject], placement: Placement) -> CanvasObjects:
    """Bring objects to the canvas, by the very pixels that `Preprocessing.mask_to_canvas` takes.

    Those that vanish are left out; the padding is no object.

    Args:
        drawn: the objects of the image, looked at one after the other.
        placement: where the image lies on the canvas.
    """
    rows = nearest_sources(placement.original_hw[0], placement.scaled_hw[0])
    columns = nearest_sources(placement.original_hw[1], placement.scaled_hw[1])
    found: list[CanvasObject] = []
    for item in drawn:
        whole = item.mask.view(np.uint8)
        left, top, width, height = cv2.boundingRect(whole)
        first_row, end_row = np.searchsorted(rows, (top, top + height)).tolist()
        first_column, end_column = np.searchsorted(columns, (left, left + width)).tolist()
        mask = whole[rows[first_row:end_row]][:, columns[first_column:end_column]]
        place = (first_row + placement.offset_hw[0], first_column + placement.offset_hw[1])
        small = trimmed([CanvasObject(mask, *place, item.class_id, item.is_crowd, whole_area=0)])
        parts = [part for each in small for part in _compact_parts(each)] if item.is_void else small
        found += [replace(each, whole_area=each.area) for each in parts]
    return tuple(found)


def from_masks(masks: npt.NDArray[np.uint8], objects: CanvasObjects) -> CanvasObjects:
    """Return objects whose pixels are given anew; those without any are left out.

    Args:
        masks: (N, H, W) uint8, not 0 where the objects are.
        objects: their classes, N.
    """
    pairs = zip(masks, objects, strict=True)
    return trimmed(replace(item, mask=(mask > 0).view(np.uint8), top=0, left=0) for mask, item in pairs)


def to_masks(objects: CanvasObjects, size_hw: SizeHW) -> npt.NDArray[np.uint8]:
    """Return the masks of objects on the whole canvas, (N, H, W) uint8 of 0 and 1."""
    masks = np.zeros((len(objects), *size_hw), np.uint8)
    for mask, item in zip(masks, objects, strict=True):
        mask[item.rows, item.columns] = item.mask
    return masks


def _compact_parts(item: CanvasObject) -> CanvasObjects:
    """Return void pixels in parts that fill most of their boxes.

    What learns looks at the boxes of crowds only, and the box of a void outline would hold all that lies within it.
    What is thin however it is parted is left out: no box lies in it.
    """
    height, width = item.mask.shape
    if item.area >= _FILLED * height * width:
        return (item,)
    if max(height, width) <= _SMALLEST_VOID:
        return ()
    if height > width:
        middle = height // 2
        halves = (replace(item, mask=item.mask[:middle]), replace(item, mask=item.mask[middle:], top=item.top + middle))
    else:
        middle = width // 2
        left, right = item.mask[:, :middle], item.mask[:, middle:]
        halves = (
            replace(item, mask=np.ascontiguousarray(left)),
            replace(item, mask=np.ascontiguousarray(right), left=item.left + middle),
        )
    return tuple(part for half in trimmed(halves) for part in _compact_parts(half))


def boxes_of(objects: CanvasObjects) -> npt.NDArray[np.float32]:
    """Return the boxes around objects, (N, 4) float32 x1, y1, x2, y2 in pixels."""
    boxes = [(item.columns.start, item.rows.start, item.columns.stop, item.rows.stop) for item in objects]
    return np.array(boxes, np.float32).reshape(-1, 4)


def packed(objects: CanvasObjects, num_bytes: int) -> npt.NDArray[np.uint8]:
    """Return objects as bytes, for caches with a place of fixed size for each image.

    Args:
        objects: whole ones, of which nothing is cut off.
        num_bytes: the size of the place.

    Returns:
        (num_bytes,) uint8, from which `unpacked` makes them again; all 0 where they do not fit.
    """
    place = np.zeros(num_bytes, np.uint8)
    table = [(o.top, o.left, *o.mask.shape, o.class_id, int(o.is_crowd)) for o in objects]
    bits = np.packbits(np.concatenate([np.zeros(0, np.uint8), *(item.mask.ravel() for item in objects)]))
    plain = b"".join([len(objects).to_bytes(4, "little"), np.array(table, "<i4").tobytes(), bits.tobytes()])
    stream = zlib.compress(plain, 1)
    if _LENGTH_BYTES + len(stream) <= num_bytes:
        place[:_LENGTH_BYTES] = np.frombuffer(len(stream).to_bytes(_LENGTH_BYTES, "little"), np.uint8)
        place[_LENGTH_BYTES : _LENGTH_BYTES + len(stream)] = np.frombuffer(stream, np.uint8)
    return place


def unpacked(place: npt.NDArray[np.uint8]) -> CanvasObjects | None:
    """Return the objects that `packed` put into these bytes, (num_bytes,) uint8; None where they did not fit."""
    length = int.from_bytes(place[:_LENGTH_BYTES].tobytes(), "little")
    if not length:
        return None
    plain = np.frombuffer(zlib.decompress(place[_LENGTH_BYTES : _LENGTH_BYTES + length].tobytes()), np.uint8)
    count = int.from_bytes(plain[:4].tobytes(), "little")
    end = 4 + 4 * _FIELDS * count
    table = plain[4:end].view("<i4").reshape(count, _FIELDS).tolist()
    pixels = np.unpackbits(plain[end:])
    objects, start = [], 0
    for top, left, height, width, class_id, is_crowd in table:
        mask = pixels[start : start + height * width].reshape(height, width)
        start += height * width
        objects.append(CanvasObject(mask, top, left, class_id, bool(is_crowd), cv2.countNonZero(mask)))
    return tuple(objects)
