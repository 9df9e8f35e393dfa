"""From words for parts of a model to the names of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol, TypeAlias

from torch import nn

from easyseg.config.parts import Selector, read_selector
from easyseg.errors import ConfigError, UnknownNameError, closest

NamesByPart: TypeAlias = Mapping[str, frozenset[str]]
"""A model's parts in order, input side first, and the names of the parameters in each."""


class HasParts(Protocol):
    """A model whose parts have names."""

    def parts(self) -> dict[str, nn.Module]:
        """Return the parts by name, input side first."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters by name."""
        ...


def names_by_part(model: HasParts) -> dict[str, frozenset[str]]:
    """Return the parts of a model and the names of their parameters, each in the first part that has it."""
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    by_part: dict[str, frozenset[str]] = {}
    for part, module in model.parts().items():
        names = {name_of.pop(parameter) for parameter in module.parameters() if parameter in name_of}
        by_part[part] = frozenset(names)
    return by_part


def is_encoder(part: str) -> bool:
    """Tell whether a part is a stage of the encoder."""
    return part.startswith("encoder")


def resolve_parts(selectors: Sequence[str], by_part: NamesByPart, *, asker: str) -> frozenset[str]:
    """Return the names of the parameters that words stand for, taken in order.

    Args:
        selectors: such as "head", "encoder[-1]", "*.bn1.*", "not encoder[0]".
        by_part: from `names_by_part`.
        asker: who wants to know, for the message: such as "Stage 'top'".

    Raises:
        UnknownNameError: a part does not exist in this model, or a pattern fits no parameter; the message names the
            nearest that does.
    """
    names: frozenset[str] = frozenset()
    for text in selectors:
        selector = read_selector(text)
        chosen = _chosen(selector, by_part, asker)
        names = names - chosen if selector.removes else names | chosen
    return names


def refuse_overlaps(selectors: Sequence[str], by_part: NamesByPart, *, asker: str) -> None:
    """Refuse words of which one adds nothing to the others: two parts that overlap, a pattern inside a part.

    Raises:
        ConfigError: there are such words; the message names both.
    """
    added = [(text, selector) for text in selectors if not (selector := read_selector(text)).removes]
    seen: list[tuple[str, Selector, frozenset[str]]] = []
    for text, selector in added:
        chosen = _chosen(selector, by_part, asker)
        for other_text, other, others in seen:
            shared = chosen & others
            both_parts = not selector.pattern and not other.pattern
            if shared and (both_parts or shared in (chosen, others)):
                raise ConfigError(
                    f"{asker}: {other_text!r} and {text!r} overlap in {len(shared)} parameters. "
                    "Keep the one that you mean."
                )
        seen.append((text, selector, chosen))


def _chosen(selector: Selector, by_part: NamesByPart, asker: str) -> frozenset[str]:
    if selector.pattern:
        return _matching(selector.pattern, by_part, asker)
    stages = [part for part in by_part if is_encoder(part)]
    if selector.word == "encoder":
        chosen = _stages(selector, stages, asker)
    elif selector.word == "heads":
        chosen = [part for part in by_part if not is_encoder(part)]
    else:
        chosen = list(by_part) if selector.word == "all" else [part for part in by_part if part == selector.word]
    if not chosen:
        raise UnknownNameError(
            f"{asker}: this model has no part {selector.text!r}. It has {', '.join(by_part)}."
            + _suggestion(selector.text, by_part)
        )
    return frozenset().union(*(by_part[part] for part in chosen))


def _stages(selector: Selector, stages: list[str], asker: str) -> list[str]:
    if selector.index is None:
        return stages
    if isinstance(selector.index, slice):
        chosen = stages[selector.index]
    else:
        chosen = [stages[selector.index]] if -len(stages) <= selector.index < len(stages) else []
    if not chosen:
        raise UnknownNameError(
            f"{asker}: {selector.text!r} is no stage of this encoder; it has {len(stages)}, encoder[0] to "
            f"encoder[{len(stages) - 1}]. The deepest is encoder[-1]."
        )
    return chosen


def _matching(pattern: str, by_part: NamesByPart, asker: str) -> frozenset[str]:
    """Return the parameters whose name fits; the name of a module stands for all parameters in it."""
    names = [name for part in by_part.values() for name in sorted(part)]
    chosen = frozenset(name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*"))
    if not chosen:
        raise UnknownNameError(
            f"{asker}: no parameter fits the pattern {pattern!r}; * stands for any letters." + _mended(pattern, names)
        )
    return chosen


def _mended(pattern: str, names: Sequence[str]) -> str:
    """Suggest the pattern with each word that stands in no name replaced by the nearest that does."""
    words = {word for name in names for word in name.split(".")}
    mended = pattern
    for word in re.findall(r"[^.*?]+", pattern):
        near = closest(word, words)
        if word not in words and near is not None:
            mended = mended.replace(word, near)
    return f" Did you mean {mended!r}?" if mended != pattern else f" Names look like {names[0]!r}."


def _suggestion(text: str, options: Sequence[str] | NamesByPart) -> str:
    near = closest(text, options)
    return f" Did you mean {near!r}?" if near else ""
