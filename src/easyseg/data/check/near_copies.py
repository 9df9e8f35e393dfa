"""Finding the pictures of a dataset that are copies of others: fingerprints propose pairs, a closer look decides."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.check.hash_index import HashIndex, Indices
from easyseg.data.check.likeness import compare, small_plane
from easyseg.data.check.perceptual_hash import (
    CUTS,
    LEAST_CONTRAST,
    MIRRORINGS,
    bits_of,
    contrasts_of,
    likeness,
    mirrored_bits,
)
from easyseg.data.check.sources import read_any_numbers
from easyseg.data.check.survey import Survey
from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.io.inspection import grey_of
from easyseg.structures import ImageArray

MOST_COMPARED = 2000
"""So many pairs are opened and compared; those across splits first, then the most alike."""
_MOST_ALIKE = 50_000
_BLOCK = 32_768
_AT_ONCE = 64
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
_CACHED_PLANES = 2048
_FLIP_CODES = {(True, False): 1, (False, True): 0, (True, True): -1}


@dataclass(frozen=True, slots=True)
class Copy:
    """Two samples that show the same picture.

    Attributes:
        first: the number of one sample, below `second`.
        second: the number of the other.
        mirroring: how one is mirrored, see `MIRRORINGS`; empty where it is not.
    """

    first: int
    second: int
    mirroring: str = ""


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

    @functools.lru_cache(maxsize=_CACHED_PLANES)
    def plane(sample: int) -> ImageArray:
        return small_plane(grey_of(read_any_numbers(survey.samples[sample].image)))

    def is_copy(pair: Copy) -> bool:
        try:
            first, second = plane(pair.first), plane(pair.second)
        except SampleError:  # it was there a moment ago
            return False
        if pair.mirroring:
            second = np.asarray(cv2.flip(second, _FLIP_CODES[MIRRORINGS[pair.mirroring]]), np.uint8)
        return compare(first, second).is_copy

    groups = Groups()
    copies = []
    for start in range(0, len(chosen), _AT_ONCE):
        # in a video, everything is like everything; what is linked already need not be compared
        batch = [pair for pair in chosen[start : start + _AT_ONCE] if not groups.are_one(pair.first, pair.second)]
        for pair, found in zip(batch, map_in_threads(is_copy, batch), strict=True):
            if found and not groups.are_one(pair.first, pair.second):
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
