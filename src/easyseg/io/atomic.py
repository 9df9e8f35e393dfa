"""Writing files so that a reader never sees half of one.

A file is written under a temporary name beside its final one, flushed to the disk, and then renamed, so the final name
holds either the old content or the new one, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from easyseg.errors import OutputError

_REASONS = {
    errno.ENOSPC: "no space left on the disk. Free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up. Free some space, or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows. Choose another disk, or raise the limit",
    errno.EACCES: "no permission to write there. Choose a folder of your own, or change its permissions",
    errno.EPERM: "no permission to write there. Choose a folder of your own, or change its permissions",
    errno.EROFS: "the disk is read-only. Choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another path",
    errno.EEXIST: "a part of the path is a file, not a folder. Choose another path",
    errno.EISDIR: "there is a folder of that name. Choose another file name",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
}


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, which takes the place of `path` when all went well.

    The folder is made where it is missing. The file's permissions follow the umask, whoever writes it.

    Args:
        path: the file to write; an existing one is replaced at the end, and left as it is after a failure.

    Yields:
        a path in the same folder with the same suffix.

    Raises:
        OutputError: the file cannot be written; nothing of it is left behind.
    """
    final = Path(path)
    make_folder(final.parent)
    temporary = final.with_name(f".{secrets.token_hex(6)}.tmp{final.suffix}")
    try:
        mode = _reserve(temporary)
        yield temporary
        _commit(temporary, final, mode)
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        with contextlib.suppress(OSError):  # the file is gone after a rename; nothing else is worth hiding an error for
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file in one step.

    Raises:
        OutputError: it cannot be written; an existing file is untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one step.

    Raises:
        OutputError: it cannot be written; an existing file is untouched.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and those above it, and return it; one that exists is fine.

    Raises:
        OutputError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """Say in plain words why a file or folder cannot be written, and what to do."""
    reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}. Check the path, or choose another one")
    return OutputError(f"{path} cannot be written: {reason}.")


def _reserve(temporary: Path) -> int:
    """Create the file and return its permission bits, which the system has cut down by the umask."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _commit(temporary: Path, final: Path, mode: int) -> None:
    # a writer may have put a file of its own, with its own permissions, in the place of the reserved one
    temporary.chmod(mode)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk: without it, a rename may not outlive a power failure."""
    if os.name != "posix":
        return  # other systems cannot open a folder
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
