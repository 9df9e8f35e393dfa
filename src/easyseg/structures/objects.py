"""Objects in an image, as annotation files describe them, and as arrays.

Coordinates are pixels, x to the right and y down, and count pixel edges, as in `easyseg.geometry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.structures.kinds import SizeHW

if TYPE_CHECKING:
    from easyseg.geometry import RunLengths

Points: TypeAlias = npt.NDArray[np.float64]

UNNAMED = "object"
"""The class of objects in formats that name none."""

SMALLEST_PIXELS = 16
"""Connected regions of fewer pixels are specks, unless one says otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """An object as outlines.

    Attributes:
        parts: the regions it consists of, united. Each is an outline and the holes in it: (K, 2) float64 pixel x, y,
            the first point not repeated. They may reach beyond the image, and cross themselves.
        rule: which pixels are inside: "centres", those whose centre is; "coco", those that COCO's reference draws.
        is_relative: coordinates are shares of the image's width and height, not pixels.
    """

    parts: tuple[tuple[Points, ...], ...]
    rule: Literal["centres", "coco"] = "centres"
    is_relative: bool = False


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file in a zip archive, which is read where it lies.

    Attributes:
        archive: the zip archive.
        name: the file's name in it, without folders.
        start: where its header begins in the archive, in bytes.
        packed_bytes: how long it is in the archive.
        num_bytes: how long it is unpacked.
        checksum: CRC-32 of its unpacked bytes.
    """

    archive: Path
    name: str
    start: int
    packed_bytes: int
    num_bytes: int
    checksum: int

    @property
    def path(self) -> Path:
        """What messages call it: archive and name."""
        return self.archive / self.name


@dataclass(frozen=True, slots=True, eq=False)
class MaskPart:
    """An object as a mask, or as one of the values in a mask.

    Attributes:
        mask: a mask file, also in a zip archive; the bytes of one, such as a PNG inside an annotation file; or an
            (H, W) array.
        value: the object is where the mask has this value; None: where it is brighter than half of its brightest
            pixel, that is 1 in a mask of 0 and 1, and 128 or more in one of 0 to 255.
        offset_xy: where the mask's upper left corner lies in the image, for a mask of a part of it; None: the mask
            covers the whole image.
        is_packed: with bytes, they are a zlib stream of the file.
        is_scaled: the mask covers the whole image at another resolution, and is brought to its size; the sides may be
            off by some pixels of rounding, but not of another shape.
    """

    mask: Path | ArchivedFile | bytes | npt.NDArray[Any]
    value: int | None = None
    offset_xy: tuple[int, int] | None = None
    is_scaled: bool = False
    is_packed: bool = False


@dataclass(frozen=True, slots=True)
class BoxShape:
    """An object of which only the box is known, in pixels; x1 < x2 and y1 < y2 where it covers anything.

    Attributes:
        x1: its left side.
        y1: its upper side.
        x2: its right side.
        y2: its lower side.
        is_relative: the sides are shares of the image's width and height.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    is_relative: bool = False

    def sides(self, size_hw: SizeHW) -> tuple[float, float, float, float]:
        """Return x1, y1, x2, y2 in pixels of an image of this height and width."""
        height, width = size_hw if self.is_relative else (1.0, 1.0)
        return self.x1 * width, self.y1 * height, self.x2 * width, self.y2 * height

    def reaches_beyond(self, size_hw: SizeHW, *, margin: float) -> bool:
        """Return whether a side lies more than `margin` pixels outside of an image of this height and width.

        Of relative sides and the size (1, 1), the margin is a share of the image.
        """
        x1, y1, x2, y2 = self.sides(size_hw)
        return min(x1, y1) < -margin or x2 > size_hw[1] + margin or y2 > size_hw[0] + margin


Shape: TypeAlias = "Polygons | RunLengths | MaskPart | BoxShape"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledObject:
    """One object in an image.

    Attributes:
        class_name: what it is, in the words of its file; the dataset's `ClassMap` makes an id of it.
        shape: where it is; drawn when it is asked for.
        is_crowd: a region of objects that were not told apart. It does not count in a mask of classes.
        is_stuff: ground such as road or sky, which has no single objects. It counts in a mask of classes only.
    """

    class_name: str
    shape: Shape
    is_crowd: bool = False
    is_stuff: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class NumberedObjects:
    """All objects of an image in one mask, in which each has a number.

    Attributes:
        mask: the mask file, or (H, W) whole numbers; 0 is no object.
        class_name: the class of all of them; None: each has the class that most of its pixels have in the sample's
            mask.
        class_names: with `numbers_per_class`, the name of each class value. Objects of other values are none.
        numbers_per_class: where numbers hold the class, as in 26003 for the third object of class 26, this is 1000;
            smaller numbers are classes whose objects were not told apart. 0: numbers hold no class.
        void: numbers that are no objects either.
    """

    mask: Path | npt.NDArray[Any]
    class_name: str | None = UNNAMED
    class_names: Mapping[int, str] = field(default_factory=dict)
    numbers_per_class: int = 0
    void: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectedRegions:
    """The objects of an image whose mask of classes tells no objects apart: each connected region of a class.

    Pixels are connected that touch at a side or a corner.

    Attributes:
        smallest_pixels: regions of fewer pixels are specks, and no objects.
    """

    smallest_pixels: int = SMALLEST_PIXELS


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The objects of an image as arrays, N of them; each covers at least one pixel.

    Attributes:
        masks: (N, H, W) bool.
        boxes: (N, 4) float32, x1, y1, x2, y2 in pixels with 0 <= x1 < x2 <= W and 0 <= y1 < y2 <= H, around the masks.
        class_ids: (N,) int64, places in the dataset's `object_classes`, which has no background.
        is_crowd: (N,) bool, regions of objects that were not told apart.
    """

    masks: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    is_crowd: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.masks)
        shapes = (self.masks.ndim, self.boxes.shape, self.class_ids.shape, self.is_crowd.shape)
        if shapes != (3, (count, 4), (count,), (count,)):
            raise DataError(
                f"Instances of shapes {self.masks.shape}, {self.boxes.shape}, {self.class_ids.shape} and "
                f"{self.is_crowd.shape} do not belong together; expected (N, H, W), (N, 4), (N,) and (N,)."
            )

    def __len__(self) -> int:
        return len(self.masks)
