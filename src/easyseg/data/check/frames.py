"""Frames of a video: images whose names only count on, in whatever split they lie."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from easyseg.data.check.perceptual_hash import likeness
from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted
from easyseg.structures import Sample

_LAST_NUMBER = re.compile(r"(\d+)(\D*)\Z")
_ALIKE = 0.93
"""Neighbouring frames are as like as this, neighbouring slices of a volume and photos of one place are not."""
_LEAST_PAIRS = 5


@check("scattered frames")
def scattered_frames(survey: Survey) -> Iterator[Finding]:
    """Neighbouring frames of a video in two splits, as where its frames were divided at random."""
    neighbours = [pair for frames in numbered_runs(survey.samples) for pair in pairwise(frames)]
    one, other = np.array(neighbours, np.intp).reshape(-1, 2).T
    of_one, of_other = survey.splits[one], survey.splits[other]
    apart = (of_one >= 0) & (of_other >= 0) & (of_one != of_other)
    if apart.sum() < _LEAST_PAIRS:
        return
    one, other = one[apart], other[apart]
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    alike = likeness(survey.images.coefficients[one, 0], survey.images.coefficients[other, 0], "")
    near = [pair for pair, like in zip(pairs, alike.tolist(), strict=True) if like >= _ALIKE]
    if len(near) >= _LEAST_PAIRS:
        cases = [Case(" = ".join(survey.image_name(at) for at in pair), "", pair) for pair in near]
        found = (
            f"{counted(f'{len(cases):,}', 'pair')} of neighbouring frames, by number and looks, of which one is in "
            "another split than the other."
        )
        advice = "Divide videos as a whole, or at one place; else the figures say how well images are remembered."
        yield Finding.of("scattered_frames", "warning", cases, found, advice)


def numbered_runs(samples: Sequence[Sample]) -> list[list[int]]:
    """Return the numbers of samples whose names differ in their last number only, each run in its order."""
    runs: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for at, sample in enumerate(samples):
        name = sample.name
        if found := _LAST_NUMBER.search(name):
            runs[name[: found.start()], found[2]].append((int(found[1]), at))
    return [[at for _, at in sorted(run)] for run in runs.values() if len(run) > 1]
