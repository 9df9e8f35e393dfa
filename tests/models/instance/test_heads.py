"""The second stage: scales that nothing changes, and results in full precision."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from easyseg.models.instance.heads import BoxPredictor, DetectionLimits, MaskPredictor, PyramidRoIAlign, build_heads


def test_scales_do_not_come_from_the_first_image() -> None:
    """A narrow first image, from which torchvision would learn wrong scales for ever, changes nothing."""
    pooler = PyramidRoIAlign(7)
    for height, width in ((8, 200), (512, 512)):
        torch.manual_seed(0)
        levels = {
            str(place): torch.randn(1, 4, -(-height // s), -(-width // s)) for place, s in enumerate((4, 8, 16, 32))
        }
        pooler(levels, [torch.tensor([[0.0, 0, 8, 8]])], [(height, width)])
    assert pooler.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    boxes = torch.tensor([[10.0, 20, 60, 50], [0, 0, 400, 400]])
    found = pooler(levels, [boxes], [(512, 512)])
    assert torch.equal(found[:1], roi_align(levels["0"], [boxes[:1]], 7, 1 / 4, 2))
    assert torch.equal(found[1:], roi_align(levels["2"], [boxes[1:]], 7, 1 / 16, 2))


def test_results_are_in_full_precision() -> None:
    """Under autocast, coordinates and probabilities are not rounded to three digits."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, deltas = BoxPredictor(8, 3)(torch.randn(2, 8))
        masks = MaskPredictor(8, 8, 3)(torch.randn(2, 8, 14, 14))
    assert logits.dtype == deltas.dtype == masks.dtype == torch.float32


@pytest.mark.parametrize("has_masks", [True, False])
def test_limits_reach_torchvision(has_masks: bool) -> None:
    """What becomes of boxes is set in one place."""
    heads = build_heads(
        3, limits=DetectionLimits(0.2, 0.6, 7), has_masks=has_masks, norm=None, is_deep=False
    )  # fmt: skip
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.2, 0.6, 7)
    assert heads.has_mask() == has_masks
    assert heads.box_predictor.cls_score.out_features == 4
