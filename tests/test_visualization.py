"""Pictures of images, masks and mistakes."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from easyseg import visualization
from easyseg.structures import IGNORE_INDEX
from easyseg.visualization import (
    CLAIMED,
    IGNORED,
    IGNORED_STRIPE,
    MISSED,
    PAPER,
    RIGHT,
    WRONG,
    as_rgb,
    beside,
    color_mask,
    error_legend,
    error_map,
    font_pixels_for,
    legend,
    overlay,
    side_by_side,
)

RED, GREEN = (200, 0, 0), (0, 200, 0)


@pytest.fixture
def image():
    """A dark grey picture of 8 by 10 pixels."""
    return np.full((8, 10, 3), 40, np.uint8)


@pytest.mark.parametrize(("shape", "expected"), [((4, 5), 0), ((4, 5, 1), 0), ((4, 5, 2), 0), ((4, 5, 4), 2)])
def test_any_channels_become_rgb(shape, expected):
    """One or two channels are shown grey, of more than three the first three."""
    array = np.zeros(shape, np.uint8)
    if array.ndim == 3:
        array[...] = np.arange(shape[2])
    picture = as_rgb(array)
    assert picture.shape == (4, 5, 3)
    assert picture[0, 0].tolist() == [0, min(expected, 1), expected]


def test_color_mask_paints_ids():
    """Multiclass id i has colour i; ignored pixels are grey stripes."""
    picture = color_mask(np.array([[0, 1, IGNORE_INDEX]], np.uint8), [RED, GREEN])
    assert picture[0, :2].tolist() == [list(RED), list(GREEN)]
    assert tuple(picture[0, 2]) in (IGNORED, IGNORED_STRIPE)


def test_color_mask_of_one_class_leaves_the_rest_black():
    """In a binary mask 1 is the class's colour and 0 is black."""
    picture = color_mask(np.array([[0, 1]], np.uint8), [RED], task="binary")
    assert picture[0].tolist() == [[0, 0, 0], list(RED)]


def test_color_mask_mixes_overlapping_classes():
    """Where several multilabel classes are, the mean of their colours is."""
    mask = np.array([[[1, 1, 0, IGNORE_INDEX]], [[0, 1, 0, IGNORE_INDEX]]], np.uint8)
    picture = color_mask(mask, [RED, GREEN], task="multilabel")
    assert picture[0, :3].tolist() == [list(RED), [100, 100, 0], [0, 0, 0]]
    assert tuple(picture[0, 3]) in (IGNORED, IGNORED_STRIPE)


def test_overlay_is_translucent_inside_and_bright_at_the_border(image):
    """Inside a region image and colour mix; its border has the full colour, brightened."""
    mask = np.zeros((8, 10), np.uint8)
    mask[:, 5:] = 1
    picture = overlay(image, mask, [RED, GREEN])
    assert picture[4, 8].tolist() == [20, 120, 20]
    assert picture[4, 5].tolist() == [63, 213, 63]


def test_overlay_without_outline_only_mixes(image):
    """With outline off there is nothing but the mixture, in the share asked for."""
    mask = np.ones((8, 10), np.uint8)
    picture = overlay(image, mask, [RED, GREEN], alpha=0.25, outline=False)
    assert np.unique(picture.reshape(-1, 3), axis=0).tolist() == [[30, 80, 30]]


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_overlay_leaves_the_rest_alone_but_for_a_dark_rim(image, task):
    """Away from the class the image is unchanged; right beside it, it is darkened for contrast."""
    mask = np.zeros((8, 10), np.uint8)
    mask[2:6, 4:8] = 1
    picture = overlay(image, mask[None] if task == "multilabel" else mask, [RED], task=task)
    assert picture[4, 0].tolist() == [40, 40, 40]
    assert picture[4, 3].tolist() == [13, 13, 13]


def test_overlay_leaves_black_classes_alone(image):
    """A class whose colour is black, such as a background, does not tint the image."""
    mask = np.zeros((8, 10), np.uint8)
    mask[:, 5:] = 1
    picture = overlay(image, mask, [(0, 0, 0), GREEN])
    assert picture[:, :4].tolist() == image[:, :4].tolist()
    assert picture[4, 4].tolist() == [13, 13, 13]
    assert picture[4, 8].tolist() == [20, 120, 20]


def test_overlay_leaves_ignored_pixels_and_arguments_alone(image):
    """Ignored pixels show the image, and neither image nor mask is written to."""
    mask = np.full((8, 10), IGNORE_INDEX, np.uint8)
    image.flags.writeable = mask.flags.writeable = False
    assert np.array_equal(overlay(image, mask, [RED]), image)


def test_error_map_of_classes():
    """Right is faint, wrong is red, ignored is striped."""
    target = np.array([[0, 1, IGNORE_INDEX]], np.uint8)
    picture = error_map(np.array([[0, 0, 0]], np.uint8), target)
    assert [tuple(pixel) for pixel in picture[0, :2]] == [RIGHT, WRONG]
    assert tuple(picture[0, 2]) in (IGNORED, IGNORED_STRIPE)


def test_error_map_tells_claimed_from_missed():
    """With a single class, what was wrongly claimed and what was missed have colours of their own."""
    prediction, target = np.array([[1, 0, 1, 1]], np.uint8), np.array([[0, 1, 1, IGNORE_INDEX]], np.uint8)
    picture = error_map(prediction, target, task="binary")
    assert [tuple(pixel) for pixel in picture[0, :3]] == [CLAIMED, MISSED, RIGHT]
    assert tuple(picture[0, 3]) in (IGNORED, IGNORED_STRIPE)


def test_error_map_of_overlapping_classes():
    """A multilabel pixel claimed for one class and missed for another is wrong outright."""
    prediction = np.array([[[1, 1]], [[0, 0]]], np.uint8)
    target = np.array([[[0, 1]], [[1, IGNORE_INDEX]]], np.uint8)
    picture = error_map(prediction, target, task="multilabel")
    assert [tuple(pixel) for pixel in picture[0]] == [WRONG, RIGHT]


def test_error_map_shows_the_image_faintly():
    """With an image, right pixels show it in light grey."""
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    picture = error_map(np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8), image=image)
    assert picture[0].tolist() == [[165] * 3, [245] * 3]


@pytest.mark.parametrize(("task", "first"), [("multiclass", "wrong"), ("binary", "wrongly claimed")])
def test_error_legend_explains_the_colours(task, first):
    """Every colour of an error map has a name."""
    names, colors = error_legend(task)
    assert names[0] == first
    assert len(names) == len(colors)


def test_legend_shows_every_colour():
    """Each class's colour is in the legend, on white, and the height is kept to."""
    picture = legend(["road", "sky"], [RED, GREEN], 100)
    found = {tuple(color) for color in picture.reshape(-1, 3).tolist()}
    assert {RED, GREEN, PAPER} <= found
    assert picture.shape[0] == 100


def test_legend_breaks_into_columns():
    """More names than a column holds go on in the next one."""
    names, colors = [f"class {i}" for i in range(12)], [RED] * 12
    low, high = legend(names, colors, 100), legend(names, colors, 400)
    assert low.shape[1] > high.shape[1]
    assert low.shape[0] == 100


def test_side_by_side_scales_to_the_highest(image):
    """All panels come to one height; captions stand above them."""
    small = np.zeros((4, 5), np.uint8)
    bare = side_by_side([image, small])
    assert bare.shape == (8, 10 + visualization._GAP_PIXELS + 10, 3)
    titled = side_by_side([image, small], ["a", "b"], font_pixels=20)
    assert titled.shape[0] == 8 + 38
    assert np.array_equal(titled[38:], bare)


def test_long_captions_are_cut():
    """A caption never runs into the next panel."""
    panels = [np.zeros((60, 80, 3), np.uint8)] * 2
    picture = side_by_side(panels, ["a caption that is much too long for its panel", ""])
    strip = picture[: picture.shape[0] - 60]
    assert (strip[:, :80] < 255).any()
    assert (strip[:, 80:] == 255).all()


def test_beside_keeps_both_pictures():
    """Picture and legend stand next to each other at their own scale, aligned at the bottom."""
    joined = beside(np.zeros((5, 4, 3), np.uint8), np.full((8, 3, 3), 9, np.uint8))
    assert joined.shape == (8, 7, 3)
    assert (joined[:3, :4] == 255).all()
    assert (joined[3:, :4] == 0).all()
    assert (joined[:, 4:] == 9).all()


def test_letters_follow_the_height_within_limits():
    """Letters are readable beside small pictures and not huge beside large ones."""
    assert [font_pixels_for(height) for height in (10, 520, 9000)] == [13, 20, 40]


@pytest.mark.parametrize("find_spec", [lambda name: None, lambda name: SimpleNamespace(origin="/nowhere/__init__.py")])
def test_text_is_drawn_without_matplotlibs_font(monkeypatch, find_spec):
    """Where matplotlib's font is not found, Pillow's own is used."""
    visualization.font.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    try:
        assert (legend(["road"], [RED], 40) < 100).any()
    finally:
        visualization.font.cache_clear()
