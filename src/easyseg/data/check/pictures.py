"""Pictures of what a checkup found: the first cases of each finding, images beside their masks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from easyseg import visualization
from easyseg.data.check.objects import outlines_of
from easyseg.data.check.sources import read_any_mask, read_any_numbers
from easyseg.data.check.survey import Survey
from easyseg.errors import EasySegError
from easyseg.io.images import RawMask
from easyseg.io.inspection import as_picture
from easyseg.results.checkup import Case, Checkup, Finding, Panel, PicturedCase
from easyseg.structures import IGNORE_INDEX, Color, ImageArray

MOST_PICTURES = 3
"""So many cases of a finding are shown."""
_PANEL_HEIGHT = 240
_WIDEST_PANEL = 420
_MOSTLY = 0.5
"""Where more of a mask than this means nothing, it is shown as it is."""
_STRANGE: Color = (255, 0, 200)
"""What no class has, loud on any picture."""
_OUTSIDE: Color = (70, 72, 80)
"""What lies beyond an image."""
_OF_IMAGES = frozenset(["constant_images", "mixed_numbers", "missing_masks", "twin_images"])
_OF_PAIRS = frozenset(
    ["leaks", "duplicates", "near_leaks", "near_duplicates", "series_leaks", "series", "scattered_frames"]
)
_OF_PAIRS_WITH_MASKS = frozenset(["conflicting_annotations", "repeated_masks"])


def worst_pictures(survey: Survey, checkup: Checkup) -> dict[str, list[PicturedCase]]:
    """Return pictures of the first cases of each kind of finding that can be shown."""
    pictures: dict[str, list[PicturedCase]] = {}
    for finding in checkup:
        taken = [PicturedCase(str(case), _panels_of(survey, finding, case)) for case in finding.cases[:MOST_PICTURES]]
        shown = [pictured for pictured in taken if pictured.panels]
        if shown:
            pictures[finding.kind] = shown
    return pictures


def _panels_of(survey: Survey, finding: Finding, case: Case) -> tuple[Panel, ...]:
    if not case.samples:
        return ()
    try:
        return tuple(Panel(title, _fitted(picture)) for picture, title in _panels(survey, finding, case))
    except EasySegError:
        return ()  # what cannot be read cannot be shown


def _panels(survey: Survey, finding: Finding, case: Case) -> list[tuple[ImageArray, str]]:
    if finding.kind in _OF_IMAGES:
        return [(_image(survey, at), survey.image_name(at)) for at in case.samples]
    if finding.kind in _OF_PAIRS:
        return [(_image(survey, at), survey.image_name(at)) for at in case.samples[:MOST_PICTURES]]
    if finding.kind in _OF_PAIRS_WITH_MASKS:
        return [(_overlay(survey, at), survey.image_name(at)) for at in case.samples[:2]]
    sample = case.samples[0]
    if case.objects:
        return [_outlined(survey, sample, case.objects[0]), _outlined(survey, sample, case.objects[0], closely=True)]
    panels = [(_image(survey, sample), "image")]
    masks = survey.masks_of(sample)
    if not masks:
        return panels
    raw = read_any_mask(masks[0])
    panels.append((_painted(survey, raw), "mask"))
    if raw.values.shape[:2] == panels[0][0].shape[:2]:
        panels.append((_overlay(survey, sample), "mask on image"))
    return panels


def _image(survey: Survey, sample: int) -> ImageArray:
    return visualization.as_rgb(as_picture(read_any_numbers(survey.samples[sample].image)))


def _outlined(survey: Survey, sample: int, number: int, *, closely: bool = False) -> tuple[ImageArray, str]:
    """Return an image with the outlines of one object in a loud colour, and its title.

    Args:
        survey: the dataset.
        sample: the number of the image.
        number: the number of the object in it.
        closely: show the place around the object only, also what of it lies beyond the image.
    """
    picture = _image(survey, sample)
    height, width = picture.shape[:2]
    objects = survey.samples[sample].objects
    shape = objects[number].shape if isinstance(objects, tuple) else None
    rings = outlines_of(shape, (height, width))
    points = np.concatenate([ring.reshape(-1, 2) for ring in rings]) if rings else np.zeros((0, 2))
    points = points[np.isfinite(points).all(axis=1)]
    if not closely or not len(points):
        low, high = np.zeros(2), np.array([width, height], float)
    else:  # a little of what is around it; far outside, the nearest part of the image
        around = 0.15 * np.ptp(points, axis=0) + 12
        low = np.clip(points.min(axis=0) - around, -width - height, np.array([width, height]) - 24)
        high = np.clip(points.max(axis=0) + around, low + 24, [2 * width + height, 2 * height + width])
    left, top, right, bottom = (round(float(value)) for value in (*low, *high))
    canvas = np.full((bottom - top, right - left, 3), _OUTSIDE, np.uint8)
    inside = picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    canvas[max(0, -top) :, max(0, -left) :][: inside.shape[0], : inside.shape[1]] = inside
    zoom = max(1.0, _PANEL_HEIGHT / canvas.shape[0]) if closely else 1.0
    canvas = np.asarray(cv2.resize(canvas, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST), np.uint8)
    for ring in rings:
        corners = np.clip((ring - (left, top)) * zoom, -1e5, 1e5).round().astype(np.int32)
        line = max(1, round(max(canvas.shape) / 250))
        cv2.polylines(canvas, [corners], isClosed=True, color=_STRANGE, thickness=line, lineType=cv2.LINE_AA)
    return canvas, f"object {number + 1}" + (", closely" if closely else "")


def _overlay(survey: Survey, sample: int) -> ImageArray:
    """Return an image with its masks laid over it; values that no class has are loud."""
    base = _image(survey, sample)
    masks = [read_any_mask(source) for source in survey.masks_of(sample)]
    for raw in masks:
        paint = _painted(survey, raw)
        if paint.shape != base.shape:
            continue
        covered = paint.any(axis=2)
        mixed = cv2.addWeighted(base, 0.45, paint, 0.55, 0)
        base = np.where(np.asarray(covered)[..., None], mixed, base)
    return base


def _painted(survey: Survey, raw: RawMask) -> ImageArray:
    """Return a mask in its classes' colours, (H, W, 3) uint8; black where nothing is, striped where nothing counts."""
    class_map = survey.class_map
    if class_map is None:
        return _as_seen(raw)
    try:
        ids = class_map.encode(raw.as_rgb() if class_map.encoding == "colors" else raw.values)
    except EasySegError:
        return _strange_painted(survey, raw)
    if class_map.task == "multilabel":
        return visualization.color_mask(np.where(ids == 1, 0, IGNORE_INDEX).astype(np.uint8), class_map.colors)
    return visualization.color_mask(ids, class_map.colors, task=class_map.task)


def _strange_painted(survey: Survey, raw: RawMask) -> ImageArray:
    """Return a mask that holds values no class has: these loud and a little larger, the others dark."""
    class_map = survey.class_map
    if class_map is None or class_map.encoding != "ids" or raw.values.ndim != 2:
        return _as_seen(raw)
    known = list(class_map.value_targets())
    strange = ~np.isin(raw.values, known)
    if strange.mean() > _MOSTLY:
        return _as_seen(raw)
    ids = class_map.encode(np.where(strange, known[0], raw.values).astype(raw.values.dtype))
    picture = visualization.color_mask(ids, class_map.colors, task=class_map.task) // 2
    width = 1 + max(strange.shape) // 150
    picture[cv2.dilate(strange.view(np.uint8), np.ones((width, width), np.uint8)) > 0] = _STRANGE
    return picture


def _as_seen(raw: RawMask) -> ImageArray:
    """Return a mask as a picture in which its values can be told apart."""
    if raw.kind != "grey":
        return raw.as_rgb()
    values: npt.NDArray[np.int64] = raw.values.astype(np.int64)
    spread = (values - values.min()) * 255 // max(1, int(values.max() - values.min()))
    return np.repeat(spread.astype(np.uint8)[..., None], 3, axis=2)


def _fitted(panel: ImageArray) -> ImageArray:
    scale = min(_PANEL_HEIGHT / panel.shape[0], _WIDEST_PANEL / panel.shape[1])
    size = (max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(panel, size, interpolation=interpolation), np.uint8)
