"""From images of any size to logits at their own size."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import ModelError
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.results.words import counted
from easyseg.structures import ImageArray, SizeHW, Task

Tag = TypeVar("Tag")

USUAL_HW: SizeHW = (512, 512)
"""Stands for the size of images where the preprocessing names none."""


class Network(Protocol):
    """What prediction asks of a model; every `nn.Module` with an `infer` has it."""

    def infer(self, images: Tensor) -> Any:
        """Return logits (N, classes, h, w), or the `RawObjects` of each, for images (N, C, h, w) in 0..255."""
        ...

    def eval(self) -> Any:
        """Switch to evaluation mode."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """Yield the network and everything in it."""
        ...


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

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time the block takes to `what`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + (time.perf_counter() - begun)

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
        network: takes (N, C, h, w) with values 0..255 and returns logits (N, classes, h, w), or a list with the
            `RawObjects` of each image; its mode is left alone.
        preprocessing: what the network was trained with.
        compute: device and number format.
        batch_size: images per forward pass. Images of different canvas sizes never share one; larger ones than the
            network was trained with are fewer, so that a pass holds no more pixels than usual.
    """

    def __init__(self, network: Network, *, preprocessing: Preprocessing, compute: Compute, batch_size: int) -> None:
        self._network = network
        self._preprocessing = preprocessing
        self._compute = compute
        self._batch_size = batch_size

    def logits(self, items: Iterable[Prepared[Tag]], watch: Stopwatch) -> Iterator[tuple[Tensor, Tag, Placement]]:
        """Yield each image's logits on the canvas, (classes, h, w) on the device, with its tag.

        Raises:
            ModelError: the memory of the device does not suffice.
        """
        for batch, logits in self.passes(items, watch):
            for item, one in zip(batch, logits, strict=True):
                yield one, item.tag, item.placement

    def passes(self, items: Iterable[Prepared[Tag]], watch: Stopwatch) -> Iterator[tuple[list[Prepared[Tag]], Any]]:
        """Yield images a forward pass at a time, with what the network returns for them.

        Raises:
            ModelError: the memory of the device does not suffice.
        """
        for batch in _batches(watch.waiting(items, "reading"), self._images_per_pass):
            with watch.on("network"):
                canvases = torch.from_numpy(np.stack([item.canvas for item in batch])).permute(0, 3, 1, 2)
                found = self._forward(canvases)
            yield batch, found

    def at_original_size(self, logits: Tensor, placement: Placement) -> Tensor:
        """Return logits (classes, h, w) brought back to the image's own size, (classes, H, W).

        Raises:
            ModelError: the memory of the device does not suffice.
        """
        try:
            return self._preprocessing.logits_to_original(logits, placement)
        except torch.OutOfMemoryError as error:
            raise _too_large(placement.original_hw, 1) from error

    def prepare(self, image: ImageArray, tag: Tag) -> Prepared[Tag]:
        """Bring an image (H, W, C) uint8 to the canvas."""
        size = (image.shape[0], image.shape[1])
        return Prepared(self._preprocessing.image_to_canvas(image), self._preprocessing.place(size), tag)

    def depth(self, item: Prepared[Any]) -> int:
        """Return how many images like this one should wait for the network: enough for two passes."""
        return 2 * self._images_per_pass(item)

    def _images_per_pass(self, item: Prepared[Any]) -> int:
        height, width = self._preprocessing.image_size or USUAL_HW
        pixels: int = item.canvas.shape[0] * item.canvas.shape[1]
        return max(1, min(self._batch_size, self._batch_size * height * width // pixels))

    def _forward(self, images: Tensor) -> Any:
        try:
            with torch.inference_mode(), self._compute.autocast():
                return self._network.infer(images.to(self._compute.device, non_blocking=True))
        except torch.OutOfMemoryError as error:
            raise _too_large((images.shape[2], images.shape[3]), len(images)) from error


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
def evaluation_mode(network: Network) -> Iterator[None]:
    """Switch to evaluation mode and, afterwards, every module back to what it was."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _too_large(size_hw: SizeHW, count: int) -> ModelError:
    return ModelError(
        f"The device's memory does not suffice for {counted(count, 'image')} of {size_hw[1]} x {size_hw[0]} pixels at "
        "a time. Type batch_size=1; if that is not enough, device='cpu', or train with resize='pad' and a smaller "
        "image_size."
    )


def _batches(items: Iterable[Prepared[Tag]], size_of: Callable[[Prepared[Tag]], int]) -> Iterator[list[Prepared[Tag]]]:
    """Group items of one canvas size; what came before an error is still used before it is raised."""
    batch: list[Prepared[Tag]] = []
    failure: Exception | None = None
    try:
        for item in items:
            if batch and batch[0].canvas.shape != item.canvas.shape:
                yield batch
                batch = []
            batch.append(item)
            if len(batch) == size_of(item):
                yield batch
                batch = []
    except Exception as error:  # noqa: BLE001 - raised below, in its turn
        failure = error
    if batch:
        yield batch
    if failure is not None:
        raise failure
