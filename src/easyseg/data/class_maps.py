"""Finding out what the values in a dataset's masks mean, once, and saying it in one line.

Whatever can be read in two ways is refused with the argument that settles it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from easyseg.data.class_wishes import gather_wishes
from easyseg.data.color_masks import class_map_of_colors
from easyseg.data.formats.layout import Layout
from easyseg.data.grey_masks import class_map_of_values, multilabel_class_map
from easyseg.data.mask_values import scan_masks
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Color, Sample, Task


def infer_class_map(
    samples: Sequence[Sample],
    *,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Iterable[int | Color] | int | None = None,
    task: Task | Literal["auto"] = "auto",
    layout: Layout | None = None,
) -> ClassMap:
    """Return how the values in the masks of `samples` become class ids.

    Args:
        samples: the annotated images; up to 500 of their masks are read.
        classes: class names in the order of their mask values.
        class_map: mask value or RGB colour of each class, as {name: value}, {value: name}, {name: (r, g, b)} or
            {"#rrggbb": name}; or a `ClassMap`, which is returned as it is.
        ignore: mask values or RGB colours of pixels that do not count.
        task: "binary", "multiclass" or "multilabel"; "auto" chooses by what the masks hold.
        layout: class names and values from the dataset's own files; arguments count more.

    Returns:
        the map; its `note` says in one line what was found and decided.

    Raises:
        ClassMapError: masks and arguments contradict each other, or the masks can be read in two ways; the message
            gives the argument that settles it.
        SampleError: a mask cannot be read.
    """
    if isinstance(class_map, ClassMap):
        return class_map
    wishes = gather_wishes(classes=classes, class_map=class_map, ignore=ignore, task=task, layout=layout)
    scan = scan_masks(samples)
    if not scan.files:
        raise ClassMapError("No image has a mask, so nothing says what the classes are. Check the folder of the masks.")
    per_class = [len(sample.mask) for sample in samples if isinstance(sample.mask, tuple)]
    if per_class:
        found = multilabel_class_map(scan, wishes, count=per_class[0])
    elif task == "multilabel":
        raise ClassMapError(
            "task='multilabel' needs one mask per class, such as masks/<class>/<image>.png; these masks hold all "
            "classes in one. Type task='multiclass', or leave task out."
        )
    elif scan.is_color or wishes.colors:
        found = class_map_of_colors(scan, wishes)
    else:
        found = class_map_of_values(scan, wishes)
    notes = [found.note, *wishes.notes]
    if len(scan.files) < scan.total:
        notes.append(f"{len(scan.files)} of {scan.total} masks looked at")
    return replace(found, note="; ".join(note for note in notes if note))
