"""What the checks look at, and how a check is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.config import CheckSettings
from easyseg.data.check.class_pixels import ClassPixels
from easyseg.data.check.digest import ImageDigest, MaskDigest
from easyseg.data.check.sources import DrawnMask, MaskSource
from easyseg.results.checkup import Case, Finding
from easyseg.structures import SPLITS, ClassMap, Sample

_GROUNDS = frozenset(["background", "bg", "black"])
_UNNAMED_GROUND = "class_0"
"""What masks without names have as 0 is mostly the background; of objects, it is the first class."""

Rows: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A dataset as the one pass over its files left it.

    Attributes:
        samples: the images with their masks, N.
        root: the dataset's folder, None for data from memory.
        class_map: what the masks' values mean, of drawn masks the class ids; None where that could not be found out.
        has_names: the classes are named by the user or a file, not after their values.
        settings: of the checkup.
        images: a row for each sample.
        masks: a row for each mask; a sample may have none, one, or one for each class.
        mask_sources: where each mask is read from.
        mask_samples: (M,) the sample of each mask, ascending.
        mask_planes: (M,) the number of each mask among those of its sample.
        pixels: how many pixels of each mask are of which class; None without a class map.
        splits: (N,) the number of each sample's split in `SPLITS`; -1 where it has none.
        without_sample: images that annotations name but no sample is made of.
    """

    samples: Sequence[Sample]
    root: Path | None
    class_map: ClassMap | None
    has_names: bool
    settings: CheckSettings
    images: ImageDigest
    masks: MaskDigest
    mask_sources: Sequence[MaskSource]
    mask_samples: Rows
    mask_planes: Rows
    pixels: ClassPixels | None
    splits: npt.NDArray[np.int8]
    without_sample: frozenset[Path] = frozenset()

    @property
    def readable_images(self) -> npt.NDArray[np.bool_]:
        """Which images can be read, (N,)."""
        return np.asarray(self.images.orientation > 0)

    @property
    def readable_masks(self) -> npt.NDArray[np.bool_]:
        """Which masks can be read, (M,)."""
        return np.asarray(self.masks.orientation > 0)

    def masks_of(self, sample: int) -> Sequence[MaskSource]:
        """Return where the masks of an image are read from."""
        first, last = np.searchsorted(self.mask_samples, [sample, sample + 1])
        return self.mask_sources[first:last]

    @property
    def is_drawn(self) -> bool:
        """Whether the masks are drawn from objects."""
        return any(isinstance(source, DrawnMask) for source in self.mask_sources[:1])

    def name(self, source: object, sample: int) -> str:
        """Return how a report calls an image or mask: by its path below the dataset's folder."""
        if not isinstance(source, Path):
            return self.samples[sample].name
        if self.root is not None and source.is_relative_to(self.root):
            return source.relative_to(self.root).as_posix()
        return str(source)

    def image_name(self, sample: int) -> str:
        """Return what an image is called."""
        return self.name(self.samples[sample].image, sample)

    def image_case(self, sample: int, detail: str = "") -> Case:
        """Return the case of an image."""
        return Case(self.image_name(sample), detail, (int(sample),))

    def mask_case(self, row: int, detail: str = "") -> Case:
        """Return the case of a mask."""
        sample = int(self.mask_samples[row])
        return Case(self.name(self.mask_sources[row], sample), detail, (sample,))

    def mask_cases(self, rows: Iterable[int], detail: str = "") -> list[Case]:
        """Return the cases of masks that all have the same to say."""
        return [self.mask_case(int(row), detail) for row in rows]


def split_numbers(samples: Sequence[Sample]) -> npt.NDArray[np.int8]:
    """Return the number of each sample's split in `SPLITS`, (N,); -1 where it has none."""
    number: dict[str | None, int] = {None: -1, **{name: at for at, name in enumerate(SPLITS)}}
    return np.array([number[sample.split] for sample in samples], np.int8)


Check: TypeAlias = Callable[[Survey], Iterator[Finding]]

CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order in which they run."""


def is_ground(name: str, *, is_drawn: bool = False) -> bool:
    """Tell whether a class is what is around the things that are meant.

    Args:
        name: the class.
        is_drawn: the masks are drawn from objects, which have names of their own.
    """
    return name.lower() in _GROUNDS or (name == _UNNAMED_GROUND and not is_drawn)


def check(name: str) -> Callable[[Check], Check]:
    """Register a check: a function that looks at a survey and yields what it finds."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register
