"""Transforms that easyseg did not make: torchvision's, or any function (image, mask) -> (image, mask)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

from easyseg.errors import DataError
from easyseg.structures import ImageArray, MaskArray

Pair: TypeAlias = tuple[ImageArray, MaskArray]


class ForeignTransform:
    """Runs a function (image, mask) -> (image, mask) so that its chance, too, depends on the image alone.

    Such a function takes its random numbers from the generators that all the program shares. These are seeded for the
    call and put back afterwards, so that neither training nor other images notice.

    Args:
        function: gets an (H, W, C) and an (H, W) or (H, W, classes) uint8 array. A transform from
            torchvision.transforms.v2 gets `tv_tensors.Image` and `tv_tensors.Mask` instead.
        has_fixed_size: whether the result must have the size of what is given.
    """

    def __init__(self, function: Callable[..., Any], *, has_fixed_size: bool) -> None:
        self._function = function
        self._has_fixed_size = has_fixed_size

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair:
        """Return the changed image and mask."""
        call = _call_torchvision if _is_torchvision(self._function) else _call_on_copies
        with _shared_generators_seeded(int(generator.integers(2**32))):
            result = call(self._function, image, mask)
        if not isinstance(result, tuple) or len(result) != 2:
            raise DataError(
                f"augment={_name(self._function)} returned {type(result).__name__}; it must return (image, mask)."
            )
        return checked_pair(result, image, mask, name=_name(self._function), has_fixed_size=self._has_fixed_size)


class ForeignObjectTransform:
    """Runs a function (image, masks) -> (image, masks) on single objects, in the same way.

    Args:
        function: gets an (H, W, C) and an (N, H, W) uint8 array, a mask of 0 and 1 for each object, N of 0 included. A
            transform from torchvision.transforms.v2 gets `tv_tensors.Image` and `tv_tensors.Mask` instead.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, image: ImageArray, masks: MaskArray, generator: np.random.Generator) -> tuple[Any, Any]:
        """Return what the function makes of image and masks; `checked_objects` looks at it."""
        call = _call_torchvision_with_masks if _is_torchvision(self._function) else _call_on_copies
        with _shared_generators_seeded(int(generator.integers(2**32))):
            result = call(self._function, image, masks)
        if not isinstance(result, tuple) or len(result) != 2:
            name, found = _name(self._function), type(result).__name__
            raise DataError(f"augment={name} returned {found}; it must return (image, masks).")
        return result


def checked_objects(
    result: tuple[Any, Any], image: ImageArray, masks: MaskArray, *, name: str, has_fixed_size: bool
) -> Pair:
    """Return what a transform made of an image and the masks of its objects if it can be trained on.

    Args:
        result: image and masks as returned.
        image: as given to the transform.
        masks: as given to the transform, (N, H, W).
        name: of the transform, for messages.
        has_fixed_size: whether the size must have stayed.

    Raises:
        DataError: another number of objects, type, number of channels, or size; or image and masks no longer match.
    """
    after = np.asarray(result[1]) if isinstance(result[1], (list, tuple)) else result[1]
    if isinstance(after, np.ndarray) and (after.ndim != 3 or len(after) != len(masks)):
        raise DataError(
            f"augment={name} turned the masks of {len(masks)} objects from shape {masks.shape} into {after.shape}; "
            "expected is a mask for each object, in the same order. Give empty masks back for objects that are gone."
        )
    last = np.moveaxis(after, 0, 2) if isinstance(after, np.ndarray) else after
    pair = (result[0], last)
    checked = checked_pair(pair, image, np.moveaxis(masks, 0, 2), name=name, has_fixed_size=has_fixed_size)
    return checked[0], np.ascontiguousarray(np.moveaxis(checked[1], 2, 0))


def checked_pair(
    result: tuple[Any, Any], image: ImageArray, mask: MaskArray, *, name: str, has_fixed_size: bool
) -> Pair:
    """Return what a transform returned if it can be trained on.

    Args:
        result: image and mask as returned.
        image: as given to the transform.
        mask: as given to the transform.
        name: of the transform, for messages.
        has_fixed_size: whether the size must have stayed.

    Raises:
        DataError: another type, number of channels, or size; or image and mask no longer match.
    """
    for what, after, before in (("image", result[0], image), ("mask", result[1], mask)):
        if not isinstance(after, np.ndarray) or after.dtype != np.uint8:
            found = str(after.dtype) if isinstance(after, np.ndarray) else type(after).__name__
            raise DataError(
                f"augment={name} returned the {what} as {found}; a uint8 array is expected. "
                "Take Normalize, ToFloat and ToTensor out of it: the network normalises its input itself."
            )
        if after.shape[2:] != before.shape[2:] or after.ndim != before.ndim:
            raise DataError(f"augment={name} turned the {what} from shape {before.shape} into {after.shape}.")
        if has_fixed_size and after.shape != before.shape:
            height, width = after.shape[:2]
            raise DataError(
                f"augment={name} turned the {what} from {before.shape[0]} × {before.shape[1]} into {height} × {width} "
                f"pixels. Let it keep the size, or type image_size=({height}, {width}) and resize='crop'."
            )
    if result[0].shape[:2] != result[1].shape[:2]:
        raise DataError(f"augment={name} returned an image {result[0].shape} and a mask {result[1].shape} that differ.")
    return np.ascontiguousarray(result[0]), np.ascontiguousarray(result[1])


def _is_torchvision(function: Callable[..., Any]) -> bool:
    return type(function).__module__.startswith("torchvision.transforms.v2")


def _call_on_copies(function: Callable[..., Any], image: ImageArray, mask: MaskArray) -> Any:
    # a function may write into what it gets, and these arrays can belong to the cache
    return function(image.copy(), mask.copy())


def _call_torchvision(function: Callable[..., Any], image: ImageArray, mask: MaskArray) -> Any:
    # whoever made the transform has imported torchvision; easyseg's data side does without it
    tv_tensors: Any = sys.modules["torchvision.tv_tensors"]
    image_tensor = tv_tensors.Image(torch.from_numpy(image.copy()).permute(2, 0, 1))
    mask_tensor = torch.from_numpy(mask.copy())
    mask_tensor = tv_tensors.Mask(mask_tensor.permute(2, 0, 1) if mask.ndim == 3 else mask_tensor)
    image_after, mask_after = function(image_tensor, mask_tensor)
    image_array, mask_array = image_after.permute(1, 2, 0).numpy(), mask_after.numpy()
    return image_array, np.moveaxis(mask_array, 0, 2) if mask.ndim == 3 else mask_array


def _call_torchvision_with_masks(function: Callable[..., Any], image: ImageArray, masks: MaskArray) -> Any:
    image_after, masks_after = _call_torchvision(function, image, np.moveaxis(masks, 0, 2))
    return image_after, np.moveaxis(masks_after, 2, 0)


@contextmanager
def _shared_generators_seeded(seed: int) -> Iterator[None]:
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach for the GPUs, too
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
