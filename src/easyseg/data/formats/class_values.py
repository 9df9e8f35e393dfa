"""Which mask values or colours each class has, however people write that down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from easyseg.errors import ClassMapError
from easyseg.structures import Color

REST = "rest"
"""What stands in place of a value for the class of everything else."""

ClassValue: TypeAlias = int | Color | str | list[int | str] | list[Color | str]
"""One mask value or colour of a class, `REST`, or a list of such."""

ClassValues: TypeAlias = Mapping[str, ClassValue]
"""What each class is in the masks, by its name."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def parse_class_values(values: Any) -> dict[str, ClassValue]:
    """Read any of the usual ways to say which mask values or colours a class has.

    Three numbers in a list are a colour, unless another class has plain mask values.

    Args:
        values: {name: id}, {name: [id, id]}, {id: name}, {name: (r, g, b)}, {"#rrggbb": name}, {name: "rest"}, or a
            list of mappings with `name` and `id` or `color`.

    Returns:
        a mask value or an RGB colour, or a list of several, per class name, in the order given.

    Raises:
        ClassMapError: it is none of these, or a name, value or colour stands there twice.
    """
    if isinstance(values, list):
        given = [_from_record(record) for record in values]
    elif isinstance(values, dict):
        given = [_from_entry(key, value) for key, value in values.items()]
    else:
        raise _unreadable(values)
    if not given:
        raise _unreadable(values)
    clear = [item for _, value in given if not _is_triple(value) for item in _items(value)]
    are_ids = any(isinstance(item, int) for item in clear)
    found: dict[str, list[Any]] = {}
    for name, value in given:  # {8: "vehicle", 9: "vehicle"} are two values of one class
        found.setdefault(name, []).extend(map(int, value) if are_ids and _is_triple(value) else _items(value))
    names = Counter(name for name, _ in given) if isinstance(values, list) else Counter()
    _refuse_repeated(values, names, Counter(item for items in found.values() for item in items))
    if len({type(item) for items in found.values() for item in items} - {str}) > 1:
        raise ClassMapError(f"{values!r} mixes mask values and colours; give one or the other for all classes.")
    return {name: items[0] if len(items) == 1 else items for name, items in found.items()}


def items_of(value: ClassValue) -> list[Any]:
    """Return the values or colours of one class, `REST` among them, as a list."""
    return value if isinstance(value, list) else [value]


def as_written(values: Mapping[str, Sequence[Any]], rest: str | None = None) -> dict[str, Any]:
    """Return the values or colours of each class as one writes them in `class_map=`, for messages.

    Args:
        values: all values or colours of each class.
        rest: the class of everything else; it need not stand among `values`.
    """
    listed = {name: [*own, *([REST] if name == rest else [])] for name, own in values.items()}
    if rest is not None:
        listed.setdefault(rest, [REST])
    return {name: own[0] if len(own) == 1 else own for name, own in listed.items()}


def _refuse_repeated(values: Any, names: Counter[str], items: Counter[Any]) -> None:
    twice = [name for name, count in names.items() if count > 1] + [item for item, count in items.items() if count > 1]
    if items[REST] > 1:
        raise ClassMapError(f"{values!r} has two classes for the rest; one class can be everything else.")
    if twice:
        raise ClassMapError(
            f"A class name or a mask value stands twice in {values!r}: {', '.join(map(str, twice))}; each value "
            "belongs to one class."
        )
    if items[REST] and items.total() == 1:
        raise ClassMapError(f"{values!r} names a rest only; type class_map={{'name': value, 'background': 'rest'}}.")


def _from_record(record: Any) -> tuple[str, Any]:
    if not isinstance(record, dict) or "name" not in record:
        raise _unreadable(record)
    return str(record["name"]), next(
        (record[key] for key in ("id", "value", "color", "colour", "rgb") if key in record), None
    )


def _from_entry(key: Any, value: Any) -> tuple[str, Any]:
    is_name = isinstance(value, str) and not _is_value(value) and (value != REST or not _is_name(key))
    return (value, key) if is_name else (str(key), value)


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and not _is_value(key)


def _is_value(text: str) -> bool:
    return text.isdigit() or _COLOR.fullmatch(text) is not None


def _items(value: Any) -> list[Any]:
    """Return the values and colours of one class as someone wrote them."""
    is_list = isinstance(value, (list, tuple, set, frozenset)) and len(value) > 0
    return [_one(item) for item in value] if is_list and not _has_three_numbers(value) else [_one(value)]


def _one(value: Any) -> int | Color | str:
    if value == REST and isinstance(value, str):
        return REST
    if isinstance(value, str) and _is_value(value):
        if value.startswith("#"):
            return (int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16))
        return int(value)
    if _is_number(value):
        return int(value)
    if _has_three_numbers(value) and all(0 <= int(part) <= 255 for part in value):
        red, green, blue = (int(part) for part in value)
        return (red, green, blue)
    raise _unreadable(value)


def _is_number(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _is_triple(value: Any) -> bool:
    """Whether it may be three mask values as well as a colour; a tuple is a colour."""
    return isinstance(value, list) and _has_three_numbers(value)


def _has_three_numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == len("rgb") and all(map(_is_number, value))


def _unreadable(value: Any) -> ClassMapError:
    return ClassMapError(
        f"{value!r} cannot be read as classes; expected {{'road': 1, 'vehicle': [2, 3], 'background': 'rest'}}, "
        "{'road': (128, 64, 128), ...} or {'#804080': 'road', ...}."
    )
