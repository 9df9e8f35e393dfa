"""Finding out which classes a dataset of objects has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from easyseg.errors import ClassMapError, unknown_name
from easyseg.structures import IGNORE_INDEX, ClassMap, NumberedObjects, Sample, Task
from easyseg.structures.class_map import BACKGROUND_NAMES, VOID_NAMES
from easyseg.structures.objects import UNNAMED

ObjectNames = dict[str, tuple[str, ...]]
"""The names of the objects of each class, by the class's own name."""

_VALUE = re.compile(r"\d+|#[0-9a-fA-F]{6}")
_NUMBERED = re.compile(r"class_\d+")
_BACKGROUND = "background"
_DIGITS = 20  # of the longest numbers in names that are sorted as numbers


@dataclass(frozen=True, slots=True)
class ObjectWishes:
    """What a user says about the classes of objects.

    Attributes:
        classes: names of the classes that count, in the order of their ids; None: all.
        renamed: the names of the objects of each class; None where not given.
        ignored: names of objects that do not count.
        task: the task wanted, or "auto".
        uncovered: what pixels become that no object covers: 0, or `IGNORE_INDEX`.
    """

    classes: tuple[str, ...] | None = None
    renamed: ObjectNames | None = None
    ignored: tuple[str, ...] = ()
    task: Task | Literal["auto"] = "auto"
    uncovered: int = 0


def names_in_memory(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the class names of samples' objects, sorted, class_2 before class_10."""
    names: set[str] = set()
    for sample in samples:
        objects = sample.objects
        if isinstance(objects, NumberedObjects):
            names |= set(objects.class_names.values()) or {objects.class_name or UNNAMED}
        elif isinstance(objects, tuple):
            names |= {item.class_name for item in objects}
    return tuple(sorted(names, key=lambda name: re.sub(r"\d+", lambda digits: digits[0].zfill(_DIGITS), name)))


def read_object_names(class_map: Any) -> ObjectNames | None:
    """Return what {"vehicle": "car"} or {"vehicle": ["car", "bus"]} means, None for any other class map."""
    if not isinstance(class_map, Mapping) or not class_map:
        return None
    found: ObjectNames = {}
    for name, objects in class_map.items():
        listed = (objects,) if isinstance(objects, str) else objects
        is_list = isinstance(listed, Sequence) and listed and all(isinstance(item, str) for item in listed)
        if not isinstance(name, str) or _VALUE.fullmatch(name) or not is_list or any(map(_VALUE.fullmatch, listed)):
            return None
        found[name] = tuple(listed)
    return found


def names_asked_for(classes: Sequence[str] | None, class_map: Any) -> tuple[str, ...] | None:
    """Return the names of the objects that the user wants to count, None where that is left open.

    Args:
        classes: names of classes.
        class_map: what `read_class_map` returned.
    """
    if isinstance(class_map, ClassMap):
        names = [name for objects in class_map.object_names for name in objects] or list(class_map.names)
    elif (renamed := read_object_names(class_map)) is not None:
        names = [name for objects in renamed.values() for name in objects]
    else:
        names = [] if classes is None or class_map is not None else list(classes)
    return tuple(name for name in names if name.lower() not in BACKGROUND_NAMES) or None


def names_of_labels(classes: Sequence[str] | None, class_map: Any) -> tuple[str, ...] | None:
    """Return what the labels 1, 2, ... of objects in memory mean; None where nobody says it.

    Args:
        classes: names of classes, perhaps with a background, which is label 0.
        class_map: of a model, its classes; anything else says nothing about labels.
    """
    if isinstance(class_map, ClassMap):
        names = class_map.object_classes
        return None if all(_NUMBERED.fullmatch(name) for name in names) else names  # their own numbers count
    return tuple(name for name in classes or () if name.lower() not in BACKGROUND_NAMES) or None


def class_map_of_objects(names: Sequence[str], wishes: ObjectWishes) -> ClassMap:
    """Return the classes of a dataset of objects.

    Args:
        names: the class names in the dataset, in the order of their ids.
        wishes: what the user says.

    Raises:
        ClassMapError: there is no class, or the wishes contradict each other.
        UnknownNameError: a class is asked for that the dataset has not.
    """
    present = [name for name in names if not _is_nothing(name) and name not in wishes.ignored]
    for name in wishes.ignored:
        if name not in names and name.lower() not in VOID_NAMES:
            raise unknown_name("class of objects", name, names)
    if not present:
        but = f" but {', '.join(names)}" if names else ""
        raise ClassMapError(
            f"The annotations name no class{but}, so there is nothing to learn. Check the annotation files."
        )
    classes = _classes(present, wishes)
    used = {name for objects in classes.values() for name in objects}
    unused = tuple(name for name in present if name not in used)
    asks_for_background = any(name.lower() in BACKGROUND_NAMES for name in wishes.classes or ())
    task = _task(classes, wishes, asks_for_background=asks_for_background)
    if task == "multiclass" and wishes.uncovered != IGNORE_INDEX:
        own_word = next((name for name in names if name.lower() in BACKGROUND_NAMES), _BACKGROUND)
        classes = {own_word: (), **classes}
    return ClassMap(
        task,
        tuple(classes),
        "names",
        object_names=tuple(classes.values()),
        ignored_names=wishes.ignored,
        background_names=unused,
        uncovered=0 if task != "multiclass" else wishes.uncovered,
        note=_note(classes, unused, task, wishes),
        hints=_hints(present, wishes),
    )


def refuse_contradiction_of_objects(class_map: ClassMap, names: Sequence[str]) -> None:
    """Refuse a ready class map that knows none of a dataset's objects.

    Raises:
        ClassMapError: none of the names is a class of the map.
    """
    known = {name for name in names if knows_object(class_map, name)}
    if names and not known:
        raise ClassMapError(
            f"None of the dataset's classes ({', '.join(names[:12])}) is one of {', '.join(class_map.object_classes)}. "
            f"If they mean the same, type class_map={{{class_map.object_classes[0]!r}: {names[0]!r}, ...}}."
        )


def knows_object(class_map: ClassMap, name: str) -> bool:
    """Tell whether a class map has a class for the objects of a name."""
    try:
        return class_map.place_among_objects(name) is not None
    except ClassMapError:
        return False


def _classes(present: Sequence[str], wishes: ObjectWishes) -> ObjectNames:
    """Return the classes that count with the names of their objects."""
    if wishes.renamed is not None:
        if wishes.classes is not None and sorted(wishes.classes) != sorted(wishes.renamed):
            raise ClassMapError(
                f"classes={list(wishes.classes)} and class_map={wishes.renamed} name different classes; give one."
            )
        for objects in wishes.renamed.values():
            _refuse_unknown(objects, present)
        twice = [name for objects in wishes.renamed.values() for name in objects]
        if len(set(twice)) < len(twice):
            raise ClassMapError(f"class_map={wishes.renamed} puts a class of objects into two classes; give one.")
        return {name: wishes.renamed[name] for name in wishes.classes or wishes.renamed}
    if wishes.classes is None:
        if wishes.task == "binary" and len(present) > 1:
            return {"foreground": tuple(present)}
        return {name: (name,) for name in present}
    wanted = [name for name in wishes.classes if name.lower() not in BACKGROUND_NAMES]
    if len(wanted) == 1 and wanted[0] not in present and (wishes.task == "binary" or list(present) == [UNNAMED]):
        return {wanted[0]: tuple(present)}
    _refuse_unknown(wanted, present)
    return {name: (name,) for name in wanted}


def _refuse_unknown(names: Iterable[str], present: Sequence[str]) -> None:
    for name in names:
        if name not in present:
            raise unknown_name("class of objects", name, present)


def _task(classes: ObjectNames, wishes: ObjectWishes, *, asks_for_background: bool) -> Task:
    if wishes.task == "auto":
        is_single = len(classes) == 1 and not asks_for_background and wishes.uncovered != IGNORE_INDEX
        return "binary" if is_single else "multiclass"
    if wishes.task == "binary" and len(classes) > 1:
        raise ClassMapError(f"task='binary' has one class, but {len(classes)} are asked for: {', '.join(classes)}.")
    return wishes.task


def _note(classes: ObjectNames, unused: Sequence[str], task: Task, wishes: ObjectWishes) -> str:
    note = "classes are those of the objects"
    renamed = [f"{name} is {', '.join(objects)}" for name, objects in classes.items() if objects not in ((), (name,))]
    note += f"; {'; '.join(renamed)}" if renamed and len(renamed) <= 12 else ""
    if wishes.uncovered == IGNORE_INDEX and task == "multiclass":
        note += "; pixels outside of all objects do not count"
    elif task != "multilabel":
        note += "; pixels outside of all objects are background"
    if unused:
        note += f"; background, too: objects of {len(unused)} other classes"
    return note + (f"; do not count: {', '.join(wishes.ignored)}" if wishes.ignored else "")


def _hints(present: Sequence[str], wishes: ObjectWishes) -> tuple[str, ...]:
    if list(present) != [UNNAMED] or wishes.classes or wishes.renamed:
        return ()
    return (f"Note: the objects have no class names and are called {UNNAMED!r}; for a name, type classes=['name']",)


def _is_nothing(name: str) -> bool:
    return name.lower() in BACKGROUND_NAMES or name.lower() in VOID_NAMES
