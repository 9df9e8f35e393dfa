"""How deep each parameter of an encoder lies, found in the order of its modules.

Encoders that only give features have lost what their libraries know about it, and their stages are too coarse: in
some, one stage holds two thirds of all layers. A layer here is a block of a stage, with the stem as the first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from easyseg.training.parts import is_encoder


@dataclass(frozen=True, slots=True)
class Layer:
    """A piece of a model whose parameters learn at one rate.

    Attributes:
        name: such as "encoder[2] layer 3", or the part's name where it has one layer.
        part: the part it lies in.
        distance: layers from here to the decoder: 0 for decoder and head, 1 for the encoder's deepest layer.
        parameters: in order.
    """

    name: str
    part: str
    distance: int
    parameters: tuple[nn.Parameter, ...]


def layers_of(parts: Mapping[str, nn.Module]) -> list[Layer]:
    """Cut the parts of a model into layers, input side first; a parameter that is shared belongs to the first.

    Args:
        parts: as a model's `parts()` gives them; names that start with "encoder" are the encoder.
    """
    seen: set[nn.Parameter] = set()
    cut: list[tuple[str, list[list[nn.Parameter]]]] = []
    for part, module in parts.items():
        layers = _layers(module) if is_encoder(part) else [list(module.parameters())]
        fresh = [[p for p in dict.fromkeys(layer) if p not in seen] for layer in layers]
        seen.update(module.parameters())
        cut.append((part, [layer for layer in fresh if layer]))
    depth = sum(len(layers) for part, layers in cut if is_encoder(part))
    result: list[Layer] = []
    for part, layers in cut:
        for number, parameters in enumerate(layers):
            name = part if len(layers) == 1 else f"{part} layer {number}"
            result.append(Layer(name, part, depth if is_encoder(part) else 0, tuple(parameters)))
            depth -= is_encoder(part)
    return result


def _layers(stage: nn.Module) -> list[list[nn.Parameter]]:
    """Cut a stage at its blocks; normalisation and scales between two belong to the one before."""
    layers: list[list[nn.Parameter]] = []
    only_free = False  # whether the layer holds nothing yet but free parameters, such as the embedding of positions
    # a stage may come as a list of what was cut out of the encoder: nothing to do with a row of blocks
    pieces = stage.children() if type(stage) is nn.ModuleList else [stage]
    for unit in (unit for piece in pieces for unit in _units(piece)):
        is_free = isinstance(unit, nn.ParameterList)
        if not layers or (_kernels(unit) and not is_free and not only_free):
            layers.append([])
            only_free = is_free
        only_free = only_free and is_free
        layers[-1] += unit.parameters()
    return layers


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks in a module, in order, and what stands between them."""
    if _is_chain(module):
        for child in module.children():
            yield from _units(child) if _is_chain(child) else (child,)
    elif any(_is_chain(inner) for inner in module.modules()):
        yield nn.ParameterList(module.parameters(recurse=False))
        for child in module.children():
            yield from _units(child)
    else:
        yield module


def _is_chain(module: nn.Module) -> bool:
    """Tell whether a module is a row of blocks; a block has several kernels, a convolution with its norm only one."""
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return any(_kernels(child) > 1 for child in children)
    # some stages are rows without saying so: they call their blocks, all of one kind, one after the other
    return len(children) > 1 and len({type(child) for child in children}) == 1 and _kernels(children[0]) > 1


def _kernels(module: nn.Module) -> int:
    return sum(parameter.ndim > 1 for parameter in module.parameters())
