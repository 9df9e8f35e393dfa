"""Finding the pictures of a dataset that are copies of others: fingerprints propose pairs, a closer look decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.data.check.comparing import Copy
from easyseg.data.check.gathering import compared_side_by_side
from easyseg.data.check.hash_index import HashIndex, Indices
from easyseg.data.check.perceptual_hash import (
    CUTS,
    LEAST_CONTRAST,
    MIRRORINGS,
    bits_of,
    contrasts_of,
    likeness,
    mirrored_bits,
)
from easyseg.data.check.survey import Survey
from easyseg.data.threads import map_in_threads

MOST_COMPARED = 2000
"""So many pairs are opened and compared; those across splits first, then the most alike."""
_MOST_ALIKE = 50_000
_BLOCK = 32_768
_MOST_BITS = 10
_LEAST_LIKENESS = {True: 0.92, False: 0.87}
"""What is looked at closely: with the whole of a picture, and with its inner part; of true copies, 99 % reach it."""
Variant = tuple[int, str, bool]
_VARIANTS: tuple[Variant, ...] = (
    *((cut, "", True) for cut in range(len(CUTS))),
    (0, "mirrored", True),
    (0, "upside down", False),
    (0, "turned by 180°", False),
)
"""What a copy may be: which inner part, mirrored how, and whether to look for it thoroughly. Few copies stand on their
head, and those that do differ in few bits."""


@dataclass(frozen=True, slots=True)
class NearCopies:
    """What was found, and what was left out because there was too much of it.

    Attributes:
        copies: pairs that link all samples of each group; not every pair of a group.
        groups: the groups.
        num_left: pairs with nearly equal fingerprints that were not looked at; in vast series, not all are counted.
    """

    copies: tuple[Copy, ...]
    groups: Groups
    num_left: int = 0


def find_near_copies(survey: Survey, candidates: Indices, splits: Indices) -> NearCopies:
    """Find copies that were scaled, compressed, cut, mirrored or lightened.

    Args:
        survey: the dataset.
        candidates: numbers of the samples to look at, ascending; of samples with the very same file, one.
        splits: (N,) number of each sample's split.
    """
    chosen, num_left = _proposed(survey, candidates, splits)

    images = [sample.image for sample in survey.samples]
    groups = Groups()
    # in a video, everything is like everything; what is linked already need not be compared
    unlinked = (pair for pair in chosen if not groups.are_one(pair.first, pair.second))
    copies = []
    for pair, is_copy in compared_side_by_side(images, unlinked, len(chosen), workers=survey.settings.workers):
        if is_copy and not groups.are_one(pair.first, pair.second):
            groups.join(pair.first, pair.second)
            copies.append(pair)
    return NearCopies(tuple(copies), groups, num_left)


class Groups:
    """Samples that are linked by copies.

    Args:
        copies: the links to begin with.
    """

    def __init__(self, copies: Iterable[Copy] = ()) -> None:
        self._leaders: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        for pair in copies:
            self.join(pair.first, pair.second)

    def join(self, one: int, other: int) -> None:
        """Put two samples, with all that are linked to them, into one group."""
        first, second = sorted((self._leader(one), self._leader(other)))
        if first != second:
            self._leaders[second] = first
            self._sizes[first] = self._sizes.get(first, 1) + self._sizes.get(second, 1)

    def size(self, sample: int) -> int:
        """Return how many samples there are in the group of one."""
        return self._sizes.get(self._leader(sample), 1)

    def are_one(self, one: int, other: int) -> bool:
        """Tell whether two samples are in the same group."""
        return self._leader(one) == self._leader(other)

    def members(self) -> list[list[int]]:
        """Return the groups of two and more, each ascending, in the order of their first samples."""
        groups: dict[int, list[int]] = {}
        for sample in sorted(self._leaders):
            groups.setdefault(self._leader(sample), []).append(sample)
        return [group for group in groups.values() if len(group) > 1]

    def _leader(self, sample: int) -> int:
        while self._leaders.setdefault(sample, sample) != sample:
            self._leaders[sample] = self._leaders[self._leaders[sample]]
            sample = self._leaders[sample]
        return sample


def _proposed(survey: Survey, candidates: Indices, splits: Indices) -> tuple[list[Copy], int]:
    """Return the pairs to compare, the most alike first, and how many more have nearly equal fingerprints.

    Pairs across splits come before all others, for there a copy does most harm.
    """
    coefficients = survey.images.coefficients
    candidates = candidates[contrasts_of(coefficients[candidates]) >= LEAST_CONTRAST]
    bits = bits_of(coefficients[candidates, 0])
    index = HashIndex(bits)

    def alike(variant: Variant) -> npt.NDArray[np.float64]:
        """Return for each pair: its samples, the number of the mirroring, and how unlike they are."""
        cut, mirroring, thorough = variant
        queries = mirrored_bits(bits, mirroring) if cut == 0 else bits_of(coefficients[candidates, cut])
        pairs = index.near(queries, most_bits=_MOST_BITS, thorough=thorough)
        # whole pictures are paired both ways round
        once = pairs.queries < pairs.found if cut == 0 else np.ones(len(pairs.queries), bool)
        one, other = candidates[pairs.queries[once]], candidates[pairs.found[once]]
        cosine = np.concatenate(
            [
                likeness(coefficients[one[part], cut], coefficients[other[part], 0], mirroring)
                for part in _blocks(len(one))
            ]
        )
        near = (cosine >= _LEAST_LIKENESS[cut == 0]).nonzero()[0]
        near = near[np.lexsort((-cosine[near], splits[one[near]] == splits[other[near]]))][:_MOST_ALIKE]
        one, other = one[near], other[near]
        kind = np.full(len(near), list(MIRRORINGS).index(mirroring))
        return np.stack([np.minimum(one, other), np.maximum(one, other), kind, 1 - cosine[near]], axis=1)

    rows = np.concatenate(map_in_threads(alike, _VARIANTS))
    first, second, kind = (rows[:, at].astype(np.int64) for at in range(3))
    order = np.lexsort((rows[:, 3], splits[first] == splits[second]))
    pairs = np.stack([first, second, kind], axis=1)[order]
    _, places = np.unique(pairs, axis=0, return_index=True)  # a pair may be alike in several ways; the best counts
    pairs = pairs[np.sort(places)]
    names = list(MIRRORINGS)
    chosen = [Copy(one, other, names[at]) for one, other, at in pairs[:MOST_COMPARED].tolist()]
    return chosen, len(pairs) - len(chosen)


def _blocks(count: int) -> list[slice]:
    """Return parts of a sequence, at least one, that bound the memory."""
    return [slice(start, start + _BLOCK) for start in range(0, max(1, count), _BLOCK)]
