"""One process per run folder: an operating system's lock on a file in it, which the system frees with the process."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from easyseg.errors import OutputError, RunLockedError
from easyseg.io.atomic import make_folder, output_error

_NAME = ".lock"
_REFUSED = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_LONGEST_NAME = 500

# Folders this process holds, by device and inode, with its process id: the system's locks are between processes, so two
# threads or two cells of a notebook would not hinder each other. A forked child inherits the record but not the locks.
_held: dict[tuple[int, int], int] = {}
_held_guard = threading.Lock()

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # a byte far behind the text: others may not read what is locked
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # POSIX locks belong to the process alone. flock's would be shared with every forked worker, and a worker that
        # outlives a killed run would keep its folder locked. The price: closing any descriptor of the file frees the
        # lock, so nothing else in this process may open it, and `_held` stands for the process itself.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def run_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep every other process, and every other run of this one, out of a run folder.

    The lock is on `folder/.lock`, which says who holds it. It is free as soon as the process is gone, however it ended,
    even where workers that it started live on. The file stays: to remove it would let two processes lock two files.
    Of a run on several devices only the first process (rank 0) takes it.

    Args:
        folder: the run folder; made where it is missing.

    Raises:
        RunLockedError: another process, or another run of this one, is at work there; the message has its process id.
        OutputError: the folder cannot be written to, or its disk has no locks.
    """
    path = make_folder(folder) / _NAME
    try:
        descriptor = _open_held(path)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise OutputError(
                f"{path} cannot be locked: this disk has no file locks, so nothing would keep two processes from "
                "writing into one run. Choose a run folder on another disk."
            ) from error
        raise output_error(path, error) from error
    status = os.fstat(descriptor)
    try:
        yield
    finally:  # in a forked child this frees nothing, as it holds nothing
        with _held_guard:
            _held.pop((status.st_dev, status.st_ino), None)
            os.close(descriptor)


def is_locked(folder: str | os.PathLike[str]) -> bool:
    """Tell whether another process, or another run of this one, is at work in a run folder."""
    try:
        with run_lock(folder):
            return False
    except RunLockedError:
        return True


def _open_held(path: Path) -> int:
    """Return a descriptor of the file with the lock on it.

    Raises:
        RunLockedError: somebody else has it.
        OSError: the file cannot be opened or locked.
    """
    with _held_guard:
        _refuse_own(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock_or_name_holder(path, descriptor)
            _sign(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        status = os.fstat(descriptor)
        _held[status.st_dev, status.st_ino] = os.getpid()
    return descriptor


def _refuse_own(path: Path) -> None:
    """Refuse a folder that this process holds, before the file is opened: closing it again would free the lock."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if _held.get((status.st_dev, status.st_ino)) == os.getpid():
        raise RunLockedError(
            f"The run folder {path.parent} is in use by another run of this very process ({os.getpid()}). "
            "Wait until it has ended, or choose another run folder (run_dir=...)."
        )


def _lock_or_name_holder(path: Path, descriptor: int) -> None:
    try:
        _lock(descriptor)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise RunLockedError(
            f"The run folder {path.parent} is in use by {_read_holder(descriptor)}. Wait until that has ended, "
            "or choose another run folder (run_dir=...)."
        ) from error


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _read_holder(descriptor: int) -> str:
    for _ in range(20):  # who has just taken the lock may not have signed yet
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = os.read(descriptor, _LONGEST_NAME).decode("utf-8", errors="replace")
        if text.endswith("\n"):
            return text.strip()
        time.sleep(0.05)
    return "another process"
