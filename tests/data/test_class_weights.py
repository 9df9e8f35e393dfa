"""Weights that make up for rare classes."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.class_weights import weights_of


def test_rare_classes_weigh_more() -> None:
    """One over the square root of the share, 1 on average."""
    weights = weights_of(np.array([900, 100]))
    assert weights[1] / weights[0] == pytest.approx(3)
    assert np.mean(weights) == pytest.approx(1)


def test_classes_without_pixels_take_no_weight_from_the_others() -> None:
    """A class that the list names and no mask has: the weights of the others are as without it, and can be typed."""
    weights = weights_of(np.array([900, 0, 100, 0]))
    assert [weights[0], weights[2]] == pytest.approx(weights_of(np.array([900, 100])))
    assert weights[1] == weights[3] == 1.0
    assert weights_of(np.zeros(3, np.int64)) == [1.0, 1.0, 1.0]


def test_classes_that_stand_for_themselves_are_weighed_against_their_background() -> None:
    """The square root of background pixels per pixel of the class; 1 for a class without any."""
    assert weights_of(np.array([100, 50, 0]), np.array([900, 50, 100])) == pytest.approx([3.0, 1.0, 1.0])
