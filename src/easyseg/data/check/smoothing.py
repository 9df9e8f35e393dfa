"""Masks of class ids that were scaled or drawn smoothly, so that their edges hold classes that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.data.check.digest import KINDS
from easyseg.data.check.sources import DrawnMask, read_any_mask
from easyseg.data.check.survey import Survey, check
from easyseg.data.check.values import has_too_many_levels
from easyseg.data.classes.mask_values import evenly_spread
from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.results.checkup import Finding
from easyseg.results.words import counted

MOST_MASKS = 200
"""Of so many evenly spread masks the edges are looked at; of all others, too, where some of these are smooth."""
_LEAST_EDGE = 50
_SMOOTH = 0.3
"""In sound masks, 2 % of the edges are between their neighbours; in those scaled smoothly, four of five."""
_ONE_CLASS = 0.9
"""Where nearly all of what lies between is one class, that class is a line drawn along outlines."""


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """What lies at the edges in a mask.

    Attributes:
        total: pixels whose neighbours on two opposite sides are of values with others between them.
        between: the values of those that lie between their neighbours' values, int64.
    """

    total: int
    between: npt.NDArray[np.int64]

    @property
    def smooth_share(self) -> float:
        """The share of the edges that lie between, 0..1; 0 where there is hardly an edge."""
        return self.between.size / self.total if self.total >= _LEAST_EDGE else 0.0


@check("smoothed masks")
def smoothed_masks(survey: Survey) -> Iterator[Finding]:
    """Masks at whose edges the values run from one class to the next through those of others."""
    class_map, masks = survey.class_map, survey.masks
    if class_map is None or class_map.encoding != "ids":
        return
    is_plain = (masks.kind != KINDS.index("rgb")) & ~has_too_many_levels(survey)
    rows = (survey.readable_masks & is_plain).nonzero()[0].tolist()
    rows = [row for row in rows if not isinstance(survey.mask_sources[row], DrawnMask)]
    smooth = _smooth_ones(survey, evenly_spread(rows, MOST_MASKS))
    if smooth and len(rows) > MOST_MASKS:
        smooth = _smooth_ones(survey, rows)  # where there are some, each is to be named
    if _are_a_line([found for found, _ in smooth]):
        return
    if smooth:
        smooth.sort(key=lambda entry: -entry[0].smooth_share)
        cases = [survey.mask_case(row, f"{found.smooth_share:.0%} of its edges") for found, row in smooth]
        words = (
            f"{counted(f'{len(cases):,}', 'mask')} of {len(rows):,} whose edges run through classes between: "
            "a pixel between class 2 and class 6 has become class 4."
        )
        advice = "Save them anew from their source; scale masks by the nearest pixel only, and draw without smoothing."
        yield Finding.of("smoothed_masks", "error", cases, words, advice)


def _smooth_ones(survey: Survey, rows: list[int]) -> list[tuple[Edges, int]]:
    edges = map_in_threads(lambda row: _edges(survey, row), rows)
    return [(found, row) for found, row in zip(edges, rows, strict=True) if found.smooth_share > _SMOOTH]


def _edges(survey: Survey, row: int) -> Edges:
    try:
        values = read_any_mask(survey.mask_sources[row]).values
    except SampleError:
        return Edges(0, np.zeros(0, np.int64))
    return find_edges(values.astype(np.int64), survey.class_map.ignored if survey.class_map else ())


def _are_a_line(found: list[Edges]) -> bool:
    """Whether nearly all of what lies between is one class, in all masks together."""
    between = np.concatenate([edges.between for edges in found]) if found else np.zeros(0, np.int64)
    _, counts = np.unique(between, return_counts=True)
    return int(counts.max(initial=0)) > _ONE_CLASS * between.size


def find_edges(values: npt.NDArray[np.int64], ignored: tuple[int, ...] = ()) -> Edges:
    """Look at the edges in a mask, along rows and columns.

    Args:
        values: (H, W) int64.
        ignored: values that are left out.
    """
    counts = ~np.isin(values, ignored) if ignored else np.ones(values.shape, bool)
    total = 0
    between = []
    for numbers, known in ((values, counts), (values.T, counts.T)):
        first, middle, last = numbers[:, :-2], numbers[:, 1:-1], numbers[:, 2:]
        is_edge = (abs(first - last) > 1) & known[:, :-2] & known[:, 1:-1] & known[:, 2:]
        is_between = is_edge & (np.minimum(first, last) < middle) & (middle < np.maximum(first, last))
        total += int(np.count_nonzero(is_edge))
        between.append(middle[is_between])
    return Edges(total, np.concatenate(between))
