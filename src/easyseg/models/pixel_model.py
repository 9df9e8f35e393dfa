"""What all networks here have in common: they take pixel values, normalise inside, and can be frozen in part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Self

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn

from easyseg.errors import ModelError
from easyseg.models.freezing import still_modules
from easyseg.models.smp_zoo import Statistics


class PixelModel(nn.Module):
    """A network on pixel values 0..255 that normalises them itself, and of which parts can stand still.

    Args:
        network: what learns; it takes normalised images.
        statistics: mean and standard deviation of each channel, for values 0..1.
        stride: images are padded inside to a multiple of it, in pixels.
        minimum_size: and to this size at least, so that no feature shrinks to a single value.

    Attributes:
        model_name: the architecture.
        encoder_name: the encoder.
        network: what learns.
        stride: see above.
        minimum_size: see above.
        in_channels: channels of the images.
        pixel_mean: (1, C, 1, 1) mean of the encoder's training images, for values 0..1; see `normalize_by`.
        pixel_std: (1, C, 1, 1) their standard deviation.
    """

    model_name: str
    encoder_name: str
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics, *, stride: int, minimum_size: int) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.minimum_size = minimum_size
        self.in_channels = len(statistics[0])
        # such as the embedding of positions in some encoders: nothing ever makes them learn
        self._fixed = frozenset(name for name, value in self.named_parameters() if not value.requires_grad)
        self._frozen: frozenset[str] = frozenset()
        self._still: dict[nn.Module, None] = {}
        self._steady: frozenset[str] = frozenset()
        for name, values in zip(("pixel_mean", "pixel_std"), statistics, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def parts(self) -> dict[str, nn.Module]:
        """Return the parts by name, input side first: together every parameter, once."""
        raise NotImplementedError

    def normalize_by(self, means: Sequence[float], deviations: Sequence[float]) -> None:
        """Bring images to mean 0 and deviation 1 by other figures than the encoder's; they are saved with the weights.

        Args:
            means: of each channel, for values 0..255.
            deviations: likewise, above 0.

        Raises:
            ModelError: there are not as many as channels, or a deviation is not above 0.
        """
        if not len(means) == len(deviations) == self.in_channels or not min(deviations) > 0:
            raise ModelError(
                f"Means {list(means)} and deviations {list(deviations)} do not fit {self.in_channels} channels; give "
                "one of each per channel, deviations above 0."
            )
        for buffer, values in ((self.pixel_mean, means), (self.pixel_std, deviations)):
            buffer.copy_(torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) / 255)

    @property
    def frozen(self) -> frozenset[str]:
        """Names of the parameters that `freeze` keeps as they are."""
        return self._frozen

    def freeze(self, names: Collection[str]) -> None:
        """Keep these parameters as they are from now on, and no others; an empty collection frees everything.

        A module whose parameters are all frozen is in evaluation mode, whatever `train()` is called on this model or
        around it: its normalisation keeps its statistics, and dropout and dropped paths inside it are off. Freed again,
        it is in the mode of the model.

        Args:
            names: as in `named_parameters`.

        Raises:
            ModelError: there is no such parameter.
        """
        parameters = dict(self.named_parameters())
        if strangers := sorted(set(names) - parameters.keys()):
            raise ModelError(f"There is no parameter {strangers[0]!r} to freeze. See model.named_parameters().")
        for name, parameter in parameters.items():
            if name in names:
                parameter.requires_grad_(False).grad = None
            elif name in self._frozen:
                parameter.requires_grad_(name not in self._fixed)
        before = self._still
        self._still = still_modules(self.network, self.parts(), [parameters[name] for name in names])
        self._frozen = frozenset(names)
        for module in before:
            module.training = self.training
        self._hold_still()

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, or out of it; what is frozen stays in evaluation mode."""
        super().train(mode)
        self._hold_still()
        return self

    def synchronise_normalisation(self) -> None:
        """Let batch normalisation, in training, use the images of all processes that train the model together.

        Weights and statistics stay as they are, and so do their names.
        """
        # timm's, which knows layers that activate, too
        self.network = convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call]
        self.freeze(self._frozen)  # the modules that stand still may be others now

    def hold_statistics(self, names: Iterable[str]) -> None:
        """Keep these modules in evaluation mode for good; unlike in a frozen module, their parameters learn.

        Args:
            names: of batch normalisations in `network`, whose statistics are to stay as they are.
        """
        self._steady = frozenset(names)
        self._hold_still()

    def _hold_still(self) -> None:
        for module in self._still:
            module.training = False
        for name in self._steady:
            self.network.get_submodule(name).training = False

    def _check(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.in_channels or 0 in images.shape:
            raise ModelError(
                f"Images of shape {tuple(images.shape)} do not fit; (N, {self.in_channels}, H, W) is expected. "
                "Type Segmenter(..., in_channels=...) for images with another number of channels."
            )

    def _padding(self, size: int) -> int:
        wanted = max(size, self.minimum_size)
        return -(-wanted // self.stride) * self.stride - size

    def _normalise(self, images: Tensor) -> Tensor:
        scale = 1 / (255 * self.pixel_std)
        offset = -self.pixel_mean / self.pixel_std
        # one pass over the pixels; it also keeps channels-last memory
        return torch.addcmul(offset, images.to(scale.dtype), scale)
