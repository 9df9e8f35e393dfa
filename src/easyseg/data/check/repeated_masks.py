"""The same mask under images that show different things."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from easyseg.data.check.digest import MaskDigest
from easyseg.data.check.perceptual_hash import likeness
from easyseg.data.check.sources import read_any_mask
from easyseg.data.check.survey import Rows, Survey, check
from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted

_ALIKE = 0.95
"""Images so much alike may show the same things in the same places: frames of a video."""
_BY_NATURE = 0.5
_MOST_COMPARED = 2000
_MIXER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number of 64 bits in no order: products with it look like random numbers (2**64 over the golden ratio)."""


@check("repeated masks")
def repeated_masks(survey: Survey) -> Iterator[Finding]:
    """Masks that are equal to the last pixel while their images differ."""
    groups = [group for group in _equal_masks(survey) if len(group) < _BY_NATURE * len(survey.masks)]
    cases = []
    for group in groups:
        samples = survey.mask_samples[group]
        coefficients = survey.images.coefficients[samples, 0]
        first = np.repeat(coefficients[:1], len(samples) - 1, axis=0)
        if likeness(first, coefficients[1:], "").min() < _ALIKE:
            names = " = ".join(survey.mask_case(row).name for row in group[:4])
            cases.append(Case(names, f"{len(group)} images", tuple(samples[:4].tolist())))
    if cases:
        cases.sort(key=lambda case: -int(case.detail.split()[0]))
        found = f"{counted(f'{len(cases):,}', 'mask')} used for several images that differ."
        advice = "Look at these images with the mask laid over them; only one of them can be right."
        yield Finding.of("repeated_masks", "warning", cases, found, advice)


def _equal_masks(survey: Survey) -> list[list[int]]:
    """Return groups of rows with equal masks that hold more than one value, each ascending."""
    masks = survey.masks
    starts = np.searchsorted(masks.rows, np.arange(len(masks) + 1))
    proposed: dict[object, list[int]] = defaultdict(list)
    for row in _perhaps_equal(masks, starts).tolist():
        part = slice(starts[row], starts[row + 1])
        if isinstance(survey.mask_sources[row], Path):
            key = (tuple(masks.size_hw[row]), masks.values[part].tobytes(), masks.counts[part].tobytes())
            proposed[key].append(row)
    rows = [row for group in proposed.values() if len(group) > 1 for row in group][:_MOST_COMPARED]
    contents = map_in_threads(lambda row: _content(survey, row), rows)
    equal: dict[bytes, list[int]] = defaultdict(list)
    for row, content in zip(rows, contents, strict=True):
        equal[content].append(row)
    return [group for content, group in equal.items() if content and len(group) > 1]


def _perhaps_equal(masks: MaskDigest, starts: Rows) -> Rows:
    """Return the rows with two values and more whose values and counts have a sum that another row has, too.

    It leaves few of very many; what is equal has equal sums, and what is not has other ones but by accident.
    """
    rows = np.flatnonzero(np.diff(starts) > 1)
    mixed = masks.values.astype(np.uint64) * _MIXER + masks.counts.astype(np.uint64)
    mixed *= mixed >> np.uint64(7) | np.uint64(1)
    totals = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])  # modulo 2**64
    sums = totals[starts[rows + 1]] - totals[starts[rows]]
    _, places, counts = np.unique(sums, return_inverse=True, return_counts=True)
    return rows[counts[places] > 1]


def _content(survey: Survey, row: int) -> bytes:
    """Return a hash of a mask's pixels; nothing where it cannot be read any more."""
    try:
        values = np.ascontiguousarray(read_any_mask(survey.mask_sources[row]).values)
    except SampleError:
        return b""
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()
