"""Which values a dataset's masks hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.io.images import RawMask, read_mask
from easyseg.structures import Color, Sample

MaskSource: TypeAlias = Path | npt.NDArray[Any]
ItemT = TypeVar("ItemT")

MOST_MASKS = 500
"""So many masks are looked at; of larger datasets, evenly spread ones."""


@dataclass(frozen=True, slots=True)
class MaskValues:
    """The values in one mask.

    Attributes:
        kind: how the mask is stored.
        counts: pixels of each value; of a colour mask, of each colour as 0xRRGGBB.
        palette: of a palette mask, the colour of each value.
        source: the mask's file or array.
        border: like `counts`, of the pixels at the edges of the mask.
        is_lossy: the file is a JPEG, and its values were brought to 0 and 255.
    """

    kind: Literal["grey", "palette", "rgb"]
    counts: dict[int, int]
    palette: tuple[Color, ...] | None
    source: MaskSource
    border: dict[int, int]
    is_lossy: bool = False

    @property
    def path(self) -> Path | None:
        """The mask's file, None for an array."""
        return self.source if isinstance(self.source, Path) else None


@dataclass(frozen=True, slots=True)
class Scan:
    """The values in a dataset's masks.

    Attributes:
        files: one entry per mask that was looked at.
        total: how many masks there are.
        problems: what is wrong with masks that cannot be read; they are missing in `files`.
    """

    files: tuple[MaskValues, ...]
    total: int
    problems: tuple[SampleError, ...] = ()

    @property
    def is_color(self) -> bool:
        """Whether classes can only be told by colour: RGB masks, or palettes that differ from file to file."""
        return any(file.kind == "rgb" for file in self.files) or self._palettes_differ()

    @property
    def palette(self) -> dict[int, Color]:
        """The palette's colour of each value that occurs; empty where there is no common palette."""
        colors: dict[int, Color] = {}
        for file in self.files:
            if file.palette is not None:
                colors |= {value: file.palette[value] for value in file.counts if value < len(file.palette)}
        return {} if self._palettes_differ() else colors

    def value_counts(self) -> Counter[int]:
        """Return how many pixels have each grey or palette value."""
        total: Counter[int] = Counter()
        for file in self.files:
            total.update(file.counts)
        return total

    def color_counts(self, *, border: bool = False) -> Counter[Color]:
        """Return how many pixels have each colour, as one sees it; with `border`, of those at the masks' edges."""
        total: Counter[Color] = Counter()
        for file in self.files:
            for value, count in (file.border if border else file.counts).items():
                total[_color(file, value)] += count
        return total

    def _palettes_differ(self) -> bool:
        colors: dict[int, Color] = {}
        for file in self.files:
            if file.palette is None:
                continue
            for value in file.counts:
                if colors.setdefault(value, _color(file, value)) != _color(file, value):
                    return True
        return False


def load_mask(source: MaskSource) -> RawMask:
    """Return a mask from its file, or from an array in memory.

    Args:
        source: a file; or an (H, W), (H, W, 1) array of whole numbers of any type, or (H, W, 3) uint8 RGB colours.

    Raises:
        SampleError: the file or array cannot be a mask.
    """
    if isinstance(source, Path):
        return read_mask(source)
    array = np.asarray(source)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        return RawMask(array, "rgb")
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "buif":
        raise SampleError(
            "mask array",
            f"it has shape {array.shape} and type {array.dtype}; "
            "expected (H, W) whole numbers or (H, W, 3) uint8 colours.",
        )
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise SampleError("mask array", "it holds fractions; class ids are whole numbers. Round it or use a threshold.")
    if array.dtype not in (np.uint8, np.uint16):
        fits_a_byte = array.min() >= 0 and array.max() <= 255
        array = array.astype(np.uint8 if fits_a_byte else np.int32)
    return RawMask(array, "grey")


def scan_masks(samples: Sequence[Sample], *, most: int | None = None) -> Scan:
    """Count the values in the masks of `samples`, or of `most` (None: `MOST_MASKS`) evenly spread ones."""
    sources = [source for sample in samples for source in mask_sources(sample)]
    found = map_in_threads(_values_or_problem, evenly_spread(sources, most or MOST_MASKS))
    files = tuple(entry for entry in found if isinstance(entry, MaskValues))
    return Scan(files, len(sources), tuple(entry for entry in found if isinstance(entry, SampleError)))


def evenly_spread(items: Sequence[ItemT], most: int) -> list[ItemT]:
    """Return all items, or of a longer sequence `most` of them at even distances."""
    step = max(1.0, len(items) / most)
    return [items[int(at * step)] for at in range(min(len(items), most))]


def mask_sources(sample: Sample) -> tuple[MaskSource, ...]:
    """Return the mask or masks of a sample, none where it is not annotated."""
    if sample.mask is None:
        return ()
    return sample.mask if isinstance(sample.mask, tuple) else (sample.mask,)


def _values_or_problem(source: MaskSource) -> MaskValues | SampleError:
    try:
        return _values_of(source)
    except SampleError as error:
        return error


def _values_of(source: MaskSource) -> MaskValues:
    mask = load_mask(source)
    values = mask.values
    if mask.kind == "rgb":
        wide = values.astype(np.int32)
        values = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    edges = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    return MaskValues(mask.kind, _counted(values), mask.palette, source, _counted(edges), mask.is_lossy)


def _counted(values: npt.NDArray[Any]) -> dict[int, int]:
    if values.dtype == np.uint8:
        pixels = np.bincount(values.reshape(-1), minlength=256)
        found = np.flatnonzero(pixels)
        return dict(zip(found.tolist(), pixels[found].tolist(), strict=True))
    found, pixels = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _color(file: MaskValues, value: int) -> Color:
    if file.kind == "rgb":
        return (value >> 16, (value >> 8) & 255, value & 255)
    if file.palette is not None:
        return file.palette[value] if value < len(file.palette) else (0, 0, 0)
    return (value, value, value)
