"""Fetching a large file piece by piece, so that what has come once need not come again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.download.checksums import new_checksum
from easyseg.data.download.failures import PassingError, RangeRefusedError
from easyseg.data.download.web import Reply, Web
from easyseg.io.atomic import make_folder, output_error, sync_folder, write_text

OnBytes = Callable[[int, int | None], None]
"""Called with how many bytes of a file have come, and of how many, where the server says."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that is not complete yet, and beside it what version of the file it is a part of."""

    path: Path
    version_path: Path

    @classmethod
    def of(cls, path: Path) -> _Part:
        return cls(path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part-version"))

    def size(self) -> int:
        """Return how many bytes have come."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

    def version(self) -> str:
        """Return what the server called the version; empty where that is not known."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self.version_path.read_text(encoding="utf-8")
        return ""

    def without_last_byte(self) -> int:
        """Take a byte off, so that there is always one to ask for, and return how many are left."""
        left = max(0, self.size() - 1)
        if left:
            os.truncate(self.path, left)
        return left

    def remove(self) -> int:
        """Begin anew, and return that there is nothing."""
        self.path.unlink(missing_ok=True)
        self.version_path.unlink(missing_ok=True)
        return 0


def fetch_large_file(web: Web, url: str, path: Path, on_bytes: OnBytes = lambda done, total: None) -> None:
    """Fetch a file, unless it is there already; one that was interrupted goes on where it ended.

    The file appears under its name only when it is complete and its checksum, where the server tells one, is right.
    Before, it is called `NAME.part`.

    Args:
        web: what to fetch it with.
        url: its address.
        path: where it goes; its folder is made.
        on_bytes: called as it grows.

    Raises:
        NotThereError: the server does not have it.
        DownloadError: it cannot be had.
        OutputError: it cannot be written.
        StoppedError: the download was called off.
    """
    if path.exists():
        return
    make_folder(path.parent)
    part, seen = _Part.of(path), set[bytes]()
    try:
        web.patiently(url, lambda: _attempt(web, url, part, on_bytes, seen), part.size)
        part.path.replace(path)
        sync_folder(path.parent)
        part.version_path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def _attempt(web: Web, url: str, part: _Part, on_bytes: OnBytes, seen: set[bytes]) -> None:
    version = part.version()
    have = part.without_last_byte() if version else part.remove()
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    try:
        with web.open(url, headers) as reply:
            if reply.is_part and reply.start != have:
                part.remove()
                raise PassingError(f"byte {reply.start:,} came where byte {have:,} was asked for")
            if not reply.is_part:  # the whole file, as it was asked for, or as it has changed since
                part.remove()
                write_text(part.version_path, reply.validator)
            _append(web, reply, part, on_bytes)
    except RangeRefusedError as error:
        part.remove()
        raise PassingError("the file there is shorter than the part that had come") from error
    _verify(reply, part, seen)


def _append(web: Web, reply: Reply, part: _Part, on_bytes: OnBytes) -> None:
    with part.path.open("ab") as file:
        done = file.tell()
        for chunk in web.chunks(reply):
            file.write(chunk)
            done += len(chunk)
            on_bytes(done, reply.total)


def _verify(reply: Reply, part: _Part, seen: set[bytes]) -> None:
    size = part.size()
    if reply.total is not None and size < reply.total:
        raise PassingError(f"{size:,} of {reply.total:,} bytes came")
    if reply.total is not None and size > reply.total:
        part.remove()
        raise PassingError(f"{size:,} bytes came where {reply.total:,} were expected")
    if not reply.checksums:
        return
    found = new_checksum()
    with part.path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    try:
        for checksum in reply.checksums:
            checksum.verify(found.digest(), seen)
    except PassingError:
        part.remove()
        raise
