"""What a zoo hands over, and one trial run of it.

The trial tells, before anybody waits for data, whether a pair of model and encoder works at all, which parameters
belong to which stage of the encoder, and which layers never take part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easyseg.structures import SizeHW


@dataclass(frozen=True, slots=True)
class Construction:
    """A network as its zoo builds it.

    Parts are given by the names of modules in the network, so that they stay true where a module is replaced.

    Attributes:
        network: normalised images (N, C, H, W) -> logits (N, classes, H, W).
        encoder: the part that may be pretrained.
        decoder: what stands between encoder and head.
        head: the last layer or layers, whose size depends on the number of classes.
        feature_sources: the encoder or modules in it whose outputs are the features, shallow to deep.
        stride: the network works on sizes that are multiples of it, in pixels.
    """

    network: nn.Module
    encoder: str
    decoder: tuple[str, ...]
    head: tuple[str, ...]
    feature_sources: tuple[str, ...]
    stride: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What one forward pass of a zero image showed.

    Attributes:
        output_hw: height and width of the logits.
        stage_of: names of the encoder's parameters -> number of the stage that they first act in.
        idle: ids of the modules that were not called, and none of whose parameters the logits depend on.
        single_value: ids of the modules that got one value per channel and image.
    """

    output_hw: SizeHW
    stage_of: dict[str, int]
    idle: frozenset[int]
    single_value: frozenset[int]


STEM_REDUCTION = 4
"""Features up to this reduction count as one stage: a stem alone has few parameters, and some encoders lack it."""


def try_out(construction: Construction, in_channels: int, size_hw: SizeHW) -> Trial:
    """Run the network once on a zero image, in evaluation mode, and watch. The mode is restored.

    Args:
        construction: the network.
        in_channels: channels of its input.
        size_hw: height and width of the image in pixels.

    Raises:
        Exception: whatever the network raises where its parts do not fit.
    """
    network = construction.network
    called: set[int] = set()
    single_value: set[int] = set()
    features: list[Tensor] = []

    def note_call(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        called.add(id(module))
        first = inputs[0] if inputs else None
        if isinstance(first, Tensor) and first.ndim == 4 and first.shape[2:].numel() == 1:
            single_value.add(id(module))
        if any(module is source for source in sources):
            features.extend(feature for feature in _tensors(output) if feature.ndim == 4)

    sources = [network.get_submodule(name) for name in construction.feature_sources]
    handles = [module.register_forward_hook(note_call) for module in network.modules()]
    try:
        with evaluation_mode(network), torch.enable_grad():
            logits = network(torch.zeros(1, in_channels, *size_hw))
    finally:
        for handle in handles:
            handle.remove()
    reductions = [round(size_hw[0] / feature.shape[2]) for feature in features]
    stage_of = _assign_stages(network.get_submodule(construction.encoder), features, reductions)
    # some layers are not called but read, such as the projections that an attention fuses into one
    read = {id(leaf) for leaf in _leaves(logits, set())}
    idle = {
        id(module)
        for module in network.modules()
        if id(module) not in called and not any(id(parameter) in read for parameter in module.parameters())
    }
    return Trial((logits.shape[2], logits.shape[3]), stage_of, frozenset(idle), frozenset(single_value))


def drop_idle(encoder: nn.Module, trial: Trial) -> None:
    """Take out the layers that the network never uses, such as the deep stages of an encoder used to half depth.

    They would only make files larger, and parameter counts wrong.
    """
    for name, child in encoder.named_children():
        if not any(True for _ in child.parameters()):
            continue
        if all(id(module) in trial.idle for module in child.modules()):
            setattr(encoder, name, nn.Identity())
        else:
            drop_idle(child, trial)


def group_by_stage(encoder: nn.Module, stage_of: dict[str, int]) -> list[nn.ModuleList]:
    """Cut the encoder into its stages, along the borders of the largest modules that lie in one stage.

    Modules without parameters go with their neighbour before, so that dropout is frozen with its stage.

    Args:
        encoder: the encoder.
        stage_of: from `Trial`.
    """
    groups = [nn.ModuleList() for _ in range(1 + max(stage_of.values(), default=0))]
    last = 0

    def visit(module: nn.Module, prefix: str) -> None:
        nonlocal last
        names = [prefix + name for name, _ in module.named_parameters(remove_duplicate=False)]
        stages = {stage_of[name] for name in names if name in stage_of}
        if len(stages) <= 1:
            last = stages.pop() if stages else last
            groups[last].append(module)
            return
        for name, parameter in module.named_parameters(recurse=False):
            last = stage_of[prefix + name]
            groups[last].append(nn.ParameterList([parameter]))
        for name, child in module.named_children():
            visit(child, f"{prefix}{name}.")

    visit(encoder, "")
    return groups


def _assign_stages(encoder: nn.Module, features: list[Tensor], reductions: list[int]) -> dict[str, int]:
    """Give each parameter the first stage whose feature depends on it; those no feature depends on, the last one."""
    names_of: dict[int, list[str]] = {}
    for name, parameter in encoder.named_parameters(remove_duplicate=False):
        names_of.setdefault(id(parameter), []).append(name)
    stage_of: dict[str, int] = {}
    seen: set[object] = set()
    stage = 0
    previous_reduction = 0
    for feature, reduction in zip(features, reductions, strict=True):
        reached = [name for leaf in _leaves(feature, seen) for name in names_of.get(id(leaf), ())]
        if not reached:
            continue
        if stage_of and not previous_reduction < reduction <= STEM_REDUCTION:
            stage += 1
        previous_reduction = reduction
        stage_of |= dict.fromkeys(reached, stage)
    missed = [name for names in names_of.values() for name in names if name not in stage_of]
    return stage_of | dict.fromkeys(missed, stage)


def _leaves(tensor: Tensor, seen: set[object]) -> Iterator[Tensor]:
    """Walk the autograd graph back from a tensor and yield the parameters it rests on, each once over all calls."""
    pending = [tensor.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            yield variable
        pending += [parent for parent, _ in node.next_functions]


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from _tensors(item)


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode for a while, and then back into what it was in."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
