"""Small detectors, and images with discs for them to find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from easyseg.models.instance.building import build_instance
from easyseg.models.instance.model import InstanceModel
from easyseg.structures import Batch, InstanceTarget, RawObjects

Disc = tuple[int, int, int, int]
"""Centre x and y, radius, class."""

LOSSES = ["classifier", "box", "mask", "objectness", "rpn_box"]
TWO_DISCS: tuple[Disc, ...] = ((30, 32, 18, 0), (66, 60, 22, 1))


def build(model: str, encoder: str, *, seed: int = 0, is_quick: bool = True, **settings: Any) -> InstanceModel:
    """Build with a random start of that seed; a quick one samples few boxes, and differs in nothing else."""
    torch.manual_seed(seed)
    built = build_instance(model, encoder, **{"num_classes": 2, "weights": None, **settings})
    if is_quick:
        make_quick(built.network)
    return built


def make_quick(network: Any, boxes: int = 16) -> None:
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
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def total(losses: dict[str, Tensor]) -> Tensor:
    """Return the sum that training minimises."""
    return torch.stack(list(losses.values())).sum()


def learn(model: InstanceModel, batch: Batch) -> dict[str, Tensor]:
    """Take one small step; gradients have to be finite."""
    losses = model.losses(batch)
    total(losses).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all()
            parameter.data.sub_(1e-4 * parameter.grad)
            parameter.grad = None
    return losses


def check_found(found: list[RawObjects], batch: Batch, *, num_classes: int = 2) -> None:
    """Objects lie in the image, are sorted, and have what the record promises."""
    assert len(found) == len(batch.images)
    height, width = batch.images.shape[2:]
    for each in found:
        assert each.boxes.shape == (len(each), 4)
        assert each.boxes.dtype == each.scores.dtype == torch.float32
        assert (each.boxes >= 0).all()
        assert (each.boxes <= torch.tensor([width, height, width, height])).all()
        assert torch.isfinite(each.scores).all()
        assert torch.equal(each.scores, each.scores.sort(descending=True).values)
        assert each.class_ids.dtype == torch.int64
        assert ((each.class_ids >= 0) & (each.class_ids < num_classes)).all()
        if each.masks is not None:
            assert each.masks.shape == (len(each), 28, 28)
            assert ((each.masks >= 0) & (each.masks <= 1)).all()


def check_same(found: list[RawObjects], other: list[RawObjects]) -> None:
    """Both found the same, to the last digit."""
    for mine, theirs in zip(found, other, strict=True):
        assert torch.equal(mine.boxes, theirs.boxes)
        assert torch.equal(mine.scores, theirs.scores)
        assert (mine.masks is None and theirs.masks is None) or torch.equal(mine.masks, theirs.masks)  # type: ignore[arg-type]


def check_parts(model: InstanceModel) -> None:
    """Parts come in order and hold every parameter exactly once."""
    parts = model.parts()
    stages = [part for part in parts if part.startswith("encoder")]
    assert len(stages) >= 2
    assert list(parts) == [*(f"encoder[{number}]" for number in range(len(stages))), "fpn", "rpn", "roi_heads"]
    held = [id(parameter) for part in parts.values() for parameter in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in model.parameters()}
    assert all(any(True for _ in part.parameters()) for part in parts.values())
