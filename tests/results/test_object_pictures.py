"""Pictures of objects: outlines, colours, and words where there is room."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from easyseg.geometry import RunLengths
from easyseg.metrics import PredictedObjects
from easyseg.results import object_pictures
from easyseg.results.object_pictures import draw_objects, object_colors, readable_factor


def _square(left, top, side, size_hw=(60, 80)):
    return RunLengths.from_patch(np.ones((side, side), bool), (left, top), size_hw)


def _found(*masks):
    return PredictedObjects([0] * len(masks), [0.9 - 0.1 * place for place in range(len(masks))], masks)


def _ground(value=100, size_hw=(60, 80)):
    return np.full((*size_hw, 3), value, np.uint8)


def test_object_has_a_rim_a_filling_and_a_dark_line_around():
    """Rim in full colour, filling translucent, dark outside, and nothing else changes."""
    picture = draw_objects(_ground(), _found(_square(10, 20, 12)))
    color = object_colors(1)[0]
    assert tuple(picture[20, 10]) == color
    assert tuple(picture[31, 21]) == color
    assert picture[25, 15] == pytest.approx(0.55 * 100 + 0.45 * np.array(color), abs=1)
    assert picture[19, 15].tolist() == picture[25, 9].tolist() == [33, 33, 33]
    changed = (picture != 100).any(axis=2)
    assert changed.sum() == 14 * 14


def test_objects_at_the_edge_are_cut_off():
    """The picture's edge is no border of an object, and the line around does not wrap over it."""
    picture = draw_objects(_ground(), _found(_square(0, 0, 12), _square(68, 48, 12)))
    colors = object_colors(2)
    assert tuple(picture[0, 0]) != colors[0]
    assert tuple(picture[5, 11]) == colors[0]
    assert tuple(picture[59, 79]) != colors[1]
    changed = (picture != 100).any(axis=2)
    assert changed.sum() == 2 * 13 * 13


def test_a_mask_without_pixels_is_not_drawn():
    """Nor is no object at all."""
    empty = RunLengths([4800], (60, 80))
    assert np.array_equal(draw_objects(_ground(), _found(empty)), _ground())
    assert np.array_equal(draw_objects(_ground(), _found()), _ground())


def test_small_objects_lie_over_large_ones():
    """In whatever order they come."""
    picture = draw_objects(_ground(0), _found(_square(20, 20, 10), _square(10, 10, 40)), alpha=1.0)
    first, second = object_colors(2)
    assert tuple(picture[25, 25]) == first
    assert tuple(picture[15, 15]) == second


def test_boxes_are_drawn_where_there_are_no_masks():
    """A line in the object's colour along its inner side, a dark one around; the inside is left alone."""
    boxes = PredictedObjects([0], [0.9], boxes=[[10, 20, 50, 45]])
    picture = draw_objects(_ground(), boxes)
    color = object_colors(1)[0]
    for row, column in ((30, 10), (30, 11), (20, 30), (30, 49), (44, 30), (43, 30)):
        assert tuple(picture[row, column]) == color
    for row, column in ((30, 9), (30, 50), (19, 30), (45, 30)):
        assert picture[row, column].tolist() == [0, 0, 0]
    for row, column in ((30, 12), (30, 8), (30, 47), (42, 30)):
        assert picture[row, column].tolist() == [100, 100, 100]


def test_enlarged_pictures_have_enlarged_objects():
    """By the same factor as the ground."""
    picture = draw_objects(_ground(0, (180, 240)), _found(_square(10, 20, 12)), factor=3, alpha=1.0)
    changed = (picture != 0).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (60, 96, 30, 66)


def test_colours_differ_and_repeat():
    """No two neighbours have the same."""
    colors = object_colors(40)
    assert len(colors) == 40
    assert len(set(colors[:12])) == 12
    assert all(one != other for one, other in itertools.pairwise(colors))


def test_small_pictures_are_enlarged():
    """By whole factors only, large ones not at all."""
    assert [readable_factor(size) for size in ((64, 64), (256, 320), (480, 640), (3000, 4000), (500, 300))] == [
        *(10, 2, 1, 1, 1),
    ]


def test_words_do_not_cover_small_objects():
    """A label lies beside its object, and on no other one."""
    size_hw = (400, 400)
    masks = [_square(left, top, 40, size_hw) for left in (100, 200) for top in (120, 220)]
    found = _found(*masks)
    ground = _ground(100, size_hw)
    plain, picture = draw_objects(ground, found), draw_objects(ground, found, ["0.91"] * 4)
    written = (picture != plain).any(axis=2)
    assert written.sum() > 4 * 200
    for mask in masks:
        assert not written[mask.to_mask()].any()


def test_words_lie_within_objects_that_fill_the_picture():
    """There is no other room, and they hide little."""
    size_hw = (400, 400)
    found = _found(_square(0, 0, 400, size_hw))
    ground = _ground(100, size_hw)
    assert (draw_objects(ground, found, ["0.91"]) != draw_objects(ground, found)).any()


def test_words_without_room_are_left_out():
    """Among crowded objects the most certain ones keep theirs, and no label lies on another."""
    size_hw = (120, 120)
    masks = [_square(left, top, 11, size_hw) for top in range(0, 120, 12) for left in range(0, 120, 12)]
    found, ground = _found(*masks), _ground(100, size_hw)
    assert np.array_equal(draw_objects(ground, found, ["0.91"] * 100), draw_objects(ground, found))
    twice = _found(_square(50, 50, 20, size_hw), _square(50, 50, 20, size_hw))
    one = (draw_objects(ground, twice, ["0.91", ""]) != draw_objects(ground, twice)).any(axis=2).sum()
    both = (draw_objects(ground, twice, ["0.91", "0.81"]) != draw_objects(ground, twice)).any(axis=2).sum()
    assert both > 1.8 * one


@pytest.mark.parametrize("color", object_colors(12))
def test_words_can_be_read_on_their_colour(color):
    """Dark ink on bright colours, white on dark ones: a contrast of 3 at least, as for large print."""
    ink = object_pictures._ink_on(color)
    bright, dark = sorted((_luminance(color), _luminance(ink)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3


def _luminance(color):
    """Return the relative luminance as WCAG 2 defines it."""
    parts = [part / 255 for part in color]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
