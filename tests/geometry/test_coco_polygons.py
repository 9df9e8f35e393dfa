"""Polygons filled as COCO's reference fills them."""

from __future__ import annotations

import tracemalloc

import faster_coco_eval.core.mask as reference
import numpy as np
import pytest

from easyseg.errors import DataError
from easyseg.geometry import coco_polygons, coco_rings_to_run_lengths


def _random_case(generator):
    """Return the rings of an object and a size: of all shapes, in and out of the picture, whole and broken numbers."""
    size_hw = tuple(int(side) for side in generator.integers(1, generator.choice([4, 20, 90]), 2))
    rings = [_random_ring(generator, size_hw) for _ in range(int(generator.choice([1, 1, 1, 2, 4])))]
    return rings, size_hw


def _random_ring(generator, size_hw):
    count = int(generator.choice([1, 2, 3, 4, 5, 8, 13, 40]))
    reach = float(generator.choice([0.1, 0.8, 1, 1, 1.5, 4, 100]))  # of the picture's size
    points = ((generator.random((count, 2)) - 0.5) * reach + 0.5) * size_hw[::-1]
    kind = generator.integers(0, 8)
    if kind == 1:
        points = np.round(points)
    elif kind == 2:
        points = np.round(points * 2) / 2
    elif kind == 3:
        points = np.round(points * 5) / 5 - 0.1  # where rounding to the fine grid is decided
    elif kind == 4:
        points = np.repeat(points, 2, axis=0)
    elif kind == 5:
        points[:, int(generator.integers(0, 2))] = points[0, 0]  # no area
    elif kind == 6:
        points = np.concatenate([points, points[::-1]])
    elif kind == 7 and reach > 1:
        points = points * 10.0 ** generator.integers(0, 4)
    return np.clip(points, -20_000, 20_000)  # the reference walks along every fifth of a pixel


def _theirs(rings, size_hw):
    drawn = [reference._mask.frPoly([ring.ravel().tolist()], *size_hw)[0] for ring in rings]
    text = reference.merge(drawn)["counts"]
    return text if isinstance(text, str) else text.decode()


def _assert_equal_reference(count, seed):
    generator = np.random.default_rng(seed)
    filled = 0
    for _ in range(count):
        rings, size_hw = _random_case(generator)
        ours = coco_rings_to_run_lengths(rings, size_hw)
        assert ours.to_compressed() == _theirs(rings, size_hw), (rings, size_hw)
        filled += ours.area > 0
    assert filled > count / 3


def test_two_thousand_polygons_equal_the_reference():
    """Random objects, degenerate ones among them, are filled bit for bit as the reference fills them."""
    _assert_equal_reference(2000, seed=0)


@pytest.mark.slow
def test_ten_thousand_polygons_equal_the_reference():
    """As above, five times as many."""
    _assert_equal_reference(10_000, seed=1)


@pytest.mark.parametrize("far", [-300_000.25, 300_000.75, 1e6])
def test_far_points_equal_the_reference(far):
    """Points hundreds of thousands of pixels away make the same pixels, on flat and on steep edges."""
    for ring in ([[2, 3], [far, 50.3], [9.5, 60]], [[2, 3], [20.25, far], [9.5, 60]], [[far, -far], [5, 7], [30, 60]]):
        points = np.array(ring)
        assert coco_rings_to_run_lengths([points], (64, 48)).to_compressed() == _theirs([points], (64, 48))


def test_a_square_covers_its_pixels():
    """A 10 x 10 square of whole coordinates is 100 pixels."""
    square = np.array([[2.0, 3.0], [12.0, 3.0], [12.0, 13.0], [2.0, 13.0]])
    filled = coco_rings_to_run_lengths([square], (20, 20))
    assert (filled.area, filled.box) == (100, (2.0, 3.0, 12.0, 13.0))


def test_rings_of_an_object_are_united():
    """Where two rings overlap, the pixel is inside; within one ring that crosses itself, every other part is."""
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    assert coco_rings_to_run_lengths([square, square + 2], (6, 6)).area == 16 + 16 - 4
    twice = np.concatenate([square, square])
    assert coco_rings_to_run_lengths([twice], (6, 6)).area == 0


@pytest.mark.parametrize("rings", [[], [np.zeros((0, 2))], [[]], [np.array([[1.0, 1.0]])]])
def test_too_few_points_fill_nothing(rings):
    """Without a ring, or with one of no or one point, nothing is filled."""
    assert coco_rings_to_run_lengths(rings, (3, 3)).counts.tolist() == [9]


@pytest.mark.parametrize(
    ("ring", "problem"),
    [
        ([[0, 0], [np.nan, 5], [5, 5]], r"Point 2 of a polygon lies at \[nan, 5.0\]"),
        ([[0, 0], [5, 5], [5, np.inf]], r"Point 3 of a polygon lies at \[5.0, inf\]"),
        ([[-1e7, 0], [5, 5], [5, 9]], r"Point 1 .* at most 1,048,576"),
        ([0, 0, 5, 5, 5, 9], r"shape \(6,\).*\(K, 2\)"),
        ([[0, 0, 1], [5, 5, 1]], r"shape \(2, 3\)"),
        ([[0, 0], [5]], "are no numbers"),
        ([[0, 0], [5, None], [3, 3]], "Point 2|are no numbers"),
        ([[0, 0], [5, "x"], [3, 3]], "are no numbers"),
        ([[10**400, 0], [5, 5], [3, 3]], "are no numbers"),
    ],
)
def test_wrong_points_are_told(ring, problem):
    """Points that lie nowhere, or in no picture, are refused with their place."""
    with pytest.raises(DataError, match=problem):
        coco_rings_to_run_lengths([ring], (16, 16))


def test_wrong_size_is_told():
    """A size that no picture has is refused."""
    with pytest.raises(DataError, match="at most"):
        coco_rings_to_run_lengths([np.zeros((3, 2))], (10**6, 10**6))


def test_hostile_outlines_take_little_memory(monkeypatch):
    """Outlines of many edges across the whole picture are worked off in batches, with the same result."""
    generator = np.random.default_rng(4)
    zigzag = np.stack([np.tile([-5.0, 2005.0], 200), generator.random(400) * 100], axis=1)
    expected = coco_rings_to_run_lengths([zigzag], (100, 2000))
    monkeypatch.setattr(coco_polygons, "_CROSSINGS_AT_ONCE", 10_000)
    tracemalloc.start()
    try:
        assert coco_rings_to_run_lengths([zigzag], (100, 2000)) == expected
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000  # at once, 800,000 crossings would take some 200 MB
    assert expected.to_compressed() == _theirs([zigzag], (100, 2000))
