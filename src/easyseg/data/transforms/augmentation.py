"""Random changes of training images and masks.

A change is a function of (seed, epoch, index): no generator lives on from one image to the next, so any number of
worker processes, in any order, after any crash, makes the same images.

The presets are small records, compiled here. What moves whole pixels is done first (see `lattice`); what follows sees
the network's canvas only and is albumentations'. Wherever pixels are invented, the image is `PAD_VALUE` and the mask
`IGNORE_INDEX`, so nothing is learned from them.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from easyseg.data.transforms.foreign_transforms import ForeignTransform, checked_pair
from easyseg.data.transforms.lattice import Lattice, Pair
from easyseg.errors import ConfigError, unknown_name
from easyseg.preprocessing import PAD_VALUE, Preprocessing
from easyseg.structures import IGNORE_INDEX, ImageArray, MaskArray, SizeHW

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network for a newer version
import albumentations as A

_AUGMENTATION_STREAM = 2
"""First word of the seed, so that no other random numbers of the run follow the same sequence."""


@dataclass(frozen=True, slots=True)
class Step:
    """One random change of a preset.

    Attributes:
        kind: a name in `_STEPS`, which says what `strength` means.
        probability: how often it happens, 0 to 1.
        strength: how strong it is at the most.
    """

    kind: str
    probability: float
    strength: float


@dataclass(frozen=True, slots=True)
class Preset:
    """What one name of `augment=` stands for.

    Attributes:
        lattice: cutting out, zooming, flipping, turning.
        steps: what follows, in this order.
        copy_paste: how often objects of another image are put in, 0 to 1; where single objects are learnt only.
    """

    lattice: Lattice
    steps: tuple[Step, ...] = ()
    copy_paste: float = 0.0


PRESETS: Mapping[str, Preset] = {
    "none": Preset(Lattice()),
    "light": Preset(Lattice(flip_horizontal=0.5, zoom=(0.9, 1.25)), (Step("brightness_contrast", 0.3, 0.1),)),
    "standard": Preset(
        Lattice(flip_horizontal=0.5, zoom=(0.75, 1.75)),
        (Step("brightness_contrast", 0.5, 0.2), Step("saturation", 0.3, 0.3)),
    ),
    "strong": Preset(
        Lattice(flip_horizontal=0.5, zoom=(0.5, 2.0)),
        (
            Step("rotation", 0.3, 10),
            Step("brightness_contrast", 0.6, 0.3),
            Step("gamma", 0.2, 0.3),
            Step("hue_saturation", 0.4, 0.4),
            Step("blur", 0.15, 1.5),
            Step("noise", 0.1, 0.08),
            Step("dropout", 0.2, 0.2),
        ),
        copy_paste=0.5,
    ),
    "aerial": Preset(
        Lattice(flip_horizontal=0.5, flip_vertical=0.5, quarter_turns=True, zoom=(0.7, 1.5)),
        (
            Step("brightness_contrast", 0.5, 0.2),
            Step("gamma", 0.2, 0.2),
            Step("saturation", 0.3, 0.3),
            Step("blur", 0.05, 1.0),
        ),
    ),
    "medical": Preset(
        Lattice(flip_horizontal=0.5, zoom=(0.8, 1.25)),
        (
            Step("rotation", 0.4, 15),
            Step("elastic", 0.2, 50),
            Step("grid", 0.2, 0.25),
            Step("brightness_contrast", 0.4, 0.15),
            Step("gamma", 0.2, 0.2),
            Step("blur", 0.05, 1.0),
            Step("noise", 0.1, 0.04),
        ),
    ),
}
"""What each name of `augment=` does."""

_STEPS: Mapping[str, Callable[[float, float], A.BasicTransform]] = {
    # kind: (probability p, strength s) -> transform
    # share of the image's mean, so that a dark image does not turn black
    "brightness_contrast": lambda p, s: A.RandomBrightnessContrast((-s, s), (-s, s), brightness_by_max=False, p=p),
    "gamma": lambda p, s: A.RandomGamma((100 * (1 - s), 100 * (1 + s)), p=p),  # distance of the exponent from 1
    "saturation": lambda p, s: A.ColorJitter((1, 1), (1, 1), (1 - s, 1 + s), (0, 0), p=p),  # share
    "hue_saturation": lambda p, s: A.ColorJitter((1, 1), (1, 1), (1 - s, 1 + s), (-s / 8, s / 8), p=p),  # share
    "blur": lambda p, s: A.GaussianBlur(sigma_limit=(0.3, s), p=p),  # sigma in pixels
    "noise": lambda p, s: A.GaussNoise(std_range=(s / 4, s), per_channel=False, p=p),  # deviation, share of the range
}

_MOVING_STEPS: Mapping[str, Callable[[float, float, int], A.BasicTransform]] = {
    # kind: (probability p, strength s, what masks are where pixels are invented) -> transform
    "rotation": lambda p, s, m: A.Affine(rotate=(-s, s), p=p, **_warp_fill(m)),  # degrees
    "elastic": lambda p, s, m: A.ElasticTransform(alpha=s, sigma=5, p=p, **_warp_fill(m)),  # about s / 20 pixels
    "grid": lambda p, s, m: A.GridDistortion(distort_limit=(-s, s), p=p, **_warp_fill(m)),  # share of a grid cell
    # share of a side
    "dropout": lambda p, s, m: A.CoarseDropout((1, 4), (s / 4, s), (s / 4, s), p=p, fill=PAD_VALUE, fill_mask=m),
}
"""Steps that change masks, too."""


def _warp_fill(mask_fill: int) -> dict[str, tuple[int, ...]]:
    # OpenCV takes a single number for the first of up to four channels and fills the others with 0
    return {"fill": (PAD_VALUE,) * 4, "fill_mask": (mask_fill,) * 4}


_NEEDS_RGB = frozenset({"saturation", "hue_saturation"})


class Augmentation:
    """Changes an image and its mask at random, the same way for the same (seed, epoch, index).

    Made by `build_augmentation`. Not for several threads at once.
    """

    def __init__(self, *, seed: int, canvas_hw: SizeHW | None, lattice: Lattice, change: _Change) -> None:
        self._seed = seed
        self._canvas_hw = canvas_hw
        self._lattice = lattice
        self._change = change

    def __call__(self, image: ImageArray, mask: MaskArray, *, epoch: int, index: int) -> Pair:
        """Return changed arrays; those given are never written to, but may come back where nothing changes.

        Args:
            image: (H, W, C) uint8, on the canvas already, or of any size with `resize` "crop" and None.
            mask: (H, W) uint8, or (H, W, classes) for the multilabel task.
            epoch: number of the epoch, from 0.
            index: the image's number in the dataset, from 0.

        Returns:
            Image and mask of the canvas size; with `resize=None` of the image's own size, unless the user's own
            transform changes it.

        Raises:
            DataError: the user's own transform returned something of another kind or size.
        """
        generator = generator_of(self._seed, epoch, index)
        size_hw = self._canvas_hw or (image.shape[0], image.shape[1])
        image, mask = self._lattice.apply(image, mask, size_hw, generator)
        return self._change(image, mask, generator)


def build_augmentation(augment: str | Any, *, preprocessing: Preprocessing, seed: int) -> Augmentation:
    """Build an augmentation.

    Args:
        augment: a name in `PRESETS`; or an albumentations Compose or single transform, a torchvision v2 transform, or
            any function (image, mask) -> (image, mask) of uint8 arrays. These get images of the canvas size and have
            to keep it. Where they move pixels, tell them to fill the mask with 255 (albumentations: `fill_mask=255`),
            else the border becomes class 0.
        preprocessing: says how large the canvas is and how many channels images have.
        seed: of the run.

    Raises:
        UnknownNameError: there is no such preset.
        ConfigError: `augment` is neither a name nor a transform.
    """
    canvas_hw = preprocessing.image_size if preprocessing.resize is not None else None
    lattice = Lattice()
    change: _Change
    if isinstance(augment, str):
        if augment not in PRESETS:
            raise unknown_name("augmentation", augment, PRESETS)
        lattice = PRESETS[augment].lattice
        change = compiled(PRESETS[augment], in_channels=preprocessing.in_channels)
    elif (pipeline := own_pipeline(augment)) is not None:
        change = _UserPipeline(pipeline, name=type(augment).__name__, has_fixed_size=canvas_hw is not None)
    elif callable(augment):
        change = ForeignTransform(augment, has_fixed_size=canvas_hw is not None)
    else:
        raise no_augmentation(augment, "(image, mask) -> (image, mask)")
    return Augmentation(seed=seed, canvas_hw=canvas_hw, lattice=lattice, change=change)


def no_augmentation(augment: object, function: str) -> ConfigError:
    """Say that `augment` is nothing that changes images; `function` is what a function of the user's own would be."""
    return ConfigError(
        f"augment={augment!r} is neither a name ({', '.join(PRESETS)}) nor a transform such as "
        f"albumentations.Compose([...]) or a function {function}."
    )


def generator_of(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the one source of chance for an image in an epoch."""
    return np.random.default_rng(np.random.SeedSequence((_AUGMENTATION_STREAM, seed, epoch, index)))


class _Change(Protocol):
    """A random change whose chance comes from a generator made for this one image."""

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair: ...


class Pipeline:
    """An albumentations pipeline, seeded anew for every image."""

    def __init__(self, compose: A.BaseCompose) -> None:
        self._compose = compose

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair:
        """Return a changed image and mask.

        Args:
            image: (H, W, C) uint8.
            mask: (H, W) or (H, W, classes) uint8.
            generator: all chance comes from here.
        """
        if mask.ndim == 2:
            result = self._changed(generator, image=image, mask=mask)
            return result["image"], result["mask"]
        # one mask per class: as channels of one mask, all but the first would be filled with 0 (see `_warp_fill`)
        image, masks = self.with_masks(image, np.ascontiguousarray(np.moveaxis(mask, 2, 0)), generator)
        return image, np.ascontiguousarray(np.moveaxis(masks, 0, 2))

    def with_masks(
        self, image: ImageArray, masks: npt.NDArray[Any], generator: np.random.Generator
    ) -> tuple[ImageArray, Any]:
        """Return a changed image and masks, (N, H, W) uint8 or uint16; N may be 0."""
        if not len(masks):  # albumentations cannot stack nothing
            return self._changed(generator, image=image)["image"], masks
        result = self._changed(generator, image=image, masks=masks)
        return result["image"], result["masks"]

    def _changed(self, generator: np.random.Generator, **arrays: npt.NDArray[Any]) -> dict[str, Any]:
        # set_random_seed would give every transform a generator of its own with the same seed, and all transforms of
        # equal probability would then happen together or not at all; sharing one keeps them independent
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        found: dict[str, Any] = self._compose(**arrays)
        return found


class _UserPipeline:
    """The user's own albumentations pipeline, whose results are checked."""

    def __init__(self, pipeline: Pipeline, *, name: str, has_fixed_size: bool) -> None:
        self._pipeline = pipeline
        self._name = name
        self._has_fixed_size = has_fixed_size

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair:
        result = self._pipeline(image, mask, generator)
        return checked_pair(result, image, mask, name=self._name, has_fixed_size=self._has_fixed_size)


def compiled(preset: Preset, *, in_channels: int, mask_fill: int = IGNORE_INDEX) -> Pipeline:
    """Return the steps of a preset.

    Args:
        preset: whose steps.
        in_channels: of the images; what needs colours is left out where there are none.
        mask_fill: what masks become where pixels are invented.
    """
    transforms = []
    for step in preset.steps:
        if step.kind in _MOVING_STEPS:
            transforms.append(_MOVING_STEPS[step.kind](step.probability, step.strength, mask_fill))
        elif in_channels == 3 or step.kind not in _NEEDS_RGB:
            transforms.append(_STEPS[step.kind](step.probability, step.strength))
    return Pipeline(A.Compose(transforms, is_check_shapes=False))


def moves_masks(preset: Preset) -> bool:
    """Tell whether a step of a preset changes masks."""
    return any(step.kind in _MOVING_STEPS for step in preset.steps)


def own_pipeline(transform: Any) -> Pipeline | None:
    """Return a user's albumentations transform as a pipeline of its own, for seeding changes it; None of others.

    Raises:
        ConfigError: it wants boxes or points, which it would have to be given.
    """
    if not isinstance(transform, (A.BaseCompose, A.BasicTransform)):
        return None
    if getattr(transform, "processors", None):
        wanted = ", ".join(transform.processors)
        raise ConfigError(
            f"augment={type(transform).__name__} wants {wanted}; expected is one that changes images and masks. Take "
            "bbox_params and keypoint_params out of it: boxes are laid around the masks afterwards."
        )
    own = copy.deepcopy(transform)
    return Pipeline(own if isinstance(own, A.Compose) else A.Compose([own]))
