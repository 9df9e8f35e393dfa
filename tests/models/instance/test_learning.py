"""What losses teach is what predictions read."""

from __future__ import annotations

import pytest
import torch
from detectors import Disc, batch_of, build, total
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from easyseg.models.instance.model import InstanceModel
from easyseg.structures import Batch, RawObjects

DISCS: tuple[Disc, ...] = ((20, 21, 13, 0), (44, 42, 15, 1))


def pasted(found: RawObjects, height: int, width: int) -> Tensor:
    """Return (K, height, width) bool masks."""
    assert found.masks is not None
    return paste_masks_in_image(found.masks[:, None], found.boxes, (height, width))[:, 0] > 0.5


def iou_of_discs(model: InstanceModel, batch: Batch) -> list[float]:
    """Return for each disc of the first image the mask IoU of the most certain object of its class."""
    assert isinstance(batch.targets, tuple)
    target = batch.targets[0]
    found = model.eval().infer(batch.images)[0]
    masks = pasted(found, *batch.images.shape[2:])
    figures = []
    for mask, class_id in zip(target.masks.bool(), target.class_ids, strict=True):
        of_class = torch.where(found.class_ids == class_id)[0]
        best = masks[of_class[0]] if len(of_class) else torch.zeros_like(mask)
        figures.append(float((best & mask).sum() / (best | mask).sum()))
    return figures


def overfit(model: InstanceModel, batch: Batch, steps: int, *, dtype: torch.dtype = torch.float32) -> list[float]:
    """Learn one image by heart; return `iou_of_discs`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.train()
    for _ in range(steps):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = total(model.losses(batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        return iou_of_discs(model, batch)


def test_an_image_is_learnt_by_heart() -> None:
    """From a random start, two discs of two classes: what losses teach is what predictions read."""
    figures = overfit(build("mask_rcnn", "test_convnext"), batch_of(1, 64, 64, DISCS), steps=16)
    assert min(figures) > 0.8, figures


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
def test_other_encoders_learn_by_heart(encoder: str, dtype: torch.dtype) -> None:
    """Batch statistics of one image, a plain transformer, and bfloat16 get there, too."""
    figures = overfit(build("mask_rcnn", encoder), batch_of(1, 64, 64, DISCS), steps=60, dtype=dtype)
    assert min(figures) > 0.8, figures
