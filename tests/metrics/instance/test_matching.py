"""COCO's matching, in cases small enough to follow by hand; `test_against_coco` has the large ones."""

from __future__ import annotations

import numpy as np

from easyseg.metrics.instance import PredictedObjects
from easyseg.metrics.instance.matching import (
    FALSE,
    IGNORED,
    IOU_THRESHOLDS,
    SIZES,
    TRUE,
    match,
    outcomes,
    outside_sizes,
    ranked,
)


def _matched(iou, *, same_class=True, crowd=(), ignored=(), threshold=0):
    """Return which truth each prediction takes at one threshold, for all sizes alike."""
    iou = np.array(iou, float)
    places = np.arange(iou.shape[1])
    is_crowd, is_ignored = np.isin(places, crowd), np.isin(places, [*crowd, *ignored])
    taken = match(iou, np.broadcast_to(same_class, iou.shape), is_crowd, np.tile(is_ignored[:, None], len(SIZES)))
    assert taken.shape == (len(iou), len(SIZES), len(IOU_THRESHOLDS))
    assert (taken == taken[:, :1]).all()
    return taken[:, 0, threshold].tolist()


def test_predictions_are_ranked_by_score_and_cut_by_class():
    """Equal scores keep their order; ranks count within the class, and the limit is one for each class."""
    prediction = PredictedObjects([0, 1, 0, 0, 1], [0.5, 0.9, 0.5, 0.8, 0.1], boxes=[[0, 0, n, 1] for n in range(5)])
    best, ranks = ranked(prediction, 10)
    assert best.boxes[:, 2].tolist() == [1, 3, 0, 2, 4]
    assert ranks.tolist() == [0, 0, 1, 2, 1]
    best, ranks = ranked(prediction, 1)
    assert best.boxes[:, 2].tolist() == [1, 3]
    assert ranks.tolist() == [0, 0]


def test_each_takes_the_free_object_it_overlaps_most():
    """The better prediction chooses first, and an object is taken once."""
    assert _matched([[0.6, 0.8], [0.7, 0.9], [0.7, 0.9]]) == [1, 0, -1]


def test_overlap_must_reach_the_threshold():
    """The threshold itself is enough; a stricter one is not reached."""
    assert _matched([[0.5, 0.49]]) == [0]
    assert _matched([[0.5, 0.49]], threshold=1) == [-1]


def test_of_equal_overlaps_the_last_object_is_taken():
    """As COCO's loop does."""
    assert _matched([[0.6, 0.6, 0.5]]) == [1]


def test_close_overlaps_are_told_apart():
    """The next float below is less, although it would vanish in a sum with 1."""
    assert _matched([[0.6, np.nextafter(0.6, 0)]]) == [0]


def test_other_classes_are_never_taken():
    """However much they overlap."""
    assert _matched([[0.9, 0.6]], same_class=[[False, True]]) == [1]


def test_objects_that_do_not_count_are_the_last_choice():
    """A smaller overlap with one that counts is preferred."""
    assert _matched([[0.9, 0.6], [0.9, 0.6], [0.9, 0.6]], ignored=[0]) == [1, 0, -1]


def test_a_crowd_stays_free():
    """Any number of predictions may lie in it."""
    assert _matched([[0.9, 0.6], [0.9, 0.6], [0.9, 0.6]], crowd=[0]) == [1, 0, 0]


def test_nothing_to_match():
    """No predictions or no objects give empty tables, not errors."""
    assert _matched(np.zeros((0, 3))) == []
    assert _matched(np.zeros((2, 0))) == [-1, -1]


def test_both_limits_of_a_size_belong_to_it():
    """32 x 32 pixels are small and medium, 96 x 96 medium and large, as in COCO."""
    sizes = ~outside_sizes(np.array([0, 1024, 1024.5, 9216, 9217]))
    named = [[size for size, is_inside in zip(SIZES, row, strict=True) if is_inside] for row in sizes]
    assert named == [
        ["all", "small"],
        ["all", "small", "medium"],
        ["all", "medium"],
        ["all", "medium", "large"],
        ["all", "large"],
    ]


def test_outcomes():
    """Right, wrong, or not counted: what found an ignored object, and what found nothing and is of another size."""
    taken = np.array([0, 1, -1, -1])[:, None, None]
    is_ignored = np.array([[False], [True]])
    is_outside = np.array([[True], [True], [True], [False]])
    assert outcomes(taken, is_ignored, is_outside)[:, 0, 0].tolist() == [TRUE, IGNORED, IGNORED, FALSE]
    nothing = outcomes(np.full((1, 1, 1), -1), np.zeros((0, 1), bool), np.array([[False]]))
    assert nothing.tolist() == [[[FALSE]]]
