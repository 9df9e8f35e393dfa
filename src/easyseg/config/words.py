"""Settings in words: what a value should be, and what is wrong with the one given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from easyseg.errors import closest


def explain(fields: Mapping[str, FieldInfo], values: Mapping[str, Any], error: ValidationError) -> str:
    """Say for each wrong setting what was given, what is expected, and what the setting does."""
    lines: dict[str, str] = {}
    for problem in error.errors():  # a union reports once per member: the first says all
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:  # a rule on several settings
            lines[name] = problem["msg"].removeprefix("Value error, ")
        elif name not in lines:
            own_words = problem["msg"].removeprefix("Value error, ") if problem["type"] == "value_error" else None
            lines[name] = complaint(name, values[name], fields[name], own_words)
    return "\n".join(lines.values())


def complaint(name: str, value: Any, field: FieldInfo, own_words: str | None = None) -> str:
    """Say what is wrong with a value: in a rule's own words, or by what the setting takes."""
    near = closest(value, _choices(field.annotation)) if isinstance(value, str) else None
    suggestion = f" Did you mean {near!r}?" if near else ""
    return f"{name}={value!r}: {own_words or 'expected ' + expectation(field)}.{suggestion} {name}: {field.description}"


def expectation(field: FieldInfo) -> str:
    """Return in words what values a setting takes, such as "a whole number of at least 1 or 'auto'"."""
    *others, last = _described(field.annotation, field.metadata)
    return f"{', '.join(others)} or {last}" if others else last


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [item for item in get_args(kind) if isinstance(item, str)]
    return [choice for part in get_args(kind) for choice in _choices(part)]


def takes(kind: Any, wanted: type) -> bool:
    """Whether a value of type `wanted` is meant by an annotation, not merely convertible to it."""
    if get_origin(kind) in (tuple, list, Literal):
        return False
    return kind in (wanted, Any) or any(takes(part, wanted) for part in get_args(kind))


def _described(kind: Any, limits: Sequence[Any] = ()) -> list[str]:
    """Put an annotation in words, one phrase for each kind of value it allows."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _described(parts[0], parts[1:])
    if origin is Literal:
        return [repr(part) for part in parts]
    if origin in (Union, UnionType):
        return [phrase for part in parts for phrase in _described(part)]
    if origin in (tuple, list):
        what = " or ".join(_described(parts[0]))
        many = "a list" if origin is list or parts[-1] is ... else f"{len(parts)} values"
        return [f"{many} (each {what})"]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [f"a {kind.__name__}"]
    words = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", Path: "a path"}
    fixed = {type(None): "None", Any: "any value"}
    return [fixed.get(kind) or words.get(kind, "a function") + _in_words(limits)]


def _in_words(limits: Sequence[Any]) -> str:
    """Put pydantic's limits of a number in words, such as " of at least 1"."""
    flat = [inner for limit in limits for inner in (limit.metadata if isinstance(limit, FieldInfo) else [limit])]
    found = {key: getattr(limit, key) for limit in flat for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)}
    if "ge" in found and "le" in found:
        return f" from {found['ge']} to {found['le']}"
    forms = {"ge": "of at least", "gt": "above", "lt": "below", "le": "of at most"}
    words = " and ".join(f"{form} {found[key]}" for key, form in forms.items() if key in found)
    return f" {words}" if words else ""
