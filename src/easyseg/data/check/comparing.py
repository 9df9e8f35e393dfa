"""Comparing the pictures of many pairs: in processes where the files are many, else in threads."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from easyseg.data.check.likeness import compare, small_plane
from easyseg.data.check.perceptual_hash import MIRRORINGS
from easyseg.data.check.sources import read_any_numbers
from easyseg.errors import SampleError
from easyseg.io.inspection import grey_of
from easyseg.structures import ImageArray, ImageSource

AT_ONCE = 16
"""Pairs for one thread or message."""
_AHEAD = 2
"""So many times as many batches as there are threads are on their way."""
_CACHED_PLANES = 2048
_FLIP_CODES = {(True, False): 1, (False, True): 0, (True, True): -1}

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Copy:
    """Two samples that show the same picture, or may do so.

    Attributes:
        first: the number of one sample, below `second`.
        second: the number of the other.
        mirroring: how one is mirrored, see `MIRRORINGS`; empty where it is not.
    """

    first: int
    second: int
    mirroring: str = ""


def verdict_on(planes: Callable[[Key], ImageArray], first: Key, second: Key, mirroring: str) -> bool:
    """Tell whether two pictures are copies.

    Args:
        planes: returns what `small_plane` makes of a picture.
        first: one picture.
        second: the other.
        mirroring: how one is mirrored, see `MIRRORINGS`.
    """
    try:
        one, other = planes(first), planes(second)
    except SampleError:  # it was there a moment ago
        return False
    if mirroring:
        other = np.asarray(cv2.flip(other, _FLIP_CODES[MIRRORINGS[mirroring]]), np.uint8)
    return compare(one, other).is_copy


@functools.lru_cache(maxsize=_CACHED_PLANES)
def plane_of_file(path: str) -> ImageArray:
    """Return the brightness of an image file, scaled down to what a comparison needs.

    Raises:
        SampleError: it cannot be read.
    """
    return plane_of(Path(path))


def plane_of(image: ImageSource) -> ImageArray:
    """Do what `plane_of_file` does with an image wherever it lies."""
    return small_plane(grey_of(read_any_numbers(image)))


def verdicts_here(images: Sequence[ImageSource]) -> Callable[[Sequence[Copy]], list[bool]]:
    """Return a function that tells which pairs of `images` are copies, in the thread that calls it."""

    @functools.lru_cache(maxsize=_CACHED_PLANES)
    def plane(sample: int) -> ImageArray:
        return plane_of(images[sample])

    return lambda pairs: [verdict_on(plane, pair.first, pair.second, pair.mirroring) for pair in pairs]


def compared(
    pairs: Iterable[Copy], verdicts: Callable[[Sequence[Copy]], list[bool]], *, threads: int
) -> Iterator[tuple[Copy, bool]]:
    """Yield each pair in its order, and whether it is a copy.

    Args:
        pairs: asked for one after the other while the verdicts on those before come in, so what is known by then can
            be left out.
        verdicts: tells of each of some pairs whether it is a copy; called in threads.
        threads: how many of them.
    """
    pairs = iter(pairs)
    pending: deque[tuple[list[Copy], Future[list[bool]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while batch := list(itertools.islice(pairs, AT_ONCE)):
                pending.append((batch, pool.submit(verdicts, batch)))
                if len(pending) >= _AHEAD * threads:
                    yield from _done(pending)
            while pending:
                yield from _done(pending)
        finally:
            for _, future in pending:
                future.cancel()


def _done(pending: deque[tuple[list[Copy], Future[list[bool]]]]) -> Iterator[tuple[Copy, bool]]:
    batch, future = pending.popleft()
    yield from zip(batch, future.result(), strict=True)
