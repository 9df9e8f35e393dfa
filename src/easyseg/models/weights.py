"""Weights from a .safetensors file, and weights for another number of input channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from easyseg.errors import WeightsError

_ENOUGH = 0.9
"""Share of the encoder's tensors a file must hold. Below, it is a file for something else: a resnet18 has more than
half of a resnet34's."""

_PREFIX_SHARE = 0.2
"""A prefix that fewer of the tensors carry is no wrapper around a network, but a part inside it."""

_PIXEL_STATISTICS = ("pixel_mean", "pixel_std")
_FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".h5", ".onnx")


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """What came out of a weights file.

    Attributes:
        path: the file.
        matched: tensors of the network that were taken from it.
        total: tensors of the network.
        encoder_matched: the same for the encoder alone.
        encoder_total: tensors of the encoder.
        adapted: tensors of the first layer, fitted to another number of channels.
        fresh: tensors of the last layer that keep their random start, as the number of classes differs.
    """

    path: Path
    matched: int
    total: int
    encoder_matched: int
    encoder_total: int
    adapted: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        notes = [f"{self.path.name}: {self.matched} of {self.total} tensors loaded"]
        notes.append(f"encoder {self.encoder_matched} of {self.encoder_total}")
        if self.adapted:
            notes.append("first layer fitted to the number of channels")
        if self.fresh:
            notes.append("last layer starts fresh, as the number of classes differs")
        return ", ".join(notes)


def load_weights_file(
    network: nn.Module, path: str | Path, *, encoder: str, head: tuple[str, ...], kept: tuple[str, ...] = ()
) -> LoadedWeights:
    """Copy what fits from a .safetensors file into a network.

    The file may hold an encoder alone or a whole network, wrapped or not: names are compared behind the two prefixes
    that make most of them agree.

    Args:
        network: is changed in place.
        path: the file.
        encoder: the prefix of the encoder's tensors in the network, such as "network.encoder.".
        head: prefixes of the last layer's tensors, which may differ in the number of classes.
        kept: names of tensors of the network that stay as they are, whatever the file holds.

    Raises:
        WeightsError: the file cannot be read, holds too little of the encoder, or tensors of another shape.
    """
    path = check_file(path)
    state = _read(path)
    own = {
        name: value
        for name, value in network.state_dict().items()
        if name not in kept and not name.endswith("num_batches_tracked")
    }
    source_of = _match_names(own, state)
    expected = [name for name in own if name.startswith(encoder)]
    found = [name for name in expected if name in source_of]
    if len(found) < _ENOUGH * len(expected):
        raise WeightsError(
            f"{path}: only {len(found)} of the encoder's {len(expected)} tensors are in the file; it seems to belong "
            f"to another encoder. The file has names such as {_some(state)}; expected are names such as "
            f"{_some(name.removeprefix(encoder) for name in expected)}. Check the encoder's name."
        )
    first = next((name for name in expected if own[name].ndim == 4), "")
    fresh: list[str] = []
    adapted: list[str] = []
    values: dict[str, Tensor] = {}
    for name, source in source_of.items():
        value, wanted = state[source], own[name].shape
        if value.shape == wanted:
            values[name] = value
        elif name == first and _differs_in_channels_only(value.shape, wanted):
            values[name] = fit_channels(value, wanted[1])
            adapted.append(name)
        elif name.startswith(head):
            fresh.append(name)
        elif name not in _PIXEL_STATISTICS:  # these follow the number of channels
            raise WeightsError(
                f"{path}: {source!r} has shape {tuple(value.shape)}, expected is {tuple(wanted)}. "
                "The file belongs to another model or encoder; only its first and last layer may differ."
            )
    network.load_state_dict(values, strict=False)
    in_encoder = sum(name.startswith(encoder) for name in values)
    return LoadedWeights(path, len(values), len(own), in_encoder, len(expected), tuple(adapted), tuple(fresh))


def is_file(weights: str | Path) -> bool:
    """Return whether `weights` means a file and not the name of pretrained weights."""
    return isinstance(weights, Path) or weights.endswith(_FILE_SUFFIXES) or "/" in weights or "\\" in weights


def fit_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Fit a first convolution's weights to another number of channels, keeping the size of what it puts out.

    One channel gets the sum over the channels; more get them in turn, scaled by the ratio of the numbers.

    Args:
        weight: (out, channels, kernel height, kernel width) float.
        in_channels: channels wanted.

    Returns:
        (out, in_channels, kernel height, kernel width).
    """
    channels = weight.shape[1]
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(in_channels) % channels
    return weight[:, turns] * (channels / in_channels)


def change_input_channels(encoder: nn.Module, in_channels: int, *, keep_weights: bool) -> None:
    """Fit the encoder's first convolution to another number of channels.

    Args:
        encoder: is changed in place.
        in_channels: channels wanted; where it has as many, nothing happens.
        keep_weights: derive the new weights from the old ones instead of drawing them.
    """
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    if first.in_channels == in_channels:
        return
    if keep_weights:
        weight = fit_channels(first.weight.detach(), in_channels)
    else:
        weight = first.weight.new_empty(first.out_channels, in_channels, *first.kernel_size)
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    first.in_channels = in_channels
    first.weight = nn.Parameter(weight)


def check_file(path: str | Path) -> Path:
    """Return the path of a weights file, its home folder written out.

    Raises:
        WeightsError: there is no such file, or it is of another kind.
    """
    path = Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path}: weights are read from .safetensors files only, as other formats can run code when opened. "
            "Convert the file where you trust it: load it with torch, then safetensors.torch.save_file(state, path)."
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Type weights='imagenet', weights=None, or the path of a file.")
    return path


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: this is no readable .safetensors file ({error}).") from error


def _match_names(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return names in the network -> names in the file, under the pair of prefixes that makes most of them agree."""
    ours = {_plain(name): name for name in own}
    theirs = {_plain(name): name for name in state}
    best: dict[str, str] = {}
    best_score = (0, 0)
    for our_prefix in _prefixes(ours):
        stripped = {name[len(our_prefix) :]: full for name, full in ours.items() if name.startswith(our_prefix)}
        for their_prefix in _prefixes(theirs):
            pairs = {
                stripped[rest]: full
                for name, full in theirs.items()
                if name.startswith(their_prefix) and (rest := name[len(their_prefix) :]) in stripped
            }
            same_shape = sum(own[mine].shape == state[other].shape for mine, other in pairs.items())
            if (same_shape, len(pairs)) > best_score:
                best, best_score = pairs, (same_shape, len(pairs))
    return best


def _prefixes(names: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {"": 0}
    total = 0
    for name in names:
        total += 1
        pieces = name.split(".")
        for depth in range(1, min(4, len(pieces))):
            prefix = ".".join(pieces[:depth]) + "."
            counts[prefix] = counts.get(prefix, 0) + 1
    return [prefix for prefix, count in counts.items() if not prefix or count >= _PREFIX_SHARE * total]


def _plain(name: str) -> str:
    # timm's feature extractors write "stages_0" for the "stages.0" of the whole network
    return name.replace("_", ".")


def _differs_in_channels_only(found: torch.Size, wanted: torch.Size) -> bool:
    return len(found) == len(wanted) and found[0] == wanted[0] and found[2:] == wanted[2:]


def _some(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:3])
