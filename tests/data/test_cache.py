"""The cache of decoded images: decoded once, shared by processes, never written to by its users."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

from easyseg.data.cache import DecodedCache
from easyseg.errors import SampleError

SIZES = [(4, 6), (1, 1), (5, 3)]


class Decoder:
    """Makes an image and a mask of its own for each index, and counts how often."""

    def __init__(self, mask_channels: int = 0) -> None:
        self.calls: list[int] = []
        self.mask_channels = mask_channels

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(index)
        random = np.random.default_rng(index)
        mask_shape = (*SIZES[index], self.mask_channels) if self.mask_channels else SIZES[index]
        image = random.integers(0, 256, (*SIZES[index], 3), dtype=np.uint8)
        return image, random.integers(0, 256, mask_shape, dtype=np.uint8)


def new_cache(decode: Decoder) -> DecodedCache:
    """Return an empty cache of all items."""
    return DecodedCache(decode, sizes_hw=SIZES, channels=3, mask_channels=decode.mask_channels)


@pytest.mark.parametrize("mask_channels", [0, 1, 4])
def test_items_are_decoded_once_and_come_back_equal(mask_channels: int) -> None:
    """Whatever their sizes, images and masks of one item never mix with those of another."""
    decode, fresh = Decoder(mask_channels), Decoder(mask_channels)
    cache = new_cache(decode)
    for index in [2, 0, 1, 1, 0, 2, 0]:
        for found, expected in zip(cache(index), fresh(index), strict=True):
            assert found.shape == expected.shape
            assert np.array_equal(found, expected)
    assert decode.calls == [2, 0, 1]


def test_cached_pixels_cannot_be_written_to() -> None:
    """Whoever would change an image in place would change it for all later epochs."""
    cache = new_cache(Decoder())
    for _ in range(2):  # when decoded, and when copied from memory
        for array in cache(0):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 1


def test_item_that_fails_is_tried_again() -> None:
    """A file that could not be read is not remembered as black."""
    decode = Decoder()
    broken = [True]

    def sometimes(index: int) -> tuple[np.ndarray, np.ndarray]:
        if broken[0]:
            raise SampleError("a.png", "is cut off")
        return decode(index)

    cache = DecodedCache(sometimes, sizes_hw=SIZES, channels=3, mask_channels=0)
    with pytest.raises(SampleError, match="is cut off"):
        cache(0)
    broken[0] = False
    assert np.array_equal(cache(0)[0], Decoder()(0)[0])


@pytest.mark.parametrize("mask_channels", [0, 1, 4])
def test_bytes_needed_are_those_taken(mask_channels: int) -> None:
    """The estimate before is the size after."""
    decode = Decoder(mask_channels)
    cache = new_cache(decode)
    needed = DecodedCache.bytes_needed(SIZES, channels=3, mask_channels=mask_channels)
    assert needed == sum(array.nbytes for index in range(3) for array in cache(index))
    assert len(cache._pixels) == needed


def test_empty_dataset_needs_no_memory() -> None:
    """No items, no bytes, no error."""
    assert DecodedCache.bytes_needed([], channels=3, mask_channels=0) == 0
    DecodedCache(Decoder(), sizes_hw=[], channels=3, mask_channels=0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked, and the cache is not used")
def test_what_a_worker_decodes_is_there_for_all() -> None:
    """A forked process fills the memory that this one reads, which then decodes nothing."""
    decode = Decoder()
    cache = new_cache(decode)
    worker = multiprocessing.get_context("fork").Process(target=cache, args=(2,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert np.array_equal(cache(2)[0], Decoder()(2)[0])
    assert decode.calls == []
