"""Multi-index hashing: pairs of 64-bit fingerprints that differ in few bits, without comparing all with all.

The bits are cut into four words of 16. Two fingerprints that differ in at most 7 bits differ in at most one bit of some
word, so it is enough to look, for each word, at the 17 words that are equal or differ in one bit. Pairs that differ in
a few bits more are mostly found, too. (M. Norouzi et al., Fast Search in Hamming Space with Multi-Index Hashing, 2012.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.data.check.perceptual_hash import Bits

_WORDS = 4
_WORD_BITS = 16
_FLIPS = np.array([0, *(1 << bit for bit in range(_WORD_BITS))], np.uint16)
_MOST_AT_ONCE = 2_000_000
"""So many candidates are compared at a time, to bound the memory."""
MOST_PAIRS = 1_000_000
"""So many pairs are enough."""
CROWD = 64
"""Of more fingerprints than this that share a word, only those nearest in the dataset's order are compared."""

Indices = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of fingerprints that differ in few bits.

    Attributes:
        queries: (P,) numbers of the fingerprints that were looked up.
        found: (P,) numbers of those in the index.
        distances: (P,) bits that differ.
    """

    queries: Indices
    found: Indices
    distances: Indices


class HashIndex:
    """Finds fingerprints that are nearly the same.

    Args:
        bits: (N,) uint64, in the dataset's order.
    """

    def __init__(self, bits: Bits) -> None:
        self._bits = bits
        self._tables = [_Table(words) for words in _words(bits)]

    def near(self, queries: Bits, *, most_bits: int, thorough: bool = True) -> Pairs:
        """Return the pairs that differ in at most `most_bits` bits, each once; a query is not paired with itself.

        Args:
            queries: (N,) uint64, one for each fingerprint of the index.
            most_bits: up to 7, all pairs are found; beyond, most. Of `MOST_PAIRS` and more, not all are sought.
            thorough: look at words that differ in one bit; otherwise at equal ones only, which takes a tenth of the
                time and finds all pairs of up to 3 bits.
        """
        keys: list[Indices] = [np.zeros(0, np.int64)]
        count, num_found = max(1, len(self._bits)), 0
        for at, candidates in self._candidates(queries, thorough=thorough):
            differing = np.bitwise_count(queries[at] ^ self._bits[candidates])
            near = ((differing <= most_bits) & (at != candidates)).nonzero()[0]
            keys.append(at[near].astype(np.int64) * count + candidates[near])
            num_found += len(near)
            if num_found >= MOST_PAIRS:
                break  # where everything is like everything, a part of it says enough
        at, found = np.divmod(np.unique(np.concatenate(keys)), count)
        distances = np.bitwise_count(queries[at] ^ self._bits[found]).astype(np.int64)
        return Pairs(at, found, distances)

    def _candidates(self, queries: Bits, *, thorough: bool) -> Iterator[tuple[Indices, Indices]]:
        for flip in _FLIPS if thorough else _FLIPS[:1]:
            for words, table in zip(_words(queries), self._tables, strict=True):
                yield from table.candidates(words ^ flip)


class _Table:
    """Which fingerprints have which word."""

    def __init__(self, words: npt.NDArray[np.uint16]) -> None:
        counts = np.bincount(words, minlength=1 << _WORD_BITS)
        self._order = np.argsort(words, kind="stable").astype(np.int32)  # within a word, in the dataset's order
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        self._keys = words[self._order].astype(np.int64) * len(words) + self._order  # ascending

    def candidates(self, words: npt.NDArray[np.uint16]) -> Iterator[tuple[Indices, Indices]]:
        """Yield numbers of queries and of fingerprints that have their words, blockwise."""
        first, last = self._thinned(words)
        lengths = last - first
        ends = np.cumsum(lengths, dtype=np.int64)
        start, before = 0, 0
        while start < len(words):
            stop = max(start + 1, int(np.searchsorted(ends, before + _MOST_AT_ONCE, side="right")))
            block = lengths[start:stop]
            at = np.repeat(np.arange(start, stop, dtype=np.int32), block)
            # the place of each candidate within the order: counted on from the first of its query
            skipped = first[start:stop] - (ends[start:stop] - block - before).astype(np.int32)
            yield at, self._order[np.repeat(skipped, block) + np.arange(len(at), dtype=np.int32)]
            start, before = stop, int(ends[stop - 1])

    def _thinned(self, words: npt.NDArray[np.uint16]) -> tuple[Indices, Indices]:
        """Return where in the order the fingerprints of each query's word begin and end.

        Of a crowd, only those that lie nearest to the query in the dataset's order.
        """
        first, last = self._starts[:-1][words], self._starts[1:][words]
        crowded = (last - first > CROWD).nonzero()[0]
        here = np.searchsorted(self._keys, words[crowded].astype(np.int64) * len(words) + crowded)
        first[crowded] = np.maximum(first[crowded], here - CROWD // 2)
        last[crowded] = np.minimum(last[crowded], here + CROWD // 2)
        return first, last


def _words(bits: Bits) -> list[npt.NDArray[np.uint16]]:
    words = bits.view(np.uint16).reshape(len(bits), _WORDS)
    return [np.ascontiguousarray(words[:, at]) for at in range(_WORDS)]
