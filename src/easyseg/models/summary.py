"""What a model consists of: its parts, their parameters, and the work they do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from easyseg.models.construction import evaluation_mode
from easyseg.models.pixel_model import PixelModel
from easyseg.structures import SizeHW


@dataclass(frozen=True, slots=True)
class PartSummary:
    """One part of a model.

    Attributes:
        name: as in `PixelModel.parts`.
        parameters: how many numbers it has to learn.
        trainable: how many of them are not frozen.
        multiply_adds: multiplications with addition for one image.
    """

    name: str
    parameters: int
    trainable: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A model at a glance; printing it gives a table.

    Attributes:
        title: model and encoder.
        image_hw: height and width of the image that `multiply_adds` are for.
        parts: input side first.
    """

    title: str
    image_hw: SizeHW
    parts: tuple[PartSummary, ...]

    @property
    def total(self) -> PartSummary:
        """The whole model as if it were one part."""
        return PartSummary(
            "total",
            sum(part.parameters for part in self.parts),
            sum(part.trainable for part in self.parts),
            sum(part.multiply_adds for part in self.parts),
        )

    def __str__(self) -> str:
        height, width = self.image_hw
        rows = [("part", "parameters", "trainable", "multiply-adds")]
        rows += [
            (part.name, f"{part.parameters:,}", f"{part.trainable:,}", _readable(part.multiply_adds))
            for part in (*self.parts, self.total)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            row[0].ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in rows
        ]
        rule = "-" * len(lines[0])
        title = f"{self.title}, one image of {height} × {width} pixels"
        return "\n".join([title, rule, lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(model: PixelModel, image_hw: SizeHW) -> Summary:
    """Count parameters and multiply-adds of each part, with one forward pass of an empty image.

    Args:
        model: its mode, device and statistics are left as they are.
        image_hw: height and width of the image, in pixels.
    """
    parts = model.parts()
    part_of = {id(module): name for name, part in parts.items() for module in part.modules()}
    work = _multiply_adds(model, image_hw, part_of)
    rows = []
    for name, part in parts.items():
        parameters = list(part.parameters())
        trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        rows.append(PartSummary(name, sum(p.numel() for p in parameters), trainable, work.get(name, 0)))
    return Summary(f"{model.model_name}, {model.encoder_name}", image_hw, tuple(rows))


def _multiply_adds(model: PixelModel, image_hw: SizeHW, part_of: dict[int, str]) -> dict[str, int]:
    """Return the multiply-adds of each part; what happens between parts counts for the part before."""
    work: dict[str, int] = {}
    current = [next(iter(part_of.values()))]
    counted = 0
    counter = FlopCounterMode(display=False)

    def settle() -> None:
        nonlocal counted
        now = counter.get_total_flops()
        work[current[-1]] = work.get(current[-1], 0) + (now - counted) // 2
        counted = now

    def enter(module: nn.Module, _inputs: object) -> None:
        settle()
        current.append(part_of.get(id(module), current[-1]))

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        settle()
        current.pop()

    handles = [module.register_forward_pre_hook(enter) for module in model.modules()]
    handles += [module.register_forward_hook(leave) for module in model.modules()]
    images = torch.zeros(1, model.in_channels, *image_hw, dtype=torch.uint8, device=model.pixel_mean.device)
    try:
        with evaluation_mode(model), torch.no_grad(), counter:
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return work


def _readable(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)
