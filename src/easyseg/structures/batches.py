"""What a training step gets, and what a model must be able to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step gets.

    Attributes:
        images: (N, C, H, W) uint8 in channels-last memory, RGB order, values 0..255.
        targets: (N, H, W) uint8 class ids, `IGNORE_INDEX` where nothing counts; multilabel: (N, classes, H, W).
        indices: each image's number in the dataset. None where this process has no image of a batch that several share:
            `images` then holds one that gives the network something to do and does not count.
        whole: the numbers of all images, where other processes have the others; else empty.
    """

    images: Tensor
    targets: Tensor
    indices: tuple[int, ...]
    whole: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: Any) -> Batch:
        """Return the batch on `device`; from pinned memory the copy runs beside the computation."""
        images = self.images.to(device, non_blocking=True)
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
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())


class SegmentationModel(Protocol):
    """What the training loop and prediction ask of a model; anything that satisfies it can be trained."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, each a scalar; the loop minimises their sum.

        Where several processes share the batch, each returns those of all of it, with the gradient of its own part.
        """
        ...

    def infer(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) for images (N, C, H, W) with values 0..255."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return the model's parts by name, input side first: encoder[0] .. encoder[-1], decoder, head."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode, or out of it."""
        ...
