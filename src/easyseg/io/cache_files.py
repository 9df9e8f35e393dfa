"""Large arrays in the user's cache folder, mapped into memory so that processes share them and later runs find them."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.errors import OutputError
from easyseg.io.atomic import make_folder, output_error

UNUSED_DAYS = 30
"""What nobody has opened for so long is removed when something new is made beside it."""

_BLOCK = 1 << 22


def free_disk_bytes(folder: Path) -> int:
    """Return how much may still be written below a folder, which need not exist."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(existing).free


def mapped_file(path: Path, length: int) -> npt.NDArray[np.uint8]:
    """Return a file of this length as memory that all who open it share; what is new in it is 0.

    All of it has its room on the disk from now on: a disk that fills up while memory is written to would end the
    process without a word.

    Args:
        path: the file; made where it is missing, with its folder.
        length: in bytes, above 0.

    Raises:
        OutputError: there is no room, it cannot be written, or it is somebody else's.
    """
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            if hasattr(os, "getuid") and os.fstat(descriptor).st_uid != os.getuid():
                raise OutputError(f"{path} belongs to another user. Set EASYSEG_CACHE to a folder of your own.")
            _reserve(descriptor, length)
            os.utime(path)
            return np.frombuffer(mmap.mmap(descriptor, length), np.uint8)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise output_error(path, error) from error


def remove_unused(folder: Path, suffix: str) -> None:
    """Remove the files of a cache that nobody has opened for `UNUSED_DAYS`."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for path in _files(folder, suffix):
        with contextlib.suppress(OSError):  # another process was quicker, or has it open
            if path.stat().st_mtime < oldest:
                path.unlink()


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.suffix == suffix)


def _reserve(descriptor: int, length: int) -> None:
    size = os.fstat(descriptor).st_size
    if size > length:  # of another origin, whatever its name says
        os.ftruncate(descriptor, 0)
        size = 0
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    os.lseek(descriptor, size, os.SEEK_SET)
    while size < length:
        size += os.write(descriptor, bytes(min(_BLOCK, length - size)))
