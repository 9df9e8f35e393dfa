"""Run lengths: what COCO's reference reads and writes, and files that lie."""

from __future__ import annotations

import json
import tracemalloc

import faster_coco_eval.core.mask as reference
import numpy as np
import pytest

from easyseg.errors import DataError
from easyseg.geometry import RunLengths, mask_area, mask_to_box
from easyseg.geometry.run_lengths import checked_size
from easyseg.structures import MAX_PIXELS


def _random_masks(count, seed=0):
    """Yield masks of all sizes and densities; of noise, of a single colour, and of large blobs."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        height, width = (int(side) for side in generator.integers(1, generator.choice([3, 12, 80]), 2))
        density = generator.choice([0, 0.02, 0.5, 0.9, 1])
        block = int(generator.choice([1, 1, 5, 30]))
        coarse = generator.random((height // block + 1, width // block + 1)) < density
        yield np.ascontiguousarray(np.kron(coarse, np.ones((block, block), bool))[:height, :width])


def _encoded(mask):
    text = reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return text.decode() if isinstance(text, bytes) else text


def _assert_equals_reference(mask):
    run_lengths = RunLengths.from_mask(mask)
    text = _encoded(mask)
    assert run_lengths.to_compressed() == text
    assert RunLengths.from_compressed(text, mask.shape) == run_lengths
    assert RunLengths.from_compressed(text.encode(), mask.shape) == run_lengths
    assert RunLengths(run_lengths.counts.tolist(), list(mask.shape)) == run_lengths
    decoded = run_lengths.to_mask()
    assert decoded.dtype == bool
    assert np.array_equal(decoded, mask)
    assert np.array_equal(reference.decode({"counts": text, "size": list(mask.shape)}), mask)
    assert run_lengths.area == mask_area(mask)
    assert run_lengths.box == mask_to_box(mask)


def test_a_thousand_masks_equal_the_reference():
    """Strings, counts, masks, areas and boxes of random masks are those of the reference, both ways."""
    for mask in _random_masks(1000):
        _assert_equals_reference(mask)


@pytest.mark.slow
def test_ten_thousand_masks_equal_the_reference():
    """As above, ten times as many."""
    for mask in _random_masks(10_000, seed=1):
        _assert_equals_reference(mask)


def test_long_runs_equal_the_reference():
    """Runs and differences that take up to six characters are those of the reference."""
    height, width = 4000, 9000
    for flips in ([1, 2, 30_000_000, 30_000_001, 30_000_017], [17, 18, 19, 20, 35_999_999], [35_999_999]):
        ours = RunLengths.from_flips(np.array(flips), (height, width))
        theirs = reference.frPyObjects({"counts": ours.counts.tolist(), "size": [height, width]}, height, width)
        text = theirs["counts"] if isinstance(theirs["counts"], str) else theirs["counts"].decode()
        assert ours.to_compressed() == text
        assert RunLengths.from_compressed(text, (height, width)) == ours


def test_largest_numbers_fit():
    """The longest run and the largest difference of two runs of the largest mask go to a string and back."""
    size_hw = (MAX_PIXELS, 1)
    for counts in ([0, MAX_PIXELS], [0, 1, 1, MAX_PIXELS - 2], [1, MAX_PIXELS - 3, 1, 1]):
        run_lengths = RunLengths(counts, size_hw)
        assert RunLengths.from_compressed(run_lengths.to_compressed(), size_hw) == run_lengths


def test_order_is_down_the_columns():
    """The pixels are counted down the first column, then the second."""
    mask = np.array([[False, True, False], [True, True, False]])
    assert RunLengths.from_mask(mask).counts.tolist() == [1, 3, 2]


def test_empty_runs_are_joined_away():
    """Runs of no pixels make no difference, so equal masks are equal and have one hash."""
    plain = RunLengths([2, 3, 1], (2, 3))
    assert RunLengths([2, 1, 0, 2, 1, 0], (2, 3)) == plain
    assert RunLengths([0, 0, 2, 3, 1], (2, 3)) == plain
    assert hash(RunLengths([2, 1, 0, 2, 1, 0], (2, 3))) == hash(plain)
    assert RunLengths([0, 6], (2, 3)).counts.tolist() == [0, 6]
    assert RunLengths([0, 0, 6], (2, 3)).counts.tolist() == [6]


def test_differences_are_seen():
    """Another size, other counts or another kind of thing is not equal."""
    plain = RunLengths([2, 3, 1], (2, 3))
    assert plain != RunLengths([2, 3, 1], (3, 2))
    assert plain != RunLengths([2, 4], (2, 3))
    assert plain != "2 3 1"


def test_counts_cannot_be_written():
    """The record cannot be changed, and does not hold on to the caller's array."""
    given = np.array([2, 3, 1])
    run_lengths = RunLengths(given, (2, 3))
    given[0] = 9
    assert run_lengths.counts.tolist() == [2, 3, 1]
    with pytest.raises(ValueError, match="read-only"):
        run_lengths.counts[0] = 9


def test_union_is_where_any_is():
    """The union of masks is that of their pixels, however many there are, and however they touch and overlap."""
    generator = np.random.default_rng(3)
    for _ in range(300):
        shape = tuple(int(side) for side in generator.integers(1, 12, 2))
        masks = generator.random((int(generator.integers(1, 5)), *shape)) < generator.choice([0.1, 0.5, 1.0])
        united = RunLengths.union(map(RunLengths.from_mask, masks), shape)
        assert np.array_equal(united.to_mask(), masks.any(axis=0))
        merged = reference.merge(reference.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))))
        assert np.array_equal(reference.decode(merged), united.to_mask())


def test_union_of_nothing_is_empty():
    """Without parts the mask is empty, and has no box."""
    empty = RunLengths.union([], (3, 4))
    assert (empty.counts.tolist(), empty.area, empty.box) == ([12], 0, None)


def test_union_needs_one_size():
    """Masks of two sizes are refused, with both sizes."""
    with pytest.raises(DataError, match=r"\(2, 3\) and \(3, 2\).*one picture"):
        RunLengths.union([RunLengths([6], (2, 3)), RunLengths([6], (3, 2))], (3, 2))


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ([7, -1, 6], "A run of -1 pixels in a mask of 3 x 4"),
        ([5, 5], "add up to 10, but a mask of 3 x 4 pixels has 12"),
        ([12, 12], "add up to 24"),
        ([13], "A run of 13 pixels"),
        ([10**30], r"A run of 10\^15 or more"),
        ([-(10**30), 12], r"A run of -10\^15 or more"),
        ([2**63, -(2**63), 12], r"A run of -10\^15"),
        ([1.0, 11.0], "whole numbers; one is 1.0"),
        ([True, 11], "one is True"),
        ([float("nan"), 12], "one is nan"),
        (["12"], "one is '12'"),
        ([[12]], "one is a list of 1 items"),
        ([None], "one is a NoneType"),
        ([], "0 runs"),
        ([1] * 14, "14 runs; a mask of 3 x 4 pixels has 1 to 13"),
        ("12", "not '12'"),
        ({"counts": [12]}, "not a dict"),
        (None, "not a NoneType"),
        (np.array([12.0]), "not a ndarray"),
        (np.array([[12]]), "not a ndarray"),
        (np.array([2**63 + 12], np.uint64), r"A run of 10\^15 or more"),
    ],
)
def test_wrong_counts_are_told(counts, problem):
    """Counts that no mask of this size has are refused in words."""
    with pytest.raises(DataError, match=problem):
        RunLengths(counts, (3, 4))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "0 characters is cut off"),
        ("o", "cut off"),
        ("4o", "cut off"),
        ("4 8", "holds ' ' at place 2"),
        ("4p", "holds 'p' at place 2"),
        ("4/", "holds '/'"),
        ("\u00e44", "holds '\u00e4' at place 1"),
        ("4\ud800", "at place 2"),
        (b"\xff", "holds b'.xff'"),
        ("oooooo0", "a number larger than any picture"),
        ("PPPPPP1", "a number larger than any picture"),
        ("ooooo?", "A run of"),
        ("J<", "A run of -6"),
        ("4", "add up to 4"),
        ("4" * 60, "60 characters; a mask of 3 x 4 pixels needs at most 40"),
        (12, "not 12"),
        (["4", "8"], "not a list of 2 items"),
    ],
)
def test_wrong_strings_are_told(text, problem):
    """Strings that no mask of this size has are refused in words."""
    with pytest.raises(DataError, match=problem):
        RunLengths.from_compressed(text, (3, 4))


@pytest.mark.parametrize(
    ("size_hw", "problem"),
    [
        ((0, 4), r"\[0, 4\] is no size"),
        ((-3, -4), r"\[-3, -4\] is no size"),
        ((3.0, 4), r"\[3.0, 4\] is no size"),
        ((True, 4), r"\[True, 4\] is no size"),
        (("3", 4), r"\['3', 4\] is no size"),
        ((3,), "a tuple of 1 items is no size"),
        ((3, 4, 1), "a tuple of 3 items is no size"),
        ("34", "'34' is no size"),
        (None, "a NoneType is no size"),
        (([[3]], 4), r"\[a list of 1 items, 4\] is no size"),
        ((10**6, 10**6), f"1,000,000 x 1,000,000 pixels; at most {MAX_PIXELS:,}"),
        ((10**9000, 1), r"10\^15 or more x 1 pixels"),
    ],
)
def test_wrong_sizes_are_told(size_hw, problem):
    """A size that no picture has is refused before anything is read, by every way in."""
    for read in (
        lambda: RunLengths([12], size_hw),
        lambda: RunLengths.from_compressed("<", size_hw),
        lambda: RunLengths.from_flips(np.array([3]), size_hw),
        lambda: RunLengths.union([], size_hw),
        lambda: checked_size(size_hw),
    ):
        with pytest.raises(DataError, match=problem):
            read()


def test_mask_has_two_axes():
    """A mask of three axes is refused with its shape."""
    with pytest.raises(DataError, match=r"shape \(2, 3, 1\).*\(H, W\)"):
        RunLengths.from_mask(np.zeros((2, 3, 1), bool))


def test_mutated_strings_never_crash():
    """Whatever is done to a string, it gives a mask of the right size or an error in words, as do counts."""
    generator = np.random.default_rng(5)
    masks = list(_random_masks(50, seed=6))
    read = 0
    for number in range(3000):
        mask = masks[number % len(masks)]
        data = bytearray(RunLengths.from_mask(mask).to_compressed().encode())
        for _ in range(int(generator.integers(1, 4))):
            at = int(generator.integers(0, len(data) + 1))
            data[at : at + int(generator.integers(0, 2))] = generator.bytes(int(generator.integers(0, 3)))
        try:
            run_lengths = RunLengths.from_compressed(bytes(data), mask.shape)
        except DataError:
            continue
        read += 1
        assert run_lengths.to_mask().shape == mask.shape
        assert RunLengths.from_compressed(run_lengths.to_compressed(), mask.shape) == run_lengths
    assert read > 10


def test_memory_is_bounded_by_the_size():
    """Long lists and strings for a small mask, and small ones for a huge mask, take no memory to refuse."""
    long_list, long_text = [1] * 1_000_000, "0" * 1_000_000
    tracemalloc.start()
    try:
        for counts, size_hw in (([1], (10**5, 10**5)), ([5, 5], (13_000, 13_000)), (long_list, (9, 9))):
            with pytest.raises(DataError):
                RunLengths(counts, size_hw)
        for text, size_hw in (("1", (10**5, 10**5)), ("55", (13_000, 13_000)), (long_text, (9, 9))):
            with pytest.raises(DataError):
                RunLengths.from_compressed(text, size_hw)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_numbers_of_numpy_and_json_are_taken():
    """Lists of numpy's whole numbers work like JSON's."""
    assert RunLengths([np.int64(2), np.uint8(3), 1], (np.int64(2), 3)) == RunLengths(json.loads("[2, 3, 1]"), (2, 3))


def test_patches_are_masks_within_their_boxes():
    """Cut out and set in again, a mask is the same; so is one whose patch has empty sides."""
    for mask in _random_masks(300, seed=3):
        run_lengths = RunLengths.from_mask(mask)
        patch, (left, top) = run_lengths.to_patch()
        assert patch.dtype == bool
        assert np.array_equal(patch, mask[top : top + patch.shape[0], left : left + patch.shape[1]])
        assert patch.sum() == mask.sum()
        if mask.any():
            assert mask_to_box(patch) == (0, 0, patch.shape[1], patch.shape[0])
        assert RunLengths.from_patch(patch, (left, top), mask.shape) == run_lengths
        assert RunLengths.from_patch(mask[1:], (0, 1), mask.shape).area == mask[1:].sum()


def test_patch_without_pixels_is_an_empty_mask():
    """Whichever of its sides is 0."""
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert RunLengths.from_patch(np.zeros(shape, bool), (2, 1), (5, 6)) == RunLengths([30], (5, 6))
    patch, corner = RunLengths([30], (5, 6)).to_patch()
    assert (patch.shape, corner) == ((0, 0), (0, 0))


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (4, 0), (0, 3)])
def test_patches_beyond_the_mask_are_refused(corner):
    """Their pixels would turn up in other columns."""
    with pytest.raises(DataError, match=r"reaches beyond a mask of \(5, 6\)"):
        RunLengths.from_patch(np.ones((3, 3), bool), corner, (5, 6))
