"""What a training step gets, and what a model must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class InstanceTarget:
    """The N objects in one image of a batch, N of 0 included, of which M are no crowds.

    Attributes:
        boxes: (N, 4) float32, x1, y1, x2, y2 in pixels of the batch's images, x1 < x2 and y1 < y2.
        class_ids: (N,) int64, from 0 on; there is no background among the classes.
        masks: (M, H, W) uint8, 1 where the object is and 0 elsewhere, in the order of those that are no crowds. Of
            crowds only the boxes are looked at, so however many there are, they take no memory.
        is_crowd: (N,) bool, regions of objects that were not told apart: what is found there is neither right nor
            wrong.
    """

    boxes: Tensor
    class_ids: Tensor
    masks: Tensor
    is_crowd: Tensor

    def __len__(self) -> int:
        return len(self.class_ids)

    def to(self, device: Any) -> InstanceTarget:
        """Return the objects on `device`; from pinned memory the copy runs beside the computation."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> InstanceTarget:
        """Return the objects in page-locked memory."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> InstanceTarget:
        return InstanceTarget(*(change(each) for each in (self.boxes, self.class_ids, self.masks, self.is_crowd)))


@dataclass(frozen=True, slots=True, eq=False)
class RawObjects:
    """What a detector finds in one image of a batch: K objects, the most certain first, masks not yet pasted.

    Attributes:
        boxes: (K, 4) float32, x1, y1, x2, y2 in pixels of the batch's images, inside of them.
        scores: (K,) float32 in 0..1.
        class_ids: (K,) int64, from 0 on.
        masks: (K, M, M) float32 probabilities in 0..1, each stretched over its box; None from models that find boxes
            only.
    """

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor
    masks: Tensor | None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step gets.

    Attributes:
        images: (N, C, H, W) uint8 in channels-last memory, RGB order, values 0..255.
        targets: (N, H, W) uint8 class ids, `IGNORE_INDEX` where nothing counts; multilabel: (N, classes, H, W). Where
            objects are to be found, the objects of each image.
        indices: each image's number in the dataset. None where this process has no image of a batch that several share:
            `images` then holds one that gives the network something to do and does not count.
        whole: the numbers of all images, where other processes have the others; else empty.
    """

    images: Tensor
    targets: Tensor | tuple[InstanceTarget, ...]
    indices: tuple[int, ...]
    whole: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: Any) -> Batch:
        """Return the batch on `device`; from pinned memory the copy runs beside the computation."""
        images = self.images.to(device, non_blocking=True)
        if isinstance(self.targets, tuple):
            return replace(self, images=images, targets=tuple(target.to(device) for target in self.targets))
        return replace(self, images=images, targets=self.targets.to(device, non_blocking=True))

    def pieces(self, count: int) -> list[Batch]:
        """Cut the batch into at most `count` batches of about the same size, in order."""
        size = -(-len(self) // count)
        starts = range(0, len(self), size)
        return [
            Batch(self.images[s : s + size], self.targets[s : s + size], self.indices[s : s + size]) for s in starts
        ]

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; torch's loader calls this."""
        images = self.images.pin_memory()
        if isinstance(self.targets, tuple):
            return replace(self, images=images, targets=tuple(target.pin_memory() for target in self.targets))
        return replace(self, images=images, targets=self.targets.pin_memory())


class SegmentationModel(Protocol):
    """What the training loop and prediction ask of a model; anything that satisfies it can be trained."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, each a scalar; the loop minimises their sum.

        Where several processes share the batch, each returns those of all of it, with the gradient of its own part.
        """
        ...

    def infer(self, images: Tensor) -> Any:
        """Return raw predictions for images (N, C, H, W) with values 0..255.

        These are logits (N, classes, H, W); from detectors, a list with the `RawObjects` of each image.
        """
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return the model's parts by name, input side first: encoder[0] .. encoder[-1], then decoder and head.

        Detectors have fpn, rpn and roi_heads in their place.
        """
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode, or out of it."""
        ...
