"""Which modules of a network stand still when some of its parameters do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from torch import nn


def still_modules(
    network: nn.Module, parts: Mapping[str, nn.Module], frozen: Collection[nn.Parameter]
) -> dict[nn.Module, None]:
    """Return the modules that belong into evaluation mode: those whose parameters are all frozen, with all in them.

    Modules without parameters, such as dropout, go with the module around them; where that is not frozen as a whole,
    with their part.

    Args:
        network: the modules to look at.
        parts: its parts by name, which hold the modules without parameters, too.
        frozen: parameters that do not learn.
    """
    frozen = set(frozen)
    found = dict.fromkeys(_still_in(network, frozen))
    for part in parts.values():
        if _is_still(part, frozen):
            found |= dict.fromkeys(part.modules())
    return found


def _still_in(module: nn.Module, frozen: Collection[nn.Parameter]) -> Iterator[nn.Module]:
    if _is_still(module, frozen):
        yield from module.modules()
    else:
        for child in module.children():
            yield from _still_in(child, frozen)


def _is_still(module: nn.Module, frozen: Collection[nn.Parameter]) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and all(parameter in frozen for parameter in parameters)
