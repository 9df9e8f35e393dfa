"""The deterministic half of the way from an image to the network and back, stored in every checkpoint.

Training, evaluation, prediction and export use this one implementation, so what the network sees is the same
everywhere, and the way back to the image's own size is the exact inverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.errors import CheckpointError
from easyseg.structures import IGNORE_INDEX, ImageArray, MaskArray, SizeHW

if TYPE_CHECKING:
    from torch import Tensor

PAD_VALUE = 114
"""Grey level that fills up an image; near the mean of natural images, so the network sees no hard black edge."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies on the network's canvas.

    Attributes:
        original_hw: the image's own height and width in pixels.
        scaled_hw: height and width after scaling.
        offset_hw: rows above and columns left of it on the canvas.
        canvas_hw: height and width of the canvas.
    """

    original_hw: SizeHW
    scaled_hw: SizeHW
    offset_hw: SizeHW
    canvas_hw: SizeHW


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image of any size becomes one the network takes.

    Attributes:
        image_size: height and width of the canvas in pixels; None with `resize=None`.
        resize: "pad" scales the image to fit and fills up evenly on both sides; "stretch" scales both sides on their
            own; "crop" and None keep the image as it is (training crops "crop" at random, see `data.transforms`).
        in_channels: channels the network takes.
        value_range: which numbers of the image files are black and white; None where they are bytes already.
    """

    image_size: SizeHW | None = (512, 512)
    resize: Literal["pad", "crop", "stretch"] | None = "pad"
    in_channels: int = 3
    value_range: ValueRange | None = None

    def place(self, original_hw: SizeHW) -> Placement:
        """Return where an image of this size comes to lie."""
        height, width = original_hw
        if self.image_size is None or self.resize in (None, "crop"):
            return Placement(original_hw, original_hw, (0, 0), original_hw)
        canvas_height, canvas_width = self.image_size
        if self.resize == "stretch":
            return Placement(original_hw, self.image_size, (0, 0), self.image_size)
        scale = min(canvas_height / height, canvas_width / width)
        scaled_height = min(canvas_height, max(1, round(height * scale)))
        scaled_width = min(canvas_width, max(1, round(width * scale)))
        offset = ((canvas_height - scaled_height) // 2, (canvas_width - scaled_width) // 2)
        return Placement(original_hw, (scaled_height, scaled_width), offset, self.image_size)

    def image_to_canvas(self, image: ImageArray) -> ImageArray:
        """Scale and pad an image.

        Args:
            image: (H, W, C) uint8, C = `in_channels`.

        Returns:
            (h, w, C) uint8 of the canvas size.
        """
        placement = self.place(image.shape[:2])
        scaled = resize_image(image, placement.scaled_hw)
        return _pad(scaled, placement, PAD_VALUE)

    def mask_to_canvas(self, mask: MaskArray) -> MaskArray:
        """Scale (nearest neighbour) and pad a mask of class ids.

        Args:
            mask: (H, W) or, multilabel, (H, W, classes) uint8.

        Returns:
            uint8 of the canvas size; the padding is `IGNORE_INDEX`.
        """
        placement = self.place(mask.shape[:2])
        scaled = resize_mask(mask, placement.scaled_hw)
        return _pad(scaled, placement, IGNORE_INDEX)

    def logits_to_original(self, logits: Tensor, placement: Placement) -> Tensor:
        """Undo the placement on a network's output: cut off the padding, then scale back.

        Args:
            logits: (C, h, w) float, h and w at least the canvas size.
            placement: from `place`.

        Returns:
            (C, H, W) float32 at the image's own size, interpolated bilinearly where the scale changes.
        """
        from torch.nn.functional import interpolate

        top, left = placement.offset_hw
        height, width = placement.scaled_hw
        inner = logits[:, top : top + height, left : left + width]
        if placement.scaled_hw == placement.original_hw:
            return inner.float()
        return interpolate(
            inner[None].float(), size=placement.original_hw, mode="bilinear", align_corners=False, antialias=False
        )[0]

    def boxes_to_original(self, boxes: npt.NDArray[np.floating[Any]], placement: Placement) -> npt.NDArray[np.float32]:
        """Undo the placement on boxes found on the canvas.

        Args:
            boxes: (N, 4) x1, y1, x2, y2 in pixels of the canvas.
            placement: from `place`.

        Returns:
            (N, 4) float32 in pixels of the image, cut off at its edges; one in the padding has no width or height left.
        """
        (top, left), (height, width) = placement.offset_hw, placement.original_hw
        scale = (width / placement.scaled_hw[1], height / placement.scaled_hw[0]) * 2
        moved = (boxes.astype(np.float64) - (left, top) * 2) * scale
        return moved.clip(0, (width, height) * 2).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint's header; `from_dict` reads them back."""
        return {
            "image_size": list(self.image_size) if self.image_size else None,
            "resize": self.resize,
            "in_channels": self.in_channels,
            "value_range": self.value_range.to_dict() if self.value_range else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_dict` wrote."""
        try:
            size = values["image_size"]
            image_size = (int(size[0]), int(size[1])) if size else None
            scale = values.get("value_range")  # missing in files of bytes from before there were others
            value_range = ValueRange.from_dict(scale) if scale else None
            return cls(image_size, values["resize"], int(values["in_channels"]), value_range)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"The preprocessing in the file cannot be read: {dict(values)!r}.") from error


def resize_image(image: ImageArray, size_hw: SizeHW) -> ImageArray:
    """Scale an image: area averaging to smaller sizes, bilinear to larger ones.

    Args:
        image: (H, W, C) uint8.
        size_hw: height and width wanted, in pixels.

    Returns:
        (h, w, C) uint8.
    """
    if image.shape[:2] == size_hw:
        return image
    shrinks = size_hw[0] < image.shape[0] and size_hw[1] < image.shape[1]
    return _resize(image, size_hw, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(mask: MaskArray, size_hw: SizeHW) -> MaskArray:
    """Scale a mask of class ids by nearest neighbour, pixel centres aligned.

    Args:
        mask: (H, W) or (H, W, classes) uint8.
        size_hw: height and width wanted, in pixels.

    Returns:
        (h, w) or (h, w, classes) uint8.
    """
    if mask.shape[:2] == size_hw:
        return mask
    return _resize(mask, size_hw, cv2.INTER_NEAREST_EXACT)


def nearest_sources(length: int, scaled: int) -> npt.NDArray[np.int64]:
    """Return which pixel along a side each pixel of a mask shows that `resize_mask` has scaled.

    Args:
        length: of the side before, in pixels.
        scaled: of the side afterwards, in pixels.

    Returns:
        (scaled,) ascending, 0 to length - 1.
    """
    places = np.arange(length, dtype=np.float32)[:, None]
    scaled_places = cv2.resize(places, (1, scaled), interpolation=cv2.INTER_NEAREST_EXACT)  # the very same rule
    return np.asarray(scaled_places, np.int64).reshape(scaled)


def _resize(array: npt.NDArray[np.uint8], size_hw: SizeHW, interpolation: int) -> npt.NDArray[np.uint8]:
    height, width = size_hw
    channels = array.shape[2] if array.ndim == 3 else 0
    if channels <= 4:
        scaled = np.asarray(cv2.resize(array, (width, height), interpolation=interpolation), np.uint8)
    else:  # OpenCV's resize takes four channels at the most
        planes = [cv2.resize(array[..., c], (width, height), interpolation=interpolation) for c in range(channels)]
        scaled = np.stack(planes, axis=-1).astype(np.uint8, copy=False)
    return scaled.reshape(height, width, channels) if channels else scaled


def _pad(array: npt.NDArray[np.uint8], placement: Placement, value: int) -> npt.NDArray[np.uint8]:
    if placement.scaled_hw == placement.canvas_hw:
        return array
    top, left = placement.offset_hw
    canvas = np.full((*placement.canvas_hw, *array.shape[2:]), value, np.uint8)
    canvas[top : top + placement.scaled_hw[0], left : left + placement.scaled_hw[1]] = array
    return canvas
