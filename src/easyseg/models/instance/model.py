"""The detector: it takes pixel values, of any size, normalises and pads them itself, and finds objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from easyseg.models.construction import group_by_stage
from easyseg.models.instance.anchors import Anchors
from easyseg.models.instance.detector import Detector
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.instance.targets import to_targets
from easyseg.models.pixel_model import PixelModel
from easyseg.models.registry import EncoderEntry, ModelEntry
from easyseg.models.smp_zoo import Statistics
from easyseg.structures import Batch, RawObjects


@dataclass(frozen=True, slots=True)
class InstanceOrder:
    """What detector is wanted.

    Attributes:
        model: the architecture.
        encoder: the encoder.
        num_classes: without background.
        statistics: mean and standard deviation of each channel, for values 0..1.
        plan: with nothing left open.
    """

    model: ModelEntry
    encoder: EncoderEntry
    num_classes: int
    statistics: Statistics
    plan: DetectorPlan

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return len(self.statistics[0])


class InstanceModel(PixelModel):
    """A network that finds objects, with its preprocessing inside; `build_instance` makes it.

    Attributes:
        num_classes: without background.
        weights_note: one sentence for people on what weights it started from.
        total: adds up what each of the processes that share a batch has, and leaves each the gradient of its own part;
            None where this process has the whole of every batch. It is no part of the state.
    """

    network: Detector

    def __init__(self, detector: Detector, order: InstanceOrder, *, stride: int, stage_of: dict[str, int]) -> None:
        super().__init__(detector, order.statistics, stride=stride, minimum_size=order.model.minimum_size)
        self.model_name = order.model.name
        self.encoder_name = order.encoder.name
        self.num_classes = order.num_classes
        self._plan = order.plan
        self.weights_note = "random weights"
        self.total: Callable[[Tensor], Tensor] | None = None
        self._stage_of = stage_of

    @property
    def plan(self) -> DetectorPlan:
        """What it is built with; the same names, `weights=None` and this plan build the same network again."""
        return replace(self._plan, anchors=self.anchors)  # a file of weights may have brought others

    @property
    def anchors(self) -> Anchors:
        """The shapes of anchors, which are part of the weights."""
        shapes = self.network.get_buffer("rpn.anchor_generator.shapes").tolist()
        return Anchors(tuple(tuple((width, height) for width, height in level) for level in shapes))

    @property
    def has_masks(self) -> bool:
        """Whether it finds masks, and not boxes only."""
        return bool(self.network.roi_heads.has_mask())

    def forward(self, images: Tensor) -> list[RawObjects]:
        """Return the objects found in each image.

        Args:
            images: (N, C, H, W) uint8 or float, values 0..255, RGB order, any height and width.

        Raises:
            ModelError: the images have another number of channels, or no pixels.
        """
        return self.network.detect(self._padded(images), (images.shape[2], images.shape[3]))

    def infer(self, images: Tensor) -> list[RawObjects]:
        """Return the objects found in each image, as `forward` does, without what training would need.

        The mode is the caller's: in training mode, dropout is at work here, too.
        """
        with torch.no_grad():
            found: list[RawObjects] = self(images)
        return found

    @contextmanager
    def limited(self, *, score_threshold: float, nms_iou: float) -> Iterator[None]:
        """Let other limits than the plan's decide, inside the block, which objects are found.

        Args:
            score_threshold: objects need a higher score, in 0..1.
            nms_iou: of two objects of a class that overlap more than this, the less certain one is dropped, in 0..1.

        Raises:
            ConfigError: a value is out of its range.
        """
        limits = replace(self._plan.limits, score_threshold=score_threshold, nms_iou=nms_iou)
        heads = self.network.roi_heads
        before = heads.score_thresh, heads.nms_thresh
        heads.score_thresh, heads.nms_thresh = limits.score_threshold, limits.nms_iou
        try:
            yield
        finally:
            heads.score_thresh, heads.nms_thresh = before

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses "classifier", "box", "mask", "objectness" and "rpn_box" of a batch, each a scalar.

        "mask" is missing where only boxes are found. The mode does not matter to what is returned. A batch without
        indices, or of nothing but crowds, costs exactly 0.

        Where several processes share a batch, these are the same in all of them: the mean over the processes' losses,
        weighted by their numbers of images, as each image gives about as many boxes to learn from.

        Raises:
            ModelError: the batch holds masks of classes, or images that do not fit.
            DataError: objects that nothing can be learnt from; the message names image and object.
        """
        padded = self._padded(batch.images)
        targets = to_targets(batch, num_classes=self.num_classes, has_masks=self.has_masks)
        losses = self.network.losses(padded, (batch.images.shape[2], batch.images.shape[3]), targets)
        share = len(batch.indices) / max(1, len(batch.whole or batch.indices))
        if share == 1 and self.total is None:
            return losses
        parts = torch.stack(list(losses.values())) * share
        whole = parts if self.total is None else self.total(parts)  # all of them in one message
        return dict(zip(losses, whole.unbind(), strict=True))

    def parts(self) -> dict[str, nn.Module]:
        """Return encoder[0] (shallow) .. encoder[-1] (deep), fpn, rpn, roi_heads: together every parameter, once.

        The modules are views on the model's own layers; groups of layers come as a `ModuleList`, which is not callable.
        """
        stages = group_by_stage(self.network.encoder, self._stage_of)
        parts: dict[str, nn.Module] = {f"encoder[{number}]": stage for number, stage in enumerate(stages)}
        return parts | {name: self.network.get_submodule(name) for name in ("fpn", "rpn", "roi_heads")}

    def _padded(self, images: Tensor) -> Tensor:
        self._check(images)
        height, width = images.shape[2:]
        # the mean colour: repeated pixels would draw objects on beyond the border
        return F.pad(self._normalise(images), (0, self._padding(width), 0, self._padding(height)))
