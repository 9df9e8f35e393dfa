"""A dataset that draws itself: discs, squares and triangles on a noisy ground. The demo and many tests use it."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.io.atomic import write_text
from easyseg.io.images import write_image
from easyseg.structures import IGNORE_INDEX, ImageArray, MaskArray

SHAPE_CLASSES = ("background", "disc", "square", "triangle")
"""The classes in the order of their ids."""

_HUES = {1: 0.03, 2: 0.36, 3: 0.64}
"""The colour each class likes, as a place on the colour circle."""

_STRETCH = {1: 1.0, 2: 1.15, 3: 1.3}
"""What makes the shapes' areas alike: a triangle fills less of the circle around it than a square."""

_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def write_shapes(folder: str | Path, *, count: int = 200, size: int = 96, seed: int = 0) -> Path:
    """Draw a dataset: `train/`, `val/`, `test/`, each with `images/` and `masks/` of PNG files, and `classes.txt`.

    Each class has colours it likes, but not for itself alone, and strokes of any colour cross the ground; so a model
    must learn colours and outlines. Some shapes have a hole, some hide each other. The masks hold class ids, and 255
    along the outlines, where the class of a pixel is a matter of taste.

    Args:
        folder: made where it is missing.
        count: images altogether, at least 3.
        size: their height and width in pixels.
        seed: decides everything.

    Returns:
        the folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    write_text(folder / "classes.txt", "\n".join(SHAPE_CLASSES) + "\n")
    numbers = iter(range(count))
    for split, amount in _amounts(count).items():
        images, masks = folder / split / "images", folder / split / "masks"
        for _, number in zip(range(amount), numbers, strict=False):
            image, mask = draw_shapes(size, np.random.default_rng((seed, number)))
            write_image(images / f"shapes_{number:04}.png", image)
            write_image(masks / f"shapes_{number:04}.png", mask)
    return folder


def draw_shapes(size: int, rng: np.random.Generator) -> tuple[ImageArray, MaskArray]:
    """Draw one image and its mask.

    Args:
        size: height and width in pixels.
        rng: where the chances come from.

    Returns:
        (size, size, 3) uint8 RGB, and (size, size) uint8 class ids with `IGNORE_INDEX` along outlines.
    """
    canvas = _ground(size, rng)
    mask = np.zeros((size, size), np.uint8)
    for class_id, area in _shapes(size, rng):
        surface = _surface(size, class_id, rng)
        # the soft edge a lens would leave
        opacity = cv2.GaussianBlur(area.astype(np.float32), (3, 3), 0)[..., None]
        canvas = canvas * (1 - opacity) + surface * opacity
        mask[area > 0] = class_id
        mask[_outline(area)] = IGNORE_INDEX
    noisy = canvas + rng.normal(0, 10, canvas.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask


def _amounts(count: int) -> dict[str, int]:
    amounts = {split: max(1, round(count * share)) for split, share in _SHARES.items()}
    return {**amounts, "train": max(1, count - amounts["val"] - amounts["test"])}


def _shapes(size: int, rng: np.random.Generator) -> Iterator[tuple[int, MaskArray]]:
    """Yield two to four shapes, each as its class id and a (size, size) uint8 area of 0 and 1."""
    for _ in range(rng.integers(2, 5)):
        class_id = int(rng.integers(1, len(SHAPE_CLASSES)))
        radius = rng.uniform(0.15, 0.27) * size * _STRETCH[class_id]
        centre = rng.uniform(0.12, 0.88, 2) * size
        angle = rng.uniform(0, 2 * np.pi)
        area = np.zeros((size, size), np.uint8)
        _fill(area, class_id, centre, radius, angle, 1)
        if rng.random() < 0.4:
            _fill(area, class_id, centre, radius * rng.uniform(0.3, 0.45), angle, 0)
        yield class_id, area


def _fill(area: MaskArray, class_id: int, centre: npt.NDArray[Any], radius: float, angle: float, value: int) -> None:
    corners = {1: 48, 2: 4, 3: 3}[class_id]  # with 48 corners, a polygon of this size is a disc
    directions = angle + np.arange(corners) * 2 * np.pi / corners
    polygon = centre + radius * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    cv2.fillPoly(area, [polygon.round().astype(np.int32)], value)


def _outline(area: MaskArray) -> npt.NDArray[np.bool_]:
    kernel = np.ones((3, 3), np.uint8)
    outline: npt.NDArray[np.bool_] = cv2.dilate(area, kernel) != cv2.erode(area, kernel)
    return outline


def _ground(size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a cloudy, greyish ground with a few strokes on it, (size, size, 3) float32 in 0..255."""
    light = _clouds(size, 5, 1, rng)
    tint = _clouds(size, 5, 3, rng)
    ground = light * 110 + tint * 50 + rng.uniform(10, 90)
    for _ in range(rng.integers(1, 5)):
        (x1, y1), (x2, y2) = rng.integers(0, size, (2, 2)).tolist()
        color = tuple(rng.uniform(0, 255, 3).tolist())
        cv2.line(ground, (x1, y1), (x2, y2), color, thickness=max(1, size // 48), lineType=cv2.LINE_AA)
    return ground.astype(np.float32)


def _surface(size: int, class_id: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a shape's shaded surface, (size, size, 3) float32 in 0..255."""
    hue = (_HUES[class_id] + rng.normal(0, 0.07)) % 1  # neighbouring classes share some colours
    color = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 0.9), rng.uniform(0.5, 1)), np.float32)
    return 255 * color * (0.65 + 0.35 * _clouds(size, 3, 1, rng))


def _clouds(size: int, cells: int, channels: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return smooth noise, (size, size, channels) float32, about 0..1."""
    coarse = rng.random((cells, cells, channels), dtype=np.float32)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return fine.reshape(size, size, channels).astype(np.float32)
