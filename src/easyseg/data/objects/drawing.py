"""From the objects of an image to pixels: a mask of class ids, or one mask per object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.data.classes.mask_values import load_mask
from easyseg.data.objects.regions import regions_of
from easyseg.data.objects.shape_pixels import shape_mask
from easyseg.errors import DataError, SampleError
from easyseg.geometry import (
    BoolMask,
    Box,
    mask_to_box,
    resample_polygon,
)
from easyseg.structures import (
    IGNORE_INDEX,
    BoxShape,
    ClassMap,
    ConnectedRegions,
    Instances,
    LabelledObject,
    MaskArray,
    MaskPart,
    NumberedObjects,
    Polygons,
    Sample,
    Shape,
    SizeHW,
)

MOST_INSTANCE_BYTES = 4 << 30
"""The masks of an image's instances take a byte per pixel and object; more than this fills most memories."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnObject:
    """One object as pixels.

    Attributes:
        mask: (H, W) bool, perhaps without any true pixel.
        class_id: its place in the dataset's `object_classes`.
        is_crowd: whether it is a region of objects that were not told apart.
        is_ignored: whether its class does not count; it is a crowd of every class then, whatever `class_id` says.
        is_void: whether these are all void pixels of the image, of no single object; they are ignored, too.
        box: its annotated box where nothing else is known, x1, y1, x2, y2 in pixels within the image.
    """

    mask: BoolMask
    class_id: int
    is_crowd: bool
    is_ignored: bool = False
    is_void: bool = False
    box: Box | None = None


def draw_classes(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> MaskArray:
    """Draw a sample's objects over each other in their order.

    Objects of no class cover those below them, too: what is in front of a car is no car. Crowds are drawn first, so
    their pixels are `IGNORE_INDEX` only where nothing else is.

    Args:
        sample: an image with objects.
        class_map: the class of each object.
        size_hw: the image's height and width.

    Returns:
        (H, W) uint8 class ids; for the multilabel task (H, W, classes) of 0, 1 and `IGNORE_INDEX`.

    Raises:
        SampleError: an object is malformed, or of a class that there is not; it names the object.
    """
    if class_map.task == "multilabel":
        return _draw_planes(sample, class_map, size_hw)
    mask = np.full(size_hw, class_map.uncovered, np.uint8)
    counted = []
    for at, item, place in with_places(sample, class_map):
        if not item.is_crowd:
            is_foreground = class_map.task == "binary" and place not in (None, IGNORE_INDEX)
            counted.append((at, item, 1 if is_foreground else class_map.uncovered if place is None else place))
        elif place is not None:
            mask[_object_mask(sample, at, item, size_hw)] = IGNORE_INDEX
    for at, item, class_id in counted:
        mask[_object_mask(sample, at, item, size_hw)] = class_id
    return mask


def draw_instances(
    sample: Sample, class_map: ClassMap, size_hw: SizeHW, *, class_mask: MaskArray | None = None
) -> Instances:
    """Draw each of a sample's objects into a mask of its own.

    Objects that do not count, or that cover no pixel, are left out.

    Args:
        sample: an image with objects.
        class_map: the class of each object.
        size_hw: the image's height and width.
        class_mask: the sample's mask of class ids, where its objects take their classes from it.

    Raises:
        SampleError: an object is malformed or of a class that there is not, or there are too many of them.
    """
    masks: list[BoolMask] = []
    boxes, class_ids, crowds = [], [], []
    for item in drawn_objects(sample, class_map, size_hw, class_mask=class_mask):
        box = mask_to_box(item.mask)
        if box is None:
            continue
        if (len(masks) + 1) * item.mask.size > MOST_INSTANCE_BYTES:
            raise SampleError(
                _place(sample),
                f"more than {len(masks)} objects in an image of {size_hw[1]} x {size_hw[0]} pixels would fill the "
                "memory. Cut the image into tiles first.",
            )
        masks.append(item.mask)
        boxes.append(box)
        class_ids.append(item.class_id)
        crowds.append(item.is_crowd)
    return Instances(
        np.stack(masks) if masks else np.zeros((0, *size_hw), bool),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.array(crowds, bool),
    )


def drawn_objects(
    sample: Sample,
    class_map: ClassMap,
    size_hw: SizeHW,
    *,
    class_mask: MaskArray | None = None,
    keeps_ignored: bool = False,
) -> Iterator[DrawnObject]:
    """Draw a sample's objects one after the other, so that never more than one mask is in memory.

    Args:
        sample: an image with objects.
        class_map: the class of each object.
        size_hw: the image's height and width.
        class_mask: the sample's mask of class ids, where its objects take their classes from it.
        keeps_ignored: what does not count, objects of such a class and void pixels of masks, comes as crowds of every
            class; else it is left out.

    Raises:
        SampleError: an object is malformed or of a class that there is not.
    """
    places = class_map.object_classes
    if keeps_ignored:
        void = _void_pixels(sample, class_mask, size_hw)
        if void.any():
            yield DrawnObject(void, 0, is_crowd=True, is_ignored=True, is_void=True)
    for at, item, place in with_places(sample, class_map, class_mask):
        if place is None or (place == IGNORE_INDEX and not keeps_ignored):
            continue
        mask, box = _object_mask(sample, at, item, size_hw), _annotated_box(item.shape, size_hw)
        if place == IGNORE_INDEX:
            yield DrawnObject(mask, 0, is_crowd=True, is_ignored=True, box=box)
        else:
            yield DrawnObject(mask, places.index(class_map.names[place]), item.is_crowd, box=box)


def single_objects(
    sample: Sample, class_map: ClassMap, class_mask: MaskArray | None = None
) -> Sequence[LabelledObject]:
    """Return a sample's objects one by one, also where a mask numbers them.

    Args:
        sample: an image with objects.
        class_map: the dataset's classes.
        class_mask: the sample's mask of class ids, where its objects take their classes from it.

    Raises:
        SampleError: a mask of numbers cannot be read.
    """
    if isinstance(sample.objects, NumberedObjects):
        return list(_numbered(sample, sample.objects, class_mask, class_map))
    if isinstance(sample.objects, ConnectedRegions):
        return regions_of(class_mask, class_map, sample.objects) if class_mask is not None else ()
    return sample.objects or ()


def with_outlines_of(sample: Sample, count: int) -> Sample:
    """Return a sample whose polygons have `count` points on each outline, spread evenly along it.

    Raises:
        ConfigError: `count` is less than 3.
        SampleError: an outline has no points, or some that are no pixels.
    """
    if not isinstance(sample.objects, tuple):
        return sample
    objects = []
    for at, item in enumerate(sample.objects):
        shape = item.shape
        if isinstance(shape, Polygons):
            try:
                parts = tuple(tuple(resample_polygon(ring, count) for ring in part) for part in shape.parts)
            except DataError as error:
                raise SampleError(_place(sample), f"object {at}: {error}") from error
            shape = replace(shape, parts=parts)
        objects.append(replace(item, shape=shape))
    return replace(sample, objects=tuple(objects))


def with_places(
    sample: Sample, class_map: ClassMap, class_mask: MaskArray | None = None
) -> Iterator[tuple[int, LabelledObject, int | None]]:
    """Yield each object: its number, itself, and the place of its class, `IGNORE_INDEX`, or None for no class.

    Raises:
        SampleError: an object is of a class that there is not.
    """
    for at, item in enumerate(single_objects(sample, class_map, class_mask)):
        try:
            place = class_map.class_of_object(item.class_name)
        except DataError as error:
            raise SampleError(_place(sample), f"object {at}: {error}") from error
        yield at, item, place


def _draw_planes(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> MaskArray:
    planes = np.zeros((*size_hw, class_map.num_classes), np.uint8)
    entries = [(at, item, place) for at, item, place in with_places(sample, class_map) if place is not None]
    for at, item, place in sorted(entries, key=lambda entry: not _is_void(entry[1], entry[2])):
        inside = _object_mask(sample, at, item, size_hw)
        if place == IGNORE_INDEX:
            planes[inside] = IGNORE_INDEX
        else:
            planes[inside, place] = IGNORE_INDEX if item.is_crowd else 1
    return planes


def _is_void(item: LabelledObject, place: int) -> bool:
    return item.is_crowd or place == IGNORE_INDEX


def _object_mask(sample: Sample, at: int, item: LabelledObject, size_hw: SizeHW) -> BoolMask:
    try:
        return shape_mask(item.shape, size_hw)
    except SampleError as error:
        raise SampleError(error.path, f"{error.problem} (object {at} of {sample.name})") from error
    except DataError as error:
        raise SampleError(_place(sample), f"object {at}, a {item.class_name!r}: {error}") from error


def _numbered(
    sample: Sample, objects: NumberedObjects, class_mask: MaskArray | None, class_map: ClassMap
) -> Iterator[LabelledObject]:
    numbers = _plain_values(objects.mask, sample)
    if class_mask is not None and class_mask.shape != numbers.shape:
        raise SampleError(
            _place(sample),
            f"its mask of objects has {numbers.shape[1]} x {numbers.shape[0]} pixels, its mask of classes "
            f"{class_mask.shape[1]} x {class_mask.shape[0]}; expected the same size.",
        )
    for number in np.unique(numbers).tolist():
        if number == 0 or number in objects.void:
            continue
        is_single = number >= objects.numbers_per_class
        name = objects.class_name
        if objects.numbers_per_class:
            name = objects.class_names.get(number // objects.numbers_per_class if is_single else number)
        elif name is None and class_mask is not None:
            name = _most_frequent(class_mask[numbers == number], class_map)
        if name is not None:
            yield LabelledObject(name, MaskPart(numbers, value=number), is_crowd=not is_single)


def _annotated_box(shape: Shape, size_hw: SizeHW) -> Box | None:
    """Return the box of an object of which nothing else is known, as far as it lies in the image."""
    if not isinstance(shape, BoxShape):
        return None
    (x1, y1, x2, y2), (height, width) = shape.sides(size_hw), size_hw
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)


def _void_pixels(sample: Sample, class_mask: MaskArray | None, size_hw: SizeHW) -> BoolMask:
    """Return where masks say that nothing is known, (H, W) bool."""
    void = np.zeros(size_hw, bool)
    if class_mask is not None:
        is_void = class_mask == IGNORE_INDEX
        void |= is_void.all(axis=-1) if class_mask.ndim == 3 else is_void
    if isinstance(sample.objects, NumberedObjects) and sample.objects.void:
        numbers = _plain_values(sample.objects.mask, sample)
        if numbers.shape == void.shape:  # another shape is refused by name where its objects are drawn
            void |= np.isin(numbers, list(sample.objects.void))
    return void


def _most_frequent(class_ids: MaskArray, class_map: ClassMap) -> str | None:
    """Return the name of the class that most of an object's pixels have, None where none has one."""
    first = 1 if class_map.task == "binary" else 0
    counts = np.bincount(class_ids, minlength=IGNORE_INDEX)[first : first + class_map.num_classes]
    classes = [class_map.names.index(name) for name in class_map.object_classes]
    best = max(classes, key=lambda at: int(counts[at]))
    return class_map.names[best] if counts[best] else None


def _plain_values(source: Path | npt.NDArray[np.generic], sample: Sample) -> npt.NDArray[np.generic]:
    values: npt.NDArray[np.generic] = load_mask(source).values
    if values.ndim != 2:
        raise SampleError(
            source if isinstance(source, Path) else sample.name, "a mask that numbers objects has one channel, not RGB."
        )
    return values


def _place(sample: Sample) -> str:
    return sample.name if isinstance(sample.image, np.ndarray) else str(sample.image_path)
