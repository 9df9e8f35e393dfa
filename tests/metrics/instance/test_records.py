"""Objects of one image: what follows from what, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.errors import DataError
from easyseg.geometry import RunLengths
from easyseg.metrics.instance import PredictedObjects, TruthObjects
from easyseg.structures import Instances


def _mask(top, left, bottom, right, size_hw=(8, 9)):
    mask = np.zeros(size_hw, bool)
    mask[top:bottom, left:right] = True
    return RunLengths.from_mask(mask)


MASKS = (_mask(1, 2, 4, 7), _mask(0, 0, 0, 0))
BOXES = [[0.0, 1.0, 2.0, 3.5], [4, 4, 4, 6]]


def test_what_is_left_out_follows_from_the_masks():
    """Boxes and areas are those of the masks, an empty one's are 0, and nothing is a crowd."""
    truth = TruthObjects([1, 0], MASKS)
    assert truth.boxes.tolist() == [[2, 1, 7, 4], [0, 0, 0, 0]]
    assert truth.areas.tolist() == [15, 0]
    assert truth.is_crowd.tolist() == [False, False]
    assert (truth.class_ids.dtype, truth.boxes.dtype, truth.areas.dtype) == (np.int64, np.float64, np.float64)
    assert len(truth) == 2


def test_without_masks_areas_are_those_of_the_boxes():
    """Lists are taken as arrays."""
    truth = TruthObjects([1, 0], boxes=BOXES)
    assert truth.areas.tolist() == [5, 0]
    assert truth.masks is None


def test_what_is_given_stays():
    """Boxes, crowds and areas that are given are not computed anew."""
    truth = TruthObjects(np.array([1, 0], np.uint8), MASKS, BOXES, [True, False], [7, 8])
    assert truth.boxes.tolist() == BOXES
    assert truth.areas.tolist() == [7, 8]
    assert truth.is_crowd.tolist() == [True, False]


@pytest.mark.parametrize("masks", [None, ()])
def test_an_image_may_be_empty(masks):
    """No object needs neither masks nor boxes, in all spellings of nothing."""
    assert TruthObjects([], masks).boxes.shape == (0, 4)
    assert TruthObjects(np.zeros(0), masks, []).boxes.shape == (0, 4)
    prediction = PredictedObjects([], [], masks)
    assert (len(prediction), prediction.class_ids.dtype, prediction.boxes.shape) == (0, np.int64, (0, 4))


def test_predictions_are_taken_by_place():
    """`take` keeps all columns together, with and without masks."""
    prediction = PredictedObjects([3, 4], [0.5, 0.25], MASKS, BOXES).take(np.array([1]))
    assert (prediction.class_ids.tolist(), prediction.scores.tolist()) == ([4], [0.25])
    assert prediction.masks == MASKS[1:]
    assert prediction.boxes.tolist() == BOXES[1:]
    assert PredictedObjects([3, 4], [0.5, 0.25], boxes=BOXES).take(np.array([0])).masks is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_ids": [0.5, 1.0], "masks": MASKS}, "float64; expected whole numbers"),
        ({"class_ids": [0, 1]}, "2 true objects have neither masks nor boxes; give masks="),
        ({"class_ids": [0], "masks": MASKS}, "1 true objects by their class ids, but 2 masks; give as many"),
        ({"class_ids": [0], "boxes": BOXES}, "but 2 boxes"),
        ({"class_ids": [0, 1], "masks": MASKS, "is_crowd": [True]}, "but 1 is_crowd"),
        ({"class_ids": [0, 1], "masks": MASKS, "is_of_every_class": [True]}, "but 1 is_of_every_class"),
        (
            {"class_ids": [0, 1], "masks": MASKS, "is_crowd": [True, False], "is_of_every_class": [True, True]},
            "True object 1 is of every class and no crowd; .* Set is_crowd there",
        ),
        ({"class_ids": [0, 1], "masks": MASKS, "is_void": [True]}, "but 1 is_void"),
        ({"class_ids": [0, 1], "masks": MASKS, "is_void": [True, False]}, "Void pixels are crowds of every class"),
        (
            {"class_ids": [0], "boxes": BOXES[:1], "is_crowd": [1], "is_of_every_class": [1], "is_void": [1]},
            "with masks; set is_of_every_class and give masks",
        ),
        ({"class_ids": [0, 1], "masks": MASKS, "areas": [1.0]}, "but 1 areas"),
        ({"class_ids": [0, 1], "masks": MASKS, "areas": [1.0, -1]}, "negative or not finite; give pixels"),
        ({"class_ids": [0, 1], "masks": MASKS, "areas": [1.0, np.nan]}, "negative or not finite"),
        ({"class_ids": [0], "masks": [np.ones((2, 2), bool)]}, r"is a ndarray; .* RunLengths.from_mask\(array\)"),
        (
            {"class_ids": [0, 1], "masks": [MASKS[0], _mask(0, 0, 1, 1, (9, 9))]},
            r"several sizes \(height, width\): \(8, 9\) and \(9, 9\). Bring",
        ),
        ({"class_ids": [0], "boxes": [[1, 2, 3]]}, r"shape \(1, 3\); expected \(N, 4\)"),
        ({"class_ids": [0], "boxes": [1, 2, 3, 4]}, r"shape \(4,\); expected \(N, 4\)"),
        ({"class_ids": [0], "boxes": [[5, 5, 4, 9]]}, r"\[5.0, 5.0, 4.0, 9.0\] .* x \+ width, y \+ height"),
        ({"class_ids": [0], "boxes": [[5, 5, 9, 4]]}, "expected finite x1, y1, x2, y2"),
        ({"class_ids": [0], "boxes": [[0, 0, np.inf, 4]]}, "expected finite"),
    ],
)
def test_bad_truth_is_refused_by_name(arguments, message):
    """Every message says what was found and what to give."""
    with pytest.raises(DataError, match=message):
        TruthObjects(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_ids": [0], "scores": [0.5]}, "1 predicted objects have neither"),
        ({"class_ids": [0, 1], "scores": [0.5], "masks": MASKS}, "2 predicted objects .* but 1 scores"),
        ({"class_ids": [0, 1], "scores": [0.5, np.nan], "masks": MASKS}, "NaN or infinite, .* Look for NaN"),
        ({"class_ids": [0, 1], "scores": [0.5, np.inf], "masks": MASKS}, "NaN or infinite"),
    ],
)
def test_bad_predictions_are_refused_by_name(arguments, message):
    """Likewise; a score of NaN would be sorted to an arbitrary place."""
    with pytest.raises(DataError, match=message):
        PredictedObjects(**arguments)


def test_annotated_objects_become_run_lengths():
    """Everything is taken over; sizes are those of the masks."""
    masks = np.stack([mask.to_mask() for mask in (MASKS[0], _mask(0, 0, 2, 2))])
    boxes = np.array([[2, 1, 7, 4], [0, 0, 2, 2]], np.float32)
    truth = TruthObjects.from_instances(Instances(masks, boxes, np.array([3, 1]), np.array([False, True])))
    assert truth.masks == (MASKS[0], _mask(0, 0, 2, 2))
    assert truth.boxes.tolist() == boxes.tolist()
    assert truth.class_ids.tolist() == [3, 1]
    assert truth.is_crowd.tolist() == [False, True]
    assert truth.areas.tolist() == [15, 4]
    nothing = np.zeros(0, np.int64)
    empty = Instances(np.zeros((0, 8, 9), bool), np.zeros((0, 4), np.float32), nothing, nothing.astype(bool))
    assert TruthObjects.from_instances(empty).masks == ()
