"""What the training loop asks of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from torch import Tensor, nn

from easyseg.structures import Batch, SegmentationModel

Losses: TypeAlias = Callable[[Batch], dict[str, Tensor]]
"""A model's `losses`, or what stands for them where several processes train it."""


class TrainableModel(SegmentationModel, Protocol):
    """What the training loop asks of a model besides: the parts of `torch.nn.Module` that it uses."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield weights by name."""
        ...

    def buffers(self) -> Iterator[Tensor]:
        """Yield tensors that are no weights, such as the statistics of normalisation."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return weights and buffers by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> Any:
        """Take weights and buffers from elsewhere."""
        ...
