"""What a user, or a dataset's own files, say about its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from easyseg.data.formats.class_names import parse_class_values
from easyseg.data.formats.layout import Layout
from easyseg.errors import ClassMapError
from easyseg.structures import Color, Ignored, Task
from easyseg.structures.class_map import VOID_NAMES


@dataclass(frozen=True, slots=True)
class ClassWishes:
    """What is known about the classes before any mask is read.

    Attributes:
        names: class names in the order of their ids; None where not given.
        values: mask value of each class by name; None where not given.
        colors: RGB colour of each class by name; None where not given.
        ignored: mask values that do not count.
        ignored_colors: RGB colours that do not count.
        ignored_names: names of objects that do not count.
        task: the task wanted, or "auto".
        source: the file that names or values come from; empty where the user gave them.
        notes: lines for people.
    """

    names: tuple[str, ...] | None = None
    values: dict[str, int] | None = None
    colors: dict[str, Color] | None = None
    ignored: tuple[int, ...] = ()
    ignored_colors: tuple[Color, ...] = ()
    ignored_names: tuple[str, ...] = ()
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
    notes: tuple[str, ...] = ()
    if class_map is not None:
        found, source = parse_class_values(dict(class_map)), ""
    else:
        found, void, source = _values_of_layout(layout, names)
        ignored += tuple(value for value in void.values() if isinstance(value, int))
        ignored_colors += tuple(value for value in void.values() if not isinstance(value, int))
        notes = tuple(_void_note(name, value, source) for name, value in void.items())
    values = {name: value for name, value in found.items() if isinstance(value, int)} or None
    colors = {name: value for name, value in found.items() if not isinstance(value, int)} or None
    known = list(values or colors or [])
    if names is not None and known:
        if sorted(names) != sorted(known):
            raise ClassMapError(f"classes={list(names)} and class_map={known} name different classes; give one.")
        values = {name: values[name] for name in names} if values else None
        colors = {name: colors[name] for name in names} if colors else None
    elif not known and layout is not None and layout.names and names in (None, _without_void_names(layout.names)):
        source = layout.names_source
        values, ignored, notes = _without_void(layout.names, ignored, source)
        names = names or (None if values else layout.names)
    return ClassWishes(names, values, colors, ignored, ignored_colors, ignored_names, task, source, notes)


def _values_of_layout(
    layout: Layout | None, names: tuple[str, ...] | None
) -> tuple[dict[str, int | Color], dict[str, int | Color], str]:
    """Return the value or colour of each class by the dataset's own file, those that are none by name, and the file.

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
    void = {name: value for name, value in listed.items() if name not in real}
    if len(real) == 1:  # what is black around a single class is its background, whatever its name
        void = {name: value for name, value in void.items() if value not in (0, (0, 0, 0))}
    return {name: listed[name] for name in real}, void, layout.names_source


def _void_note(name: str, value: int | Color, source: str) -> str:
    kind = "value" if isinstance(value, int) else "colour"
    return f"{name!r} ({kind} {value}) in {source} is no class; such pixels do not count"


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
            f"ignore={ignore!r}: expected mask values or RGB colours, such as [255] or [(0, 0, 0)], or names of "
            "objects."
        )
    return values, tuple((int(color[0]), int(color[1]), int(color[2])) for color in colors), names


def _without_void_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name.lower() not in VOID_NAMES)


def _without_void(
    names: tuple[str, ...], ignored: tuple[int, ...], source: str
) -> tuple[dict[str, int] | None, tuple[int, ...], tuple[str, ...]]:
    """Leave out listed classes that are none by name, such as "Void": what they cover must not count."""
    void = [at for at, name in enumerate(names) if name.lower() in VOID_NAMES]
    if not void or len(void) == len(names):
        return None, ignored, ()
    values = {name: at for at, name in enumerate(names) if at not in void}
    if len(values) == 1:  # 0 around a single class is its background, whatever its name
        void = [at for at in void if at != 0]
    notes = tuple(_void_note(names[at], at, source) for at in void)
    return values, (*ignored, *void), notes
