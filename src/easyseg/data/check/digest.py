"""Few numbers that stand for very many files, in columns: what one pass over a dataset keeps in memory."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.check.perceptual_hash import CUTS, Coefficients, coefficients_of, small_picture
from easyseg.data.check.sources import MaskSource, read_any_mask, read_any_numbers
from easyseg.errors import SampleError
from easyseg.io.images import RawMask
from easyseg.io.inspection import ImageFacts, MaskFacts, facts_of, inspect_image, inspect_mask, is_cut_off
from easyseg.structures import Color, ImageSource

MOST_VALUES = 512
"""So many different values of a mask are kept, the most frequent ones; more are no classes."""

KINDS = ("grey", "palette", "rgb")
"""How masks are stored; columns hold the index."""

NUMBERS = ("bytes", "integers", "floats")
"""What images hold; columns hold the index."""

_FLOATS_COUNT_TO = 2**24
"""Beyond it, float32 does not hold every whole number."""

Numbers: TypeAlias = npt.NDArray[Any]

_BY_VALUE = ("rows", "values", "counts", "border")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a file cannot be used.

    Attributes:
        row: its row in the digest.
        problem: in words, without the path.
        is_cut_off: it lacks its end.
    """

    row: int
    problem: str
    is_cut_off: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ImageDigest:
    """N images, a row each; a row of zeros where the file cannot be read.

    Attributes:
        size_hw: (N, 2) int32 height and width, upright.
        orientation: (N,) uint8 EXIF orientation, 1..8, 0 where unreadable.
        numbers: (N,) uint8, the kind of its numbers as an index into `NUMBERS`.
        highest: (N,) float32 highest value of images whose numbers are no bytes.
        span: (N, 2) uint8 lowest and highest brightness.
        sha256: (N, 32) uint8.
        coefficients: (N, cuts, 8, 8) float16, see `perceptual_hash`.
        troubles: what is wrong with those that cannot be read.
    """

    size_hw: Numbers
    orientation: Numbers
    numbers: Numbers
    highest: Numbers
    span: Numbers
    sha256: Numbers
    coefficients: Coefficients
    troubles: tuple[Trouble, ...] = ()

    def __len__(self) -> int:
        return len(self.size_hw)


@dataclass(frozen=True, slots=True, eq=False)
class MaskDigest:
    """M masks, a row each; a row of zeros where the file cannot be read.

    Attributes:
        size_hw: (M, 2) int32, upright.
        orientation: (M,) uint8, 0 where unreadable.
        kind: (M,) uint8 index into `KINDS`.
        is_lossy: (M,) bool, a JPEG file.
        num_values: (M,) int32, how many different values the mask holds.
        rows: (V,) int32 for each value of each mask, the mask's row, ascending.
        values: (V,) int32 the values; colours as 0xRRGGBB.
        counts: (V,) int64 pixels of each.
        border: (V,) int64 pixels of each at the masks' edges; known for colours and palettes only.
        palettes: the palette of each mask that has one, by row.
        troubles: what is wrong with those that cannot be read.
    """

    size_hw: Numbers
    orientation: Numbers
    kind: Numbers
    is_lossy: Numbers
    num_values: Numbers
    rows: Numbers
    values: Numbers
    counts: Numbers
    border: Numbers
    palettes: dict[int, tuple[Color, ...]] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()

    def __len__(self) -> int:
        return len(self.size_hw)


def digest_images(sources: Sequence[str | ImageSource]) -> ImageDigest:
    """Read images, wherever they lie, and return their digest; arrays are (H, W) or (H, W, C)."""
    count = len(sources)
    digest = ImageDigest(
        size_hw=np.zeros((count, 2), np.int32),
        orientation=np.zeros(count, np.uint8),
        numbers=np.zeros(count, np.uint8),
        highest=np.zeros(count, np.float32),
        span=np.zeros((count, 2), np.uint8),
        sha256=np.zeros((count, 32), np.uint8),
        coefficients=np.zeros((count, len(CUTS), 8, 8), np.float16),
    )
    pictures, readable, troubles = [], [], []
    for row, source in enumerate(sources):
        try:
            facts = _image_facts(source)
        except SampleError as error:
            troubles.append(_trouble(row, source, error))
            continue
        digest.size_hw[row] = facts.size_hw
        digest.orientation[row], digest.highest[row] = facts.orientation, facts.highest
        digest.numbers[row] = NUMBERS.index(facts.numbers)
        digest.span[row] = cv2.minMaxLoc(facts.grey)[:2]
        digest.sha256[row] = np.frombuffer(facts.sha256, np.uint8)
        pictures.append(small_picture(facts.grey))
        readable.append(row)
    digest.coefficients[readable] = coefficients_of(pictures)
    return replace(digest, troubles=tuple(troubles))


def digest_masks(sources: Sequence[str | MaskSource]) -> MaskDigest:
    """Read masks, files or arrays or drawn ones, and return their digest."""
    count = len(sources)
    size_hw, orientation = np.zeros((count, 2), np.int32), np.zeros(count, np.uint8)
    kind, is_lossy = np.zeros(count, np.uint8), np.zeros(count, bool)
    num_values = np.zeros(count, np.int32)
    found, palettes, troubles = [], {}, []
    of_bytes: dict[int, Numbers] = {}
    for row, source in enumerate(sources):
        try:
            facts = _mask_facts(source)
        except SampleError as error:
            troubles.append(_trouble(row, source, error))
            continue
        mask = facts.mask
        size_hw[row], orientation[row] = mask.values.shape[:2], facts.orientation
        kind[row], is_lossy[row] = KINDS.index(mask.kind), mask.is_lossy
        if mask.values.dtype == np.uint8 and mask.kind == "grey":  # by far the most
            of_bytes[row] = _byte_counts(mask.values)
            continue
        values, counts, border = _values_of(mask)
        num_values[row] = len(values)
        found.append((np.full(min(len(values), MOST_VALUES), row, np.int32), *_most_frequent(values, counts, border)))
        if mask.palette is not None:
            palettes[row] = mask.palette
    found.append(_values_of_bytes(of_bytes))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    by_value = {name: column[order] for name, column in zip(_BY_VALUE, columns, strict=True)}
    num_values += np.bincount(found[-1][0], minlength=count).astype(np.int32)
    return MaskDigest(
        size_hw, orientation, kind, is_lossy, num_values, **by_value, palettes=palettes, troubles=tuple(troubles)
    )


def to_bytes(images: ImageDigest, masks: MaskDigest) -> bytes:
    """Return two digests as bytes that travel between processes; `from_bytes` reads them."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    extra = {
        "palettes": list(masks.palettes.items()),
        "troubles": [[(t.row, t.problem, t.is_cut_off) for t in part.troubles] for part in (images, masks)],
    }
    for prefix, part in (("image", images), ("mask", masks)):
        for name in _array_names(part):
            arrays[f"{prefix}_{name}"] = getattr(part, name)
    np.savez(buffer, extra=np.frombuffer(json.dumps(extra).encode(), np.uint8), **arrays)
    return buffer.getvalue()


def from_bytes(data: bytes) -> tuple[ImageDigest, MaskDigest]:
    """Read what `to_bytes` wrote."""
    with np.load(io.BytesIO(data)) as arrays:
        extra = json.loads(arrays["extra"].tobytes())
        of_images, of_masks = (tuple(Trouble(*trouble) for trouble in part) for part in extra["troubles"])
        palettes = {int(row): tuple(tuple(color) for color in palette) for row, palette in extra["palettes"]}
        images = {name: arrays[f"image_{name}"] for name in _array_names(ImageDigest)}
        masks = {name: arrays[f"mask_{name}"] for name in _array_names(MaskDigest)}
    return ImageDigest(**images, troubles=of_images), MaskDigest(**masks, palettes=palettes, troubles=of_masks)


def join_images(parts: Sequence[ImageDigest]) -> ImageDigest:
    """Put digests one below the other."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _array_names(ImageDigest)}
    return ImageDigest(**columns, troubles=_shifted_troubles(parts))


def join_masks(parts: Sequence[MaskDigest]) -> MaskDigest:
    """Put digests one below the other."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _array_names(MaskDigest)}
    starts = _starts(parts)
    columns["rows"] = np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=True)])
    palettes = {
        row + start: palette
        for part, start in zip(parts, starts, strict=True)
        for row, palette in part.palettes.items()
    }
    return MaskDigest(**columns, palettes=palettes, troubles=_shifted_troubles(parts))


def _image_facts(source: str | ImageSource) -> ImageFacts:
    if isinstance(source, (str, Path)):
        return inspect_image(source)
    values = read_any_numbers(source)
    return facts_of(values, hashlib.sha256(np.ascontiguousarray(values).data).digest())


def _mask_facts(source: str | MaskSource) -> MaskFacts:
    return inspect_mask(source) if isinstance(source, (str, Path)) else MaskFacts(read_any_mask(source), 1)


def _trouble(row: int, source: object, error: SampleError) -> Trouble:
    return Trouble(row, error.problem, isinstance(source, (str, Path)) and is_cut_off(source))


def _values_of(mask: RawMask) -> tuple[Numbers, Numbers, Numbers]:
    """Return the values of a mask, ascending, with their pixels in all and at its edges."""
    values = mask.values
    if mask.kind == "rgb":
        wide = values.astype(np.int32)
        values = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    found, pixels = np.unique(values, return_counts=True)
    edges = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    at_edges, edge_pixels = np.unique(edges, return_counts=True)
    border = np.zeros(len(found), np.int64)
    border[np.searchsorted(found, at_edges)] = edge_pixels
    return found, pixels, border


def _byte_counts(values: Numbers) -> Numbers:
    """Return how many pixels of (H, W) uint8 have which value, (256,) float32 or int64, exact."""
    if values.size >= _FLOATS_COUNT_TO:
        return np.bincount(values.reshape(-1), minlength=256)
    counts = cv2.calcHist([values], [0], None, [256], [0, 256])
    return np.asarray(counts).reshape(-1)


def _values_of_bytes(counts: Mapping[int, Numbers]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return what `_values_of` tells of masks of bytes, all at once, with their rows; their edges need not be known.

    Args:
        counts: by row, how many pixels have which value, (256,).
    """
    stacked = np.stack(list(counts.values())) if counts else np.zeros((0, 256))
    at, values = stacked.nonzero()
    pixels = stacked[at, values].astype(np.int64)
    return np.array(list(counts), np.int32)[at], values.astype(np.int32), pixels, np.zeros(len(at), np.int64)


def _most_frequent(values: Numbers, counts: Numbers, border: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    if len(values) > MOST_VALUES:
        chosen = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
        values, counts, border = values[chosen], counts[chosen], border[chosen]
    return values.astype(np.int32), counts, border


def _array_names(part: ImageDigest | MaskDigest | type) -> list[str]:
    return [column.name for column in fields(part) if column.name not in ("troubles", "palettes")]


def _starts(parts: Sequence[ImageDigest | MaskDigest]) -> list[int]:
    return [0, *np.cumsum([len(part) for part in parts]).tolist()][: len(parts)]


def _shifted_troubles(parts: Sequence[ImageDigest | MaskDigest]) -> tuple[Trouble, ...]:
    return tuple(
        replace(trouble, row=trouble.row + start)
        for part, start in zip(parts, _starts(parts), strict=True)
        for trouble in part.troubles
    )
