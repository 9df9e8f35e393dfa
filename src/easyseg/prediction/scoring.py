"""Measuring a network on annotated images: the one evaluation behind training curves, `evaluate` and reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from easyseg.devices import Compute
from easyseg.metrics.semantic import ConfusionMatrix
from easyseg.prediction.predictor import Network, Predictor, Prepared, Stopwatch, decide, evaluation_mode
from easyseg.prediction.sharing import Sharing, in_order, parts_of
from easyseg.prediction.sources import ahead
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.structures import ClassMap, ImageArray, MaskArray

Criterion = Callable[[Tensor, Tensor], dict[str, Tensor]]

BLOCK = 64
"""So many images' counts may wait on the device: a matrix of 150 classes has 180 kB."""


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """What an evaluation measures on.

    Attributes:
        count: how many images there are.
        read: returns an image (H, W, C) uint8 and its mask (H, W) or (H, W, classes) uint8 by number.
        class_map: the classes.
    """

    count: int
    read: Callable[[int], tuple[ImageArray, MaskArray]]
    class_map: ClassMap


@dataclass(frozen=True, slots=True)
class Scored:
    """What `score` found.

    Attributes:
        counts: int64 confusion counts over all images, see `metrics.semantic.ConfusionMatrix`.
        image_counts: the same for each image, stacked along a new first axis.
        loss: mean over images of the training loss, None where none was asked for.
        seconds: wall time in all.
        timing: wall time by what it went into: "reading", "network", "scoring".
    """

    counts: Tensor
    image_counts: Tensor
    loss: float | None
    seconds: float
    timing: dict[str, float]


class Evaluation:
    """An evaluation that can be repeated, such as after every epoch.

    Args:
        images: what to measure on.
        preprocessing: what the network was trained with.
        compute: device and number format.
        batch_size: images per forward pass. Results may differ in the last bit between batch sizes.
        threshold: for the binary and multilabel tasks, in 0..1.
        threads: for reading ahead.
        keep: keep the images ready for the network in memory after the first time.
        sharing: processes of which each measures some of the images, none of them twice; all get the figures of all.
            None: this process measures them all.
    """

    def __init__(
        self,
        images: AnnotatedImages,
        *,
        preprocessing: Preprocessing,
        compute: Compute,
        batch_size: int,
        threshold: float = 0.5,
        threads: int = 2,
        keep: bool = False,
        sharing: Sharing | None = None,
    ) -> None:
        self._images = images
        self._sharing = sharing
        self._preprocessing = preprocessing
        self._compute = compute
        self._batch_size = batch_size
        self._threshold = threshold
        self._threads = threads
        self._kept: dict[int, Prepared[MaskArray]] | None = {} if keep else None

    def score(
        self, network: Network, *, criterion: Criterion | None = None, poll: Callable[[], None] = lambda: None
    ) -> Scored:
        """Measure `network`; its mode is as before afterwards.

        Args:
            network: images (N, C, h, w) in 0..255 to logits (N, classes, h, w).
            criterion: a loss to report the mean of over images, computed on the canvas as in training.
            poll: called after every image; may raise, to break the evaluation off. Equally often in every process.

        Raises:
            SampleError: an image or mask cannot be used; it names the file.
            ModelError: the memory of the device does not suffice.
        """
        begun = time.perf_counter()
        watch = Stopwatch()
        predictor = Predictor(
            network, preprocessing=self._preprocessing, compute=self._compute, batch_size=self._batch_size
        )
        class_map = self._images.class_map
        matrix = ConfusionMatrix(class_map.num_classes, task=class_map.task, device=self._compute.device)
        per_image = _Blocks()
        losses: list[Tensor] = []
        parts = parts_of(self._images.count, self._batch_size, self._sharing)
        own = parts[self._sharing.rank] if self._sharing is not None else parts[0]
        prepared = ahead(own, self._prepared, threads=self._threads, depth=predictor.depth)
        with evaluation_mode(network), torch.inference_mode():
            for logits, mask, placement in predictor.logits(prepared, watch):
                with watch.on("scoring"):
                    if criterion is not None:
                        losses.append(self._loss(criterion, logits, mask))
                    per_image.add(self._compare(predictor, matrix, logits, mask, placement))
                poll()
            for _ in range(len(own), max(map(len, parts))):
                poll()
            counts = in_order(per_image.stacked(like=matrix.counts), parts, self._sharing)
            # to the CPU first: Apple's GPU has no float64
            own_losses = torch.stack(losses).cpu().double() if losses else torch.zeros(0, dtype=torch.float64)
            loss = float(in_order(own_losses, parts, self._sharing).mean()) if criterion is not None else None
            total = matrix.counts.cpu() if self._sharing is None else self._sharing.added(matrix.counts.cpu())
        seconds = time.perf_counter() - begun
        return Scored(total, counts, loss, seconds, dict(watch.seconds))

    def _prepared(self, index: int) -> Prepared[MaskArray]:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        image, mask = self._images.read(index)
        size = (image.shape[0], image.shape[1])
        ready = Prepared(self._preprocessing.image_to_canvas(image), self._preprocessing.place(size), mask)
        if self._kept is not None:
            self._kept[index] = ready
        return ready

    def _compare(
        self, predictor: Predictor, matrix: ConfusionMatrix, logits: Tensor, mask: MaskArray, placement: Placement
    ) -> Tensor:
        full = predictor.at_original_size(logits, placement)
        predicted = decide(full, task=self._images.class_map.task, threshold=self._threshold)
        return matrix.update(predicted, self._target(mask))

    def _loss(self, criterion: Criterion, logits: Tensor, mask: MaskArray) -> Tensor:
        target = self._target(self._preprocessing.mask_to_canvas(mask))
        parts = criterion(logits[None].float(), target[None])
        return torch.stack(list(parts.values())).sum()

    def _target(self, mask: MaskArray) -> Tensor:
        target = torch.from_numpy(np.ascontiguousarray(mask)).to(self._compute.device, non_blocking=True)
        return target.permute(2, 0, 1) if target.ndim == 3 else target


class _Blocks:
    """Tensors of one shape, brought from the device in blocks: neither all kept there nor fetched one by one."""

    def __init__(self) -> None:
        self._fetched: list[Tensor] = []
        self._waiting: list[Tensor] = []

    def add(self, tensor: Tensor) -> None:
        self._waiting.append(tensor)
        if len(self._waiting) == BLOCK:
            self._fetch()

    def stacked(self, *, like: Tensor) -> Tensor:
        """Return all of them, each shaped `like` this, on the CPU, stacked along a new first axis."""
        if self._waiting:
            self._fetch()
        return torch.cat(self._fetched) if self._fetched else torch.zeros((0, *like.shape), dtype=like.dtype)

    def _fetch(self) -> None:
        self._fetched.append(torch.stack(self._waiting).cpu())
        self._waiting.clear()
