"""Memory that several processes of one machine share although none was forked from another."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.errors import DataError


@contextmanager
def offered_memory(length: int) -> Iterator[tuple[npt.NDArray[np.uint8], str]]:
    """Make memory for all processes of this machine; inside the block, they can find it.

    It is gone with the last process that holds it, however that ends. On Linux it has no name that could outlive it;
    elsewhere it is a file in the folder for temporary files, removed at the end of the block.

    Args:
        length: in bytes.

    Yields:
        The memory, (length,) uint8 zeros, and the address that `found_memory` takes.

    Raises:
        DataError: there is no room for it.
    """
    path = ""
    if sys.platform == "linux":
        descriptor = os.memfd_create("easyseg")
        address = f"/proc/{os.getpid()}/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="easyseg-")
        address = path
    try:
        yield _mapped(descriptor, length), address
    finally:
        os.close(descriptor)
        if path:
            Path(path).unlink(missing_ok=True)


def found_memory(length: int, address: str) -> npt.NDArray[np.uint8]:
    """Return the memory that another process of this machine offers at an address.

    Raises:
        DataError: it is not there.
    """
    try:
        descriptor = os.open(address, os.O_RDWR)
    except OSError as error:
        raise DataError(
            f"The decoded images that another process keeps at {address} cannot be reached ({error.strerror}). Type "
            "cache='none' to do without."
        ) from error
    try:
        return _mapped(descriptor, length)
    finally:
        os.close(descriptor)


def _mapped(descriptor: int, length: int) -> npt.NDArray[np.uint8]:
    length = max(1, length)
    try:
        os.ftruncate(descriptor, length)  # the same for all, so whoever comes later changes nothing
        return np.frombuffer(mmap.mmap(descriptor, length), np.uint8)
    except OSError as error:
        raise DataError(
            f"There is no room for {length:,} bytes of decoded images ({error.strerror}). Type cache='none'."
        ) from error
