"""From images of any size to logits at their own size."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.structures import ImageArray, Task

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Tag]):
    """An image on the network's canvas.

    Attributes:
        canvas: (h, w, C) uint8.
        placement: where the image lies on it.
        tag: whatever must come out again beside the logits.
    """

    canvas: ImageArray
    placement: Placement
    tag: Tag


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent, by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time the block takes to `what`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - begun

    def waiting(self, items: Iterable[Tag], what: str) -> Iterator[Tag]:
        """Yield `items`, adding the time it takes to get each to `what`."""
        iterator = iter(items)
        while True:
            with self.on(what):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


class Predictor:
    """Runs a network over images, several at a time.

    Args:
        network: takes (N, C, h, w) with values 0..255 and returns logits (N, classes, h, w); its mode is left alone.
        preprocessing: what the network was trained with.
        compute: device and number format.
        batch_size: images per forward pass; images of different canvas sizes never share one.
    """

    def __init__(self, network: nn.Module, *, preprocessing: Preprocessing, compute: Compute, batch_size: int) -> None:
        self._network = network
        self._preprocessing = preprocessing
        self._compute = compute
        self._batch_size = batch_size

    def logits(self, items: Iterable[Prepared[Tag]], watch: Stopwatch) -> Iterator[tuple[Tensor, Tag, Placement]]:
        """Yield each image's logits on the canvas, (classes, h, w) on the device, with its tag."""
        for batch in _batches(watch.waiting(items, "reading"), self._batch_size):
            with watch.on("network"):
                canvases = torch.from_numpy(np.stack([item.canvas for item in batch])).permute(0, 3, 1, 2)
                logits = self._forward(canvases)
            for item, one in zip(batch, logits, strict=True):
                yield one, item.tag, item.placement

    def at_original_size(self, logits: Tensor, placement: Placement) -> Tensor:
        """Return logits (classes, h, w) brought back to the image's own size, (classes, H, W)."""
        return self._preprocessing.logits_to_original(logits, placement)

    def prepare(self, image: ImageArray, tag: Tag) -> Prepared[Tag]:
        """Bring an image (H, W, C) uint8 to the canvas."""
        size = (image.shape[0], image.shape[1])
        return Prepared(self._preprocessing.image_to_canvas(image), self._preprocessing.place(size), tag)

    def _forward(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), self._compute.autocast():
            logits: Tensor = self._network(images.to(self._compute.device, non_blocking=True))
        return logits


def decide(logits: Tensor, *, task: Task, threshold: float = 0.5) -> Tensor:
    """Turn logits into class ids.

    Args:
        logits: (classes, H, W).
        task: "binary" and "multilabel" compare each class's probability with `threshold`, "multiclass" takes the
            most probable class.
        threshold: in 0..1.

    Returns:
        uint8 on the same device: (H, W), or (classes, H, W) for multilabel.
    """
    if task == "multiclass":
        # on a CPU, argmax along the first axis takes ten times as long
        return logits.max(0).indices.to(torch.uint8)
    chosen = (logits >= _logit(threshold)).to(torch.uint8)
    return chosen[0] if task == "binary" else chosen


def _logit(probability: float) -> float:
    """Return the x with sigmoid(x) = probability, so that no sigmoid needs computing."""
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    return math.log(probability) - math.log1p(-probability)


def probabilities(logits: Tensor, *, task: Task) -> Tensor:
    """Return probabilities (classes, H, W) float32 in 0..1: softmax over classes, or a sigmoid of each."""
    return logits.float().softmax(0) if task == "multiclass" else logits.float().sigmoid()


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode and, afterwards, every module back to what it was."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _batches(items: Iterable[Prepared[Tag]], size: int) -> Iterator[list[Prepared[Tag]]]:
    """Group items of one canvas size; what came before an error is still used before it is raised."""
    batch: list[Prepared[Tag]] = []
    failure: Exception | None = None
    try:
        for item in items:
            if batch and batch[0].canvas.shape != item.canvas.shape:
                yield batch
                batch = []
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except Exception as error:  # noqa: BLE001 - raised below, in its turn
        failure = error
    if batch:
        yield batch
    if failure is not None:
        raise failure
