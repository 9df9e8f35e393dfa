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

from easyseg.data.foreign_transforms import ForeignTransform, checked_pair
from easyseg.data.lattice import Lattice, Pair
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
    """

    lattice: Lattice
    steps: tuple[Step, ...] = ()


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

_FILL: Mapping[str, int] = {"fill": PAD_VALUE, "fill_mask": IGNORE_INDEX}

# OpenCV takes a single number for the first of up to four channels and fills the others with 0
_WARP_FILL: Mapping[str, tuple[int, ...]] = {"fill": (PAD_VALUE,) * 4, "fill_mask": (IGNORE_INDEX,) * 4}

_STEPS: Mapping[str, Callable[[float, float], A.BasicTransform]] = {
    # kind: (probability p, strength s) -> transform
    "rotation": lambda p, s: A.Affine(rotate=(-s, s), p=p, **_WARP_FILL),  # degrees
    "elastic": lambda p, s: A.ElasticTransform(alpha=s, sigma=5, p=p, **_WARP_FILL),  # about s / 20 pixels
    "grid": lambda p, s: A.GridDistortion(distort_limit=(-s, s), p=p, **_WARP_FILL),  # share of a grid cell
    # share of the image's mean, so that a dark image does not turn black
    "brightness_contrast": lambda p, s: A.RandomBrightnessContrast((-s, s), (-s, s), brightness_by_max=False, p=p),
    "gamma": lambda p, s: A.RandomGamma((100 * (1 - s), 100 * (1 + s)), p=p),  # distance of the exponent from 1
    "saturation": lambda p, s: A.ColorJitter((1, 1), (1, 1), (1 - s, 1 + s), (0, 0), p=p),  # share
    "hue_saturation": lambda p, s: A.ColorJitter((1, 1), (1, 1), (1 - s, 1 + s), (-s / 8, s / 8), p=p),  # share
    "blur": lambda p, s: A.GaussianBlur(sigma_limit=(0.3, s), p=p),  # sigma in pixels
    "noise": lambda p, s: A.GaussNoise(std_range=(s / 4, s), per_channel=False, p=p),  # deviation, share of the range
    "dropout": lambda p, s: A.CoarseDropout((1, 4), (s / 4, s), (s / 4, s), p=p, **_FILL),  # share of a side
}

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
        generator = np.random.default_rng(np.random.SeedSequence((_AUGMENTATION_STREAM, self._seed, epoch, index)))
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
        change = _Pipeline(_compiled(PRESETS[augment], in_channels=preprocessing.in_channels))
    elif isinstance(augment, (A.BaseCompose, A.BasicTransform)):
        change = _UserPipeline(augment, has_fixed_size=canvas_hw is not None)
    elif callable(augment):
        change = ForeignTransform(augment, has_fixed_size=canvas_hw is not None)
    else:
        raise ConfigError(
            f"augment={augment!r} is neither a name ({', '.join(PRESETS)}) nor a transform such as "
            "albumentations.Compose([...]) or a function (image, mask) -> (image, mask)."
        )
    return Augmentation(seed=seed, canvas_hw=canvas_hw, lattice=lattice, change=change)


class _Change(Protocol):
    """A random change whose chance comes from a generator made for this one image."""

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair: ...


class _Pipeline:
    """An albumentations pipeline, seeded anew for every image."""

    def __init__(self, compose: A.BaseCompose) -> None:
        self._compose = compose

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair:
        # set_random_seed would give every transform a generator of its own with the same seed, and all transforms of
        # equal probability would then happen together or not at all; sharing one keeps them independent
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        if mask.ndim == 2:
            result = self._compose(image=image, mask=mask)
            return result["image"], result["mask"]
        # one mask per class: as channels of one mask, all but the first would be filled with 0 (see `_WARP_FILL`)
        result = self._compose(image=image, masks=np.ascontiguousarray(np.moveaxis(mask, 2, 0)))
        return result["image"], np.ascontiguousarray(np.moveaxis(result["masks"], 0, 2))


class _UserPipeline:
    """The user's own albumentations pipeline: a copy, for seeding changes it; and the result is checked."""

    def __init__(self, transform: A.BaseCompose | A.BasicTransform, *, has_fixed_size: bool) -> None:
        own = copy.deepcopy(transform)
        self._pipeline = _Pipeline(own if isinstance(own, A.Compose) else A.Compose([own]))
        self._name = type(transform).__name__
        self._has_fixed_size = has_fixed_size

    def __call__(self, image: ImageArray, mask: MaskArray, generator: np.random.Generator) -> Pair:
        result = self._pipeline(image, mask, generator)
        return checked_pair(result, image, mask, name=self._name, has_fixed_size=self._has_fixed_size)


def _compiled(preset: Preset, *, in_channels: int) -> A.Compose:
    steps = [step for step in preset.steps if in_channels == 3 or step.kind not in _NEEDS_RGB]
    transforms = [_STEPS[step.kind](step.probability, step.strength) for step in steps]
    return A.Compose(transforms, is_check_shapes=False)
