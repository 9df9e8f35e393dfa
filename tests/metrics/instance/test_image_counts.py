"""What was found, missed and made up in each image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from easyseg.geometry import RunLengths
from easyseg.metrics import InstanceScorer, PredictedObjects, TruthObjects


def _mask(left, size_hw=(20, 60)):
    return RunLengths.from_patch(np.ones((10, 10), bool), (left, 2), size_hw)


def _counts(*images, **settings):
    scorer = InstanceScorer(3, **settings)
    for number, (truth, prediction) in images:
        scorer.add(number, truth, prediction)
    return scorer.images()


def test_each_image_by_itself():
    """Found, missed and wrong; images without truth or without predictions too, in order of their numbers."""
    truth = TruthObjects([0, 0, 1], (_mask(0), _mask(15), _mask(30)))
    nothing = TruthObjects([], ())
    found = _counts(
        (7, (truth, PredictedObjects([0, 1, 2], [0.9, 0.8, 0.7], (_mask(0), _mask(45), _mask(30))))),
        (2, (nothing, PredictedObjects([0], [0.5], (_mask(0),)))),
        (4, (truth, PredictedObjects([], [], ()))),
        (5, (nothing, PredictedObjects([], [], ()))),
    )
    assert [one.image_id for one in found] == [2, 4, 5, 7]
    assert [one.num_truths for one in found] == [0, 3, 0, 3]
    assert [one.num_found for one in found] == [0, 0, 0, 1]
    assert [one.num_missed for one in found] == [0, 3, 0, 2]
    assert [one.num_wrong for one in found] == [1, 0, 0, 2]
    # class 0 is half found, class 1 not at all; class 2 has no true object here
    assert found[3].ap50 == pytest.approx((51 / 101 + 0) / 2)
    assert math.isnan(found[0].ap50)


def test_figures_are_those_of_the_image_alone():
    """AP50 of an image is what a scorer finds that saw no other."""
    generator = np.random.default_rng(0)
    images = []
    for number in range(6):
        count = int(generator.integers(0, 5))
        lefts = generator.integers(0, 50, count).tolist()
        masks = tuple(map(_mask, lefts))
        moved = tuple(_mask(min(50, left + int(generator.integers(0, 6)))) for left in lefts)
        truth = TruthObjects(generator.integers(0, 3, count), masks, is_crowd=generator.random(count) < 0.2)
        images.append(
            (number, (truth, PredictedObjects(generator.integers(0, 3, count), generator.random(count), moved)))
        )
    for one, image in zip(_counts(*images), images, strict=True):
        alone = InstanceScorer(3)
        alone.add(image[0], *image[1])
        assert one.ap50 == pytest.approx(alone.scores().overall.ap50, nan_ok=True)
        assert one.num_found == alone.diagnosis().num_found
        assert one.num_truths == alone.diagnosis().num_truths


def test_crowds_do_not_count():
    """They are no true objects, and what is found in them is not wrong."""
    truth = TruthObjects([0], (_mask(0),), is_crowd=[True])
    (found,) = _counts((0, (truth, PredictedObjects([0], [0.9], (_mask(0),)))))
    assert (found.num_truths, found.num_wrong) == (0, 0)


def test_the_worst_come_first():
    """By AP50, then by mistakes; an image without true objects is as good as what was made up there is little."""
    truth = TruthObjects([0], (_mask(0),))
    right, wrong = PredictedObjects([0], [0.9], (_mask(0),)), PredictedObjects([0], [0.9], (_mask(40),))
    nothing = TruthObjects([], ())
    found = _counts(
        (0, (truth, right)), (1, (nothing, wrong)), (2, (truth, wrong)), (3, (truth, PredictedObjects([], [], ())))
    )
    assert [one.image_id for one in sorted(found, key=lambda one: one.badness)] == [2, 3, 1, 0]


def test_no_image():
    """Nothing measured, nothing counted."""
    assert InstanceScorer(2).images("box") == []
