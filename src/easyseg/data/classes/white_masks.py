"""Masks of black and white among masks of class ids, where 255 may be a class and not the border it is elsewhere.

As a border of pixels that do not count, 255 is usual among ids: Pascal VOC and many others draw it around objects. So
it does not count where nobody says otherwise. A mask of 0 and 255 alone is another matter: a border needs something
that it surrounds. Most likely someone saved that one mask for viewing, or took it from another program, and 255 is its
class. Taken for a border, it would teach that all around its objects is background, and nothing about them; no figure
would show it. Whether it is so can be told:

- No mask that holds ids holds 255, too. Then nothing speaks for a border, and the masks are refused.
- Other masks have such a border. Then a mask may show nothing but background and pixels left out; it is believed where
  no more of it is white than of others, within reason, and told. A few masks with more white than that are refused.

Who types ignore=[255] has said that white does not count, and is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from easyseg.data.classes.mask_values import MaskValues, mask_sources, scan_masks
from easyseg.data.formats.layout import Layout
from easyseg.data.sample_files import listed, place_of
from easyseg.errors import SampleError
from easyseg.results.words import counted
from easyseg.structures import Sample, SkippedSample

_WHITE = 255
_FEW = 0.2
"""Where so many masks are of 0 and 255 alone and 255 is a border in others, it is how the dataset leaves out much."""
_TIMES_MORE = 2.0
"""A border is believed up to so many times the largest share of white in a mask with ids."""

_PROBLEM = (
    "the mask holds 0 and 255 only, while the others hold class ids, so 255 may be a class in it. Save it with class "
    "ids; or type on_bad_sample='skip' to leave it out, or ignore=[255] if white does not count in it"
)


class WhiteMasksError(SampleError):
    """Some masks hold 0 and 255 alone, the others class ids."""


def refuse_white_masks(files: Sequence[MaskValues], samples: Sequence[Sample]) -> str:
    """Refuse masks in which 255 is hardly a border.

    Args:
        files: what the masks hold.
        samples: their images.

    Returns:
        a note on masks of 0 and 255 in which it may be one; empty where there are none.

    Raises:
        WhiteMasksError: there are some; the message names them.
    """
    wrong, believed = _of_black_and_white(files)
    if wrong:
        sources = {id(file.source) for file in wrong}
        error = listed([problem for sample in samples if (problem := _problem(sample, sources))])
        raise WhiteMasksError(error.path, error.problem)
    return f"255 does not count in {counted(str(len(believed)), 'mask')} of 0 and 255 only, either" if believed else ""


def without_white_masks(layout: Layout) -> Layout:
    """Return a layout without the samples whose masks would be refused, looking at all masks, and which these are."""
    files = scan_masks(layout.samples, most=len(layout.samples)).files
    sources = {id(file.source) for file in _of_black_and_white(files)[0]}
    problems = [_problem(sample, sources) for sample in layout.samples]
    kept = tuple(sample for sample, problem in zip(layout.samples, problems, strict=True) if problem is None)
    skipped = [SkippedSample(str(problem.path), problem.problem) for problem in problems if problem]
    return replace(layout, samples=kept, skipped=(*layout.skipped, *skipped))


def _problem(sample: Sample, sources: set[int]) -> SampleError | None:
    """Return what is wrong with a sample, if its mask is one of some."""
    own = next((source for source in mask_sources(sample) if id(source) in sources), None)
    return None if own is None else SampleError(place_of(own, sample), f"{_PROBLEM}.")


def _of_black_and_white(files: Sequence[MaskValues]) -> tuple[list[MaskValues], list[MaskValues]]:
    """Return the masks of 0 and 255 alone: those in which 255 may be a class, and those in which it may be a border."""
    alone = [file for file in files if file.counts.keys() == {0, _WHITE}]
    with_ids = [file for file in files if file.counts.keys() - {0, _WHITE}]
    borders = [_white_share(file) for file in with_ids if _WHITE in file.counts]
    if not alone or not with_ids:
        return [], []
    if not borders:
        return alone, []
    if len(alone) >= _FEW * len(files):
        return [], alone
    most = _TIMES_MORE * float(np.max(borders))
    return [file for file in alone if _white_share(file) > most], [file for file in alone if _white_share(file) <= most]


def _white_share(file: MaskValues) -> float:
    return file.counts[_WHITE] / sum(file.counts.values())
