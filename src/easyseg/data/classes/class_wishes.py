"""What a user, or a dataset's own files, say about its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from easyseg.data.formats.class_values import REST, ClassValue, items_of, parse_class_values
from easyseg.data.formats.layout import Layout
from easyseg.errors import ClassMapError
from easyseg.structures import Color, Ignored, Task
from easyseg.structures.class_map import BACKGROUND_NAMES, VOID_NAMES

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class ClassWishes:
    """What is known about the classes before any mask is read.

    Attributes:
        names: class names in the order of their ids; None where not given.
        values: mask values of each class by name; None where not given.
        colors: RGB colours of each class by name; None where not given.
        rest: the name of the class of everything else; it stands among `values` or `colors`, too, perhaps with none,
            unless it is the background of a single class.
        ignored: mask values that do not count.
        ignored_colors: RGB colours that do not count.
        ignored_names: names of objects that do not count.
        asked_to_ignore: those of the mask values and colours that the user named; others are void by a file.
        task: the task wanted, or "auto".
        source: the file that names or values come from; empty where the user gave them.
        notes: lines for people.
    """

    names: tuple[str, ...] | None = None
    values: dict[str, tuple[int, ...]] | None = None
    colors: dict[str, tuple[Color, ...]] | None = None
    rest: str | None = None
    ignored: tuple[int, ...] = ()
    ignored_colors: tuple[Color, ...] = ()
    ignored_names: tuple[str, ...] = ()
    asked_to_ignore: tuple[int | Color, ...] = ()
    task: Task | Literal["auto"] = "auto"
    source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the one class of a binary task."""
        return self.names[0] if self.names and len(self.names) == 1 else "foreground"


def gather_wishes(
    *,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | None = None,
    ignore: Ignored | None = None,
    task: Task | Literal["auto"] = "auto",
    layout: Layout | None = None,
) -> ClassWishes:
    """Put the user's arguments and the dataset's own files together; the user's count more.

    Raises:
        ClassMapError: an argument cannot be read, or two contradict each other.
    """
    names = _names(classes)
    ignored, ignored_colors, ignored_names = _ignored(ignore)
    asked_to_ignore: tuple[int | Color, ...] = (*ignored, *ignored_colors)
    notes: tuple[str, ...] = ()
    if class_map is not None:
        found, source = parse_class_values(dict(class_map)), ""
    else:
        found, void, source = _values_of_layout(layout, names)
        listed = [value for own in void.values() for value in own]
        ignored += tuple(value for value in listed if isinstance(value, int))
        ignored_colors += tuple(value for value in listed if isinstance(value, tuple))
        notes = tuple(_void_note(name, own, source) for name, own in void.items())
    rest = next((name for name, value in found.items() if REST in items_of(value)), None)
    values, colors = _parted(found)
    known = list(found)
    if rest is not None and _is_background_of_one(rest, found, names, task):
        known.remove(rest)
        values, colors = _without(rest, values), _without(rest, colors)
    if names is not None and known:
        if sorted(names) != sorted(known):
            raise ClassMapError(f"classes={list(names)} and class_map={known} name different classes; give one.")
        values = {name: values[name] for name in names} if values else None
        colors = {name: colors[name] for name in names} if colors else None
    elif not known and layout is not None and layout.names and names in (None, _without_void_names(layout.names)):
        source = layout.names_source
        values, ignored, notes = _without_void(layout.names, ignored, source)
        names = names or (None if values else layout.names)
    return ClassWishes(
        names, values, colors, rest, ignored, ignored_colors, ignored_names, asked_to_ignore, task, source, notes
    )


def _is_background_of_one(
    rest: str, found: Mapping[str, ClassValue], names: tuple[str, ...] | None, task: Task | Literal["auto"]
) -> bool:
    """Whether everything else is just what is beside a single class, which is the binary task."""
    others = found.keys() - {rest}
    is_plain = len(others) == 1 and found[rest] == REST and rest.lower() in BACKGROUND_NAMES
    return is_plain and task != "multiclass" and (names is None or set(names) == others)


def _without(name: str, values: dict[str, tuple[ItemT, ...]] | None) -> dict[str, tuple[ItemT, ...]] | None:
    return None if values is None else {other: own for other, own in values.items() if other != name}


def _parted(
    found: Mapping[str, ClassValue],
) -> tuple[dict[str, tuple[int, ...]] | None, dict[str, tuple[Color, ...]] | None]:
    """Return the mask values of all classes, or their colours: one is None, both where there are no classes."""
    values = {name: _plain(value) for name, value in found.items()}
    has_colors = any(isinstance(item, tuple) for items in values.values() for item in items)
    return (None, values) if has_colors else (values or None, None)


def _plain(value: ClassValue) -> tuple[Any, ...]:
    """Return the values or colours of a class without `REST`."""
    return tuple(item for item in items_of(value) if item != REST)


def _values_of_layout(
    layout: Layout | None, names: tuple[str, ...] | None
) -> tuple[dict[str, ClassValue], dict[str, tuple[Any, ...]], str]:
    """Return the values or colours of each class by the dataset's own file, those that are none by name, and the file.

    All are empty where there is no such file, or it is for other classes than those wanted.
    """
    if layout is None or layout.class_values is None:
        return {}, {}, ""
    listed = dict(layout.class_values)
    real = _without_void_names(tuple(listed)) or tuple(listed)
    if names is not None and sorted(names) == sorted(listed):
        real = tuple(listed)  # asked for by name, so it is a class
    elif names is not None and sorted(names) != sorted(real):
        return {}, {}, ""
    void = {name: _plain(listed[name]) for name in listed if name not in real}
    for name in void:
        if REST in items_of(listed[name]):
            raise ClassMapError(
                f"{layout.names_source} puts everything else into {name!r}, which is no class. List its values "
                "there, or type class_map={'name': value, ...} and ignore=[...]."
            )
    if len(real) == 1:  # what is black around a single class is its background, whatever its name
        void = {name: tuple(value for value in own if value not in (0, (0, 0, 0))) for name, own in void.items()}
    return {name: listed[name] for name in real}, {name: own for name, own in void.items() if own}, layout.names_source


def _void_note(name: str, values: Sequence[Any], source: str) -> str:
    kind = "value" if isinstance(values[0], int) else "colour"
    return f"{name!r} ({kind} {', '.join(map(str, values))}) in {source} is no class; such pixels do not count"


def _names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes) or not classes:
        raise ClassMapError(f"classes={classes!r}: expected a list of names, such as classes=['road', 'car'].")
    return tuple(classes)


def _ignored(
    ignore: Ignored | None,
) -> tuple[tuple[int, ...], tuple[Color, ...], tuple[str, ...]]:
    if ignore is None:
        return (), (), ()
    listed: list[Any] = [ignore] if isinstance(ignore, (int, str)) else list(ignore)
    values = tuple(int(item) for item in listed if hasattr(item, "__index__"))
    colors = [tuple(item) for item in listed if not hasattr(item, "__index__") and not isinstance(item, str)]
    names = tuple(item for item in listed if isinstance(item, str))
    if any(len(color) != 3 for color in colors):
        raise ClassMapError(
            f"ignore={ignore!r}: expected mask values or RGB colours, such as ignore=[255] or ignore=[(0, 0, 0)], "
            "or names of objects."
        )
    return values, tuple((int(color[0]), int(color[1]), int(color[2])) for color in colors), names


def _without_void_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.lower() not in VOID_NAMES)


def _without_void(
    names: tuple[str, ...], ignored: tuple[int, ...], source: str
) -> tuple[dict[str, tuple[int, ...]] | None, tuple[int, ...], tuple[str, ...]]:
    """Leave out listed classes that are none by name, such as "Void": what they cover must not count."""
    void = [at for at, name in enumerate(names) if name.lower() in VOID_NAMES]
    if not void or len(void) == len(names):
        return None, ignored, ()
    values: dict[str, tuple[int, ...]] = {name: (at,) for at, name in enumerate(names) if at not in void}
    if len(values) == 1:  # 0 around a single class is its background, whatever its name
        void = [at for at in void if at != 0]
    notes = tuple(_void_note(names[at], [at], source) for at in void)
    return values, (*ignored, *void), notes
