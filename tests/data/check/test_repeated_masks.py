"""The same mask under several images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def masks_of(shapes: Path) -> list[Path]:
    """Return the masks of the training split."""
    return sorted((shapes / "train/masks").iterdir())


def test_a_mask_under_several_images(shapes: Path, examine: Examine) -> None:
    """Masks that are equal to the last pixel are told with their number, the most frequent one first."""
    masks = masks_of(shapes)
    shutil.copy(masks[0], masks[1])
    for target in masks[6:8]:
        shutil.copy(masks[5], target)
    finding = examine(shapes)["repeated_masks"]
    assert [case.detail for case in finding.cases] == ["3 images", "2 images"]
    assert finding.cases[1].name == " = ".join(f"train/masks/{mask.name}" for mask in masks[:2])
    assert finding.severity == "warning"


def test_equal_counts_are_not_equal_masks(shapes: Path, examine: Examine) -> None:
    """A mirrored mask holds as many pixels of each class, and is another."""
    masks = masks_of(shapes)
    write_image(masks[1], np.ascontiguousarray(np.asarray(Image.open(masks[0]))[:, ::-1]))
    assert "repeated_masks" not in examine(shapes)


def test_empty_masks_may_be_equal(shapes: Path, examine: Examine) -> None:
    """Nothing looks like nothing."""
    for mask in masks_of(shapes)[:3]:
        write_image(mask, np.zeros((48, 48), np.uint8))
    assert "repeated_masks" not in examine(shapes)


def test_the_same_picture_may_have_the_same_mask(shapes: Path, examine: Examine) -> None:
    """A frame that hardly differs from another shows the same things."""
    masks = masks_of(shapes)
    image = shapes / f"train/images/{masks[0].name}"
    noise = np.random.default_rng(0).normal(0, 2, (48, 48, 3))
    write_image(
        shapes / f"train/images/{masks[1].name}", (np.asarray(Image.open(image)) + noise).clip(0, 255).astype(np.uint8)
    )
    shutil.copy(masks[0], masks[1])
    assert "repeated_masks" not in examine(shapes)


def test_one_mask_for_all(shapes: Path, examine: Examine) -> None:
    """Where most images have the same mask, such as the field of a microscope, that is how the data are."""
    for mask in shapes.glob("*/masks/*.png"):
        shutil.copy(masks_of(shapes)[0], mask) if mask != masks_of(shapes)[0] else None
    assert "repeated_masks" not in examine(shapes)


def test_masks_that_cannot_be_read_any_more(shapes: Path, examine: Examine) -> None:
    """A cut off mask is told as such."""
    masks = masks_of(shapes)
    shutil.copy(masks[0], masks[1])
    masks[1].write_bytes(masks[1].read_bytes()[:-20])
    checkup = examine(shapes)
    assert "truncated" in checkup
    assert "repeated_masks" not in checkup
