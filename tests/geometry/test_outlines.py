"""Centres and boxes of polygons, points spread evenly, and fewer of them."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.errors import ConfigError, DataError
from easyseg.geometry import (
    Polygon,
    mask_to_box,
    mask_to_polygons,
    polygon_area,
    polygon_box,
    polygon_centroid,
    polygons_to_mask,
    resample_polygon,
    simplify_polygon,
)

SQUARE = np.array([[1.0, 2.0], [5.0, 2.0], [5.0, 6.0], [1.0, 6.0]])


def _random_ring(generator, count):
    """Return a ring around a point, without crossings, of the given number of points."""
    angles = np.sort(generator.random(count)) * 2 * np.pi
    radii = generator.uniform(5, 40, count)
    return generator.uniform(-50, 50, 2) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]


def _distance_to_outline(points, ring):
    """Return how far each point lies from a closed outline, edge by edge, in pixels."""
    nearest = np.full(len(points), np.inf)
    for begin, end in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = end - begin
        share = np.clip((points - begin) @ along / max(along @ along, 1e-300), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - begin - share[:, None] * along, axis=1))
    return nearest


def test_centroid_is_the_mean_of_the_pixels():
    """The centroid of a traced mask, holes and all, is the mean of its pixels' centres, and the box is theirs."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        mask = generator.random((9, 11)) < generator.uniform(0.2, 0.95)
        for polygon in mask_to_polygons(mask):
            part = polygons_to_mask([polygon], mask.shape)
            rows, columns = np.nonzero(part)
            assert polygon_centroid(polygon) == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5), abs=1e-9)
            assert polygon_box(polygon) == mask_to_box(part)


def test_centroid_knows_no_direction():
    """Rings may run either way round; a hole counts against the polygon all the same."""
    hole = np.array([[1.0, 2.0], [2.0, 2.0], [2.0, 6.0], [1.0, 6.0]])
    expected = (3.5, 4.0)
    for exterior in (SQUARE, SQUARE[::-1]):
        for inner in (hole, hole[::-1]):
            assert polygon_centroid(Polygon(exterior, (inner,))) == pytest.approx(expected)


def test_centroid_far_away_is_exact():
    """Coordinates of millions of pixels lose no digits."""
    far = 1e9 + 0.3
    assert polygon_centroid(Polygon(SQUARE + far)) == pytest.approx((far + 3, far + 4), abs=1e-6)


@pytest.mark.parametrize(
    ("points", "centre"),
    [
        ([[3.0, 4.0]], (3, 4)),
        ([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0]], (3, 4)),
        ([[0.0, 0.0], [4.0, 2.0]], (2, 1)),
        ([[0.0, 0.0], [1.0, 1.0], [4.0, 4.0]], (2, 2)),
    ],
)
def test_centroid_without_area_is_the_middle_of_the_outline(points, centre):
    """A polygon without area has a centre all the same: the middle of its line, or its point."""
    assert polygon_centroid(Polygon(np.array(points))) == pytest.approx(centre)


def test_box_is_that_of_the_points():
    """The box holds all points, also beyond the picture."""
    assert polygon_box(Polygon(SQUARE - 3)) == (-2.0, -1.0, 2.0, 3.0)


@pytest.mark.parametrize("count", [3, 4, 7, 100])
def test_points_are_spread_evenly(count):
    """The points lie on the outline, begin with its first, and are equally far apart along it."""
    ring = _random_ring(np.random.default_rng(1), 12)
    points = resample_polygon(ring, count)
    assert points.shape == (count, 2)
    assert points[0].tolist() == ring[0].tolist()
    assert _distance_to_outline(points, ring).max() < 1e-9
    dense = resample_polygon(ring, count * 1000)
    assert np.allclose(dense[::1000], points)
    steps = np.linalg.norm(np.diff(dense, axis=0), axis=1)
    assert np.median(steps) == pytest.approx(steps.max(), rel=1e-6)  # shorter only where a corner is cut


def test_square_resampled_in_quarters():
    """A square in as many points as it has corners gives its corners, in eight also the middles between."""
    assert np.allclose(resample_polygon(SQUARE, 4), SQUARE)
    assert np.allclose(resample_polygon(SQUARE, 8)[1::2], [[3, 2], [5, 4], [3, 6], [1, 4]])


def test_many_points_keep_the_area():
    """With enough points nothing of the shape is lost."""
    ring = _random_ring(np.random.default_rng(2), 30)
    area = polygon_area(Polygon(ring))
    assert polygon_area(Polygon(resample_polygon(ring, 20_000))) == pytest.approx(area, rel=1e-3)


def test_single_point_is_repeated():
    """An outline without length gives its point over and over."""
    assert resample_polygon([[3.0, 4.0]], 3).tolist() == [[3.0, 4.0]] * 3


@pytest.mark.parametrize("tolerance", [0, 0.3, 1, 3, 10, 100])
def test_simplified_outline_stays_within_the_tolerance(tolerance):
    """Every given point lies within the tolerance of the new outline, whose points are some of the given ones."""
    generator = np.random.default_rng(3)
    for count in (3, 4, 10, 200):
        ring = _random_ring(generator, count)
        simple = simplify_polygon(ring, tolerance)
        assert 3 <= len(simple) <= count
        assert _distance_to_outline(ring, simple).max() <= tolerance + 1e-9
        places = [int(np.flatnonzero((ring == point).all(axis=1))[0]) for point in simple]
        assert places == sorted(places)
        assert places[0] == 0


def test_simplifying_takes_points_away():
    """A smooth outline of a thousand points needs but a few for half a pixel, and keeps its area."""
    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    circle = 50 + 40 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    simple = simplify_polygon(circle, 0.5)
    assert len(simple) < 40
    assert polygon_area(Polygon(simple)) == pytest.approx(np.pi * 1600, rel=0.02)


def test_no_tolerance_leaves_the_shape():
    """With a tolerance of 0 only points on straight edges go, so the same pixels are inside."""
    mask = np.random.default_rng(4).random((12, 12)) < 0.6
    for polygon in mask_to_polygons(mask):
        assert np.array_equal(simplify_polygon(polygon.exterior, 0), polygon.exterior)
        doubled = resample_polygon(polygon.exterior, 4 * len(polygon.exterior))
        assert len(simplify_polygon(np.concatenate([SQUARE, SQUARE[:1] + 0.0]), 0)) >= 4
        assert len(simplify_polygon(doubled, 0)) <= len(doubled)
    middles = resample_polygon(SQUARE, 8)
    assert np.allclose(simplify_polygon(middles, 0), SQUARE)


def test_thin_shape_keeps_three_points():
    """A shape thinner than the tolerance stays a polygon; what never was one is left at what it is."""
    thin = np.array([[0.0, 0.0], [5.0, 0.2], [10.0, 0.0], [6.0, -0.4]])
    assert simplify_polygon(thin, 2).tolist() == [[0, 0], [10, 0], [6, -0.4]]
    assert simplify_polygon(thin[:2], 2).tolist() == thin[:2].tolist()
    assert simplify_polygon(thin[:1], 2).tolist() == thin[:1].tolist()
    assert simplify_polygon(thin[[1, 1, 1]], 2).tolist() == thin[1:2].tolist()


@pytest.mark.parametrize("act", [lambda ring: resample_polygon(ring, 2), lambda ring: resample_polygon(ring, -1)])
def test_too_few_points_wanted(act):
    """Less than three points are no polygon."""
    with pytest.raises(ConfigError, match=r"at least 3 points\. Type count=3"):
        act(SQUARE)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_wrong_tolerance_is_told(tolerance):
    """A negative tolerance, or none, is refused."""
    with pytest.raises(ConfigError, match="expected 0 or more pixels"):
        simplify_polygon(SQUARE, tolerance)


@pytest.mark.parametrize(
    "act",
    [
        lambda ring: resample_polygon(ring, 5),
        lambda ring: simplify_polygon(ring, 1),
        lambda ring: polygon_box(Polygon(ring)),
        lambda ring: polygon_centroid(Polygon(ring)),
        lambda ring: polygon_centroid(Polygon(SQUARE, (ring,))),
    ],
)
def test_points_must_be_pixels(act):
    """A polygon without points, or with one that lies nowhere, is refused in words."""
    with pytest.raises(DataError, match="has no points"):
        act(np.zeros((0, 2)))
    with pytest.raises(DataError, match="Point 1 of a polygon lies at"):
        act(np.full((4, 2), np.nan))
