"""What the values in masks mean, found out from the digest, and from most masks where a few disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from easyseg.data.check.digest import KINDS, MaskDigest, Numbers
from easyseg.data.check.opening import Opened
from easyseg.data.classes.class_maps import class_map_of_scan
from easyseg.data.classes.mask_values import MOST_MASKS, MaskValues, Scan, evenly_spread
from easyseg.data.wording import parted
from easyseg.errors import ClassMapError
from easyseg.results.checkup import Finding
from easyseg.structures import ClassMap

_RARE = 0.1
"""Values that fewer masks than this share hold do not decide what the others mean."""
_MOST_LEVELS = 64


def understand(opened: Opened, masks: MaskDigest, sources: Sequence[object]) -> tuple[ClassMap | None, list[Finding]]:
    """Return the class map of a dataset.

    Args:
        opened: the dataset.
        masks: the digest of all its masks.
        sources: their files or arrays.

    Returns:
        the map, None where most masks cannot be understood either; and why it could not be found from all masks.
    """
    readable = (masks.orientation > 0).nonzero()[0]
    if opened.class_map is not None and not _is_misled(opened.class_map, masks, readable):
        return opened.class_map, []
    planes = max((len(sample.mask) for sample in opened.samples if isinstance(sample.mask, tuple)), default=1)
    refusal: ClassMapError | None = None
    for rows in _attempts(masks, readable):
        scan = _scan(masks, rows, sources)
        if not scan.files:
            continue
        try:
            found = class_map_of_scan(scan, opened.wishes, masks_per_image=planes)
        except ClassMapError as error:
            refusal = refusal or error
        else:
            return found, []
    if refusal is None:
        return None, []
    found_words, advice = parted(str(refusal))
    finding = Finding.of("masks_not_understood", "error", [], f"{found_words}.", advice)
    return opened.class_map, [finding]


def _is_misled(class_map: ClassMap, masks: MaskDigest, readable: Numbers) -> bool:
    """Whether a few colour masks among masks of ids made colours of all."""
    rgb = masks.kind[readable] == KINDS.index("rgb")
    return class_map.encoding == "colors" and bool(rgb.any()) and rgb.mean() < 0.5


def _attempts(masks: MaskDigest, readable: Numbers) -> Iterator[Numbers]:
    """Yield rows to find the meaning from: all, those stored as most are, those that hold usual values only."""
    if not readable.size:
        return
    kinds = Counter(masks.kind[readable].tolist())
    usual = readable[masks.kind[readable] == kinds.most_common(1)[0][0]]
    if KINDS.index("rgb") not in kinds or len(kinds) == 1:
        yield readable
    if len(kinds) > 1:
        yield usual
    values, holders = np.unique(masks.values[np.isin(masks.rows, usual)], return_counts=True)
    rare = values[holders < max(2, _RARE * usual.size)]
    strange = np.unique(masks.rows[np.isin(masks.values, rare)])
    plain = usual[(~np.isin(usual, strange)) & (masks.num_values[usual] <= _MOST_LEVELS)]
    yield plain
    # values such as 0 and 255 are no surprise one by one, but may be together
    few = Counter(_value_sets(masks, plain).values())
    common = {held for held, count in few.items() if count >= _RARE * max(1, plain.size)}
    yield np.array([row for row, held in _value_sets(masks, plain).items() if held in common], np.intp)


def _value_sets(masks: MaskDigest, rows: Numbers) -> dict[int, frozenset[int]]:
    firsts, lasts = np.searchsorted(masks.rows, rows), np.searchsorted(masks.rows, rows + 1)
    return {
        int(row): frozenset(masks.values[first:last].tolist())
        for row, first, last in zip(rows, firsts, lasts, strict=True)
    }


def _scan(masks: MaskDigest, rows: Numbers, sources: Sequence[object]) -> Scan:
    """Return the values of some masks as the reading of a dataset sees them."""
    files = []
    for row in evenly_spread(rows.tolist(), MOST_MASKS):
        first, last = np.searchsorted(masks.rows, [row, row + 1])
        values = masks.values[first:last].tolist()
        counts = dict(zip(values, masks.counts[first:last].tolist(), strict=True))
        border = {v: n for v, n in zip(values, masks.border[first:last].tolist(), strict=True) if n}
        kind = KINDS[masks.kind[row]]
        files.append(
            MaskValues(kind, counts, masks.palettes.get(row), sources[row], border, bool(masks.is_lossy[row]))  # type: ignore[arg-type]
        )
    return Scan(tuple(files), len(files))
