"""Masks to polygons and boxes, and back."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from easyseg.errors import DataError
from easyseg.geometry import (
    Polygon,
    mask_area,
    mask_to_box,
    mask_to_polygons,
    polygon_area,
    polygons,
    polygons_to_mask,
)


def _mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_random_masks_come_back_exactly():
    """Filling a mask's polygons gives the mask back, areas add up, and each connected region is one polygon."""
    generator = np.random.default_rng(0)
    for _ in range(1000):
        shape = tuple(generator.integers(1, 14, 2))
        mask = generator.random(shape) < generator.random()
        polygons = mask_to_polygons(mask)
        assert np.array_equal(polygons_to_mask(polygons, shape), mask)
        assert sum(map(polygon_area, polygons)) == mask_area(mask)
        regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] - 1
        assert len(polygons) == regions


def test_smooth_mask_comes_back_exactly():
    """A large mask of smooth blobs with holes comes back exactly."""
    noise = np.random.default_rng(1).random((300, 400))
    mask = cv2.GaussianBlur(noise, (0, 0), 6) > 0.5
    polygons = mask_to_polygons(mask)
    assert any(polygon.holes for polygon in polygons)
    assert np.array_equal(polygons_to_mask(polygons, mask.shape), mask)


def test_outline_runs_along_pixel_edges():
    """A single pixel becomes the square around it, clockwise on the screen, with no point to spare."""
    (polygon,) = mask_to_polygons(_mask("...", ".#."))
    assert polygon.exterior.tolist() == [[1, 1], [2, 1], [2, 2], [1, 2]]
    assert polygon.holes == ()


def test_straight_edges_have_no_points_between():
    """A rectangle has four points, however long its sides are."""
    (polygon,) = mask_to_polygons(np.ones((5, 9), bool))
    assert len(polygon.exterior) == 4


def test_hole_runs_the_other_way():
    """A ring has one hole, which runs counterclockwise, and its area is left out."""
    (polygon,) = mask_to_polygons(_mask("###", "#.#", "###"))
    assert len(polygon.holes) == 1
    assert polygon.holes[0].tolist() == [[1, 2], [2, 2], [2, 1], [1, 1]]
    assert polygon_area(polygon) == 8


@pytest.mark.parametrize("rows", [("#.", ".#"), (".#", "#.")])
def test_pixels_that_touch_at_a_corner_stay_apart(rows):
    """Two pixels that share only a corner are two polygons."""
    assert [polygon_area(polygon) for polygon in mask_to_polygons(_mask(*rows))] == [1, 1]


def test_island_in_a_hole_is_a_polygon_of_its_own():
    """A region inside another one's hole belongs to neither the region nor its hole."""
    mask = np.ones((7, 7), bool)
    mask[1:6, 1:6] = False
    mask[3, 3] = True
    outer, island = mask_to_polygons(mask)
    assert (polygon_area(outer), polygon_area(island)) == (24, 1)
    assert len(outer.holes) == 1


def test_empty_mask_has_no_polygons():
    """An empty mask gives no polygons, and no polygons give an empty mask."""
    assert mask_to_polygons(np.zeros((4, 5), bool)) == []
    assert not polygons_to_mask([], (4, 5)).any()


def test_ids_count_as_inside():
    """Any number but 0 is inside, so a uint8 mask of 0 and 255 works as well."""
    mask = np.array([[0, 255], [0, 1]], np.uint8)
    assert polygon_area(mask_to_polygons(mask)[0]) == 2
    assert mask_area(mask) == 2


def test_pixels_are_inside_where_their_centre_is():
    """A slanted polygon fills the pixels whose centres it holds, and no others."""
    triangle = Polygon(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]))
    expected = _mask("####", "###.", "##..", "#...")
    expected &= np.add.outer(np.arange(4) + 0.5, np.arange(4) + 0.5) < 4
    assert np.array_equal(polygons_to_mask([triangle], (4, 4)), expected)


def test_polygons_may_leave_the_picture_and_overlap():
    """What lies outside is cut off; where polygons overlap, the pixel is inside once."""
    square = Polygon(np.array([[-3.0, -3.0], [2.0, -3.0], [2.0, 2.0], [-3.0, 2.0]]))
    mask = polygons_to_mask([square, square], (3, 3))
    assert np.array_equal(mask, _mask("##.", "##.", "..."))


@pytest.mark.parametrize(
    "points", [[[0.0, 0.0], [3.0, 3.0]], [[0.0, 0.1], [3.0, 0.1], [3.0, 0.2]], [[0.0, -9.0], [3.0, -9.0], [3.0, -5.0]]]
)
def test_polygons_without_a_pixel_fill_nothing(points):
    """A polygon of two points, one thinner than a pixel, and one outside fill nothing."""
    assert not polygons_to_mask([Polygon(np.array(points))], (4, 4)).any()


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([[0, 0], [np.nan, 5], [5, 5]], r"Point 2 of a polygon lies at \[nan, 5.0\]; expected pixels"),
        ([[0, 0], [5, 5], [5, -np.inf]], r"Point 3 of a polygon lies at \[5.0, -inf\]"),
        ([[0, 0], [5, 5], [1e300, 5]], "at most 1,099,511,627,776 away"),
        ([[0, 0, 1], [5, 5, 1]], r"shape \(2, 3\)"),
    ],
)
def test_wrong_points_are_told(points, problem):
    """Points that lie nowhere are refused with their place, in the outline and in a hole."""
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    for polygon in (Polygon(np.array(points)), Polygon(square, (np.array(points),))):
        with pytest.raises(DataError, match=problem):
            polygons_to_mask([polygon], (8, 8))


def test_far_points_are_cut_off():
    """A polygon millions of times as large as the picture fills what it covers of it."""
    square = np.array([[-1e12, -1e12], [3.0, -1e12], [3.0, 2.0], [-1e12, 2.0]])
    expected = np.zeros((5, 5), bool)
    expected[:2, :3] = True
    assert np.array_equal(polygons_to_mask([Polygon(square)], (5, 5)), expected)


def test_hostile_outlines_take_little_memory(monkeypatch):
    """An outline of many long edges is worked off in batches, with the same result."""
    generator = np.random.default_rng(4)
    zigzag = Polygon(np.stack([generator.random(1000) * 100, np.tile([-5.0, 2005.0], 500)], axis=1))
    expected = polygons_to_mask([zigzag], (2000, 100))
    monkeypatch.setattr(polygons, "_CROSSINGS_AT_ONCE", 10_000)
    tracemalloc.start()
    try:
        assert np.array_equal(polygons_to_mask([zigzag], (2000, 100)), expected)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000  # at once, two million crossings would take some 150 MB


def test_box_holds_every_pixel():
    """The box runs from the first pixel's edge to the last one's."""
    assert mask_to_box(_mask("....", ".##.", "..#.")) == (1.0, 1.0, 3.0, 3.0)
    assert mask_to_box(np.ones((2, 5), bool)) == (0.0, 0.0, 5.0, 2.0)


def test_empty_mask_has_no_box():
    """An empty mask has no box, rather than one without area."""
    assert mask_to_box(np.zeros((3, 3), bool)) is None
