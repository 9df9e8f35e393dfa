"""What the benchmarks share: CamVid as plain code reads it, and scoring by plain code.

CamVid lies in the folder `camvid` below EASYSEG_DATA: train/ + trainannot/, val/ + valannot/, masks with the ids 0..10
and 11 for void.
"""

from __future__ import annotations

import os
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2

NUM_CLASSES = 11
VOID = 11
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def folder() -> Path:
    """Return the CamVid folder."""
    if "EASYSEG_DATA" not in os.environ:
        raise SystemExit("Set EASYSEG_DATA to the folder that holds camvid/.")
    return Path(os.environ["EASYSEG_DATA"]) / "camvid"


def training_transform(size_hw: tuple[int, int]) -> A.Compose:
    """Return the augmentation of a usual tutorial."""
    return A.Compose(
        [
            A.Resize(*size_hw),
            A.HorizontalFlip(p=0.5),
            A.Affine(scale=(0.8, 1.2), translate_percent=0.05, rotate=(-5, 5), fill_mask=255, p=0.5),
            A.RandomBrightnessContrast(p=0.3),
            A.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
    )


def plain_transform(size_hw: tuple[int, int]) -> A.Compose:
    """Return the transform of a usual validation set."""
    return A.Compose([A.Resize(*size_hw), A.Normalize(MEAN, STD), ToTensorV2()])


class CamVid(torch.utils.data.Dataset):
    """CamVid as a tutorial would write it: every image is decoded whenever it is asked for."""

    def __init__(self, split: str, transform: A.Compose) -> None:
        self.images = sorted((folder() / split).glob("*.png"))
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, mask = read_pair(self.images[index])
        changed = self.transform(image=image, mask=mask)
        return changed["image"], changed["mask"].long()


def read_pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode an image (RGB) and its mask (void as 255)."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    mask = cv2.imread(str(path.parent.with_name(path.parent.name + "annot") / path.name), cv2.IMREAD_UNCHANGED)
    mask = mask.copy()
    mask[mask == VOID] = 255
    return image, mask


@torch.inference_mode()
def mean_iou(model: torch.nn.Module, size_hw: tuple[int, int]) -> float:
    """Score a plain model on the validation images at their original size: mean IoU over the classes present."""
    model.eval()
    counts = np.zeros((NUM_CLASSES, NUM_CLASSES), np.int64)
    transform = plain_transform(size_hw)
    for path in sorted((folder() / "val").glob("*.png")):
        image, mask = read_pair(path)
        logits = model(transform(image=image, mask=mask)["image"][None])
        logits = torch.nn.functional.interpolate(logits, size=mask.shape, mode="bilinear", align_corners=False)
        predicted = logits[0].argmax(0).numpy()
        valid = mask != 255
        pairs = NUM_CLASSES * mask[valid].astype(np.int64) + predicted[valid]
        counts += np.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)
    model.train()
    hits = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    present = counts.sum(1) > 0
    return float((hits[present] / union[present]).mean())
