"""The second stage: its settings, and results in full precision."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from easyseg.models.instance.heads import BoxPredictor, DetectionLimits, MaskPredictor, build_heads


def test_results_are_in_full_precision() -> None:
    """Under autocast, coordinates and probabilities are not rounded to three digits."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, deltas = BoxPredictor(8, 3)(torch.randn(2, 8))
        masks = MaskPredictor(8, 8, 3)(torch.randn(2, 8, 14, 14))
    assert logits.dtype == deltas.dtype == masks.dtype == torch.float32


@pytest.mark.parametrize("count", [0, 3])
def test_masks_are_torchvisions(count: int) -> None:
    """Another way to the same numbers and gradients, on sides that differ."""
    ours = MaskPredictor(6, 5, 3)
    theirs = MaskRCNNPredictor(6, 5, 3)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layers in (ours, theirs):
        torch.manual_seed(0)
        features = torch.randn(count, 6, 4, 7, requires_grad=True)
        logits = layers(features)
        logits.square().sum().backward()
        found.append((logits.detach(), [each.grad for each in (features, *layers.parameters())]))
    (logits, gradients), (their_logits, their_gradients) = found
    torch.testing.assert_close(logits, their_logits)
    torch.testing.assert_close(gradients, their_gradients)


@pytest.mark.parametrize("has_masks", [True, False])
def test_limits_reach_torchvision(has_masks: bool) -> None:
    """What becomes of boxes is set in one place."""
    heads = build_heads(
        3, limits=DetectionLimits(0.2, 0.6, 7), has_masks=has_masks, norm=None, is_deep=False
    )  # fmt: skip
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.2, 0.6, 7)
    assert heads.has_mask() == has_masks
    assert heads.box_predictor.cls_score.out_features == 4
