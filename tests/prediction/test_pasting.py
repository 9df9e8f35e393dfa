"""From a detector's patches to masks at the image's own size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from easyseg.prediction import pasting
from easyseg.prediction.pasting import paste_mask
from easyseg.preprocessing import Placement, Preprocessing

CELLS = 28


def in_place(height: int, width: int) -> Placement:
    """Return the placement of an image that is its own canvas."""
    return Preprocessing(None, None).place((height, width))


def cut_out(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return what a detector learns as the patch of a mask (H, W) on a box: torchvision's `project_masks_on_boxes`."""
    patch = roi_align(torch.from_numpy(mask)[None, None].float(), [torch.from_numpy(box)[None].float()], (CELLS, CELLS))
    return patch[0, 0].numpy()


def blob(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth shape as a mask (H, W) bool, and a box roughly around it."""
    random = np.random.default_rng(seed)
    radius = random.uniform(4, 0.3 * min(height, width))
    x, y = random.uniform(radius, width - radius), random.uniform(radius, height - radius)
    columns, rows = np.arange(width) + 0.5 - x, np.arange(height)[:, None] + 0.5 - y
    angle = np.arctan2(rows, columns)
    reach = radius * (0.8 + 0.2 * np.cos(3 * angle + seed))
    mask = columns**2 + rows**2 <= reach**2
    at_rows, at_columns = np.nonzero(mask)
    box = np.array([at_columns.min(), at_rows.min(), at_columns.max() + 1, at_rows.max() + 1], np.float64)
    return mask, (box + random.uniform(-0.7, 0.7, 4)).clip(0, [width, height] * 2)


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union."""
    return float((mask & other).sum() / (mask | other).sum())


def theirs(patch: np.ndarray, box: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Return what torchvision pastes."""
    tensors = torch.from_numpy(patch)[None, None], torch.from_numpy(box)[None].float()
    return paste_masks_in_image(*tensors, size_hw)[0, 0].numpy() > 0.5


def directly(patch: np.ndarray, box: np.ndarray, placement: Placement) -> np.ndarray:
    """Return the probability of each pixel by the definition, one after the other: (H, W) float64."""
    height, width = placement.original_hw
    result = np.zeros((height, width))
    padded = np.pad(patch.astype(np.float64), 1)
    for row, column in np.ndindex(height, width):
        x = (column + 0.5) * placement.scaled_hw[1] / width + placement.offset_hw[1] - 0.5
        y = (row + 0.5) * placement.scaled_hw[0] / height + placement.offset_hw[0] - 0.5
        across = (x - box[0]) / (box[2] - box[0]) * CELLS + 0.5
        down = (y - box[1]) / (box[3] - box[1]) * CELLS + 0.5
        if not (0 <= across <= CELLS + 1 and 0 <= down <= CELLS + 1):
            continue
        left, top = min(int(across), CELLS), min(int(down), CELLS)
        right, bottom = across - left, down - top
        above = padded[top, left] * (1 - right) + padded[top, left + 1] * right
        below = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
        result[row, column] = above * (1 - bottom) + below * bottom
    return result


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(None, None), Preprocessing((32, 32), "pad"), Preprocessing((24, 40), "stretch")]
)
@pytest.mark.parametrize("size_hw", [(20, 31), (37, 18)])
def test_values_are_those_of_the_definition(preprocessing: Preprocessing, size_hw: tuple[int, int]) -> None:
    """Bilinear, on any canvas, for boxes that reach over the picture's edges or hold not even a pixel."""
    random = np.random.default_rng(1)
    placement = preprocessing.place(size_hw)
    height, width = placement.canvas_hw
    for size in (0.4, 9, 60):
        corner = random.uniform(-5, (width, height))
        box = np.concatenate([corner, corner + size * random.uniform(0.5, 1, 2)])
        patch = random.random((CELLS, CELLS), np.float32)
        for threshold in (0.3, 0.5):
            expected = directly(patch, box, placement)
            is_clear = np.abs(expected - threshold) > 1e-4
            found = paste_mask(patch, box, placement, threshold=threshold).to_mask()
            assert np.array_equal(found[is_clear], expected[is_clear] > threshold)


@pytest.mark.parametrize("seed", range(12))
def test_what_training_cuts_out_comes_back(seed: int) -> None:
    """A patch cut out as in training gives its mask back, closer than torchvision's rounded boxes do."""
    mask, box = blob(96, 120, seed)
    patch = cut_out(mask, box)
    found = paste_mask(patch, box, in_place(96, 120)).to_mask()
    assert overlap(found, mask) > 0.93
    assert overlap(found, mask) > overlap(theirs(patch, box, mask.shape), mask)


@pytest.mark.parametrize("seed", range(5))
def test_never_far_from_torchvision(seed: int) -> None:
    """Where the two differ, it is along the edge: by the half pixel, and by torchvision's rounding to whole ones."""
    mask, box = blob(160, 200, seed)
    patch = cut_out(mask, box)
    found, other = paste_mask(patch, box, in_place(160, 200)).to_mask(), theirs(patch, box, mask.shape)
    wide = np.pad(mask, 2)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (5, 5))
    is_edge = windows.any(axis=(2, 3)) & ~windows.all(axis=(2, 3))
    assert np.array_equal(found[~is_edge], other[~is_edge])


def test_certain_patch_fills_its_box() -> None:
    """To the pixel, half a pixel to the right and below, as training has it."""
    mask = paste_mask(np.ones((CELLS, CELLS), np.float32), np.array([3.1, 5.1, 9.1, 12.1]), in_place(20, 20)).to_mask()
    rows, columns = np.nonzero(mask)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (4, 6, 10, 13)
    assert mask[6:13, 4:10].all()


def test_back_from_a_padded_canvas() -> None:
    """The padding is cut off, and the scale is undone."""
    placement = Preprocessing((64, 64), "pad").place((50, 100))
    mask = paste_mask(np.ones((CELLS, CELLS), np.float32), np.array([0.0, 0, 64, 64]), placement)
    assert mask.size_hw == (50, 100)
    assert mask.area >= 0.98 * 50 * 100
    in_padding = paste_mask(np.ones((CELLS, CELLS), np.float32), np.array([0.0, 0, 64, 10]), placement)
    assert in_padding.area == 0


@pytest.mark.parametrize("box", [[-50.0, -50, -40, -40], [200.0, 3, 220, 9], [3.0, 200, 9, 220], [5.0, 5, 5, 5]])
def test_boxes_outside_and_without_area(box: list[float]) -> None:
    """Nothing is drawn beyond the picture; a box without area holds a pixel at the most."""
    mask = paste_mask(np.ones((CELLS, CELLS), np.float32), np.array(box), in_place(20, 30))
    assert mask.area <= 1


def test_large_objects_are_pasted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come in as many pieces as the memory allows, and the pieces fit together."""
    mask, box = blob(96, 120, 3)
    whole = paste_mask(cut_out(mask, box), box, in_place(96, 120))
    for pixels in (1, 500):
        monkeypatch.setattr(pasting, "_PIXELS_AT_ONCE", pixels)
        assert paste_mask(cut_out(mask, box), box, in_place(96, 120)) == whole
