"""Decoded images and masks kept in memory that worker processes share, or in a file that later trainings find, too.

An item is decoded and resized when it is first asked for, by whichever process asks; from then on it is copied from
memory. The memory is a shared mapping: forked workers see the same pages, and so do the other processes of a training
on several devices of one machine (see `machine_memory`); nothing is held twice.

In a file each item has a checksum, which is compared once in a training. An item that was not finished when a machine
went down, or that somebody else wrote to, is decoded anew.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.io.cache_files import mapped_file
from easyseg.structures import ImageArray, MaskArray, SizeHW

_CHECKSUM_BYTES = 4

Decode = Callable[[int], tuple[ImageArray, MaskArray]]
Allocate = Callable[[int], npt.NDArray[np.uint8]]
"""Returns so many bytes, all 0, that other processes share."""


def shared_bytes(length: int) -> npt.NDArray[np.uint8]:
    """Return (length,) uint8 zeros that processes forked from this one share with it."""
    return np.frombuffer(mmap.mmap(-1, max(1, length)), np.uint8)


class DecodedCache:
    """Images and masks at the size the network sees, decoded once.

    Args:
        decode: returns the image (h, w, C) uint8 and the mask (h, w) or (h, w, K) uint8 of an item.
        sizes_hw: the height and width of every item.
        channels: C.
        mask_channels: K, or 0 for (h, w) masks.
        allocate: where the memory comes from, called once.
        file: where the pixels are kept in place of memory.

    Raises:
        OutputError: there is no room for the file.
    """

    def __init__(
        self,
        decode: Decode,
        *,
        sizes_hw: Sequence[SizeHW],
        channels: int,
        mask_channels: int,
        allocate: Allocate = shared_bytes,
        file: Path | None = None,
    ) -> None:
        self._decode = decode
        self._sizes = np.array(sizes_hw, np.int64).reshape(-1, 2)
        self._channels = channels
        self._mask_channels = mask_channels
        ends = np.cumsum(self._item_bytes())
        self._starts = np.concatenate([[0], ends]).astype(np.int64)
        size, count = int(self._starts[-1]), len(self._sizes)
        self._file = file
        self._checksums: npt.NDArray[np.uint32] | None = None
        if file is None:
            memory = allocate(size + count)
            self._pixels, self._filled = memory[:size], memory[size : size + count]
            return
        kept = mapped_file(file, _CHECKSUM_BYTES * count + size)
        self._checksums = kept[: _CHECKSUM_BYTES * count].view(np.uint32)
        self._pixels, self._filled = kept[_CHECKSUM_BYTES * count :], shared_bytes(count)

    @staticmethod
    def bytes_needed(sizes_hw: Sequence[SizeHW], *, channels: int, mask_channels: int) -> int:
        """Return how much memory the cache of items of these sizes takes."""
        areas = sum(height * width for height, width in sizes_hw)
        return areas * (channels + max(1, mask_channels))

    def __call__(self, index: int) -> tuple[ImageArray, MaskArray]:
        """Return an item's image and mask; they are views of the cache and must not be written to."""
        image, mask = self._views(index)
        if not self._filled[index]:
            if not self._is_kept(index):
                image[...], mask[...] = self._decode(index)
                self._keep(index)
            self._filled[index] = 1  # last, so that an interrupted decode is done again
        image.flags.writeable = mask.flags.writeable = False
        return image, mask

    @property
    def file(self) -> Path | None:
        """Where the pixels are kept; None for memory."""
        return self._file

    @property
    def size_bytes(self) -> int:
        """How much memory it takes when every item is decoded."""
        return int(self._starts[-1])

    def holds(self, indices: Sequence[int]) -> bool:
        """Tell whether all these items are decoded already."""
        return bool(self._filled[list(indices)].all())

    def _is_kept(self, index: int) -> bool:
        return self._checksums is not None and int(self._checksums[index]) == self._checksum(index)

    def _keep(self, index: int) -> None:
        if self._checksums is not None:
            self._checksums[index] = self._checksum(index)

    def _checksum(self, index: int) -> int:
        """Return the checksum of an item's pixels, never 0, which stands for an item that is not there."""
        return zlib.crc32(self._pixels[self._starts[index] : self._starts[index + 1]].data) or 1

    def _views(self, index: int) -> tuple[ImageArray, MaskArray]:
        height, width = (int(part) for part in self._sizes[index])
        start = int(self._starts[index])
        middle = start + height * width * self._channels
        image = self._pixels[start:middle].reshape(height, width, self._channels)
        shape = (height, width, self._mask_channels) if self._mask_channels else (height, width)
        mask = self._pixels[middle : int(self._starts[index + 1])].reshape(shape)
        return image, mask

    def _item_bytes(self) -> npt.NDArray[np.int64]:
        areas: npt.NDArray[np.int64] = self._sizes[:, 0] * self._sizes[:, 1]
        return areas * (self._channels + max(1, self._mask_channels))
