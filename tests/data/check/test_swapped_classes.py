"""Masks in which a number, or black and white, means another thing than in the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.data.check.swapped_classes import _mirrored, _traded
from easyseg.data.shapes import draw_shapes
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def read(path: Path) -> np.ndarray:
    """Return the pixels of a picture as its file stores them."""
    return np.asarray(Image.open(path)).copy()


def roofs(folder: Path, count: int = 24, *, centred: bool = False) -> list[Path]:
    """Write images with 0/255 masks that cover 10 % to 30 %, and return the masks."""
    masks = []
    for number in range(count):
        mask = np.zeros((40, 50), np.uint8)
        if centred:
            mask[10:30, 15 : 25 + number % 10] = 255
        else:
            mask[: 8 + number % 4, : 20 + number] = 255
        write_image(folder / f"images/{number:02}.png", draw_shapes(50, np.random.default_rng(number))[0][:40])
        masks.append(folder / f"masks/{number:02}.png")
        write_image(masks[-1], mask)
    return masks


@pytest.mark.parametrize("other", [[1, 2, 3, 0], [2, 0, 1, 3], [3, 1, 2, 0]])
def test_classes_that_trade_places_in_a_split(shapes: Path, examine: Examine, other: list[int]) -> None:
    """Numbers that mean other classes in val are told with the classes' shares."""
    table = np.arange(256, dtype=np.uint8)
    table[:4] = other
    for mask in (shapes / "val/masks").iterdir():
        write_image(mask, table[read(mask)])
    finding = examine(shapes)["exchanged_classes"]
    (case,) = finding.cases
    assert case.name == "val"
    assert "background" in case.detail
    assert finding.severity == "warning"


def test_a_split_of_other_scenes_is_sound(shapes: Path, examine: Examine) -> None:
    """Where a split shows more of a class than another, but not as much as the others do, nothing was exchanged."""
    for mask in (shapes / "val/masks").iterdir():
        values = read(mask)
        values[:20] = 1
        write_image(mask, values)
    assert "exchanged_classes" not in examine(shapes)


def of_two(first: list[float]) -> np.ndarray:
    """Return the shares of two classes in masks, (R, 2)."""
    return np.stack([first, 1 - np.array(first)], axis=1)


@pytest.mark.parametrize(
    ("train", "other", "traded"),
    [
        (of_two([0.7, 0.72, 0.74, 0.76]), of_two([0.26, 0.28, 0.3, 0.32]), [0, 1]),
        (of_two([0.62, 0.63, 0.64, 0.65]), of_two([0.36, 0.37, 0.38, 0.39]), []),  # not far
        (of_two([0.9, 0.91, 0.92, 0.93]), of_two([0.36, 0.37, 0.38, 0.39]), []),  # other shares
        (of_two([0.9] * 6 + [0.1] * 2), of_two([0.1] * 6 + [0.9] * 2), []),  # not in nearly every mask
        (of_two([0.7, 0.72, 0.74]), of_two([0.26, 0.28, 0.3, 0.32]), []),  # too few
        (of_two([0.7, 0.72, 0.74, 0.76]), of_two([0.26, 0.28, 0.3]), []),
        (
            np.array([[0.6, 0.0, 0.4], [0.6, 0.4, 0.0], [0.6, 0.0, 0.4], [0.6, 0.0, 0.4]]),
            np.array([[0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.1, 0.9, 0.0], [0.1, 0.6, 0.3]]),
            [],  # one class alone trades with nothing
        ),
    ],
)
def test_what_counts_as_traded(train: np.ndarray, other: np.ndarray, traded: list[int]) -> None:
    """Far apart, the same shares but of other classes, in nearly every mask, and enough of them."""
    assert sorted(_traded(train, other)) == traded


TWENTY = list(np.linspace(0.1, 0.3, 20))


@pytest.mark.parametrize(
    ("covered", "inverted"),
    [
        ([*TWENTY, 0.8, 0.85, 0.9], 3),
        ([0.8, 0.85, 0.9, *(1 - np.array([*TWENTY, 0.1, 0.2, 0.15]))], 0),
        ([*TWENTY, 0.9], 0),  # one alone may be a close-up
        ([*[0.2, 0.21] * 10, 0.79], 1),  # but not where all others are alike
        ([*TWENTY, *[0.8] * 10], 0),  # half and half is the subject's nature
        ([*TWENTY[:9], 0.8, 0.85, 0.9], 0),  # too few others
        ([*TWENTY, 0.44, 0.56, 0.7, 0.75], 0),  # no gap
        ([*TWENTY, 0.98, 0.99, 1.0], 0),  # mirrored, they are not like the others
        (TWENTY, 0),
    ],
)
def test_what_counts_as_inverted(covered: list[float], inverted: int) -> None:
    """Several masks far from all others, which are among them when mirrored."""
    assert len(_mirrored(np.array(covered))) == inverted


def test_a_split_with_black_for_white(tmp_path: Path, examine: Examine) -> None:
    """An inverted split is one finding, not one for each of its masks."""
    for split, count in (("train", 24), ("val", 8)):
        for mask in roofs(tmp_path / split, count):
            write_image(mask, 255 - read(mask) if split == "val" else read(mask))
    checkup = examine(tmp_path)
    assert checkup["exchanged_classes"].count == 1
    assert "inverted_masks" not in checkup


def test_single_inverted_masks(tmp_path: Path, examine: Examine) -> None:
    """A few masks in black for white are told, those furthest from the others first."""
    masks = roofs(tmp_path)
    assert examine(tmp_path).is_healthy
    for at in (3, 8, 12, 15):
        write_image(masks[at], 255 - read(masks[at]))
    finding = examine(tmp_path)["inverted_masks"]
    assert finding.count == 4
    assert {case.name for case in finding.cases} == {f"masks/{at:02}.png" for at in (3, 8, 12, 15)}
    shares = [float(case.detail.split("%")[0]) for case in finding.cases]
    assert shares == sorted(shares, reverse=True)


def test_one_mask_of_many_that_are_alike(tmp_path: Path, examine: Examine) -> None:
    """Where all masks cover nearly the same, a single one that covers the rest stands out; else it does not."""
    for at, mask in enumerate(roofs(tmp_path / "varied")):
        values = np.zeros((40, 50), np.uint8)
        values[:, : 2 + at] = 255
        write_image(mask, 255 - values if at == 3 else values)
    assert "inverted_masks" not in examine(tmp_path / "varied")
    masks = roofs(tmp_path / "alike")
    for at, mask in enumerate(masks):
        values = np.zeros((40, 50), np.uint8)
        values[:, : 10 + at % 2] = 255
        write_image(mask, 255 - values if at == 3 else values)
    assert [case.name for case in examine(tmp_path / "alike")["inverted_masks"].cases] == ["masks/03.png"]


def test_close_ups_are_no_inverted_masks(tmp_path: Path, examine: Examine) -> None:
    """Objects that fill some images lie in the middle of them, as in the others; inverted, they are at the edges."""
    masks = roofs(tmp_path, centred=True)
    for at in (3, 8, 12):
        close = np.zeros((40, 50), np.uint8)
        close[2:38, 3:46] = 255
        write_image(masks[at], close)
    assert "inverted_masks" not in examine(tmp_path)
    for at in (3, 8, 12):
        values = np.zeros((40, 50), np.uint8)
        values[10:30, 15:30] = 255
        write_image(masks[at], 255 - values)
    assert examine(tmp_path)["inverted_masks"].count == 3
