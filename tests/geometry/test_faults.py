"""What is wrong with polygons, and what only looks like it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from easyseg.geometry import mask_to_polygons, polygon_faults
from easyseg.geometry.faults import first_crossing

SQUARE = [[1.0, 2.0], [5.0, 2.0], [5.0, 6.0], [1.0, 6.0]]


def _kinds(points, size_hw=None, **settings):
    return [fault.kind for fault in polygon_faults(points, size_hw, **settings)]


def _crosses_exactly(ring):
    """Return whether two edges that share no point cross, in exact arithmetic, pair by pair."""
    points = [(Fraction(x), Fraction(y)) for x, y in ring.tolist()]

    def side(a, b, c):
        value = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return (value > 0) - (value < 0)

    edges = list(zip(points, points[1:] + points[:1], strict=True))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for number, (a, b) in enumerate(edges)
        for c, d in edges[number + 1 :]
    )


@pytest.mark.parametrize(
    ("points", "kinds"),
    [
        (SQUARE, []),
        (SQUARE[::-1], []),
        ([*SQUARE, SQUARE[0]], []),  # closed by hand, as many formats want it
        ([[1, 1], [1, 1], [5, 1], [5, 5]], ["duplicate_points"]),
        ([[1, 1], [1, 1], [1, 1], [5, 5]], ["duplicate_points", "too_few_points"]),
        ([[1, 1], [5, 5], [1, 1], [5, 5]], ["too_few_points"]),
        ([], ["too_few_points"]),
        ([[1, 1]], ["too_few_points"]),
        ([[1, 1], [5, 5]], ["too_few_points"]),
        ([[1, 1], [3, 3], [5, 5]], ["zero_area"]),
        ([[1, 1], [5, 1], [5, 1 + 1e-8]], ["zero_area"]),
        ([[1, 1], [9, 1], [9, 9], [9, 1]], ["zero_area"]),
        ([[0, 0], [4, 4], [4, 0], [0, 4]], ["self_crossing"]),
        ([[0, 0], [6, 6], [6, 0], [0, 4]], ["self_crossing"]),
        # a point lies on an edge: the outline touches it, then goes through it
        ([[0, 0], [8, 0], [8, 8], [4, 0], [0, 8]], []),
        ([[0, 0], [8, 0], [8, 8], [4, -1e-9], [0, 8]], []),
        ([[0, 0], [8, 0], [8, 8], [4, 0], [4, -4]], ["self_crossing"]),
        ([[8, 0], [8, 8], [4, 0], [4, -4], [0, 0]], ["self_crossing"]),
        ([[4, -4], [4, 0], [8, 8], [8, 0], [0, 0]], ["self_crossing"]),
        ([[0, 0], [8, 0], [8, 8], [4, 0], [4, 0], [4, -4]], ["duplicate_points", "self_crossing"]),
        # a hole joined by a bridge of no width, and a spike
        ([[0, 0], [9, 0], [9, 9], [0, 9], [0, 0], [3, 3], [3, 6], [6, 6], [6, 3], [3, 3]], []),
        ([[0, 0], [9, 0], [9, 9], [12, 9], [9, 9], [0, 9]], []),
        ([[0, 0], [float("nan"), 0], [9, 9]], ["no_pixels"]),
        ([[0, 0], [float("inf"), 0], [9, 9]], ["no_pixels"]),
        ([0, 0, 9, 0, 9, 9], ["no_pixels"]),
        ([[0, "x"], [9, 0], [9, 9]], ["no_pixels"]),
    ],
)
def test_faults_are_named(points, kinds):
    """Each fault has its kind, and what is merely unusual has none."""
    assert _kinds(points) == kinds


@pytest.mark.parametrize(
    ("offset", "kinds"),
    [
        ((0, 0), []),
        ((-2, 0), []),  # one pixel beyond the edge, as tools round
        ((-2.1, 0), ["partly_outside"]),
        ((15, 13), []),
        ((16.1, 0), ["partly_outside"]),
        ((0, 16.2), ["partly_outside"]),
        ((0, -3.5), ["partly_outside"]),
        ((-5, 0), ["outside"]),
        ((0, -6), ["outside"]),
        ((29, 0), ["outside"]),
        ((0, 18), ["outside"]),
    ],
)
def test_place_is_looked_at(offset, kinds):
    """A polygon beyond the picture of 30 x 20 pixels is told, be it in part or all of it."""
    square = np.array(SQUARE) + offset
    size_hw = (20, 30)
    if offset == (15, 13) or offset[0] == 16.1:
        square += (10, 2)
    assert _kinds(square, size_hw) == kinds
    assert _kinds(square) == []
    assert _kinds([], size_hw) == ["too_few_points"]


def test_margin_can_be_chosen():
    """How far a point may lie beyond the edge is the caller's choice."""
    square = np.array(SQUARE) - [4, 0]
    assert _kinds(square, (20, 30)) == ["partly_outside"]
    assert _kinds(square, (20, 30), margin_pixels=3) == []


def test_details_say_where():
    """The sentences hold the numbers one needs to find the place."""
    (crossing,) = polygon_faults([[0, 0], [4, 4], [4, 0], [0, 4]])
    assert crossing.detail == "Its outline crosses itself, at x = 2.0, y = 2.0 for one."
    (outside,) = polygon_faults(np.array(SQUARE) + 40, (20, 30))
    assert outside.detail == "It lies from [41.0, 42.0] to [45.0, 46.0], outside of the picture of 30 x 20 pixels."
    (partly,) = polygon_faults(np.array(SQUARE) - 3, (20, 30))
    assert partly.detail == "2 of 4 points lie outside of the picture, the first at [-2.0, -1.0]."
    (partly,) = polygon_faults(np.array([*SQUARE, SQUARE[0]]) - 3, (20, 30))
    assert partly.detail.startswith("2 of 4 points")
    (repeats,) = polygon_faults([[1, 1], [5, 1], [5, 1], [5, 5]])
    assert repeats.detail == "1 point repeats the one before, the first at [5.0, 1.0]."
    (repeats,) = polygon_faults([[1, 1], [1, 1], [5, 1], [5, 5], [5, 5], [5, 5]])
    assert repeats.detail == "3 points repeat the one before, the first at [1.0, 1.0]."


def test_crossings_are_those_of_exact_arithmetic():
    """Random rings of few and of many points cross themselves exactly where fractions say so."""
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        count = int(generator.choice([4, 5, 6, 9, 20]))
        angles = np.sort(generator.random(count)) * 2 * np.pi
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * generator.uniform(10, 40, (count, 1))
        ring += generator.normal(0, generator.choice([0, 3, 8]), ring.shape)
        crossing = first_crossing(ring)
        assert (crossing is not None) == _crosses_exactly(ring)
        found += crossing is not None
    assert 100 < found < 300


def test_one_crossing_among_many_edges_is_found():
    """In an outline of thousands of points a single crossing is found, and none where there is none."""
    angles = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    circle = 500 + 400 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert polygon_faults(circle, (1000, 1000)) == ()
    for at in (0, 1234, 2499, 4990):
        crossed = np.roll(circle, at, axis=0)
        crossed[[100, 101]] = crossed[[101, 100]]
        x, y = first_crossing(crossed)
        assert np.hypot(x - crossed[100, 0], y - crossed[100, 1]) < 2


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("step", [1, -1])
def test_crossing_at_a_point_among_many_edges_is_found(flipped, step):
    """An outline that crosses one of its edges at one of its points is found, whichever of the two comes first."""
    top = np.stack([np.arange(999.0, 350, -0.25), 100 - 20.0 * (np.arange(2596) % 2)], axis=1)
    ring = np.concatenate([[[500.0, 0.0], [1000, 0], [1000, 100]], top, [[750, 0], [750, -5]]])[::step]
    if flipped:
        ring = np.array([1000.0, 0.0]) + ring * [-1, 1]
    assert first_crossing(np.ascontiguousarray(ring)) is not None


def test_traced_outlines_have_no_faults():
    """The outlines of any mask are sound, also where they touch themselves at a corner."""
    generator = np.random.default_rng(1)
    for _ in range(100):
        mask = generator.random((12, 12)) < generator.uniform(0.3, 0.9)
        for polygon in mask_to_polygons(mask):
            for ring in (polygon.exterior, *polygon.holes):
                assert polygon_faults(ring, mask.shape) == ()
