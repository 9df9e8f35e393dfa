"""What a model gets of one sample, and what it should answer: its mask of class ids, or its instances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.data.classes.mask_values import load_mask, mask_sources
from easyseg.data.memory import image_array
from easyseg.data.objects.drawing import DrawnObject, draw_classes, draw_instances, drawn_objects
from easyseg.data.sample_files import place_of, refuse_other_image, refuse_other_size
from easyseg.errors import ClassMapError, SampleError
from easyseg.geometry import RunLengths
from easyseg.io.image_sources import read_source, source_numbers
from easyseg.metrics.instance import TruthObjects
from easyseg.structures import ClassMap, ImageArray, Instances, MaskArray, Sample, SizeHW

_NO_MASK = np.zeros((0, 0), bool)


def read_pixels(sample: Sample, channels: int, value_range: ValueRange | None = None) -> ImageArray:
    """Return a sample's image as (H, W, channels) uint8, RGB order.

    Args:
        sample: an image.
        channels: how many channels are needed.
        value_range: which of its numbers are black and white; None where they are bytes.

    Raises:
        SampleError: it cannot be read, or has another number of channels.
    """
    if not isinstance(sample.image, np.ndarray):
        return read_source(sample.image, channels=channels, value_range=value_range)
    image = image_array(sample.image, name=sample.name, value_range=value_range)
    found = image.shape[2]
    if found == channels:
        return image
    if found == 1:
        return np.repeat(image, channels, axis=2)
    if (found, channels) == (4, 3):
        return np.ascontiguousarray(image[..., :3])
    raise SampleError(sample.name, f"the image has {found} channels, {channels} are needed. Type in_channels={found}.")


def read_picture(sample: Sample, value_range: ValueRange | None = None) -> ImageArray:
    """Return a sample's image to look at, (H, W, 3) uint8: of many bands the first three, of two the first.

    Args:
        sample: an image.
        value_range: which of its numbers are black and white; None where they are bytes.

    Raises:
        SampleError: it cannot be read.
    """
    numbers = sample.image if isinstance(sample.image, np.ndarray) else source_numbers(sample.image)
    bands = numbers.shape[2] if numbers.ndim == 3 else 1
    pixels = read_pixels(sample, bands, value_range)
    return np.ascontiguousarray(pixels[..., :3] if bands >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def read_target(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> MaskArray:
    """Return a sample's mask as (H, W) uint8 class ids; for the multilabel task, as (H, W, classes) of 0 and 1.

    Args:
        sample: an image with a mask or with objects.
        class_map: what the values in the mask, or the names of the objects, mean.
        size_hw: the image's height and width.

    Raises:
        SampleError: there is neither, a file cannot be read or has another size than the image, or a value or an
            object is of no class.
    """
    refuse_other_image(sample, size_hw)
    sources = mask_sources(sample)
    if not sources and sample.objects is not None:
        return draw_classes(sample, class_map, size_hw)
    if not sources:
        raise SampleError(place_of(sample.image, sample), "this image has no mask. Add one, or choose another split.")
    planes = [_encoded(source, sample, class_map) for source in sources]
    for source, plane in zip(sources, planes, strict=True):
        refuse_other_size(sample, source, plane.shape[:2], size_hw)
    if class_map.task != "multilabel":
        return planes[0]
    if len(planes) != class_map.num_classes:
        raise SampleError(
            place_of(sample.image, sample), f"{len(planes)} masks, but {class_map.num_classes} classes; give as many."
        )
    return np.stack(planes, axis=-1)


def read_instances(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> Instances:
    """Return a sample's objects, each with a mask of its own; stuff is none.

    Args:
        sample: an image with objects.
        class_map: what the names of the objects mean.
        size_hw: the image's height and width.

    Raises:
        SampleError: there are no objects, one is malformed or of no class, or they belong to an image of another size.
    """
    sample, class_mask = single_objects_of(sample, class_map, size_hw)
    return draw_instances(sample, class_map, size_hw, class_mask=class_mask)


def each_instance(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> Iterator[DrawnObject]:
    """Yield a sample's objects one by one, for images whose masks would fill the memory if all lay there at once.

    Objects of classes that do not count are crowds of every class here: found or not, they are neither right nor wrong.

    Args:
        sample: an image with objects.
        class_map: what the names of the objects mean.
        size_hw: the image's height and width.

    Raises:
        SampleError: as `read_instances` does.
    """
    sample, class_mask = single_objects_of(sample, class_map, size_hw)
    return drawn_objects(sample, class_map, size_hw, class_mask=class_mask, keeps_ignored=True)


def read_truth(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> TruthObjects:
    """Return a sample's objects as metrics take them; each mask becomes run lengths before the next one is drawn.

    Those that cover no pixel are left out; those of classes that do not count are crowds of every class.

    Args:
        sample: an image with objects.
        class_map: what the names of the objects mean.
        size_hw: the image's height and width.

    Raises:
        SampleError: as `read_instances` does, but for the number of objects, which has no limit.
    """
    found: list[tuple[DrawnObject, RunLengths]] = []
    for item in each_instance(sample, class_map, size_hw):
        mask = RunLengths.from_mask(item.mask)
        if mask.area:
            found.append((replace(item, mask=_NO_MASK), mask))  # no more than one dense mask at a time
    return TruthObjects(
        np.array([item.class_id for item, _ in found], np.int64),
        tuple(mask for _, mask in found),
        np.array([item.box or mask.box for item, mask in found], np.float64).reshape(-1, 4),
        np.array([item.is_crowd for item, _ in found], bool),
        is_of_every_class=np.array([item.is_ignored for item, _ in found], bool),
        is_void=np.array([item.is_void for item, _ in found], bool),
    )


def single_objects_of(sample: Sample, class_map: ClassMap, size_hw: SizeHW) -> tuple[Sample, MaskArray | None]:
    """Return a sample without its stuff, and the mask of class ids that its objects may take their classes from.

    Raises:
        SampleError: it has no objects, or they belong to an image of another size.
    """
    refuse_other_image(sample, size_hw)
    if not sample.is_annotated:
        raise SampleError(
            place_of(sample.image, sample), "this image has no objects. Annotate it, or choose another split."
        )
    if sample.objects is None:
        raise SampleError(
            place_of(sample.image, sample),
            "this image has a mask of classes, in which objects are not told apart. Give a dataset with objects, such "
            "as COCO or labelme files, or one mask file per object; or type dataset.as_instances(), which takes each "
            "connected region for an object.",
        )
    class_mask = read_target(sample, class_map, size_hw) if sample.mask is not None else None
    if isinstance(sample.objects, tuple) and any(item.is_stuff for item in sample.objects):
        sample = replace(sample, objects=tuple(item for item in sample.objects if not item.is_stuff))
    return sample, class_mask


def _encoded(source: Path | npt.NDArray[Any], sample: Sample, class_map: ClassMap) -> MaskArray:
    raw = load_mask(source)
    try:
        wants_colors = class_map.encoding == "colors" and raw.values.dtype == np.uint8
        return class_map.encode(raw.as_rgb() if wants_colors else raw.values)
    except ClassMapError as error:
        raise SampleError(place_of(source, sample), str(error)) from error
