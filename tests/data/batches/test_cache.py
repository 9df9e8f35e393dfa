"""The cache of decoded images: decoded once, shared by processes, never written to by its users."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.batches.cache import DecodedCache
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


def kept_in(file: Path, decode: Decoder) -> DecodedCache:
    """Return a cache of all items whose pixels lie in a file."""
    return DecodedCache(decode, sizes_hw=SIZES, channels=3, mask_channels=decode.mask_channels, file=file)


@pytest.mark.parametrize("mask_channels", [0, 4])
def test_file_keeps_what_was_decoded(tmp_path: Path, mask_channels: int) -> None:
    """A later cache of the same file decodes only what is missing."""
    decode, fresh = Decoder(mask_channels), Decoder(mask_channels)
    kept_in(tmp_path / "a.pixels", decode)(2)
    later = kept_in(tmp_path / "a.pixels", decode)
    assert not later.holds([2])
    for index in (2, 0, 1, 2):
        for found, expected in zip(later(index), fresh(index), strict=True):
            assert np.array_equal(found, expected)
    assert later.holds([0, 1, 2])
    assert decode.calls == [2, 0, 1]


def test_damage_in_the_file_is_decoded_anew(tmp_path: Path) -> None:
    """Every single byte of the file: pixels that are not what was decoded are never handed out."""
    file = tmp_path / "a.pixels"
    cache = kept_in(file, Decoder())
    for index in range(3):
        cache(index)
    whole = file.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        file.write_bytes(damaged)
        decode = Decoder()
        later = kept_in(file, decode)
        for index in range(3):
            assert np.array_equal(later(index)[0], Decoder()(index)[0])
        assert len(decode.calls) == 1
        assert file.read_bytes() == whole


def test_item_whose_pixels_were_never_written_is_no_black_image(tmp_path: Path) -> None:
    """As after a power failure, where the disk has zeros for whatever did not get there."""
    file = tmp_path / "a.pixels"
    kept_in(file, Decoder())(0)
    length = file.stat().st_size
    file.write_bytes(bytes(length))
    decode = Decoder()
    assert np.array_equal(kept_in(file, decode)(0)[0], Decoder()(0)[0])
    assert decode.calls == [0]
