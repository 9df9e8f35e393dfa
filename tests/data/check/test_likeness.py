"""A copy is told from a picture that merely looks like it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from easyseg.data.check.likeness import compare, small_plane
from easyseg.data.shapes import draw_shapes


def scene(seed: int, size: int = 200) -> np.ndarray:
    """Draw a picture and return its brightness."""
    image, _ = draw_shapes(size, np.random.default_rng(seed))
    return cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1)


def is_copy(first: np.ndarray, second: np.ndarray) -> bool:
    """Compare two pictures of any size."""
    return compare(small_plane(first), small_plane(second)).is_copy


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda grey: grey,
    "scaled": lambda grey: cv2.resize(grey, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "stretched": lambda grey: cv2.resize(grey, None, fx=0.7, fy=0.9, interpolation=cv2.INTER_AREA),
    "compressed": lambda grey: cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 0),
    "cut": lambda grey: grey[6:, 9:-3],
    "darker": lambda grey: (grey * 0.7).astype(np.uint8),
    "blown out": lambda grey: np.clip(grey.astype(int) * 6 // 5 + 15, 0, 255).astype(np.uint8),
    "other tones": lambda grey: (255 * (grey / 255) ** 0.7).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_copies(change: str) -> None:
    """What treats the whole picture alike leaves a copy, whichever of both is the original."""
    for seed in range(6):
        assert is_copy(scene(seed), CHANGES[change](scene(seed)))
        assert is_copy(CHANGES[change](scene(seed)), scene(seed))


def test_something_that_moved_makes_another_picture() -> None:
    """A single disc elsewhere, as in the next frame of a video, is no copy."""
    for seed in range(6):
        before, after = scene(seed), scene(seed)
        cv2.circle(before, (60, 60), 14, 230 if seed % 2 else 10, -1)
        cv2.circle(after, (110, 70), 14, 230 if seed % 2 else 10, -1)
        assert not is_copy(before, after)


def test_other_pictures_are_no_copies() -> None:
    """Two scenes are not alike, nor is one like its mirror image."""
    for seed in range(6):
        assert not is_copy(scene(seed), scene(seed + 50))
        assert not is_copy(scene(seed), scene(seed)[:, ::-1])


def test_pictures_without_contents_are_no_copies() -> None:
    """Two grey walls are not the same picture."""
    assert not is_copy(np.full((80, 90), 120, np.uint8), np.full((80, 90), 121, np.uint8))


def test_pictures_of_any_size_can_be_compared() -> None:
    """Slivers and single rows are compared without a complaint."""
    for shape in ((1, 300), (300, 2), (3, 3)):
        sliver = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert compare(small_plane(sliver), small_plane(scene(0))).is_copy is False


def test_frames_of_a_real_street_are_no_copies(shared_data: Path) -> None:
    """Frames one second apart of a moving car are pictures of their own; what is made of one of them is a copy."""
    frames = [cv2.imread(str(path), 0) for path in sorted((shared_data / "camvid/train").glob("0001TP*"))[:40]]
    assert sum(is_copy(one, other) for one, other in itertools.pairwise(frames)) == 0
    for change in CHANGES.values():
        assert sum(is_copy(frame, change(frame)) for frame in frames[::4]) >= 9
