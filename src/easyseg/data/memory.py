"""Samples from what lies in memory: numpy arrays, PIL images, tensors, any dataset of (image, mask) pairs.

Tensors and PIL images are known by what they can do, so neither torch nor PIL needs to be imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.data.detection_targets import FIELDS, objects_of_target
from easyseg.errors import DataError
from easyseg.io.images import to_bytes
from easyseg.pictures import brightness_of, ids_of, is_picture, upright
from easyseg.structures import ImageArray, Sample, SizeHW

ACCEPTED = (
    "a folder's path, a Dataset, a list of Sample, a pair of numpy arrays (images (N, H, W, C), masks (N, H, W)), or a "
    "dataset whose items are (image, mask), or (image, {'labels': ..., 'masks': ...}) with single objects"
)
MOST_BYTES = 16 << 30
"""Decoded pairs beyond this are refused; they would fill the memory of most computers."""


@dataclass(frozen=True, slots=True)
class TargetReading:
    """How targets of single objects are read.

    Attributes:
        class_names: what the labels 1, 2, ... mean; None: "class_1", "class_2", ...
        boxes: what objects are of which only the box is given; see `load_dataset`.
    """

    class_names: Sequence[str] | None = None
    boxes: Literal["refuse", "fill"] = "refuse"


_PLAIN = TargetReading()


def samples_from_memory(data: Any, reading: TargetReading = _PLAIN) -> tuple[Sample, ...]:
    """Return the samples in whatever was given.

    Args:
        data: a list of `Sample`; a pair of arrays, images (N, H, W) or (N, H, W, C) and masks (N, H, W), or
            (N, classes, H, W) for overlapping classes; or a sequence or map-style dataset of (image, mask) pairs of
            numpy arrays (H, W, C), tensors (C, H, W), PIL images or paths. Float images are 0..1, or whole
            numbers 0..255 where one is above 1; a pair of arrays is looked at as a whole and may hold fractions, too.
            In place of a mask, a dictionary holds single objects as torchvision's detectors take them; see
            `objects_of_target`.
        reading: how such dictionaries are read.

    Raises:
        DataError: it is none of these; the message names what was given.
    """
    if isinstance(data, (list, tuple)) and data and all(isinstance(item, Sample) for item in data):
        return tuple(data)
    if isinstance(data, (list, tuple)) and len(data) == 2 and all(_is_stack(part) for part in data):
        return _from_stacks(data[0], data[1])
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (dict, bytes)):
        return _from_pairs(data, reading)
    raise DataError(f"The data given is of type {type(data).__name__}; expected {ACCEPTED}.")


def image_array(
    value: Any, *, name: str, white: float | None = None, value_range: ValueRange | None = None
) -> ImageArray:
    """Return an image in memory as (H, W, C) uint8.

    Args:
        value: a numpy array (H, W) or (H, W, C), a tensor (C, H, W), or a PIL image; its numbers as for `to_bytes`.
        name: the item's name for errors.
        white: which float is white, 1 or 255, where it is known.
        value_range: which of its numbers are black and white, where they are not bytes.

    Raises:
        DataError: shape or values are no image's.
    """
    array = _pixels(value, name)
    if value_range is not None and array.dtype != np.uint8:
        return np.ascontiguousarray(value_range.to_bytes(array, name))
    return np.ascontiguousarray(to_bytes(array, name, white=white))


def _pixels(value: Any, name: str) -> npt.NDArray[Any]:
    """Return an image in memory as (H, W, C) numbers of its own type."""
    if is_picture(value):
        value = brightness_of(upright(value))
    elif _is_tensor(value):
        value = _from_tensor(value)
        value = np.moveaxis(value, 0, -1) if value.ndim == 3 else value
    array = np.asarray(value)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(f"{name}: an image of shape {array.shape}, type {array.dtype}; expected (H, W, C) numbers.")
    if array.shape[0] in (1, 3, 4) and array.shape[2] > 16:
        raise DataError(f"{name}: the image array has shape {array.shape}; channels come last: expected (H, W, C).")
    return array


def _from_stacks(images: Any, masks: Any) -> tuple[Sample, ...]:
    image_shape, mask_shape = tuple(images.shape), tuple(masks.shape)
    is_pair = len(image_shape) in (3, 4) and len(mask_shape) in (3, 4)
    if not is_pair or image_shape[0] != mask_shape[0] or not image_shape[0]:
        raise DataError(
            f"The arrays have shapes {image_shape} and {mask_shape}; expected images (N, H, W) or (N, H, W, C) and "
            "masks (N, H, W), or (N, classes, H, W) for overlapping classes, with the same N."
        )
    white = _white_of(images)
    return tuple(_sample(images[at], masks[at], f"array {at}", white) for at in range(image_shape[0]))


def _from_pairs(data: Any, reading: TargetReading) -> tuple[Sample, ...]:
    count = len(data)
    if not count:
        raise DataError(f"The data given is empty (a {type(data).__name__} of length 0); expected {ACCEPTED}.")
    samples = []
    for at in range(count):
        item = data[at]
        if isinstance(item, Sample):
            samples.append(item)
            continue
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DataError(
                f"Item {at} of the data given ({type(data).__name__}) is a {type(item).__name__}; expected a pair "
                f"(image, mask). Accepted are {ACCEPTED}."
            )
        sample = _pair(item[0], item[1], f"item {at}", reading)
        samples.append(sample)
        if at == 0 and isinstance(sample.image, np.ndarray) and sample.image.nbytes * count > MOST_BYTES:
            raise DataError(
                f"{count} images of {sample.image.nbytes / 2**20:.0f} MiB each would fill the memory. Save them as "
                "files and give their folder."
            )
    return tuple(samples)


def _pair(image: Any, target: Any, name: str, reading: TargetReading) -> Sample:
    if not isinstance(target, Mapping):
        return _sample(image, target, name)
    try:
        fields = {field: _as_array(target[field]) for field in FIELDS if target.get(field) is not None}
    except ValueError as error:
        raise DataError(f"{name}: its target holds arrays of several shapes ({error}); stack them to one.") from error
    sample = _sample(image, None, name)
    size_hw = (sample.image.shape[0], sample.image.shape[1]) if isinstance(sample.image, np.ndarray) else None
    if (form := _box_form(target.get("boxes"))) not in (None, "XYXY"):
        raise DataError(f"{name}: the boxes are {form}; expected XYXY, x1, y1, x2, y2 in pixels. Convert them.")
    objects = objects_of_target(fields, name, size_hw=size_hw, class_names=reading.class_names, boxes=reading.boxes)
    stated = fields["masks"].shape[1:] if size_hw is None and "masks" in fields and len(fields["masks"]) else None
    return replace(sample, objects=objects, size_hw=stated)


def _box_form(boxes: Any) -> str | None:
    """Return what torchvision's own boxes say about the order of their numbers, such as "XYWH"."""
    return getattr(getattr(boxes, "format", None), "name", None)


def _white_of(images: Any) -> float | None:
    """Return which float is white in a stack, by its brightest pixel, so that its images stay alike."""
    array = _as_array(images)
    if array.dtype.kind != "f" or not array.size:
        return None
    return 1 if array.max() <= 1 else 255


def _sample(image: Any, mask: Any, name: str, white: float | None = None) -> Sample:
    if isinstance(image, (str, Path)):
        target = Path(mask) if isinstance(mask, (str, Path)) else _mask(mask, None, name)
        return Sample(Path(image), target)
    pixels = _pixels(image, name)
    if pixels.dtype != np.uint16:  # what these mean, only all images together tell; see `value_ranges`
        pixels = image_array(pixels, name=name, white=white)
    height, width = pixels.shape[:2]
    target = Path(mask) if isinstance(mask, (str, Path)) else _mask(mask, (height, width), name)
    return Sample(pixels, target, label=name)


def _mask(value: Any, size_hw: SizeHW | None, name: str) -> npt.NDArray[Any] | tuple[npt.NDArray[Any], ...] | None:
    """Return a mask array (H, W) or (H, W, 3), or one per class of a (classes, H, W) array."""
    if value is None:
        return None
    if is_picture(value):
        return ids_of(upright(value))
    is_tensor = _is_tensor(value)
    array = _as_array(value)
    if array.ndim == 3 and array.shape[0] == 1 and (is_tensor or array.shape[1:] == size_hw):
        array = array[0]
    if array.ndim == 3 and (is_tensor or array.shape[1:] == size_hw) and array.shape[:2] != size_hw:
        return tuple(array)
    if array.ndim not in (2, 3):
        raise DataError(f"{name}: the mask has shape {array.shape}; expected (H, W), or (classes, H, W).")
    return array


def _as_array(value: Any) -> npt.NDArray[Any]:
    return _from_tensor(value) if _is_tensor(value) else np.asarray(value)


def _from_tensor(value: Any) -> npt.NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy())


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "cpu")


def _is_stack(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether this is an array of several images or masks, not one image or mask."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) >= 3
