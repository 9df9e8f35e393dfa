"""From the objects of an image to pixels: a mask of class ids, or one mask per object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.mask_values import load_mask
from easyseg.data.regions import regions_of
from easyseg.errors import DataError, SampleError
from easyseg.geometry import (
    BoolMask,
    Polygon,
    RunLengths,
    coco_rings_to_run_lengths,
    mask_to_box,
    polygons_to_mask,
    resample_polygon,
)
from easyseg.io.images import decode_mask
from easyseg.io.packed import unpacked
from easyseg.io.zip_archives import read_archived
from easyseg.structures import (
    IGNORE_INDEX,
    ArchivedFile,
    BoxShape,
    ClassMap,
    ConnectedRegions,
    Instances,
    LabelledObject,
    MaskArray,
    MaskPart,
    NumberedObjects,
    Points,
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
    """

    mask: BoolMask
    class_id: int
    is_crowd: bool
    is_ignored: bool = False


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
        keeps_ignored: objects whose class does not count come as crowds of every class; else they are left out.

    Raises:
        SampleError: an object is malformed or of a class that there is not.
    """
    places = class_map.object_classes
    for at, item, place in with_places(sample, class_map, class_mask):
        if place == IGNORE_INDEX and keeps_ignored:
            yield DrawnObject(_object_mask(sample, at, item, size_hw), 0, is_crowd=True, is_ignored=True)
        elif place is not None and place != IGNORE_INDEX:
            class_id = places.index(class_map.names[place])
            yield DrawnObject(_object_mask(sample, at, item, size_hw), class_id, item.is_crowd)


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


def shape_mask(shape: Shape, size_hw: SizeHW) -> BoolMask:
    """Return the pixels of one object, (H, W) bool.

    Raises:
        DataError: the shape is malformed, or does not fit the image.
    """
    if isinstance(shape, Polygons):
        parts = pixel_parts(shape, size_hw)
        if shape.rule == "coco":
            return coco_rings_to_run_lengths([ring for part in parts for ring in part], size_hw).to_mask()
        return polygons_to_mask((Polygon(part[0], part[1:]) for part in parts if part), size_hw)
    if isinstance(shape, RunLengths):
        if shape.size_hw != size_hw:
            raise DataError(
                f"its mask has {shape.size_hw[1]} x {shape.size_hw[0]} pixels, the image {size_hw[1]} x {size_hw[0]}. "
                "Export the annotation for this image."
            )
        return shape.to_mask()
    if isinstance(shape, BoxShape):
        corners = [[shape.x1, shape.y1], [shape.x2, shape.y1], [shape.x2, shape.y2], [shape.x1, shape.y2]]
        return polygons_to_mask([Polygon(np.array(corners, np.float64))], size_hw)
    return _part_mask(shape, size_hw)


def pixel_parts(shape: Polygons, size_hw: SizeHW) -> tuple[tuple[Points, ...], ...]:
    """Return the outlines of an object with their holes in pixels, (K, 2) float64 x, y each."""
    if not shape.is_relative:
        return shape.parts
    scale = np.array([size_hw[1], size_hw[0]], np.float64)
    return tuple(tuple(ring * scale for ring in part) for part in shape.parts)


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


def _part_mask(part: MaskPart, size_hw: SizeHW) -> BoolMask:
    values = _values_of(part)
    if values.ndim != 2:
        raise DataError(f"its mask has shape {values.shape}; expected one channel.")
    selected: npt.NDArray[np.bool_] = values == part.value if part.value is not None else _bright(values)
    if part.is_scaled and selected.shape != tuple(size_hw):
        _refuse_other_shape(selected, size_hw)
        scaled = cv2.resize(selected.view(np.uint8), size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(scaled, bool)
    if part.offset_xy is None:
        _refuse_other_size(selected, part, size_hw)
        return selected
    return _placed(selected, part.offset_xy, size_hw)


def _values_of(part: MaskPart) -> npt.NDArray[Any]:
    mask = part.mask
    if isinstance(mask, bytes):
        return decode_mask(Path("embedded mask"), unpacked(mask) if part.is_packed else mask).values
    if isinstance(mask, ArchivedFile):
        return decode_mask(mask.path, read_archived(mask)).values
    return load_mask(mask).values


def _refuse_other_shape(selected: BoolMask, size_hw: SizeHW) -> None:
    """Refuse to scale a mask that is no larger or smaller copy of its image, but for the rounding of its sides."""
    (mask_height, mask_width), (height, width) = selected.shape, size_hw
    # a side that is off by two pixels changes one of the products by twice the other side
    if abs(mask_height * width - mask_width * height) > 2 * (height + width):
        turned = " It may be turned." if (mask_height < mask_width) != (height < width) else ""
        raise DataError(
            f"its mask has {mask_width} x {mask_height} pixels, the image {width} x {height}, which is another shape."
            f"{turned} Save the mask for this image."
        )


def _refuse_other_size(selected: BoolMask, part: MaskPart, size_hw: SizeHW) -> None:
    """Refuse a mask that is to cover its image and has another size."""
    if selected.shape == tuple(size_hw):
        return
    problem = (
        f"mask has {selected.shape[1]} x {selected.shape[0]} pixels, its image {size_hw[1]} x {size_hw[0]}; expected "
        "the same size."
    )
    if isinstance(part.mask, Path):
        raise SampleError(part.mask, f"the {problem} Save the mask at the image's size.")
    raise DataError(
        f"its {problem} Of a mask of a part of the image, say where it lies: MaskPart(..., offset_xy=(x, y))."
    )


def _placed(selected: BoolMask, offset_xy: tuple[int, int], size_hw: SizeHW) -> BoolMask:
    """Put a mask of a part of the image where it belongs; what reaches beyond the image is cut off."""
    if offset_xy == (0, 0) and selected.shape == tuple(size_hw):
        return selected
    (left, top), (height, width) = offset_xy, selected.shape
    mask = np.zeros(size_hw, bool)
    rows = slice(max(0, top), max(0, min(size_hw[0], top + height)))
    columns = slice(max(0, left), max(0, min(size_hw[1], left + width)))
    if rows.start < rows.stop and columns.start < columns.stop:
        mask[rows, columns] = selected[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return mask


def _bright(values: npt.NDArray[Any]) -> BoolMask:
    """Return where a mask is brighter than half of its brightest pixel."""
    return np.asarray(2 * values.astype(np.int64) > values.max(initial=0))


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
