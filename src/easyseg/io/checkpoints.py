"""Models to share: one `.safetensors` file with the weights and, as JSON in its header, all that is needed to use them.

Loading such a file runs no code from it and makes no network call. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from easyseg.errors import CheckpointError, OutputError
from easyseg.io.atomic import atomic_path

FORMAT_VERSION = 1
_KEY = "easyseg"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a model file holds.

    Attributes:
        header: plain values: how to rebuild the model, its classes, preprocessing, metrics.
        tensors: the weights by name, on the CPU.
    """

    header: dict[str, Any]
    tensors: dict[str, Tensor]


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Path:
    """Write a model file; a file of that name is replaced only once the new one is complete.

    Args:
        path: ends in ".safetensors"; the suffix is added where it has none.
        tensors: the weights by name.
        header: plain values that JSON can hold.

    Returns:
        the file written.

    Raises:
        OutputError: the file cannot be written (no permission, no space), or the suffix is another one.
    """
    path = Path(path)
    if not path.suffix:
        path = path.with_suffix(".safetensors")
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: models are saved as .safetensors; type {str(path.with_suffix('.safetensors'))!r}.")
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, ensure_ascii=False, allow_nan=False)
    # a tensor that lies in channels-last memory or shares memory with another must be made plain first
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(plain, temporary, metadata={_KEY: text})
        except SafetensorError as error:
            raise OutputError(f"{path} cannot be written: {error}. Is the disk full?") from error
    return path


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a model file that `save_checkpoint` wrote.

    Raises:
        CheckpointError: there is no such file, it is damaged, is no easyseg model, or is from a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"There is no model file {str(path)!r}. Type the path of a .safetensors file or run folder."
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    header = _header(path, metadata)
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path} holds numbers that are not finite, in {broken[0]!r}; train it anew.")
    return Checkpoint(header, tensors)


def read_header(path: str | Path) -> dict[str, Any] | None:
    """Return what the header of a model file says, without reading its weights; None where easyseg did not save it.

    Raises:
        CheckpointError: there is no such file, it is damaged, or it is from a newer version.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    return _header(Path(path), metadata) if _KEY in metadata else None


def load_tensors(network: torch.nn.Module, checkpoint: Checkpoint, *, path: str | Path) -> None:
    """Put a checkpoint's weights into a network built from its header.

    Raises:
        CheckpointError: names or shapes differ.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    if expected != found:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CheckpointError(
            f"{path} does not fit the model its header describes: of its tensors {len(odd)} differ, such as {odd[0]!r} "
            f"(expected shape {expected.get(odd[0])}, found {found.get(odd[0])}). "
            "Install the version of easyseg it was saved with, named in its header."
        )
    network.load_state_dict(checkpoint.tensors)


def _unreadable(path: str | Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a .safetensors file ({error}); it may be damaged.")


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path} was not saved by easyseg. To start training from its weights, type "
            f"Segmenter(..., weights={str(path)!r})."
        )
    try:
        header = json.loads(metadata[_KEY])
        version = int(header["format_version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"The header of {path} is damaged ({error}).") from error
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}, this version of easyseg reads up to {FORMAT_VERSION}. "
            "Type: pip install -U easyseg"
        )
    return dict(header)
