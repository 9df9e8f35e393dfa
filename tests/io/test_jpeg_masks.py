"""JPEG masks of black and white come back as they were; those of several classes are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from easyseg.errors import SampleError
from easyseg.io.images import read_mask, write_image
from easyseg.structures import MaskArray


def save(path: Path, mask: MaskArray, quality: int = 90) -> Path:
    """Save a picture as JPEG."""
    cv2.imwrite(str(path), mask, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


@pytest.fixture
def disc() -> MaskArray:
    """A white disc and a thin white line on black, (60, 77)."""
    mask = np.zeros((60, 77), np.uint8)
    cv2.circle(mask, (30, 30), 20, 255, -1)
    cv2.line(mask, (60, 0), (76, 59), 255, 2)
    return mask


@pytest.mark.parametrize("quality", [75, 85, 95])
def test_black_and_white_comes_back_exactly(tmp_path: Path, disc: MaskArray, quality: int) -> None:
    """At usual qualities no pixel changes sides, grey or stored in colour, upright or inverted."""
    for mask in (disc, 255 - disc, disc * 0, disc * 0 + 255):
        found = read_mask(save(tmp_path / "mask.jpg", mask, quality))
        assert found.is_lossy
        assert found.kind == "grey"
        np.testing.assert_array_equal(found.values, mask)
        colored = read_mask(save(tmp_path / "colored.jpg", np.dstack([mask] * 3), quality))
        np.testing.assert_array_equal(colored.values, mask)


def test_png_masks_are_not_lossy(tmp_path: Path, disc: MaskArray) -> None:
    """Other formats keep their values and say so."""
    write_image(tmp_path / "mask.png", disc // 85)
    found = read_mask(tmp_path / "mask.png")
    assert not found.is_lossy
    assert found.values.max() == 3


def test_several_classes_are_refused(tmp_path: Path, disc: MaskArray) -> None:
    """Grey levels, small ids, small ids beside white, and colours: each is named in the reason."""
    ids = (disc // 255).astype(np.uint8)
    ids[45:] = 2
    beside_white = ids.copy()
    beside_white[:8, :40] = 255
    for mask, words in (
        (ids * 85, r"\d+\.\d\d% of its pixels are grey, with values such as 8\d, "),
        (ids, "values from 0 to 2 that are not only 0 and 255"),
        (beside_white, "values from 0 to 255 that are not only 0 and 255"),
        (np.dstack([disc, disc * 0, disc * 0]), "it holds colours"),
    ):
        with pytest.raises(SampleError, match=rf"mask\.jpg: a JPEG file cannot hold a mask of several.*{words}.*PNG"):
            read_mask(save(tmp_path / "mask.jpg", mask, 95))


def test_small_ids_without_flat_areas_are_refused(tmp_path: Path) -> None:
    """Where no area is flat, noise needs white and black beside each other."""
    speckled = np.random.default_rng(0).integers(0, 12, (16, 16)).astype(np.uint8)
    with pytest.raises(SampleError, match="not only 0 and 255"):
        read_mask(save(tmp_path / "mask.jpg", speckled, 95))
