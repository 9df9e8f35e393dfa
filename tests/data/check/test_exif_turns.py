"""Images that EXIF turns while their masks stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def turn(shapes: Path, kind: str, orientation: int, rows: int = 48) -> Path:
    """Save the first image or mask of the training split with an EXIF orientation, and return it."""
    path = sorted((shapes / f"train/{kind}").iterdir())[0]
    values = np.asarray(Image.open(path))[:rows]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("orientation", "rows", "words"), [(3, 30, "turned by 180°"), (2, 30, "mirrored left"), (6, 48, "turned by 90°")]
)
def test_turned_images(shapes: Path, examine: Examine, orientation: int, rows: int, words: str) -> None:
    """Where both ways round have the same size, the turn itself is told."""
    image = turn(shapes, "images", orientation, rows)
    turn(shapes, "masks", 1, rows)
    finding = examine(shapes)["exif_turns"]
    (case,) = finding.cases
    assert case.name == f"train/masks/{image.name}"
    assert words in case.detail
    assert finding.severity == "warning"


def test_sound_orientations(shapes: Path, examine: Examine) -> None:
    """Upright images, turned masks of turned images, and masks whose size says how they lie."""
    turn(shapes, "images", 1)
    assert "exif_turns" not in examine(shapes)
    turn(shapes, "images", 3)
    turn(shapes, "masks", 3)
    assert "exif_turns" not in examine(shapes)
    turn(shapes, "images", 6, 30)
    mask = turn(shapes, "masks", 1, 30)
    upright = np.ascontiguousarray(np.rot90(np.asarray(Image.open(mask)), -1))
    Image.fromarray(upright).save(mask)
    assert "exif_turns" not in examine(shapes)
    turn(shapes, "images", 3)
    Image.fromarray(upright[:40]).save(mask)
    checkup = examine(shapes)
    assert "size_mismatch" in checkup
    assert "exif_turns" not in checkup
