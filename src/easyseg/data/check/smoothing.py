"""Masks of class ids that were scaled or drawn smoothly, so that their edges hold classes that are not there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from easyseg.data.check.digest import KINDS
from easyseg.data.check.sources import DrawnMask, read_any_mask
from easyseg.data.check.survey import Survey, check
from easyseg.data.check.values import has_too_many_levels
from easyseg.data.mask_values import evenly_spread
from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.results.checkup import Finding
from easyseg.results.words import counted

MOST_MASKS = 200
"""Of so many evenly spread masks the edges are looked at."""
_LEAST_EDGE = 50
_SMOOTH = 0.2
"""In sound masks, 2 % of the edges are between their neighbours; in those scaled smoothly, more than half."""
_ONE_CLASS = 0.9
"""Where nearly all of what lies between is one class, that class is a line drawn along outlines."""

Ids = npt.NDArray[np.generic]


@check("smoothed masks")
def smoothed_masks(survey: Survey) -> Iterator[Finding]:
    """Masks at whose edges the values run from one class to the next through those of others."""
    class_map, masks = survey.class_map, survey.masks
    if class_map is None or class_map.encoding != "ids" or class_map.task != "multiclass":
        return
    is_plain = (masks.kind != KINDS.index("rgb")) & ~masks.is_lossy & ~has_too_many_levels(survey)
    rows = (survey.readable_masks & is_plain).nonzero()[0].tolist()
    rows = evenly_spread([row for row in rows if not isinstance(survey.mask_sources[row], DrawnMask)], MOST_MASKS)
    shares = map_in_threads(lambda row: _smooth_share(survey, row), rows)
    smooth = sorted((share, row) for share, row in zip(shares, rows, strict=True) if share > _SMOOTH)
    if smooth:
        cases = [survey.mask_case(row, f"{share:.0%} of its edges") for share, row in reversed(smooth)]
        found = (
            f"{counted(f'{len(cases):,}', 'mask')} of {len(rows):,} looked at whose edges run through classes between: "
            "a pixel between class 2 and class 6 has become class 4."
        )
        advice = "Save them anew from their source; scale masks by the nearest pixel only, and draw without smoothing."
        yield Finding.of("smoothed_masks", "error", cases, found, advice)


def _smooth_share(survey: Survey, row: int) -> float:
    try:
        values = read_any_mask(survey.mask_sources[row]).values
    except SampleError:
        return 0.0
    ignored = survey.class_map.ignored if survey.class_map else ()
    return smooth_share(values, ignored)


def smooth_share(values: Ids, ignored: tuple[int, ...] = ()) -> float:
    """Return in what share of a mask's edges the value lies between those on its two sides.

    Args:
        values: (H, W) whole numbers.
        ignored: values that are left out.

    Returns:
        0..1; 0 where there is hardly an edge, or where all that lies between is one and the same value.
    """
    counts = ~np.isin(values, ignored) if ignored else np.ones(values.shape, bool)
    edges = 0
    between: list[npt.NDArray[np.generic]] = []
    for numbers, known in ((values, counts), (values.T, counts.T)):
        first, middle, last = numbers[:, :-2], numbers[:, 1:-1], numbers[:, 2:]
        is_edge = (first != last) & known[:, :-2] & known[:, 1:-1] & known[:, 2:]
        is_between = is_edge & (middle != first) & (middle != last) & ((middle > first) == (middle < last))
        edges += int(np.count_nonzero(is_edge))
        between.append(middle[is_between])
    found = np.concatenate(between)
    _, numbers_of_each = np.unique(found, return_counts=True)
    if edges < _LEAST_EDGE or numbers_of_each.max(initial=0) > _ONE_CLASS * found.size:
        return 0.0
    return found.size / edges
