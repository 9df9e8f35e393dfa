"""Pictures for reports."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.reports.plots import comparison
from easyseg.structures import IGNORE_INDEX, ClassMap
from easyseg.visualization import WRONG

STREET = ClassMap("multiclass", ("sky", "road"))
TAGS = ClassMap("multilabel", ("wet", "dark", "cold"))


def test_comparison_shows_mistakes():
    """A wrong pixel is red in the last of four panels, and nowhere else."""
    target = np.zeros((300, 300), np.uint8)
    prediction = target.copy()
    prediction[100:200, 100:200] = 1
    picture = comparison(np.full((300, 300, 3), 90, np.uint8), target, prediction, STREET)
    wrong = (picture == WRONG).all(axis=2)
    assert wrong.sum() == 100 * 100
    assert not wrong[:, : 3 * picture.shape[1] // 4].any()


@pytest.mark.parametrize("size", [(8, 10), (300, 200), (2000, 3000), (3000, 20)])
def test_comparison_has_a_bounded_size(size):
    """Small images are enlarged, large ones reduced; class ids stay class ids."""
    target = np.full(size, IGNORE_INDEX, np.uint8)
    target[:, : size[1] // 2] = 1
    picture = comparison(np.zeros((*size, 3), np.uint8), target, target, STREET)
    assert picture.shape[0] <= 600
    assert picture.shape[1] <= 4 * 600
    assert not (picture == WRONG).all(axis=2).any()


@pytest.mark.parametrize("size", [(30, 40), (1000, 900)])
def test_comparison_of_overlapping_classes(size):
    """Masks with a plane per class are reduced along their rows and columns, not their classes."""
    target = np.ones((3, *size), np.uint8)
    picture = comparison(np.zeros(size, np.uint8), target, target, TAGS)
    assert picture.shape[1] > 3 * picture.shape[0] > 600
