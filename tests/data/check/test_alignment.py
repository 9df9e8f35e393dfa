"""Masks that lie on other images, or upside down, are found by the edges that their borders should follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.data.check.alignment import _border, _is_better, _steepness
from easyseg.data.reading import as_dataset
from easyseg.data.shapes import draw_shapes
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 96, 96, 3) and masks (N, 96, 96) of shapes, each pixel of some class."""
    pairs = [draw_shapes(96, np.random.default_rng(number)) for number in range(count)]
    images, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    return images, np.where(masks == 255, 0, masks)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A dataset of 20 images with masks."""
    for number, (image, mask) in enumerate(zip(*drawn(20), strict=True)):
        write_image(tmp_path / f"images/{number:02}.png", image)
        write_image(tmp_path / f"masks/{number:02}.png", mask)
    return tmp_path


def masks_of(scenes: Path) -> list[Path]:
    """Return the masks of a dataset."""
    return sorted((scenes / "masks").iterdir())


@pytest.mark.parametrize(("step", "words"), [(1, "of the image before"), (-1, "of the next image")])
def test_masks_moved_by_one_file(scenes: Path, examine: Examine, step: int, words: str) -> None:
    """Where each image has its neighbour's mask, it is said which neighbour's fits."""
    masks = masks_of(scenes)
    contents = [mask.read_bytes() for mask in masks]
    for at, mask in enumerate(masks):
        mask.write_bytes(contents[(at + step) % len(masks)])
    finding = examine(scenes)["misplaced_masks"]
    (case,) = finding.cases
    assert case.name == "images"
    assert words in case.detail
    assert len(case.samples) >= 10
    assert finding.severity == "error"


@pytest.mark.parametrize(
    ("words", "rows", "columns"),
    [("upside down", -1, 1), ("mirrored left to right", 1, -1), ("turned by 180°", -1, -1)],
)
def test_masks_the_wrong_way_round(scenes: Path, examine: Examine, words: str, rows: int, columns: int) -> None:
    """Where all masks are mirrored or turned, it is said how."""
    for mask in masks_of(scenes):
        write_image(mask, np.ascontiguousarray(np.asarray(Image.open(mask))[::rows, ::columns]))
    assert words in examine(scenes)["misplaced_masks"].cases[0].detail


def test_few_misplaced_masks_prove_nothing(scenes: Path, examine: Examine) -> None:
    """In a folder where most masks fit, nothing is said; nor in one of few images."""
    for mask in masks_of(scenes)[::4]:
        write_image(mask, np.ascontiguousarray(np.asarray(Image.open(mask))[::-1]))
    assert "misplaced_masks" not in examine(scenes)
    for at, mask in enumerate(masks_of(scenes)):
        write_image(mask, np.ascontiguousarray(np.asarray(Image.open(mask))[:: -1 if at % 4 else 1]))
        if at >= 9:
            mask.unlink()
            (scenes / f"images/{mask.name}").unlink()
    assert "misplaced_masks" not in examine(scenes)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([0.1, 0.12] * 8, True),
        ([0.1, 0.12] * 4, False),  # too few
        ([0.02, 0.021] * 8, False),  # hardly any better
        ([0.9, 0.05, 0.05, -0.5] * 4, False),  # by accident
        ([0.1] * 11 + [-0.01] * 5, False),  # not in most
        ([-0.1, -0.12] * 8, False),
    ],
)
def test_what_is_better(gains: list[float], expected: bool) -> None:
    """Better is what is so in most cases, clearly, and not by accident."""
    assert _is_better(gains) is expected


def test_borders_leave_out_the_frame() -> None:
    """Only where two classes meet is a border, and not at the very edges of the image."""
    ids = np.zeros((20, 20), np.uint8)
    ids[:, 10:] = 1
    ids[:, 19:] = 2
    border = _border(ids)
    assert set(border.nonzero()[1].tolist()) == {10}
    assert (border.nonzero()[0].min(), border.nonzero()[0].max()) == (2, 17)
    np.testing.assert_array_equal(_border(ids.T), border.T)


def test_steepness_is_a_share_of_the_pixels() -> None:
    """Where nothing is steeper than anything else, all are in the middle; an edge is steeper than most."""
    grey = np.zeros((192, 256), np.uint8)
    np.testing.assert_allclose(_steepness(grey), 0.5, atol=1e-4)
    grey[:, 128:] = 200
    steepness = _steepness(grey)
    assert steepness[:, 127:129].min() > 0.9
    assert steepness[:, :100].max() < 0.6
    assert steepness.mean() == pytest.approx(0.5, abs=1e-3)


def test_overlapping_classes_and_arrays() -> None:
    """Arrays are one folder; where classes overlap, there is not one border."""
    images, masks = drawn(20)
    checkup = as_dataset((images, masks[:, ::-1])).check(verbose=False)
    assert checkup["misplaced_masks"].cases[0].name == "memory"
    planes = np.stack([masks[:, ::-1] == 1, masks[:, ::-1] == 2], axis=1).astype(np.uint8)
    assert "misplaced_masks" not in as_dataset((images, planes)).check(verbose=False)


def test_masks_that_say_nothing_are_left_out(scenes: Path, examine: Examine) -> None:
    """Empty masks have no borders, and cut off images no edges; the others tell all the same."""
    for at, mask in enumerate(masks_of(scenes)):
        values = np.asarray(Image.open(mask))[::-1]
        write_image(mask, np.ascontiguousarray(values * np.uint8(at > 3)))
    image = scenes / "images/07.png"
    image.write_bytes(image.read_bytes()[:-100])
    checkup = examine(scenes)
    assert "truncated" in checkup
    assert set(checkup["misplaced_masks"].cases[0].samples) == {*range(4, 20)} - {7}
