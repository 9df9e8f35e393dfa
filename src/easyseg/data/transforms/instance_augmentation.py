"""Random changes of training images and their single objects.

The same presets as for masks of classes, and as there a function of (seed, epoch, index); see `transforms`. Zooming far
in and out of images that are then cut or filled up to the canvas is what papers call large-scale jitter.

Objects may lie upon each other, so each keeps a mask of its own: flips, turns and zooms move it exactly; rotation,
elastic and grid distortion bend all of them at once, as numbers in layers; dropout takes pixels from the objects under
it. Where pixels are invented, no object is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from easyseg.data.objects.canvas_objects import Annotated, CanvasObject, CanvasObjects, from_masks, to_masks
from easyseg.data.transforms.augmentation import (
    PRESETS,
    Preset,
    compiled,
    generator_of,
    moves_masks,
    no_augmentation,
    own_pipeline,
)
from easyseg.data.transforms.foreign_transforms import ForeignObjectTransform, checked_objects
from easyseg.data.transforms.lattice import Lattice
from easyseg.data.transforms.object_layers import MOST_NUMBERS, from_layers, from_planes, to_layers, to_planes
from easyseg.data.transforms.object_moves import aimed, moved, pasted, settled, still_counts, taken_as_whole
from easyseg.errors import ConfigError, unknown_name
from easyseg.preprocessing import Preprocessing
from easyseg.structures import ImageArray, MaskArray, SizeHW

MASK_BYTES = 100_000_000
"""So much memory may an image's objects take in a batch; the mask of each has a byte for every pixel of the canvas."""

FEWEST_MASKS = 50
"""So many objects have masks on however large a canvas."""

_PASTED = 0.5
"""How likely each object of the other image is put in."""

Read: TypeAlias = Callable[[int], Annotated]
"""Returns an image of the dataset, by its number, on the canvas, with its objects."""


class InstanceAugmentation:
    """Changes an image and its objects at random, the same way for the same (seed, epoch, index).

    Made by `build_instance_augmentation`. Not for several threads at once.
    """

    def __init__(
        self,
        *,
        seed: int,
        canvas_hw: SizeHW | None,
        lattice: Lattice,
        copy_paste: float,
        change: _Change,
        most_objects: int | None,
    ) -> None:
        self._seed = seed
        self._canvas_hw = canvas_hw
        self._lattice = lattice
        self._copy_paste = copy_paste
        self._change = change
        self._most_objects = most_objects

    def __call__(
        self, image: ImageArray, objects: CanvasObjects, *, epoch: int, index: int, read: Read, num_images: int
    ) -> Annotated:
        """Return a changed image and its objects; what is given is never written to, but may come back.

        Args:
            image: (H, W, C) uint8, on the canvas already, or of any size with `resize` "crop" and None.
            objects: the objects on it, whole.
            epoch: number of the epoch, from 0.
            index: the image's number in the dataset, from 0.
            read: where objects to put in come from; asked for one other image at the most.
            num_images: of the dataset.

        Returns:
            The image as `Augmentation` returns it, and its objects. Of an object that the change leaves too little of,
            what is left is a crowd; the window falls such that one object at least is kept where there is any. Beyond
            the most objects that are learnt from, some are crowds by chance.

        Raises:
            SampleError: the other image cannot be used.
            DataError: the user's own transform returned something of another kind, number or size.
        """
        generator = generator_of(self._seed, epoch, index)
        size_hw = self._canvas_hw or (image.shape[0], image.shape[1])
        changed = self._moved(image, objects, size_hw, generator)
        if num_images > 1 and generator.random() < self._copy_paste:
            other = (index + 1 + int(generator.integers(num_images - 1))) % num_images
            changed = self._with_pasted(changed, read(other), size_hw, generator)
        image, objects = changed
        image, objects = self._change(image, self._limited(objects, size_hw, generator), generator)
        return image, settled(objects)

    def _moved(
        self, image: ImageArray, objects: CanvasObjects, size_hw: SizeHW, generator: np.random.Generator
    ) -> Annotated:
        image_hw = (image.shape[0], image.shape[1])
        move = self._lattice.draw(image_hw, size_hw, generator)
        found = moved(objects, move)
        if not any(map(_is_learnt, found)) and not all(item.is_crowd for item in objects):
            move = aimed(move, objects, image_hw, generator)
            found = moved(objects, move)
        return move.image(image), found

    def _with_pasted(
        self, onto: Annotated, other: Annotated, size_hw: SizeHW, generator: np.random.Generator
    ) -> Annotated:
        image, objects = self._moved(*other, size_hw, generator)
        candidates = [item for item in objects if _is_learnt(item)]
        if not candidates:
            return onto
        chosen = generator.random(len(candidates)) < _PASTED
        chosen[int(generator.integers(len(candidates)))] = True
        return pasted(onto, image, [item for item, is_chosen in zip(candidates, chosen, strict=True) if is_chosen])

    def _limited(self, objects: CanvasObjects, size_hw: SizeHW, generator: np.random.Generator) -> CanvasObjects:
        """Make crowds of what is beyond the most objects: as background, it would teach that objects are none."""
        most = self._most_objects or most_learnt(size_hw)
        if len(objects) <= most:
            return objects
        objects = settled(objects[:MOST_NUMBERS])  # slivers are none to choose from
        single = [place for place, item in enumerate(objects) if not item.is_crowd]
        beyond = set(generator.permutation(single)[most:].tolist())
        return tuple(replace(item, is_crowd=True) if at in beyond else item for at, item in enumerate(objects))


def most_learnt(canvas_hw: SizeHW) -> int:
    """Return how many objects of an image are learnt from at once; the others are crowds meanwhile.

    Args:
        canvas_hw: height and width of the canvas: 381 objects of 512 x 512 pixels, 95 of 1024 x 1024.
    """
    return min(MOST_NUMBERS, max(FEWEST_MASKS, MASK_BYTES // (canvas_hw[0] * canvas_hw[1])))


def build_instance_augmentation(
    augment: str | Any, *, preprocessing: Preprocessing, seed: int, most_objects: int | None = None
) -> InstanceAugmentation:
    """Build an augmentation for single objects.

    Args:
        augment: a name in `PRESETS`; or an albumentations Compose or single transform, which gets `masks`; or a
            torchvision v2 transform, or any function (image, masks) -> (image, masks) of uint8 arrays, a mask (H, W) of
            0 and 1 for each object. These get images of the canvas size and have to keep it, and the number of masks.
            "strong" puts objects of other images in, too (copy-paste). "standard" does not: it pays in long trainings,
            and shows objects where they are never found, such as cells outside of tissue.
        preprocessing: says how large the canvas is and how many channels images have.
        seed: of the run.
        most_objects: so many objects of an image are learnt from at once, others in every epoch; the rest are crowds
            meanwhile: found or not, nothing is learnt there. None: as many as `MASK_BYTES` hold, see `most_learnt`.

    Raises:
        UnknownNameError: there is no such preset.
        ConfigError: `augment` is neither a name nor a transform, or wants boxes; or `most_objects` is out of range.
    """
    if most_objects is not None and not 1 <= most_objects <= MOST_NUMBERS:
        raise ConfigError(f"most_objects={most_objects}: expected 1 to {MOST_NUMBERS:,}. Leave it out, or type 300.")
    canvas_hw = preprocessing.image_size if preprocessing.resize is not None else None
    preset = Preset(Lattice())
    change: _Change
    if isinstance(augment, str):
        if augment not in PRESETS:
            raise unknown_name("augmentation", augment, PRESETS)
        preset = PRESETS[augment]
        change = _Steps(preset, in_channels=preprocessing.in_channels)
    elif callable(augment):
        pipeline = own_pipeline(augment)
        run = ForeignObjectTransform(augment) if pipeline is None else pipeline.with_masks
        name = getattr(augment, "__name__", type(augment).__name__)
        change = _OnWholeMasks(run, name=name, has_fixed_size=canvas_hw is not None)
    else:
        raise no_augmentation(augment, "(image, masks) -> (image, masks)")
    return InstanceAugmentation(
        seed=seed,
        canvas_hw=canvas_hw,
        lattice=preset.lattice,
        copy_paste=preset.copy_paste,
        change=change,
        most_objects=most_objects,
    )


class _Change(Protocol):
    """A random change whose chance comes from a generator made for this one image."""

    def __call__(self, image: ImageArray, objects: CanvasObjects, generator: np.random.Generator) -> Annotated: ...


class _Steps:
    """The steps of a preset."""

    def __init__(self, preset: Preset, *, in_channels: int) -> None:
        self._pipeline = compiled(preset, in_channels=in_channels, mask_fill=0)
        self._moves_masks = moves_masks(preset)

    def __call__(self, image: ImageArray, objects: CanvasObjects, generator: np.random.Generator) -> Annotated:
        layers = to_layers(objects if self._moves_masks else (), image.shape[:2])
        image, after = self._pipeline.with_masks(image, layers, generator)
        unchanged = not len(layers) or np.array_equal(after, layers)  # most often; cheaper than looking for boxes
        return image, objects if unchanged else from_layers(after, objects)


class _OnWholeMasks:
    """A transform of the user's own, for which every object gets a mask of the whole canvas; very many crowds share."""

    def __init__(
        self,
        run: Callable[[ImageArray, MaskArray, np.random.Generator], tuple[Any, Any]],
        *,
        name: str,
        has_fixed_size: bool,
    ) -> None:
        self._run = run
        self._name = name
        self._has_fixed_size = has_fixed_size

    def __call__(self, image: ImageArray, objects: CanvasObjects, generator: np.random.Generator) -> Annotated:
        size_hw = (image.shape[0], image.shape[1])
        before = settled(objects)
        shared: CanvasObjects = ()
        if len(before) > most_learnt(size_hw):
            shared = tuple(item for item in before if item.is_crowd)
            before = tuple(item for item in before if not item.is_crowd)
        masks = np.concatenate([to_masks(before, size_hw), to_planes(shared, size_hw)])
        result = self._run(image, masks, generator)
        image, masks = checked_objects(result, image, masks, name=self._name, has_fixed_size=self._has_fixed_size)
        after = (*from_masks(masks[: len(before)], before), *from_planes(masks[len(before) :]))
        # how much of an object such a transform zooms away or cuts off, nobody knows
        return image, taken_as_whole(after)


def _is_learnt(item: CanvasObject) -> bool:
    return not item.is_crowd and still_counts(item)
