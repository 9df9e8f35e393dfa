"""Telling masks of black and white, perhaps with smooth edges, from masks of class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from easyseg.data.classes.mask_values import Scan

_WHITE = 255
_EXTREME = 8
"""Grey values so near to 0 or 255 mean the same as these."""

_MOST_AT_ENDS = 0.75
"""Share of the pixels that must be black or white; edges have the rest."""


def is_black_and_white(scan: Scan, counts: Counter[int]) -> bool:
    """Whether 0 and 255 are all there is, apart from smooth edges between them, in all masks and in most of them."""
    if not _are_black_and_white(counts):
        return False
    votes = [_looks_black_and_white(file.counts) for file in scan.files if file.counts.keys() != {0}]
    return 2 * sum(votes) > len(votes)  # else a photo among masks of class ids would make one class of all


def _looks_black_and_white(counts: Mapping[int, int]) -> bool:
    """Whether one mask is black and white; in masks of class ids, low values are no shades of black."""
    total = sum(counts.values())
    if max(counts) < _WHITE - _EXTREME:
        return False
    if any(_WHITE - _EXTREME <= value < _WHITE for value in counts):
        ends = sum(count for value, count in counts.items() if value <= _EXTREME or value >= _WHITE - _EXTREME)
        return ends >= _MOST_AT_ENDS * total
    others = counts.keys() - {0, _WHITE}
    are_ids = bool(others) and max(others) <= _EXTREME
    return not are_ids and counts.get(0, 0) + counts.get(_WHITE, 0) >= _MOST_AT_ENDS * total


def _are_black_and_white(counts: Counter[int]) -> bool:
    if counts.keys() <= {0, _WHITE}:
        return _WHITE in counts
    if 0 not in counts or max(counts) != _WHITE:
        return False
    near = all(value <= _EXTREME or value >= _WHITE - _EXTREME for value in counts)
    # low values and 255 alone would rather be class ids and a void border
    has_nearly_white = any(_WHITE - _EXTREME <= value < _WHITE for value in counts)
    return (near and has_nearly_white) or _is_smooth(counts)


def _is_smooth(counts: Counter[int]) -> bool:
    """Whether values lie all over between 0 and 255, yet most pixels at the ends: the edges of antialiased shapes."""
    if min(counts) < 0 or max(counts) > _WHITE:
        return False
    bins = {value // 16 for value in counts if 0 < value < _WHITE}
    at_ends = sum(count for value, count in counts.items() if value <= _EXTREME or value >= _WHITE - _EXTREME)
    return len(bins) >= 12 and at_ends >= _MOST_AT_ENDS * counts.total()
