"""Masks that belong to other images, or stand on their heads: their borders do not follow the edges in the image."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.check.sources import read_any_mask, read_any_numbers
from easyseg.data.check.survey import Survey, check
from easyseg.data.classes.mask_values import evenly_spread
from easyseg.data.threads import map_in_threads
from easyseg.errors import EasySegError
from easyseg.io.inspection import grey_of
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted

_WIDTH_HEIGHT = (256, 192)
"""All images and masks are compared at this size."""
_RUN = 16
_MOST_RUNS = 3
_MOST_FOLDERS = 4
"""Of each folder, so many runs of so many neighbours are opened."""
_LEAST_PAIRS = 10
_LEAST_BORDER = 30
_SURE = 4.5
"""A mean so many standard errors above 0 is no accident."""
_MOSTLY = 0.7
_BETTER = 0.03
_FRAME = 2

Plane = npt.NDArray[np.float32]
BoolPlane = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """An image's edges and its mask's borders, small.

    Attributes:
        sample: the image's number.
        steepness: (192, 256) float32, 0..1: the share of the image's pixels that are less steep.
        border: (192, 256) bool, where two classes meet.
    """

    sample: int
    steepness: Plane
    border: BoolPlane

    def fit(self, border: BoolPlane) -> float:
        """Return how well a mask's border follows the image's edges: 0.5 by chance, 1 at best."""
        return float(self.steepness[border].mean())


_TURNS: dict[str, Callable[[BoolPlane], BoolPlane]] = {
    "mirrored left to right": lambda border: border[:, ::-1],
    "upside down": lambda border: border[::-1],
    "turned by 180°": lambda border: border[::-1, ::-1],
}
_NEIGHBOURS = {"of the next image": 1, "of the image before": -1}


@check("misplaced masks")
def misplaced_masks(survey: Survey) -> Iterator[Finding]:
    """Folders whose images fit their neighbours' masks, or their own mirrored ones, much better than their own."""
    if survey.pixels is None or survey.class_map is None or survey.class_map.task == "multilabel":
        return
    cases = [case for folder, rows in _folders(survey) if (case := _misplaced_in(survey, folder, rows))]
    if cases:
        found = f"In {counted(len(cases), 'folder')}, masks do not lie on what they mark: {cases[0].detail}."
        advice = "Look at images with their masks laid over them; pair or save them anew."
        yield Finding.of("misplaced_masks", "error", cases, found, advice)


def _folders(survey: Survey) -> list[tuple[str, list[int]]]:
    """Return the largest folders of images, with the rows of their masks; files are mixed up within a folder."""
    folders: dict[str | None, list[int]] = defaultdict(list)
    rows = survey.readable_masks.nonzero()[0]
    for row, sample in zip(rows.tolist(), survey.mask_samples[rows].tolist(), strict=True):
        path = survey.samples[sample].image_path
        # `Path.parent` takes seconds for very many
        folders[None if path is None else os.path.split(path)[0]].append(row)
    largest = sorted(folders.items(), key=lambda entry: -len(entry[1]))[:_MOST_FOLDERS]
    return [("memory" if folder is None else survey.name(Path(folder), 0), found) for folder, found in largest]


def _misplaced_in(survey: Survey, folder: str, rows: list[int]) -> Case | None:
    """Return what would fit the images of a folder better than their own masks; None where nothing does."""
    found = []
    for start in evenly_spread(range(0, len(rows), _RUN), _MOST_RUNS):
        run = map_in_threads(lambda row: _outline(survey, row), rows[start : start + _RUN])
        found.append([outline for outline in run if outline])
    samples = tuple(outline.sample for run in found for outline in run)
    for words, step in _NEIGHBOURS.items():
        if _is_better([_gain(run[at], run[at + step].border) for run in found for at in _inner(run)]):
            return Case(folder, f"images fit the masks {words} better than their own", samples)
    for words, turn in _TURNS.items():
        if _is_better([_gain(outline, turn(outline.border)) for run in found for outline in run]):
            return Case(folder, f"images fit their masks better when these are {words}", samples)
    return None


def _inner(run: list[Outline]) -> range:
    """Return the places in a run that have neighbours on both sides."""
    return range(1, len(run) - 1)


def _gain(outline: Outline, border: BoolPlane) -> float:
    return outline.fit(border) - outline.fit(outline.border)


def _is_better(gains: list[float]) -> bool:
    """Whether numbers are above 0 in most cases, clearly, and not by accident."""
    if len(gains) < _LEAST_PAIRS:
        return False
    mean, error = float(np.mean(gains)), float(np.std(gains) / np.sqrt(len(gains)))
    return mean > max(_BETTER, _SURE * error) and float(np.mean(np.array(gains) > 0)) > _MOSTLY


def _outline(survey: Survey, row: int) -> Outline | None:
    """Return the edges and borders of a mask and its image; None where there is nothing to go by."""
    sample, class_map = int(survey.mask_samples[row]), survey.class_map
    if class_map is None:
        return None
    try:
        raw = read_any_mask(survey.mask_sources[row])
        ids = class_map.encode(raw.as_rgb() if class_map.encoding == "colors" else raw.values)
        grey = grey_of(read_any_numbers(survey.samples[sample].image))
    except EasySegError:
        return None
    border = _border(cv2.resize(ids, _WIDTH_HEIGHT, interpolation=cv2.INTER_NEAREST))
    if np.count_nonzero(border) < _LEAST_BORDER:
        return None
    return Outline(sample, _steepness(grey), border)


def _border(ids: npt.NDArray[np.generic]) -> BoolPlane:
    """Return where a class meets another, (H, W) bool; the frame is left out.

    Pixels that do not count are like a class: often they are a line along an outline.
    """
    border = np.zeros(ids.shape, bool)
    border[:, 1:] = ids[:, 1:] != ids[:, :-1]
    border[1:] |= ids[1:] != ids[:-1]
    inner = np.zeros_like(border)
    inner[_FRAME:-_FRAME, _FRAME:-_FRAME] = border[_FRAME:-_FRAME, _FRAME:-_FRAME]
    return inner


def _steepness(grey: npt.NDArray[np.uint8]) -> Plane:
    """Return for each pixel what share of all are less steep, (H, W) float32 in 0..1."""
    small = cv2.resize(grey, _WIDTH_HEIGHT, interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), 1)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    near = cv2.dilate(slope, np.ones((3, 3), np.uint8))  # outlines are drawn to within a pixel or two
    order = np.argsort(near, axis=None)
    ordered = near.reshape(-1)[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(starts, append=near.size)
    shares = np.empty(near.size, np.float32)
    shares[order] = np.repeat((starts + (counts - 1) / 2) / near.size, counts)
    return shares.reshape(near.shape)
