"""Masks of ids that were scaled smoothly have classes at their edges that are not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from easyseg.data.check import smoothing
from easyseg.data.check.smoothing import find_edges
from easyseg.data.shapes import draw_shapes
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def streets(folder: Path, count: int = 8) -> list[Path]:
    """Write images with masks of eight classes that meet each other, and return the masks."""
    masks = []
    for number in range(count):
        cells = np.random.default_rng(number).integers(0, 8, (6, 6), dtype=np.uint8)
        masks.append(folder / f"masks/{number}.png")
        write_image(masks[-1], cells.repeat(10, 0).repeat(10, 1))
        write_image(folder / f"images/{number}.png", draw_shapes(60, np.random.default_rng(number))[0])
    return masks


def smoothed(mask: np.ndarray) -> np.ndarray:
    """Return a mask as it comes back from half its size, scaled by the mean of neighbours."""
    small = cv2.resize(mask, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(small, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)


CLASSES = list("abcdefgh")


def test_smoothed_ids_are_told(tmp_path: Path, examine: Examine) -> None:
    """Some masks scaled smoothly are found among sound ones, the worst first."""
    masks = streets(tmp_path)
    assert "smoothed_masks" not in examine(tmp_path, classes=CLASSES)
    for mask in masks[2:4]:
        write_image(mask, smoothed(np.asarray(Image.open(mask))))
    finding = examine(tmp_path, classes=CLASSES)["smoothed_masks"]
    assert {case.name for case in finding.cases} == {"masks/2.png", "masks/3.png"}
    shares = [float(case.detail.split("%")[0]) for case in finding.cases]
    assert shares == sorted(shares, reverse=True)
    assert finding.severity == "error"
    masks[3].write_bytes(masks[3].read_bytes()[:-30])
    assert examine(tmp_path, classes=CLASSES)["smoothed_masks"].count == 1


def test_where_some_are_smooth_all_are_looked_at(
    tmp_path: Path, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many masks a part is opened first, and the rest only where that part has the fault."""
    masks = streets(tmp_path, 12)
    monkeypatch.setattr(smoothing, "MOST_MASKS", 4)  # 0, 11, 4 and 7, in the order of their names
    write_image(masks[5], smoothed(np.asarray(Image.open(masks[5]))))
    assert "smoothed_masks" not in examine(tmp_path, classes=CLASSES)
    write_image(masks[4], smoothed(np.asarray(Image.open(masks[4]))))
    assert examine(tmp_path, classes=CLASSES)["smoothed_masks"].count == 2


def test_levels_of_grey_have_a_finding_of_their_own(tmp_path: Path, examine: Examine) -> None:
    """What is told as antialiased already is not told again."""
    mask = streets(tmp_path)[2]
    write_image(mask, smoothed(np.asarray(Image.open(mask)) * 36))
    checkup = examine(tmp_path, classes=CLASSES)
    assert "antialiased_masks" in checkup
    assert "smoothed_masks" not in checkup


def test_black_and_white_may_be_smooth(black_and_white: Path, examine: Examine) -> None:
    """Of one class, levels between mean nothing."""
    mask = black_and_white / "masks/03.png"
    write_image(mask, cv2.GaussianBlur(np.asarray(Image.open(mask)), (0, 0), 2.5))
    checkup = examine(black_and_white)
    assert "antialiased_masks" in checkup
    assert "smoothed_masks" not in checkup


def test_colours_are_no_numbers_to_lie_between(tmp_path: Path, examine: Examine) -> None:
    """A mask of colours among ids has a finding of its own."""
    mask = streets(tmp_path, 20)[2]
    values = smoothed(np.asarray(Image.open(mask)))
    write_image(mask, np.stack([values, values * 2, values * 3], axis=2))
    checkup = examine(tmp_path, classes=CLASSES)
    assert "mixed_encodings" in checkup
    assert "smoothed_masks" not in checkup


def test_what_lies_between() -> None:
    """Only edges count, along rows and columns alike, and without what does not count."""
    cells = np.random.default_rng(0).integers(0, 8, (8, 8)).repeat(8, 0).repeat(8, 1)
    smooth = smoothed(cells.astype(np.uint8)).astype(np.int64)
    assert find_edges(cells).smooth_share == 0
    assert find_edges(smooth).smooth_share > 0.25
    assert find_edges(smooth).smooth_share == find_edges(smooth.T).smooth_share
    assert find_edges(smooth, tuple(range(1, 7))).between.size == 0
    assert set(find_edges(smooth, (3,)).between.tolist()) == {1, 2, 4, 5, 6}
    assert find_edges(smooth[:14, :14]).between.size > 0
    assert find_edges(smooth[:14, :14]).smooth_share == 0  # hardly an edge
    assert find_edges(np.array([[0, 2, 4, 0, 1, 5, 6, 6, 1]])).between.tolist() == [2, 1, 5]


def test_a_class_drawn_along_outlines_is_no_smoothing(tmp_path: Path, examine: Examine) -> None:
    """A line of one pixel between cell and ground is a class of its own."""
    for mask in streets(tmp_path):
        cells = np.zeros((60, 60), np.uint8)
        for top in range(4, 50, 14):
            cv2.rectangle(cells, (6, top), (50, top + 10), 2, -1)
            cv2.rectangle(cells, (6, top), (50, top + 10), 1, 1)
        write_image(mask, cells)
    assert find_edges(cells.astype(np.int64)).smooth_share > 0.3
    assert "smoothed_masks" not in examine(tmp_path, classes=["ground", "outline", "cell"])
