"""The semantic network: it takes pixel values, of any size, and normalises and pads them itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from easyseg.errors import ModelError
from easyseg.models.assembly import Assembly, Order, assemble
from easyseg.models.construction import group_by_stage
from easyseg.models.pixel_model import PixelModel
from easyseg.models.registry import find_encoder, find_model
from easyseg.models.weights import is_file, load_weights_file
from easyseg.structures import Batch, SizeHW

Criterion = Callable[[Tensor, Tensor], dict[str, Tensor]]


class SemanticModel(PixelModel):
    """A network for semantic segmentation with its preprocessing inside; `build_semantic` makes it.

    Attributes:
        num_classes: channels of the logits.
        criterion: gives the named losses of (logits, targets); never part of the state, and not moved by `.to()`.
        weights_note: one sentence for people on what weights it started from.
    """

    criterion: Criterion | None

    def __init__(self, assembly: Assembly, order: Order) -> None:
        construction = assembly.construction
        super().__init__(
            construction.network,
            assembly.statistics,
            stride=construction.stride,
            minimum_size=order.model.minimum_size,
        )
        self.model_name = order.model.name
        self.encoder_name = order.encoder.name
        self.num_classes = order.num_classes
        self.weights_note = f"{order.weights} weights" if order.weights else "random weights"
        self.criterion = None
        self._stage_of = assembly.stage_of
        self._part_names = (construction.encoder, construction.decoder, construction.head)

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
            ModelError: no criterion has been set, or the batch holds objects.
        """
        if isinstance(batch.targets, tuple):
            raise ModelError(
                f"The batch holds objects, and {self.model_name!r} learns from masks of classes; expected are targets "
                "(N, H, W). Take a model such as 'mask_rcnn' for objects; see list_models(task='instance')."
            )
        if self.criterion is None:
            raise ModelError(
                "The model has no criterion yet. Set model.criterion to a function (logits, targets) -> dict."
            )
        counted = slice(None) if batch.indices else slice(0)
        return self.criterion(self(batch.images)[counted], batch.targets[counted])

    def parts(self) -> dict[str, nn.Module]:
        """Return encoder[0] (shallow) .. encoder[-1] (deep), decoder and head: together every parameter, once.

        The modules are views on the model's own layers; groups of layers come as a `ModuleList`, which is not callable.
        """
        encoder, decoder, head = self._part_names
        stages = group_by_stage(self.network.get_submodule(encoder), self._stage_of)
        parts: dict[str, nn.Module] = {f"encoder[{number}]": stage for number, stage in enumerate(stages)}
        return parts | {"decoder": self._part(decoder), "head": self._part(head)}

    def _part(self, names: tuple[str, ...]) -> nn.Module:
        modules = [self.network.get_submodule(name) for name in names]
        return modules[0] if len(modules) == 1 else nn.ModuleList(modules)


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
