"""From a dataset of objects to batches of them: what a training loader does where objects are to be found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from easyseg.data.batches.stacking import stacked, to_images
from easyseg.data.dataset import Dataset
from easyseg.data.objects.canvas_objects import (
    Annotated,
    CanvasObjects,
    boxes_of,
    packed,
    to_canvas,
    to_masks,
    unpacked,
)
from easyseg.data.targets import each_instance
from easyseg.data.transforms.instance_augmentation import InstanceAugmentation
from easyseg.preprocessing import PAD_VALUE, Preprocessing
from easyseg.structures import Batch, ImageArray, InstanceTarget, MaskArray, SizeHW

Decoded: TypeAlias = tuple[ImageArray, MaskArray]
"""An image on the canvas, and its objects as bytes, where else a mask of classes would be."""


class DecodeObjects:
    """Reads an image and its objects and brings both to the canvas.

    Args:
        dataset: the images.
        preprocessing: brings them there.
    """

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing) -> None:
        self._dataset = dataset
        self._preprocessing = preprocessing

    def __call__(self, index: int) -> Decoded:
        """Return an image (h, w, C) uint8, and its objects in a cache's place for its mask, (h, w) uint8."""
        image = self._dataset.image(index, channels=self._preprocessing.in_channels)
        canvas = self._preprocessing.image_to_canvas(image)
        height, width = canvas.shape[:2]
        return canvas, packed(self.objects(index), height * width).reshape(height, width)

    def objects(self, index: int) -> CanvasObjects:
        """Return the objects of an image, on the canvas."""
        dataset, size_hw = self._dataset, self._dataset.size_hw(index)
        drawn = each_instance(dataset[index], dataset.class_map, size_hw)
        return to_canvas(drawn, self._preprocessing.place(size_hw))


class ChangeObjects:
    """Augments an image and its objects.

    Args:
        augmentation: changes them.
        decode: of the dataset.
        read: the same, perhaps from a cache.
        num_images: of the dataset.
    """

    def __init__(
        self,
        augmentation: InstanceAugmentation,
        decode: DecodeObjects,
        read: Callable[[int], Decoded],
        num_images: int,
    ) -> None:
        self._augmentation = augmentation
        self._decode = decode
        self._read = read
        self._num_images = num_images

    def __call__(self, image: ImageArray, place: MaskArray, *, epoch: int, index: int) -> Annotated:
        """Return the changed image and its objects.

        Args:
            image: as decoded.
            place: its objects as bytes.
            epoch: number of the epoch.
            index: the image's number in the dataset.
        """
        return self._augmentation(
            image,
            self._objects(place, index),
            epoch=epoch,
            index=index,
            read=self._annotated,
            num_images=self._num_images,
        )

    def _annotated(self, index: int) -> Annotated:
        image, place = self._read(index)
        return image, self._objects(place, index)

    def _objects(self, place: MaskArray, index: int) -> CanvasObjects:
        objects = unpacked(place.reshape(-1))
        return self._decode.objects(index) if objects is None else objects


def collated_objects(items: Sequence[tuple[ImageArray, CanvasObjects, int]]) -> Batch:
    """Stack items to a batch with an `InstanceTarget` for each image; images without objects have an empty one.

    Smaller images are filled up to the right and below, where no objects are. All targets of a batch share memory: from
    a worker process, each array would else come through a file of its own, and a process has a thousand at the most.

    Args:
        items: image, objects, and number in the dataset, below 0 where the image does not count.
    """
    images = to_images(stacked([image for image, _, _ in items], PAD_VALUE))
    size_hw = (images.shape[2], images.shape[3])
    everything = _to_target(tuple(item for _, objects, _ in items for item in objects), size_hw)
    targets = _divided(everything, [objects for _, objects, _ in items])
    return Batch(images, targets, tuple(index for _, _, index in items if index >= 0))


def _to_target(objects: CanvasObjects, size_hw: SizeHW) -> InstanceTarget:
    single = tuple(item for item in objects if not item.is_crowd)
    return InstanceTarget(
        boxes=torch.from_numpy(boxes_of(objects)),
        class_ids=torch.from_numpy(np.array([item.class_id for item in objects], np.int64)),
        # torch.zeros would write every page; most of them are never looked at
        masks=torch.from_numpy(to_masks(single, size_hw)),
        is_crowd=torch.from_numpy(np.array([item.is_crowd for item in objects], bool)),
    )


def _divided(whole: InstanceTarget, images: Sequence[CanvasObjects]) -> tuple[InstanceTarget, ...]:
    counts = [len(objects) for objects in images]
    mask_counts = [sum(not item.is_crowd for item in objects) for objects in images]
    columns = (
        torch.split(whole.boxes, counts),
        torch.split(whole.class_ids, counts),
        torch.split(whole.masks, mask_counts),
        torch.split(whole.is_crowd, counts),
    )
    return tuple(InstanceTarget(*parts) for parts in zip(*columns, strict=True))
