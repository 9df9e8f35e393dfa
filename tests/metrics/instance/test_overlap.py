"""Overlaps from run lengths are those of the dense masks, and boxes overlap as rectangles do."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.geometry import RunLengths
from easyseg.metrics.instance import overlap
from easyseg.metrics.instance.overlap import (
    StackedRuns,
    box_areas,
    box_intersections,
    intersection_over_union,
    mask_intersections,
)


def _stacked(masks):
    return StackedRuns.of([RunLengths.from_mask(mask) for mask in masks])


def _random_masks(generator, count, size_hw):
    density = generator.choice([0, 0.05, 0.5, 0.95, 1], (count, 1, 1))
    return generator.random((count, *size_hw)) < density


@pytest.mark.parametrize("runs_at_once", [1, 7, 1 << 19])
def test_random_masks_overlap_as_dense_ones_do(monkeypatch, runs_at_once):
    """Intersections, areas and boxes of a hundred images, however many pairs are taken at once."""
    monkeypatch.setattr(overlap, "_RUNS_AT_ONCE", runs_at_once)
    generator = np.random.default_rng(0)
    for _ in range(100):
        size_hw = tuple(generator.integers(1, 20, 2).tolist())
        predicted = _random_masks(generator, int(generator.integers(0, 6)), size_hw)
        truth = _random_masks(generator, int(generator.integers(0, 6)), size_hw)
        expected = (predicted[:, None] & truth[None]).sum(axis=(2, 3))
        found = mask_intersections(_stacked(predicted), _stacked(truth))
        assert found.shape == (len(predicted), len(truth))
        assert np.array_equal(found, expected)
        stacked = _stacked(predicted)
        assert len(stacked) == len(predicted)
        assert np.array_equal(stacked.areas, predicted.sum(axis=(1, 2)))
        boxes = [RunLengths.from_mask(mask).box or (0, 0, 0, 0) for mask in predicted]
        assert np.array_equal(stacked.boxes, np.reshape(boxes, (-1, 4)))


def test_only_pairs_whose_boxes_meet_are_compared(monkeypatch):
    """Of masks far apart, runs are not even looked at; this is where the speed comes from."""
    compared = []
    original = overlap._pair_intersections
    monkeypatch.setattr(
        overlap, "_pair_intersections", lambda *sides: compared.extend(sides[2].tolist()) or original(*sides)
    )
    masks = np.zeros((3, 9, 9), bool)
    masks[0, :2, :2] = masks[1, 4:6, 4:6] = masks[2, 7:, 7:] = True
    assert mask_intersections(_stacked(masks), _stacked(masks)).tolist() == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert compared == [0, 1, 2]


def test_large_masks_do_not_overflow():
    """Positions of many masks side by side go beyond 32 bits."""
    size_hw = (10_000, 10_000)
    masks = [RunLengths([10**8 - 5, 5], size_hw)] * 30
    stacked = StackedRuns.of(masks)
    assert np.array_equal(mask_intersections(stacked, stacked), np.full((30, 30), 5))


def test_boxes_overlap_as_rectangles():
    """Shared area in square pixels; boxes that only touch share nothing, nor do boxes without any area."""
    boxes = np.array([[0, 0, 4, 2], [2, 1, 6, 3], [4, 0, 5, 1], [1, 1, 1, 5]], float)
    assert box_areas(boxes).tolist() == [8, 8, 1, 0]
    expected = [[8, 2, 0, 0], [2, 8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert box_intersections(boxes, boxes).tolist() == expected


def test_union_and_crowd():
    """IoU is shared over united area; in a crowd it is the share of the prediction; nothing shared is 0, never NaN."""
    shared = np.array([[4, 4], [0, 0]])
    iou = intersection_over_union(shared, np.array([8, 0]), np.array([6, 0]), np.array([False, True]))
    assert iou.tolist() == [[4 / 10, 4 / 8], [0.0, 0.0]]
