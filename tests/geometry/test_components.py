"""The separate regions of a mask."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.errors import ConfigError
from easyseg.geometry import RunLengths, connected_components


def _regions(mask):
    """Find regions by spreading from pixel to pixel, in the order of their topmost, then leftmost side."""
    left_over = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    regions = []
    while left_over:
        region, border = np.zeros(mask.shape, bool), [left_over.pop()]
        while border:
            row, column = border.pop()
            region[row, column] = True
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left_over
            left_over -= near
            border += near
        regions.append(region)
    return {RunLengths.from_mask(region) for region in regions}


def test_regions_of_random_masks():
    """Pixels that touch, at a corner too, are one region; together they are the mask."""
    generator = np.random.default_rng(0)
    for _ in range(60):
        mask = generator.random(generator.integers(1, 24, 2)) < generator.choice([0.05, 0.3, 0.5, 1])
        found = connected_components(mask)
        assert set(found) == _regions(mask)
        assert len(found) == len(set(found))
        tops = [(region.box[1], region.box[0]) for region in found]
        assert tops == sorted(tops)


def test_small_regions_are_left_out():
    """A region of exactly the smallest area stays."""
    mask = np.zeros((6, 12), np.uint8)
    mask[0, 0] = mask[2, 2:4] = mask[4, 6:9] = 1
    assert [region.area for region in connected_components(mask, smallest_area=2)] == [2, 3]
    assert connected_components(mask, smallest_area=4) == []
    assert connected_components(np.zeros((3, 4))) == []
    with pytest.raises(ConfigError, match="smallest_area=0: a region has at least one pixel"):
        connected_components(mask, smallest_area=0)
