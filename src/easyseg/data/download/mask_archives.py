"""The sixteen archives in which a split's masks lie on the server, by the first digit of the image's id."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.download.large_files import fetch_large_file
from easyseg.data.download.progress import Progress
from easyseg.data.download.remote_archives import RemoteArchive, open_remote_archive
from easyseg.data.download.web import Web
from easyseg.errors import DownloadError, SampleError
from easyseg.io.zip_archives import list_archive, read_archived

_LARGE_SHARE = 0.25
"""Where more of an archive's bytes than this are needed, one request for all is faster than thousands."""


@dataclass(frozen=True, slots=True)
class MaskArchives:
    """Gets masks out of the archives: one by one where the server sends parts of files, else out of the whole archive.

    Attributes:
        web: what to fetch with.
        url: the archives' address, with {} for the digit.
        folder: where whole archives lie while they are needed.
        progress: shows how far they are.
    """

    web: Web
    url: str
    folder: Path
    progress: Progress

    @contextlib.contextmanager
    def open(self, digit: str, names: Sequence[str]) -> Iterator[Callable[[str], bytes | None]]:
        """Give what returns the bytes of a mask by its name, None where the archive does not have it.

        Args:
            digit: the archive.
            names: the masks that will be asked for.

        Raises:
            DownloadError: the archive cannot be had, or is damaged.
            OutputError: it cannot be written.
            StoppedError: the download was called off.
        """
        url = self.url.format(digit)
        whole = self.folder / url.rpartition("/")[2]
        remote = None if whole.exists() else open_remote_archive(self.web, url)
        if remote is not None and _share(remote, names) <= _LARGE_SHARE:
            yield lambda name: _read_remote(remote, name)
            return
        with self.progress.of_bytes(whole.name) as on_bytes:
            fetch_large_file(self.web, url, whole, on_bytes)
        try:
            yield _reader_of(whole)
        except SampleError as error:
            whole.unlink()  # the same call would find it again
            raise DownloadError(f"The archive fetched from {url} cannot be used. {error}") from error
        whole.unlink()


def _share(remote: RemoteArchive, names: Sequence[str]) -> float:
    needed = sum(remote.files[name].packed_bytes for name in names if name in remote.files)
    return needed / max(1, remote.size)


def _read_remote(remote: RemoteArchive, name: str) -> bytes | None:
    return remote.read(remote.files[name]) if name in remote.files else None


def _reader_of(archive: Path) -> Callable[[str], bytes | None]:
    listed = list_archive(archive)

    def read(name: str) -> bytes | None:
        return read_archived(listed[name]) if name in listed else None

    return read
