"""Annotated images, and long sequences of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.pictures import brightness_of, ids_of, is_picture, upright
from easyseg.structures.kinds import SPLITS, ImageArray, SizeHW, Split
from easyseg.structures.objects import ConnectedRegions, LabelledObject, NumberedObjects


@dataclass(frozen=True, slots=True)
class EmbeddedImage:
    """An image that lies inside a JSON file, as the base64 text of one of its fields.

    Attributes:
        path: the JSON file.
        field: the field's name.
    """

    path: Path
    field: str = "imageData"

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class ImageWindow:
    """A rectangle of a large raster file, read without the rest of it.

    Attributes:
        path: the raster file, such as a GeoTIFF.
        left: the first column.
        top: the first row.
        size_hw: rows and columns, all inside the raster.
    """

    path: Path
    left: int
    top: int
    size_hw: SizeHW

    @property
    def name(self) -> str:
        """The file's name and the window's corner."""
        return f"{self.path.name}@{self.left},{self.top}"


ImageSource: TypeAlias = Path | EmbeddedImage | ImageWindow | ImageArray


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One annotated image. Files are named here and read later.

    Paths may be given as strings, pixels as PIL images too, and one mask per class as a list; they become what is
    listed here, and anything else is a `DataError`.

    Attributes:
        image: an image file, an image within another file, or an (H, W), (H, W, C) array, RGB order.
        mask: a mask file or an (H, W) integer or (H, W, 3) RGB array, in the files' own values, which the
            dataset's `ClassMap` translates; one file or array per class for the multilabel task; None where there
            is no annotation (prediction only), or where it consists of objects.
        objects: the objects in the image, in the order they are drawn: later ones cover earlier ones. Empty where it
            was looked at and nothing found, None where nobody looked.
        size_hw: the image's height and width where the annotation states them; another size of the image is an error.
        split: the split the files' own layout puts it in, None where they say nothing.
        source_format: the dataset format it was read from.
        label: its name in messages and reports, where the file's name would not tell.
    """

    image: ImageSource
    mask: Path | npt.NDArray[Any] | tuple[Path | npt.NDArray[Any], ...] | None = None
    split: Split | None = None
    source_format: str = "memory"
    label: str | None = None
    objects: tuple[LabelledObject, ...] | NumberedObjects | ConnectedRegions | None = None
    size_hw: SizeHW | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, (EmbeddedImage, ImageWindow)):
            object.__setattr__(self, "image", _path_or_array(self.image, "image"))
        masks = self.mask
        if isinstance(masks, (list, tuple)):
            object.__setattr__(self, "mask", tuple(_path_or_array(mask, "mask") for mask in masks))
        elif masks is not None:
            object.__setattr__(self, "mask", _path_or_array(masks, "mask"))
        if isinstance(self.objects, list):
            object.__setattr__(self, "objects", tuple(self.objects))

    @property
    def name(self) -> str:
        """The name used in messages and reports: the label where given, else the image file's name."""
        if self.label is not None:
            return self.label
        return "array" if isinstance(self.image, np.ndarray) else self.image.name

    @property
    def image_path(self) -> Path | None:
        """The file that the image is, or lies in; None for an array."""
        image = self.image
        return None if isinstance(image, np.ndarray) else image if isinstance(image, Path) else image.path

    @property
    def is_annotated(self) -> bool:
        """Whether it can be trained and measured on."""
        return self.mask is not None or self.objects is not None


@dataclass(frozen=True, slots=True)
class SkippedSample:
    """A sample that was left out because it cannot be used.

    Attributes:
        path: the file at fault.
        problem: what is wrong with it.
    """

    path: str
    problem: str


class LazySamples(Sequence[Sample]):
    """Samples that are built when they are asked for, for datasets of millions.

    All of them are annotated. Selecting and splitting touch numbers only.

    Args:
        build: returns the sample of a number 0..count-1, without its split.
        splits: (count,) uint8, each sample's split as a place in `SPLITS`, 255 where it has none.
        indices: the samples' numbers, in their order; None: all of them.
    """

    def __init__(
        self,
        build: Callable[[int], Sample],
        splits: npt.NDArray[np.uint8],
        indices: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._build = build
        self._splits = splits
        self._indices = np.arange(len(splits), dtype=np.int64) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> LazySamples: ...

    def __getitem__(self, index: int | slice) -> Sample | LazySamples:
        if isinstance(index, slice):
            return LazySamples(self._build, self._splits, self._indices[index])
        number = int(self._indices[index])
        at = int(self._splits[number])
        return replace(self._build(number), split=SPLITS[at] if at < len(SPLITS) else None)

    def __iter__(self) -> Iterator[Sample]:
        return (self[at] for at in range(len(self)))

    def splits(self) -> list[Split | None]:
        """Return each sample's split."""
        names = (*SPLITS, None)
        return [names[min(at, len(SPLITS))] for at in self._splits[self._indices].tolist()]

    def chosen(self, places: Sequence[int]) -> LazySamples:
        """Return the samples at these places."""
        return LazySamples(self._build, self._splits, self._indices[np.asarray(places, np.int64)])

    def with_splits(self, splits: Sequence[Split | None]) -> LazySamples:
        """Return the same samples, each with a split of its own."""
        changed = self._splits.copy()
        changed[self._indices] = [SPLITS.index(split) if split else 255 for split in splits]
        return LazySamples(self._build, changed, self._indices)


def _path_or_array(value: Any, role: Literal["image", "mask"]) -> Path | npt.NDArray[Any]:
    """Return what a sample holds for a path, an array or a picture."""
    if isinstance(value, (np.ndarray, Path)):  # a path made of a path is parsed once more, a million times over
        return value
    if isinstance(value, (str, os.PathLike)):
        return Path(value)
    if is_picture(value):
        return brightness_of(upright(value)) if role == "image" else ids_of(upright(value))
    raise DataError(
        f"The {role} of a Sample is a {type(value).__name__}; expected a file's path, a numpy array or a PIL image. Of "
        f"a tensor, give {'tensor.permute(1, 2, 0).numpy()' if role == 'image' else 'tensor.numpy()'}."
    )
