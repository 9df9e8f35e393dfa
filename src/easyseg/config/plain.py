"""What of a setting's value YAML has words for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def to_plain(value: Any) -> Any:
    """Return a value as YAML can hold it; an object becomes its repr."""
    if isinstance(value, BaseModel):  # settings inside settings: what was said of them
        value = value.model_dump(exclude_defaults=True)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key if isinstance(key, (int, str)) else str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, set, frozenset, range)):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def is_plain(value: Any) -> bool:
    """Tell whether YAML can hold a value such that it can be read back."""
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, (tuple, list, set, frozenset, range)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, Path, BaseModel)) or hasattr(value, "tolist")


def names_of(value: Any) -> str:
    """Return what an object is called, on one line, which its repr may not be."""
    if isinstance(value, tuple):
        return ", ".join(map(names_of, value))
    return str(getattr(value, "__qualname__", type(value).__qualname__))
