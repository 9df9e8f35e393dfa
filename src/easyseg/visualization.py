"""Pictures of images, masks and mistakes. Every function draws on arrays and returns a new one.

Masks follow the task: "multiclass" masks hold class ids, "binary" ones 0 and 1, both (H, W); "multilabel" ones hold 0
and 1 in (classes, H, W). `colors` has one RGB colour per class.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from easyseg.structures import IGNORE_INDEX, Color, ImageArray, MaskArray, Task

PAPER: Color = (255, 255, 255)
INK: Color = (38, 38, 43)
WRONG: Color = (222, 38, 48)
CLAIMED: Color = (240, 128, 0)
MISSED: Color = (32, 90, 214)
RIGHT: Color = (226, 228, 232)
IGNORED: Color = (128, 128, 132)
IGNORED_STRIPE: Color = (160, 160, 164)

_GAP_PIXELS = 10
_STRIPE_PIXELS = 4


def as_rgb(image: npt.NDArray[np.uint8]) -> ImageArray:
    """Return an image as (H, W, 3) uint8.

    Args:
        image: (H, W) or (H, W, C) uint8; one or two channels are shown grey, of more than three the first three.
    """
    planes = image[..., None] if image.ndim == 2 else image
    if planes.shape[2] < 3:
        return np.repeat(planes[..., :1], 3, axis=2)
    return np.ascontiguousarray(planes[..., :3])


def color_mask(mask: MaskArray, colors: Sequence[Color], *, task: Task = "multiclass") -> ImageArray:
    """Paint each class in its colour.

    Args:
        mask: class ids as the task has them; pixels of `IGNORE_INDEX` come out grey and striped.
        colors: one RGB colour per class.
        task: what the mask's values mean.

    Returns:
        (H, W, 3) uint8. Where no class is, black; where several are (multilabel), the mean of their colours.
    """
    paint, covered, ignored = _painted(mask, colors, task)
    picture = np.where(covered[..., None], paint, np.uint8(0))
    return _with_stripes(picture, ignored)


def overlay(
    image: npt.NDArray[np.uint8],
    mask: MaskArray,
    colors: Sequence[Color],
    *,
    task: Task = "multiclass",
    alpha: float = 0.5,
    outline: bool = True,
) -> ImageArray:
    """Lay the classes over the image as translucent colours.

    Args:
        image: (H, W) or (H, W, C) uint8.
        mask: class ids of the image's size; ignored pixels leave the image as it is.
        colors: one RGB colour per class; a black one, as backgrounds have, leaves the image as it is.
        task: what the mask's values mean.
        alpha: how much of the colour shows, from 0 to 1.
        outline: draw the regions' borders in full colour with a thin dark line outside.

    Returns:
        (H, W, 3) uint8.
    """
    base = as_rgb(image)
    paint, covered, _ = _painted(mask, colors, task)
    covered &= paint.any(axis=2)
    mixed = cv2.addWeighted(base, 1 - alpha, paint, alpha, 0)
    picture = np.where(covered[..., None], mixed, base)
    if not outline:
        return picture
    width = max(1, round(min(covered.shape) / 400))
    for plane in mask if task == "multilabel" else np.where(covered, mask, IGNORE_INDEX)[None]:
        rim = _inner_border(plane, width) & covered
        outside = _inner_border(plane, 1) & ~covered
        picture[outside] = base[outside] // 3
        picture[rim] = _brightened(paint[rim])
    return picture


def error_map(
    prediction: MaskArray, target: MaskArray, *, image: npt.NDArray[np.uint8] | None = None, task: Task = "multiclass"
) -> ImageArray:
    """Show where a prediction is wrong.

    Args:
        prediction: class ids.
        target: class ids of the same shape, `IGNORE_INDEX` where nothing counts.
        image: (H, W) or (H, W, C) uint8, drawn faintly behind to say where one is.
        task: what the masks' values mean.

    Returns:
        (H, W, 3) uint8: right pixels faint, wrong ones red, ignored ones grey and striped. For the other tasks than
        multiclass, pixels wrongly claimed are orange and missed ones blue; where a pixel is both, red.
    """
    counts = target != IGNORE_INDEX
    if task == "multiclass":
        wrong = counts & (prediction != target)
        claimed = missed = np.zeros_like(wrong)
        ignored = ~counts
    else:
        more, less = counts & (prediction > target), counts & (prediction < target)
        claimed, missed = (plane.any(axis=0) if plane.ndim == 3 else plane for plane in (more, less))
        wrong = claimed & missed
        ignored = ~counts.any(axis=0) if counts.ndim == 3 else ~counts
    picture = np.empty((*wrong.shape, 3), np.uint8)
    if image is None:
        picture[:] = RIGHT
    else:
        grey = cv2.cvtColor(as_rgb(image), cv2.COLOR_RGB2GRAY)
        picture[:] = (165 + grey.astype(np.uint16) * 80 // 255).astype(np.uint8)[..., None]
    picture[claimed], picture[missed], picture[wrong] = CLAIMED, MISSED, WRONG
    return _with_stripes(picture, ignored)


def error_legend(task: Task) -> tuple[tuple[str, ...], tuple[Color, ...]]:
    """Return the names and colours that explain an `error_map`."""
    if task == "multiclass":
        return ("wrong", "right", "ignored"), (WRONG, RIGHT, IGNORED)
    names, colors = ("wrongly claimed", "missed", "right", "ignored"), (CLAIMED, MISSED, RIGHT, IGNORED)
    return names, colors


def legend(names: Sequence[str], colors: Sequence[Color], height: int = 0, *, font_pixels: int = 14) -> ImageArray:
    """Draw colour chips with their names, in as many columns as the height asks for.

    Args:
        names: what to write.
        colors: as many RGB colours.
        height: height wanted in pixels; the legend is higher where a single row needs it.
        font_pixels: height of the letters.

    Returns:
        (H, W, 3) uint8, H at least `height`.
    """
    letters = font(font_pixels)
    row, chip, margin = round(font_pixels * 1.7), font_pixels, round(font_pixels * 0.8)
    rows = max(1, (max(height, row + margin) - margin) // row)
    widths = [
        max(round(letters.getlength(name)) for name in names[start : start + rows]) + 2 * chip + margin
        for start in range(0, len(names), rows)
    ]
    canvas_height = max(height, min(rows, len(names)) * row + margin)
    canvas = Image.new("RGB", (sum(widths) + margin, canvas_height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (name, color) in enumerate(zip(names, colors, strict=True)):
        column, line = divmod(index, rows)
        left, top = margin + sum(widths[:column]), margin // 2 + line * row + (row - chip) // 2
        draw.rounded_rectangle((left, top, left + chip, top + chip), chip // 4, fill=color, outline=INK)
        draw.text((left + round(1.6 * chip), top + chip / 2), name, fill=INK, font=letters, anchor="lm")
    return np.asarray(canvas).copy()


def side_by_side(
    panels: Sequence[npt.NDArray[np.uint8]], titles: Sequence[str] = (), *, font_pixels: int = 0
) -> ImageArray:
    """Set pictures next to each other, with captions in a strip above them.

    Args:
        panels: (H, W) or (H, W, C) uint8 each; all are scaled to the height of the highest.
        titles: one caption per panel, or none at all; too long ones are cut.
        font_pixels: height of the letters; 0 chooses it by the panels' height.

    Returns:
        (H, W, 3) uint8 on white.
    """
    height = max(panel.shape[0] for panel in panels)
    scaled = [_scaled_to(as_rgb(panel), height) for panel in panels]
    size = font_pixels or font_pixels_for(height)
    strip = round(size * 1.9) if titles else 0
    width = sum(panel.shape[1] for panel in scaled) + _GAP_PIXELS * (len(scaled) - 1)
    canvas = Image.new("RGB", (width, strip + height), PAPER)
    draw = ImageDraw.Draw(canvas)
    left = 0
    for index, panel in enumerate(scaled):
        canvas.paste(Image.fromarray(panel), (left, strip))
        if titles:
            text = _fitted(titles[index], font(size), panel.shape[1])
            draw.text((left + 2, strip / 2), text, fill=INK, font=font(size), anchor="lm")
        left += panel.shape[1] + _GAP_PIXELS
    return np.asarray(canvas).copy()


def beside(picture: ImageArray, explanation: ImageArray) -> ImageArray:
    """Set a legend to the right of a picture, both at their own scale and aligned at the bottom."""
    height = max(picture.shape[0], explanation.shape[0])
    canvas = np.full((height, picture.shape[1] + explanation.shape[1], 3), PAPER, np.uint8)
    canvas[height - picture.shape[0] :, : picture.shape[1]] = picture
    canvas[height - explanation.shape[0] :, picture.shape[1] :] = explanation
    return canvas


def font_pixels_for(height: int) -> int:
    """Return a height of letters that reads well beside a picture of this height in pixels."""
    return min(max(round(height / 26), 13), 40)


def _painted(
    mask: MaskArray, colors: Sequence[Color], task: Task
) -> tuple[ImageArray, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the colour of every pixel, whether a class covers it, and whether it is ignored."""
    if task == "multilabel":
        present = mask == 1
        share = np.maximum(present.sum(axis=0), 1)[..., None]
        mean = np.tensordot(present.astype(np.float32), np.array(colors, np.float32), axes=(0, 0)) / share
        return mean.round().astype(np.uint8), present.any(axis=0), (mask == IGNORE_INDEX).all(axis=0)
    table = np.zeros((256, 3), np.uint8)
    first = 1 if task == "binary" else 0
    table[first : first + len(colors)] = colors
    ignored = mask == IGNORE_INDEX
    return table[mask], (mask >= first) & ~ignored, ignored


def _with_stripes(picture: ImageArray, where: npt.NDArray[np.bool_]) -> ImageArray:
    rows, columns = np.nonzero(where)
    stripe = (rows + columns) // _STRIPE_PIXELS % 2
    striped = picture.copy()
    striped[rows, columns] = np.array([IGNORED, IGNORED_STRIPE], np.uint8)[stripe]
    return striped


def _inner_border(ids: MaskArray, width: int) -> npt.NDArray[np.bool_]:
    """Return where a pixel has another id within `width` pixels; the edge of the picture is no border."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    ids = np.ascontiguousarray(ids)
    border: npt.NDArray[np.bool_] = cv2.dilate(ids, kernel) != cv2.erode(ids, kernel)
    return border


def _brightened(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return (colors + (255 - colors) // 4).astype(np.uint8)


def _scaled_to(picture: ImageArray, height: int) -> ImageArray:
    if picture.shape[0] == height:
        return picture
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _fitted(text: str, letters: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if letters.getlength(text) <= width - 4:
        return text
    while text and letters.getlength(text + "…") > width - 4:
        text = text[:-1]
    return text + "…"


@functools.cache
def font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return DejaVu Sans, which has Greek and Cyrillic too and comes with matplotlib, without importing that."""
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), pixels)
    return ImageFont.load_default(pixels)
