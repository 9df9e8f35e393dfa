"""Small detectors, and images with discs for them to find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from easyseg.models.instance.building import build_instance
from easyseg.models.instance.model import InstanceModel
from easyseg.structures import Batch, InstanceTarget

Disc = tuple[int, int, int, int]
"""Centre x and y, radius, class."""

TWO_DISCS: tuple[Disc, ...] = ((30, 32, 18, 0), (66, 60, 22, 1))


def build(model: str, encoder: str, *, seed: int = 0, is_quick: bool = True, **settings: Any) -> InstanceModel:
    """Build with a random start of that seed; a quick one samples few boxes, and differs in nothing else."""
    torch.manual_seed(seed)
    built = build_instance(model, encoder, **{"num_classes": 2, "weights": None, **settings})
    if is_quick:
        make_quick(built.network)
    return built


def make_quick(network: Any, boxes: int = 32) -> None:
    """Let the second stage of one of torchvision's detectors work on few boxes, and find few objects."""
    network.roi_heads.detections_per_img = boxes // 2
    network.roi_heads.fg_bg_sampler.batch_size_per_image = boxes
    network.rpn._pre_nms_top_n = {"training": 4 * boxes, "testing": 4 * boxes}
    network.rpn._post_nms_top_n = {"training": 2 * boxes, "testing": boxes}


def draw(height: int, width: int, discs: Sequence[Disc], *, channels: int = 3) -> tuple[Tensor, InstanceTarget]:
    """Return an image (channels, height, width) uint8 of discs on noise, and where they are."""
    generator = torch.Generator().manual_seed(height + width)
    image = torch.randint(0, 60, (channels, height, width), dtype=torch.uint8, generator=generator)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    masks = torch.zeros(len(discs), height, width, dtype=torch.uint8)
    boxes = torch.zeros(len(discs), 4)
    for place, (centre_x, centre_y, radius, class_id) in enumerate(discs):
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2
        masks[place] = inside
        image[:, inside] = 240 if class_id == 0 else 150
        rows, columns = torch.where(inside)
        boxes[place] = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    class_ids = torch.tensor([disc[3] for disc in discs], dtype=torch.int64)
    return image, InstanceTarget(boxes, class_ids, masks, torch.zeros(len(discs), dtype=torch.bool))


def batch_of(count: int, height: int = 96, width: int = 96, discs: Sequence[Disc] = TWO_DISCS) -> Batch:
    """Return a batch of the same drawing."""
    image, target = draw(height, width, discs)
    images = image.expand(count, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    return Batch(images, (target,) * count, tuple(range(count)))


def save(state: dict[str, Tensor], path: Path) -> Path:
    """Write tensors to a .safetensors file."""
    from safetensors.torch import save_file

    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path
