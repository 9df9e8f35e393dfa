"""Masks as run lengths, in COCO's order and in both of COCO's spellings.

The pixels of a mask are counted down its first column, then down the second, and so on; the runs say in turn how many
are false, true, false ... A file's run lengths are not trusted: whatever they claim, reading them takes memory in
proportion to the mask's pixels at the most, and those are at most `MAX_PIXELS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError
from easyseg.geometry.polygons import BoolMask, Box
from easyseg.structures import MAX_PIXELS, SizeHW

Counts = npt.NDArray[np.int32]

_FIRST_CHARACTER = 48
_LAST_CHARACTER = 111
_BITS = 5  # of a number in each character; the sixth says whether more follow
_MOST_CHARACTERS = 6  # the difference of two runs of at most MAX_PIXELS fits into 30 bits with its sign
_NEXT = "Export the annotation again; its size is [height, width]."


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """A mask as the lengths of its runs, column by column. Equal masks have equal run lengths.

    A list of whole numbers, which is COCO's uncompressed form, is taken as well, and runs of no pixels are joined
    away.

    Attributes:
        counts: (R,) int32, read-only, 1 <= R <= H * W + 1: pixels that are false, true, false ... in turn; only the
            first may be 0.
        size_hw: height and width of the mask in pixels.

    Raises:
        DataError: a size that no picture has, counts that are no whole numbers, are negative, more than a mask of
            this size can have, or do not add up to its pixels.
    """

    counts: Counts
    size_hw: SizeHW

    def __post_init__(self) -> None:
        size_hw = checked_size(self.size_hw)
        given = _checked_counts(self.counts, size_hw)
        counts = given.astype(np.int32) if given[1:].all() else _between(np.cumsum(given)[:-1], size_hw)
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "size_hw", size_hw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunLengths):
            return NotImplemented
        return self.size_hw == other.size_hw and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.size_hw, self.counts.tobytes()))

    @classmethod
    def from_mask(cls, mask: npt.NDArray[np.generic]) -> RunLengths:
        """Return the run lengths of an (H, W) mask, true (or not 0) inside."""
        if mask.ndim != 2:
            raise DataError(f"A mask of shape {mask.shape} has no run lengths; give (H, W).")
        inside = np.asarray(mask, bool)
        rows = np.flatnonzero(inside.any(axis=1))
        if not rows.size:
            return cls.from_flips(rows, inside.shape)
        # most objects are small, so only the box around them is turned into columns
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(inside[top:bottom].any(axis=0))
        left, right = int(columns[0]), int(columns[-1]) + 1
        return cls.from_patch(inside[top:bottom, left:right], (left, top), inside.shape)

    @classmethod
    def from_patch(cls, patch: npt.NDArray[np.generic], corner_xy: tuple[int, int], size_hw: SizeHW) -> RunLengths:
        """Return the run lengths of a mask that is known within a box, and false elsewhere.

        Args:
            patch: (h, w), true (or not 0) inside.
            corner_xy: the column and row of the mask where the patch begins.
            size_hw: height and width of the mask.

        Raises:
            DataError: the patch reaches beyond the mask.
        """
        size_hw = checked_size(size_hw)
        (height, width), (left, top) = patch.shape, corner_xy
        if min(left, top) < 0 or top + height > size_hw[0] or left + width > size_hw[1]:
            raise DataError(
                f"A patch of {patch.shape} pixels at row {top} and column {left} reaches beyond a mask of {size_hw} "
                "(height, width). Cut it to the mask first."
            )
        if not patch.size:
            return cls.from_flips(np.zeros(0, np.intp), size_hw)
        # a false pixel under each column ends its last run; where the run goes on in the next column, two flips cancel
        pixels = np.zeros(1 + width * (height + 1), bool)
        pixels[1:].reshape(width, height + 1)[:, :-1] = _transposed(np.asarray(patch, bool))
        x, y = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), height + 1)
        return cls.from_flips((left + x) * size_hw[0] + top + y, size_hw)

    @classmethod
    def from_flips(cls, positions: npt.NDArray[np.integer[Any]], size_hw: SizeHW) -> RunLengths:
        """Return the mask that changes between false and true at each position, false before the first.

        Args:
            positions: (K,) whole numbers 0..H * W in any order, x * H + y of a pixel; one that comes twice cancels.
            size_hw: height and width in pixels.
        """
        size_hw = checked_size(size_hw)
        return cls(_between(positions, size_hw), size_hw)

    @classmethod
    def from_compressed(cls, text: str | bytes, size_hw: SizeHW) -> RunLengths:
        """Read COCO's compressed string.

        Each run is written in characters of five bits each, lowest first, from the fourth run on as the difference to
        the run before the last.

        Args:
            text: the string, of characters "0" to "o".
            size_hw: height and width in pixels.

        Raises:
            DataError: also for other characters, a string that is cut off, or numbers larger than any picture.
        """
        size_hw = checked_size(size_hw)
        digits = _digits(text, size_hw)
        ends = np.flatnonzero(digits < 1 << _BITS)
        if not ends.size or ends[-1] != len(digits) - 1:
            raise DataError(f"A compressed run length string of {len(digits)} characters is cut off. {_NEXT}")
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts + 1
        if lengths.max() > _MOST_CHARACTERS:
            raise DataError(f"A compressed run length string holds a number larger than any picture. {_NEXT}")
        counts = np.zeros(len(ends), np.int64)
        for place in range(int(lengths.max())):
            goes_on = np.flatnonzero(lengths > place)
            bits = digits[starts[goes_on] + place] & ((1 << _BITS) - 1)
            counts[goes_on] += bits.astype(np.int64) << (_BITS * place)
        is_negative = (digits[ends] & (1 << (_BITS - 1))) != 0
        counts[is_negative] -= np.int64(1) << (_BITS * lengths[is_negative])
        counts[1::2] = np.cumsum(counts[1::2])
        counts[2::2] = np.cumsum(counts[2::2])
        return cls(counts, size_hw)  # type: ignore[arg-type]  # checked and narrowed there

    @classmethod
    def union(cls, parts: Iterable[RunLengths], size_hw: SizeHW) -> RunLengths:
        """Return the mask that is true where any of the parts is; nowhere, where there is no part.

        Raises:
            DataError: a part has another size.
        """
        parts = list(parts)
        for part in parts:
            if part.size_hw != tuple(size_hw):
                raise DataError(
                    f"Masks of {part.size_hw} and {tuple(size_hw)} pixels (height, width) cannot be united. "
                    "Give masks of one picture."
                )
        if len(parts) == 1:
            return parts[0]
        runs = [part._runs() for part in parts]
        starts = np.concatenate([np.zeros(0, np.intp), *(begin for begin, _ in runs)])
        ends = np.concatenate([np.zeros(0, np.intp), *(end for _, end in runs)])
        places, at = np.unique(np.concatenate([starts, ends]), return_inverse=True)
        steps = np.bincount(at[: len(starts)], minlength=len(places)) - np.bincount(
            at[len(starts) :], minlength=len(places)
        )
        is_inside = np.cumsum(steps) > 0
        was_inside = np.concatenate([[False], is_inside[:-1]])
        return cls.from_flips(places[is_inside != was_inside], size_hw)

    @property
    def area(self) -> int:
        """How many pixels are true."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @property
    def box(self) -> Box | None:
        """The smallest box around the true pixels: x1, y1, x2, y2 in pixels, as of `mask_to_box`; None without any."""
        starts, ends = self._runs()
        if not starts.size:
            return None
        height = self.size_hw[0]
        left, right = starts[0] // height, (ends[-1] - 1) // height
        # a run that goes on in the next column reaches the bottom of its first and the top of its last
        if (starts // height != (ends - 1) // height).any():
            top, bottom = 0, height - 1
        else:
            top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
        return float(left), float(top), float(right + 1), float(bottom + 1)

    def to_mask(self) -> BoolMask:
        """Return the (H, W) bool mask."""
        mask = np.zeros(self.size_hw, bool)
        patch, (left, top) = self.to_patch()
        mask[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
        return mask

    def to_patch(self) -> tuple[BoolMask, tuple[int, int]]:
        """Return the mask within its box.

        Returns:
            (h, w) bool, and the column and row of the mask where it begins; (0, 0) in size and place without any true
            pixel.
        """
        box = self.box
        if box is None:
            return np.zeros((0, 0), bool), (0, 0)
        left, top, right, bottom = (int(side) for side in box)
        height = self.size_hw[0]
        starts, ends = self._runs()
        bounds = np.concatenate([[left * height], np.stack([starts, ends], axis=1).ravel(), [right * height]])
        pixels = np.repeat(np.arange(len(bounds) - 1) % 2 == 1, np.diff(bounds))
        columns = pixels.reshape(right - left, height)[:, top:bottom]
        return _transposed(columns), (left, top)

    def to_compressed(self) -> str:
        """Return COCO's compressed string; `from_compressed` reads it back."""
        numbers = self.counts.astype(np.int64)
        numbers[3:] -= self.counts[1:-2]
        characters = np.zeros((len(numbers), _MOST_CHARACTERS), np.uint8)
        is_open = np.ones(len(numbers), bool)
        for place in range(_MOST_CHARACTERS):
            bits = numbers & ((1 << _BITS) - 1)
            numbers >>= _BITS
            is_last = numbers == np.where(bits & (1 << (_BITS - 1)), -1, 0)
            code = np.where(is_last, bits, bits | (1 << _BITS)) + _FIRST_CHARACTER
            characters[:, place] = np.where(is_open, code, 0)
            is_open &= ~is_last
        return str(characters[characters != 0].tobytes(), "ascii")

    def _runs(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return where each run of true pixels starts and ends (exclusive)."""
        bounds = np.cumsum(self.counts, dtype=np.intp)
        return bounds[:-1:2], bounds[1::2]


def checked_size(size_hw: Any) -> SizeHW:
    """Return a mask's size as two whole numbers, for sizes that come from files.

    Raises:
        DataError: it is no height and width of 1 or more pixels, or has more pixels than `MAX_PIXELS`.
    """
    sides = tuple(itertools.islice(size_hw, 3)) if isinstance(size_hw, (list, tuple)) else ()
    if len(sides) != 2 or not all(_is_whole(side) and side >= 1 for side in sides):
        found = f"[{', '.join(map(_short, sides))}]" if len(sides) == 2 else _short(size_hw)
        raise DataError(f"{found} is no size of a mask; expected [height, width], both whole numbers from 1 on.")
    if sides[0] * sides[1] > MAX_PIXELS:
        raise DataError(
            f"A mask of {_short(sides[0])} x {_short(sides[1])} pixels; at most {MAX_PIXELS:,} are read. "
            "Cut the picture into tiles first."
        )
    return int(sides[0]), int(sides[1])


def _between(positions: npt.NDArray[np.integer[Any]], size_hw: SizeHW) -> Counts:
    """Return the counts between flips, of which those at one place cancel in pairs."""
    pixels = size_hw[0] * size_hw[1]
    places, times = np.unique(positions, return_counts=True)
    places = places[(times % 2 == 1) & (places < pixels)]
    return np.diff(np.concatenate([[0], places, [pixels]])).astype(np.int32)


def _checked_counts(counts: Any, size_hw: SizeHW) -> npt.NDArray[np.int64]:
    """Return counts of any origin as an array that is safe to compute with and fits the size."""
    pixels = size_hw[0] * size_hw[1]
    mask_of = f"a mask of {size_hw[0]} x {size_hw[1]} pixels"
    is_array = isinstance(counts, np.ndarray) and counts.ndim == 1 and counts.dtype.kind in "iu"
    if not is_array and not isinstance(counts, (list, tuple)):
        raise DataError(f"Run lengths are a list of whole numbers, not {_short(counts)}. {_NEXT}")
    if not 1 <= len(counts) <= pixels + 1:
        raise DataError(f"{len(counts):,} runs; {mask_of} has 1 to {pixels + 1:,}. {_NEXT}")
    if not is_array:
        for count in counts:
            if not _is_whole(count):
                raise DataError(f"Run lengths are whole numbers; one is {_short(count)}. {_NEXT}")
    least, most = (counts.min(), counts.max()) if is_array else (min(counts), max(counts))
    if least < 0 or most > pixels:
        raise DataError(f"A run of {_short(least if least < 0 else most)} pixels in {mask_of}. {_NEXT}")
    array = np.asarray(counts, np.int64)
    total = int(array.sum())
    if total != pixels:
        raise DataError(f"The run lengths add up to {total:,}, but {mask_of} has {pixels:,}. {_NEXT}")
    return array


def _digits(text: Any, size_hw: SizeHW) -> npt.NDArray[np.uint8]:
    """Return a string's six-bit digits, having bounded its length."""
    if not isinstance(text, (str, bytes)):
        raise DataError(f"Compressed run lengths are a string, not {_short(text)}. {_NEXT}")
    # one character per run, and one more for each 16 pixels by which two runs differ, is what a mask can need
    most = 2 * size_hw[0] * size_hw[1] + 16
    if len(text) > most:
        raise DataError(
            f"A compressed run length string of {len(text):,} characters; a mask of {size_hw[0]} x {size_hw[1]} pixels "
            f"needs at most {most:,}. {_NEXT}"
        )
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    codes = np.frombuffer(data, np.uint8)
    strange = np.flatnonzero((codes < _FIRST_CHARACTER) | (codes > _LAST_CHARACTER))
    if strange.size:
        at = int(strange[0])
        raise DataError(
            f"A compressed run length string holds {text[at : at + 1]!r} at place {at + 1}; "
            f"expected only the characters '0' to 'o'. {_NEXT}"
        )
    return codes - np.uint8(_FIRST_CHARACTER)


def _transposed(mask: BoolMask) -> BoolMask:
    """Return the transpose as an array of its own; OpenCV does it in blocks, in a fraction of the time."""
    return np.asarray(cv2.transpose(np.ascontiguousarray(mask).view(np.uint8))).view(bool).reshape(mask.shape[::-1])


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    """Return what a message shows of a value from a file, which may be of any kind and length."""
    if _is_whole(value):
        return f"{int(value):,}" if abs(int(value)) < 10**15 else f"{'-' if value < 0 else ''}10^15 or more"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value):,} items"
    if isinstance(value, (str, bytes)):
        return repr(value[:20])
    return repr(value) if isinstance(value, (bool, float)) else f"a {type(value).__name__}"
