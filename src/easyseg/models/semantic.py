"""The semantic network: it takes pixel values, of any size, and normalises and pads them itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from easyseg.errors import ModelError
from easyseg.models.assembly import Assembly, Order, assemble
from easyseg.models.construction import group_by_stage
from easyseg.models.freezing import still_modules
from easyseg.models.registry import find_encoder, find_model
from easyseg.models.weights import is_file, load_weights_file
from easyseg.structures import Batch, SizeHW

Criterion = Callable[[Tensor, Tensor], dict[str, Tensor]]


class SemanticModel(nn.Module):
    """A network for semantic segmentation with its preprocessing inside; `build_semantic` makes it.

    Attributes:
        model_name: the architecture.
        encoder_name: the encoder.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        stride: images are padded inside to a multiple of it, in pixels.
        minimum_size: and to this size at least, so that no feature shrinks to a single value.
        pixel_mean: (1, C, 1, 1) mean of the encoder's training images, for values 0..1; see `normalize_by`.
        pixel_std: (1, C, 1, 1) their standard deviation.
        criterion: gives the named losses of (logits, targets); never part of the state, and not moved by `.to()`.
        weights_note: one sentence for people on what weights it started from.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    criterion: Criterion | None

    def __init__(self, assembly: Assembly, order: Order) -> None:
        super().__init__()
        construction = assembly.construction
        self.model_name = order.model.name
        self.encoder_name = order.encoder.name
        self.num_classes = order.num_classes
        self.in_channels = order.in_channels
        self.stride = construction.stride
        self.minimum_size = order.model.minimum_size
        self.weights_note = f"{order.weights} weights" if order.weights else "random weights"
        self.criterion = None
        self.network = construction.network
        self._stage_of = assembly.stage_of
        self._part_names = (construction.encoder, construction.decoder, construction.head)
        # such as the embedding of positions in some encoders: nothing ever makes them learn
        self._fixed = frozenset(name for name, value in self.named_parameters() if not value.requires_grad)
        self._frozen: frozenset[str] = frozenset()
        self._still: dict[nn.Module, None] = {}
        for name, values in zip(("pixel_mean", "pixel_std"), assembly.statistics, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def __setattr__(self, name: str, value: Any) -> None:
        # torch would register a criterion that is a module, and save its class weights with the network
        if name == "criterion":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images.

        Args:
            images: (N, C, H, W) uint8 or float, values 0..255, RGB order, any height and width.

        Returns:
            (N, classes, H, W) float logits.

        Raises:
            ModelError: the images have another number of channels, or no pixels.
        """
        self._check(images)
        height, width = images.shape[2:]
        pad_bottom, pad_right = (self._padding(size) for size in (height, width))
        normalised = self._normalise(images)
        if not pad_bottom and not pad_right:
            logits: Tensor = self.network(normalised)
            return logits
        padded = F.pad(normalised, (0, pad_right, 0, pad_bottom), mode="replicate")
        logits = self.network(padded)
        return logits[..., :height, :width]

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

    def infer(self, images: Tensor) -> Tensor:
        """Return the logits of images, as `forward` does, without what training would need.

        The mode is the caller's: in training mode, dropout is at work here, too.
        """
        with torch.no_grad():
            logits: Tensor = self(images)
        return logits

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, each a scalar.

        Raises:
            ModelError: no criterion has been set.
        """
        if self.criterion is None:
            raise ModelError(
                "The model has no criterion yet. Set model.criterion to a function (logits, targets) -> dict."
            )
        return self.criterion(self(batch.images), batch.targets)

    def parts(self) -> dict[str, nn.Module]:
        """Return encoder[0] (shallow) .. encoder[-1] (deep), decoder and head: together every parameter, once.

        The modules are views on the model's own layers; groups of layers come as a `ModuleList`, which is not callable.
        """
        encoder, decoder, head = self._part_names
        stages = group_by_stage(self.network.get_submodule(encoder), self._stage_of)
        parts: dict[str, nn.Module] = {f"encoder[{number}]": stage for number, stage in enumerate(stages)}
        return parts | {"decoder": self._part(decoder), "head": self._part(head)}

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

    def _hold_still(self) -> None:
        for module in self._still:
            module.training = False

    def _part(self, names: tuple[str, ...]) -> nn.Module:
        modules = [self.network.get_submodule(name) for name in names]
        return modules[0] if len(modules) == 1 else nn.ModuleList(modules)

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


def build_semantic(
    model: str,
    encoder: str | None,
    *,
    num_classes: int,
    in_channels: int = 3,
    weights: str | Path | None = "imagenet",
    image_size: SizeHW | None = None,
) -> SemanticModel:
    """Build a network and, with a trial image, prove that it works.

    Its random start is decided by torch's seed. With `weights=None` there is no network call.

    Args:
        model: the architecture, see `list_models`.
        encoder: see `list_encoders`; None takes one that suits the model.
        num_classes: channels of the logits, at least 1.
        in_channels: channels of the images, at least 1.
        weights: "imagenet" for the encoder, "coco" (torchvision's models only), None for a random start, the path of a
            .safetensors file, or another name under which smp has weights of this encoder.
        image_size: height and width that images mostly have; it matters only to encoders with fixed windows.

    Raises:
        UnknownNameError: no model or encoder has that name.
        ModelError: they do not fit together; the message names an encoder that does.
        WeightsError: the weights do not exist, cannot be fetched, or do not fit.
    """
    entry = find_model(model)
    source = find_encoder(encoder, entry)
    if num_classes < 1 or in_channels < 1:
        raise ModelError(f"num_classes={num_classes} and in_channels={in_channels} must both be at least 1.")
    path = weights if weights is not None and is_file(weights) else None
    named = None if path is not None or weights is None else str(weights)
    order = Order(entry, source, num_classes, in_channels, named, image_size)
    assembly = assemble(order)
    built = SemanticModel(assembly, order)
    if path is not None:
        construction = assembly.construction
        loaded = load_weights_file(
            built,
            path,
            encoder=f"network.{construction.encoder}.",
            head=tuple(f"network.{name}." for name in construction.head),
        )
        built.weights_note = str(loaded)
    return built
