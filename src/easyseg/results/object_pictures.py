"""Pictures of objects: each in a colour of its own, with words beside it where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from easyseg import visualization
from easyseg.geometry import BoolMask
from easyseg.metrics.instance import PredictedObjects
from easyseg.structures import Color, ImageArray, SizeHW

_READABLE_PIXELS = 640
_COLORS: tuple[Color, ...] = (
    (255, 122, 0),
    (0, 148, 255),
    (84, 200, 30),
    (226, 40, 140),
    (255, 205, 0),
    (134, 84, 240),
    (0, 190, 170),
    (235, 45, 50),
    (150, 200, 255),
    (190, 120, 60),
    (250, 150, 200),
    (40, 90, 200),
)
"""Strong ones, which stand out on dark and bright images alike; neighbours in the list differ most."""

_MOST_COVERED = 0.25
"""Share of a label that may lie on other objects."""

_SMALL_SHARE = 0.06
"""A label within its own object covers no more of it than this."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a label lies: its upper left corner and size in pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the part of a picture below it."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def object_colors(count: int) -> list[Color]:
    """Return a colour for each of `count` objects; they repeat after some, but not among neighbours."""
    return [_COLORS[place % len(_COLORS)] for place in range(count)]


def readable_factor(size_hw: SizeHW) -> int:
    """Return the whole factor by which a picture is enlarged, so that words beside objects can be read."""
    return max(1, _READABLE_PIXELS // max(size_hw))


def draw_objects(
    ground: ImageArray, objects: PredictedObjects, labels: Sequence[str] = (), *, factor: int = 1, alpha: float = 0.45
) -> ImageArray:
    """Draw objects over a picture, the largest first, so that none hides another.

    Args:
        ground: (H, W, 3) uint8, the image enlarged by `factor`.
        objects: in the image's own pixels, the most certain first; those without masks are drawn as boxes.
        labels: what to write beside each; none at all, or one per object, of which some may be empty. One for which
            there is no room without hiding others is left out; the most certain objects come first.
        factor: by which the ground was enlarged.
        alpha: how much of the colours shows within the outlines, from 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    picture = ground.copy()
    colors = object_colors(len(objects))
    stroke = max(1, round(min(picture.shape[:2]) / 300))
    owners = np.zeros(picture.shape[:2], np.int32)
    boxes = np.round(objects.boxes * factor).astype(int)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for place in np.argsort(-sizes, kind="stable").tolist():
        if objects.masks is None:
            _draw_box(picture, boxes[place].tolist(), colors[place], stroke + 1)
            continue
        patch, (left, top) = objects.masks[place].to_patch()
        patch = patch.repeat(factor, axis=0).repeat(factor, axis=1)
        _draw_patch(picture, patch, (left * factor, top * factor), colors[place], stroke, alpha)
        area = owners[top * factor :, left * factor :][: patch.shape[0], : patch.shape[1]]
        area[patch] = place + 1
    if any(labels):
        _write_labels(picture, owners, boxes, labels, colors)
    return picture


def _draw_patch(
    picture: ImageArray, patch: BoolMask, corner_xy: tuple[int, int], color: Color, stroke: int, alpha: float
) -> None:
    """Fill an object with a translucent colour, with a rim in full colour and a thin dark line around that."""
    if not patch.size:
        return
    height, width = picture.shape[:2]
    left, top = corner_xy
    # a pixel more on each side, as far as the picture goes, for the dark line
    before = (min(1, top), min(1, left))
    after = (min(1, height - top - patch.shape[0]), min(1, width - left - patch.shape[1]))
    inside = np.pad(patch, tuple(zip(before, after, strict=True))).view(np.uint8)
    part = picture[top - before[0] :, left - before[1] :][: inside.shape[0], : inside.shape[1]]
    kernel = np.ones((3, 3), np.uint8)
    # what lies beyond the picture counts as inside: its edge is no border of an object
    core = cv2.erode(inside, kernel, iterations=stroke, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    around = cv2.dilate(inside, kernel) > inside
    mixed = np.arange(256)[:, None] * (1 - alpha) + np.array(color) * alpha
    filled = cv2.LUT(part, mixed.astype(np.uint8)[None])
    np.copyto(part, filled, where=core[..., None] > 0)
    part[inside > core] = color
    part[around] = part[around] // 3


def _draw_box(picture: ImageArray, box: Sequence[int], color: Color, stroke: int) -> None:
    """Draw a line in full colour along a box's inner side, and a thin dark one around it."""
    left, top, right, bottom = box
    cv2.rectangle(picture, (left - 1, top - 1), (right, bottom), (0, 0, 0), 1)
    for inset in range(stroke):
        cv2.rectangle(picture, (left + inset, top + inset), (right - 1 - inset, bottom - 1 - inset), color, 1)


def _write_labels(
    picture: ImageArray,
    owners: npt.NDArray[np.int32],
    boxes: npt.NDArray[np.intp],
    labels: Sequence[str],
    colors: Sequence[Color],
) -> None:
    """Write each label where it hides least, the first ones first.

    Args:
        picture: (H, W, 3) uint8, drawn on.
        owners: (H, W) the number of the object seen there, from 1 on; 0: none.
        boxes: (N, 4) pixels of the picture.
        labels: of each object.
        colors: of each object.
    """
    font = visualization.font(min(max(round(picture.shape[0] / 42), 12), 60))
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    is_written = np.zeros(owners.shape, bool)
    areas = np.bincount(owners.ravel(), minlength=len(labels) + 1)
    ascent = font.getbbox("0")
    height = round((ascent[3] - ascent[1]) * 1.75)
    for place, text in enumerate(labels):
        width = round(font.getlength(text)) + height // 2
        spot = (
            _best_spot(owners, is_written, boxes[place].tolist(), (width, height), place + 1, areas) if text else None
        )
        if spot is None:
            continue
        spot.of(is_written)[:] = True
        frame = (spot.left, spot.top, spot.left + spot.width - 1, spot.top + spot.height - 1)
        draw.rounded_rectangle(frame, spot.height // 4, fill=colors[place], outline=visualization.INK)
        middle = (spot.left + spot.width / 2, spot.top + spot.height / 2)
        draw.text(middle, text, fill=_ink_on(colors[place]), font=font, anchor="mm")
    picture[:] = np.asarray(canvas)


def _best_spot(
    owners: npt.NDArray[np.int32],
    is_written: BoolMask,
    box: Sequence[int],
    size_wh: tuple[int, int],
    number: int,
    areas: npt.NDArray[np.intp],
) -> _Spot | None:
    """Return where a label hides least of other objects, and of its own one too; None where it would hide too much.

    Args:
        owners: (H, W) the number of the object seen there.
        is_written: (H, W) bool, where labels lie already.
        box: of the object.
        size_wh: of the label, in pixels.
        number: of the object.
        areas: pixels seen of each object by number.
    """
    best, least = None, _MOST_COVERED
    for spot in _spots(box, size_wh, (owners.shape[0], owners.shape[1])):
        if spot.of(is_written).any():
            continue
        below = spot.of(owners)
        own = int((below == number).sum())
        share = (int((below > 0).sum()) - own) / below.size
        # within a large object a label does no harm, on a small one it hides what it is about
        share += own / below.size * (0.0 if own <= _SMALL_SHARE * areas[number] else 2.0)
        if share < least:
            best, least = spot, share
    return best


def _spots(box: Sequence[int], size_wh: tuple[int, int], picture_hw: SizeHW) -> list[_Spot]:
    """Return the places for a label that lie in the picture, the usual ones first: above, within, below, beside."""
    (left, top, right, bottom), (width, height) = box, size_wh
    middle_x, middle_y = (left + right - width) // 2, (top + bottom - height) // 2
    corners = [(middle_x, top - height - 2), (left, top - height - 2), (right - width, top - height - 2)]
    corners += [(middle_x, top + 4), (left + 4, top + 4), (middle_x, middle_y), (middle_x, bottom - height - 4)]
    corners += [(middle_x, bottom + 2), (left, bottom + 2), (right - width, bottom + 2)]
    corners += [(right + 2, middle_y), (left - width - 2, middle_y), (right + 2, top), (left - width - 2, top)]
    fits = [(x, y) for x, y in corners if 0 <= x <= picture_hw[1] - width and 0 <= y <= picture_hw[0] - height]
    return [_Spot(x, y, width, height) for x, y in fits]


def _ink_on(color: Color) -> Color:
    """Return the dark or the white ink, whichever has the greater contrast with the colour (WCAG 2)."""
    ours, dark = _luminance(color), _luminance(visualization.INK)
    return visualization.INK if (ours + 0.05) / (dark + 0.05) > 1.05 / (ours + 0.05) else visualization.PAPER


def _luminance(color: Color) -> float:
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
