"""Finding out what the values in a dataset's masks mean, once, and saying it in one line.

Whatever can be read in two ways is refused with the argument that settles it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from easyseg.data.classes.class_wishes import ClassWishes, gather_wishes
from easyseg.data.classes.color_masks import class_map_of_colors
from easyseg.data.classes.grey_masks import class_map_of_values, multilabel_class_map
from easyseg.data.classes.mask_values import Scan, scan_masks
from easyseg.data.classes.object_classes import (
    ObjectWishes,
    class_map_of_objects,
    knows_object,
    names_in_memory,
    read_object_names,
    refuse_contradiction_of_objects,
)
from easyseg.data.classes.object_numbers import ObjectNumbersError
from easyseg.data.classes.white_masks import WhiteMasksError, refuse_white_masks, without_white_masks
from easyseg.data.formats.class_values import parse_class_values
from easyseg.data.formats.layout import Layout
from easyseg.data.formats.numbering import as_numbered_objects
from easyseg.data.sample_files import listed, problems_of
from easyseg.errors import ClassMapError
from easyseg.structures import IGNORE_INDEX, ClassMap, Ignored, Sample, Task
from easyseg.structures.objects import UNNAMED


def infer_class_map(
    samples: Sequence[Sample],
    *,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Ignored | None = None,
    task: Task | Literal["auto"] = "auto",
    layout: Layout | None = None,
) -> ClassMap:
    """Return how the values in the masks of `samples` become class ids.

    Args:
        samples: the annotated images; up to 500 of their masks are read.
        classes: class names in the order of their mask values.
        class_map: mask value or RGB colour of each class, as {name: value}, {value: name}, {name: (r, g, b)} or
            {"#rrggbb": name}, a list of several, and {name: "rest"} for every other value; of objects, {name: their
            name in the files}; or a `ClassMap`, which is returned as it is
            and which the other arguments must not contradict.
        ignore: mask values or RGB colours of pixels, or names of objects, that do not count.
        task: "binary", "multiclass" or "multilabel"; "auto" chooses by what the masks hold.
        layout: class names and values from the dataset's own files; arguments count more.

    Returns:
        the map; its `note` says in one line what was found and decided, its `hints` what else may be meant.

    Raises:
        ClassMapError: masks and arguments contradict each other, or the masks can be read in two ways; the message
            gives the argument that settles it.
        SampleError: a mask cannot be read; further broken files are listed.
    """
    names = _names_of_objects(samples, layout)
    if isinstance(class_map, ClassMap):
        _refuse_contradiction(class_map, gather_wishes(classes=classes, ignore=ignore, task=task))
        if names is not None:
            refuse_contradiction_of_objects(class_map, names)
        return class_map
    is_free = classes is None and class_map is None and ignore is None
    if layout is not None and layout.class_map is not None and is_free:
        return layout.class_map
    if names is not None:
        return _of_objects(names, layout, classes=classes, class_map=class_map, ignore=ignore, task=task)
    return _of_masks(
        samples, gather_wishes(classes=classes, class_map=class_map, ignore=ignore, task=task, layout=layout)
    )


def _of_masks(samples: Sequence[Sample], wishes: ClassWishes) -> ClassMap:
    refuse_names_of_objects(wishes)
    scan = scan_masks(samples)
    if scan.problems:
        raise listed([*scan.problems, *problems_of(sample for sample in samples if sample.mask is not None)])
    if not scan.files:
        raise ClassMapError("No image has a mask, so nothing says what the classes are. Check the folder of the masks.")
    planes = next((len(sample.mask) for sample in samples if isinstance(sample.mask, tuple)), 1)
    found = class_map_of_scan(scan, wishes, masks_per_image=planes)
    if planes == 1 and IGNORE_INDEX in set(found.ignored) - set(wishes.ignored):
        note = refuse_white_masks(scan.files, samples)
        found = replace(found, note="; ".join(filter(None, [found.note, note])))
    return found


def refuse_names_of_objects(wishes: ClassWishes) -> None:
    """Raise a `ClassMapError` where names are to be ignored in masks, which have none."""
    if wishes.ignored_names:
        raise ClassMapError(
            f"ignore={list(wishes.ignored_names)}: expected mask values or RGB colours, such as ignore=[255] or "
            "ignore=[(0, 0, 0)]; names are for datasets of objects."
        )


def class_map_of_scan(scan: Scan, wishes: ClassWishes, *, masks_per_image: int = 1) -> ClassMap:
    """Return how values become class ids, from the values that were found in masks.

    Args:
        scan: the values in at least one mask.
        wishes: what is known about the classes.
        masks_per_image: above 1, each class has a mask of its own.

    Raises:
        ClassMapError: as for `infer_class_map`.
    """
    if masks_per_image > 1:
        found = multilabel_class_map(scan, wishes, count=masks_per_image)
    elif wishes.task == "multilabel":
        raise ClassMapError(
            "task='multilabel' needs one mask per class, such as masks/<class>/<image>.png; these masks hold all "
            "classes in one. Type task='multiclass', or leave task out."
        )
    elif scan.is_color or (wishes := _triples_as_values(scan, wishes)).colors:
        found = class_map_of_colors(scan, wishes)
    else:
        found = class_map_of_values(scan, wishes)
    notes = [found.note, *wishes.notes, _note_on_absent(scan, wishes)]
    lossy = sum(file.is_lossy for file in scan.files)
    if lossy:
        notes.append(f"JPEG masks with values near 0 and 255, read as exactly these: {lossy}")
    if len(scan.files) < scan.total:
        notes.append(f"{len(scan.files)} of {scan.total} masks looked at")
    return replace(found, note="; ".join(note for note in notes if note))


def _triples_as_values(scan: Scan, wishes: ClassWishes) -> ClassWishes:
    """Take three numbers of each class for three mask values, where no mask shows such a colour."""
    groups = wishes.colors or {}
    own = [color for group in groups.values() for color in group]
    numbers = [number for color in own for number in color]
    if not own or scan.color_counts().keys() & set(own) or not scan.value_counts().keys() & set(numbers):
        return wishes
    if len(set(numbers)) < len(numbers):
        return wishes
    values = {name: tuple(number for color in group for number in color) for name, group in groups.items()}
    return replace(wishes, values=values, colors=None)


def _note_on_absent(scan: Scan, wishes: ClassWishes) -> str:
    """Say which of the values that the user wants to leave out were not seen: a void may be rare, or a slip."""
    values = set() if scan.is_color else scan.value_counts().keys()
    seen = {*values, *scan.color_counts()}
    if scan.is_color:  # by its number, a palette entry or grey value may be meant
        seen |= {value for file in scan.files if file.kind != "rgb" for value in file.counts}
    absent = [str(value) for value in wishes.asked_to_ignore if value not in seen]
    return f"no mask looked at holds {', '.join(absent)}, which ignore= names" if absent else ""


def with_classes(
    layout: Layout, *, on_bad_sample: Literal["error", "skip"] = "error", **wishes: Any
) -> tuple[Layout, ClassMap]:
    """Return a layout with its classes; masks that turn out to number objects are read as objects.

    Args:
        layout: the dataset's files.
        on_bad_sample: "skip" leaves masks of 0 and 255 out where the others hold class ids.
        **wishes: `classes`, `class_map`, `ignore` and `task`, as for `infer_class_map`.

    Raises:
        ClassMapError: as `infer_class_map`.
        SampleError: a mask cannot be read.
    """
    if _asks_for_numbers(wishes.get("class_map"), layout):
        layout = as_numbered_objects(layout)
    try:
        return layout, infer_class_map(layout.samples, layout=layout, **wishes)
    except WhiteMasksError:
        kept = layout if on_bad_sample == "error" else without_white_masks(layout)
        if not len(layout.samples) < 2 * len(kept.samples) < 2 * len(layout.samples):
            raise  # also where most masks would go; then it is rather the others that are wrong
        return with_classes(kept, **wishes)
    except ObjectNumbersError:
        numbered = as_numbered_objects(layout)
        return numbered, infer_class_map(numbered.samples, layout=numbered, **wishes)


def _asks_for_numbers(class_map: object, layout: Layout) -> bool:
    """Tell whether a model's own classes are objects without names, so masks of values can only number such objects."""
    if not isinstance(class_map, ClassMap) or class_map.encoding != "names" or layout.labels == "objects":
        return False
    return knows_object(class_map, UNNAMED)


def read_class_map(class_map: Mapping[Any, Any] | ClassMap | None) -> Mapping[str, Any] | ClassMap | None:
    """Return what `class_map=` means: the value, colour or objects of each class by name, or a map ready to use.

    Args:
        class_map: as for `infer_class_map`; also what `ClassMap.to_dict` returns, as it stands in a run's config.yaml.

    Raises:
        ClassMapError: it is none of these.
    """
    if class_map is None or isinstance(class_map, ClassMap):
        return class_map
    if isinstance(class_map, Mapping) and {"task", "names", "encoding"} <= class_map.keys():
        return ClassMap.from_dict(class_map)
    if (objects := read_object_names(class_map)) is not None:
        return objects
    return parse_class_values(dict(class_map) if isinstance(class_map, Mapping) else class_map)


def _names_of_objects(samples: Sequence[Sample], layout: Layout | None) -> tuple[str, ...] | None:
    """Return the class names of a dataset's objects; None where its masks are files or arrays."""
    if layout is not None:
        return (layout.names or ()) if layout.labels == "objects" else None
    if any(sample.mask is not None for sample in samples) or all(sample.objects is None for sample in samples):
        return None
    return names_in_memory(samples)


def _of_objects(
    names: tuple[str, ...],
    layout: Layout | None,
    *,
    classes: Sequence[str] | None,
    class_map: Mapping[Any, Any] | None,
    ignore: Ignored | None,
    task: Task | Literal["auto"],
) -> ClassMap:
    renamed = read_object_names(class_map)
    wishes = gather_wishes(classes=classes, ignore=ignore, task=task)
    if (class_map is not None and renamed is None) or wishes.ignored or wishes.ignored_colors:
        raise ClassMapError(
            f"The classes of objects have names: {', '.join(names[:12])}. Type class_map={{'name': {names[0]!r}}} or "
            f"ignore=[{names[0]!r}] with these, not with values or colours."
        )
    uncovered = IGNORE_INDEX if layout is not None and layout.uncovered == "ignore" else 0
    if layout is not None and task == "auto" and classes is None and class_map is None:
        task = layout.task
    return class_map_of_objects(names, ObjectWishes(wishes.names, renamed, wishes.ignored_names, task, uncovered))


def _refuse_contradiction(class_map: ClassMap, wishes: ClassWishes) -> None:
    """Refuse arguments that a ready map contradicts; they would be dropped silently."""
    names = contradicting(class_map, wishes)
    if names:
        listed = (
            ", ".join(sorted(map(str, {*class_map.ignored, *class_map.ignored_colors, *class_map.ignored_names})))
            or "nothing"
        )
        raise ClassMapError(
            f"class_map= is a ClassMap, and {' and '.join(names)} would change it. It is for the task "
            f"{class_map.task!r} with classes={list(class_map.names)}, and ignores {listed}. Give class_map= alone; or"
            " in place of the ClassMap, class_map={'name': value, ...}."
        )


def contradicting(class_map: ClassMap, wishes: ClassWishes) -> list[str]:
    """Return the arguments, as "classes=", that ask for something else than a ready map says."""
    ignored = {*class_map.ignored, *class_map.ignored_colors, *class_map.ignored_names}
    # a number may stand for a colour of a palette, which only the masks could tell
    numbers = () if class_map.ignored_colors else wishes.ignored
    wrong = {
        "classes": wishes.names not in (None, class_map.names),
        "task": wishes.task not in ("auto", class_map.task),
        "ignore": not ignored.issuperset([*numbers, *wishes.ignored_colors, *wishes.ignored_names]),
    }
    return [f"{name}=" for name, is_wrong in wrong.items() if is_wrong]
