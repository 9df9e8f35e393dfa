"""Pairs of fingerprints that differ in few bits are found, and not by comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.check import hash_index
from easyseg.data.check.hash_index import CROWD, HashIndex


def all_pairs(queries: np.ndarray, bits: np.ndarray, most_bits: int) -> set[tuple[int, int]]:
    """Return what a comparison of all with all finds."""
    differing = np.bitwise_count(queries[:, None] ^ bits[None])
    np.fill_diagonal(differing, 64)
    return {(int(one), int(other)) for one, other in zip(*np.nonzero(differing <= most_bits), strict=True)}


def changed(value: np.uint64, places: np.ndarray) -> np.uint64:
    """Return a fingerprint with some bits changed."""
    return value ^ np.uint64(sum(1 << int(place) for place in places))


@pytest.fixture
def bits() -> np.ndarray:
    """400 fingerprints, of which the last hundred are the first ones with 0 to 10 bits changed."""
    generator = np.random.default_rng(3)
    original = generator.integers(0, 2**63, 300, dtype=np.uint64)
    copies = [changed(original[at], generator.permutation(64)[: at % 11]) for at in range(100)]
    return np.concatenate([original, np.array(copies, np.uint64)])


@pytest.mark.parametrize(("most_bits", "thorough"), [(7, True), (3, False)])
def test_all_pairs_of_few_bits_are_found(bits: np.ndarray, most_bits: int, thorough: bool) -> None:
    """Up to the guaranteed number of bits, the pairs are those of a full comparison."""
    pairs = HashIndex(bits).near(bits, most_bits=most_bits, thorough=thorough)
    found = set(zip(pairs.queries.tolist(), pairs.found.tolist(), strict=True))
    assert found == all_pairs(bits, bits, most_bits)
    assert (np.bitwise_count(bits[pairs.queries] ^ bits[pairs.found]) == pairs.distances).all()
    assert len(found) == len(pairs.queries) > 20


def test_most_pairs_of_ten_bits_are_found(bits: np.ndarray) -> None:
    """Beyond seven bits most are found, and nothing is invented."""
    pairs = HashIndex(bits).near(bits, most_bits=10)
    found = set(zip(pairs.queries.tolist(), pairs.found.tolist(), strict=True))
    expected = all_pairs(bits, bits, 10)
    assert found <= expected
    assert len(found) >= 0.8 * len(expected)


def test_queries_need_not_be_what_is_indexed(bits: np.ndarray) -> None:
    """The fingerprints of mirrored pictures can be looked up among those of the pictures."""
    queries = bits ^ np.uint64(0b1011)
    pairs = HashIndex(bits).near(queries, most_bits=7)
    assert set(zip(pairs.queries.tolist(), pairs.found.tolist(), strict=True)) == all_pairs(queries, bits, 7)


def test_blocks_do_not_change_the_pairs(bits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few candidates are compared at a time, the pairs are the same."""
    whole = HashIndex(bits).near(bits, most_bits=7)
    monkeypatch.setattr(hash_index, "_MOST_AT_ONCE", 5)
    parts = HashIndex(bits).near(bits, most_bits=7)
    assert (whole.queries == parts.queries).all()
    assert (whole.found == parts.found).all()


def test_a_crowd_is_thinned_to_neighbours() -> None:
    """Where very many fingerprints are equal, each is paired with its neighbours only, so work stays linear."""
    bits = np.full(CROWD * 8, 12345, np.uint64)
    pairs = HashIndex(bits).near(bits, most_bits=7, thorough=False)
    assert len(pairs.queries) <= len(bits) * CROWD
    assert np.abs(pairs.queries - pairs.found).max() <= CROWD
    linked = set(zip(pairs.queries.tolist(), pairs.found.tolist(), strict=True))
    assert all((at, at + 1) in linked for at in range(len(bits) - 1))


def test_nothing_to_compare() -> None:
    """No fingerprints and a single one give no pairs."""
    for count in (0, 1):
        bits = np.zeros(count, np.uint64)
        assert len(HashIndex(bits).near(bits, most_bits=7).queries) == 0
