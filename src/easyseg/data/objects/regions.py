"""Objects of masks in which they were not told apart: each connected region of a class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.sequences import splits_of
from easyseg.errors import ConfigError, DataError, unknown_name
from easyseg.structures import ClassMap, ConnectedRegions, LabelledObject, LazySamples, MaskArray, MaskPart, Sample
from easyseg.structures.class_map import BACKGROUND_NAMES, VOID_NAMES
from easyseg.structures.kinds import SPLITS

if TYPE_CHECKING:
    from easyseg.data.dataset import Dataset

CONNECTIVITY = 8
"""Pixels that touch at a corner are connected: thin slanted parts of a drawn object often hang together so."""


def regions_of(class_mask: MaskArray, class_map: ClassMap, wanted: ConnectedRegions) -> list[LabelledObject]:
    """Return the connected regions of each class that has objects, as objects.

    Args:
        class_mask: (H, W) uint8 class ids, or (H, W, classes) of 0 and 1.
        class_map: the classes.
        wanted: which regions count.
    """
    found = []
    for name, numbers, facts in _connected(class_mask, class_map):
        for number, (left, top, width, height, area) in enumerate(facts.tolist()):
            if number and area >= wanted.smallest_pixels:
                mask = numbers[top : top + height, left : left + width] == number
                found.append(LabelledObject(name, MaskPart(mask, offset_xy=(left, top))))
    return found


def with_regions(dataset: Dataset, *, classes: Sequence[str] | None, smallest_pixels: int) -> Dataset:
    """Return a dataset whose objects are the connected regions of its classes; see `Dataset.as_instances`."""
    if smallest_pixels < 1:
        raise ConfigError(f"smallest_pixels={smallest_pixels}: a region has at least one pixel. Type 1 or more.")
    samples = dataset.samples
    some = samples[:1] if isinstance(samples, LazySamples) else samples
    if any(sample.objects is not None and not isinstance(sample.objects, ConnectedRegions) for sample in some):
        raise DataError(
            f"The objects of {dataset.name} are told apart already, and instances(index) returns them; as_instances(), "
            "object_classes and smallest_pixels are for masks of classes. Leave them out; or, where each annotation "
            "holds several objects that never touch, type dataset.to_masks('new_folder') and load that folder."
        )
    class_map = replace(dataset.class_map, stuff=_stuff(dataset.class_map, classes), smallest_pixels=smallest_pixels)
    regions = ConnectedRegions(smallest_pixels)
    note = f"Each connected region of {', '.join(class_map.object_classes)} is taken for one object."
    read_by = {**dataset.settings, **_as_settings(classes, smallest_pixels)} if dataset.settings else {}
    return replace(
        dataset,
        samples=_with_objects(samples, regions),
        class_map=class_map,
        notes=(*dataset.notes, note),
        settings=read_by,
    )


def num_specks(class_mask: MaskArray, class_map: ClassMap, wanted: ConnectedRegions) -> int:
    """Return how many connected regions are too small to be objects; the arguments are those of `regions_of`."""
    return sum(
        int(np.count_nonzero(facts[1:, cv2.CC_STAT_AREA] < wanted.smallest_pixels))
        for _, _, facts in _connected(class_mask, class_map)
    )


def _as_settings(classes: Sequence[str] | None, smallest_pixels: int) -> dict[str, Any]:
    """Return the arguments of `load_dataset` that do the same."""
    chosen = {} if classes is None else {"object_classes": list(classes)}
    return chosen | {"smallest_pixels": smallest_pixels}


def _connected(
    class_mask: MaskArray, class_map: ClassMap
) -> Iterator[tuple[str, npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Yield each class of objects with the numbers (H, W) of its connected regions, and OpenCV's figures of each."""
    for name in class_map.object_classes:
        place = class_map.names.index(name)
        plane = class_mask[..., place] if class_mask.ndim == 3 else class_mask
        inside = plane == (place if class_map.task == "multiclass" else 1)
        _, numbers, facts, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=CONNECTIVITY)
        yield name, np.asarray(numbers, np.int32), np.asarray(facts, np.int32)


def _with_objects(samples: Sequence[Sample], regions: ConnectedRegions) -> Sequence[Sample]:
    def changed(sample: Sample) -> Sample:
        return sample if sample.mask is None else replace(sample, objects=regions)

    if not isinstance(samples, LazySamples):
        return tuple(changed(sample) for sample in samples)
    splits = [SPLITS.index(split) if split else 255 for split in splits_of(samples)]
    return LazySamples(lambda at: changed(samples[at]), np.array(splits, np.uint8))


def _stuff(class_map: ClassMap, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes that have no objects, a background aside."""
    possible = replace(class_map, stuff=()).object_classes
    if classes is not None:
        for name in classes:
            if name not in possible:
                raise unknown_name("class of objects", name, possible)
        if not classes:
            raise ConfigError(f"classes=[] leaves no objects; name some of {', '.join(possible)}.")
        return tuple(name for name in possible if name not in classes)
    grounds = [name for name in class_map.names if name.lower() in BACKGROUND_NAMES | VOID_NAMES]
    if class_map.task == "multiclass" and not grounds:
        numbered = all(re.fullmatch(r"class_\d+", name) for name in class_map.names)
        wanted = list(class_map.names) if numbered else "[...]"
        way_out = " If the values number objects instead, type format='instance_ids'." if numbered else ""
        raise DataError(
            f"None of the classes {', '.join(class_map.names)} is called background, so it is not clear which have "
            f"objects. Type object_classes={wanted} with the names of those that do.{way_out}"
        )
    return tuple(name for name in possible if name.lower() in VOID_NAMES)
