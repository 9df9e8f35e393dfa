"""Single files out of a zip archive on a server, without fetching the archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from easyseg.data.download.failures import PassingError
from easyseg.data.download.web import Web
from easyseg.errors import DownloadError, SampleError
from easyseg.io.zip_archives import HEADER_BYTES, ArchiveList, parse_list, unpack
from easyseg.structures import ArchivedFile

_EXTRA_BYTES = 1024
"""The header before a file may hold more than the list says of it, some ten bytes as a rule."""


@dataclass(frozen=True, slots=True)
class RemoteArchive:
    """A zip archive on a server that sends parts of files.

    Attributes:
        web: what it is read with.
        url: its address.
        size: how many bytes it has.
        files: the files in it.
    """

    web: Web
    url: str
    size: int
    files: ArchiveList

    def read(self, file: ArchivedFile) -> bytes:
        """Return the unpacked bytes of a file.

        Raises:
            DownloadError: it cannot be had, or is damaged on the server.
            StoppedError: the download was called off.
        """
        count = HEADER_BYTES + len(file.name) + _EXTRA_BYTES + file.packed_bytes

        def attempt() -> bytes:
            data = self.web.get_range(self.url, file.start, count)
            try:
                return unpack(file, data or b"")
            except SampleError as error:  # a proxy may have mixed something up
                raise PassingError(error.problem) from error

        return self.web.patiently(f"{self.url}, file {file.name}", attempt)


def open_remote_archive(web: Web, url: str) -> RemoteArchive | None:
    """Return an archive with the list of its files; None where the server sends whole files only.

    Raises:
        NotThereError: the server does not have it.
        DownloadError: it cannot be had, or is no zip archive.
        StoppedError: the download was called off.
    """
    size = web.size(url)
    if size is None:
        return None

    def read_at(start: int, count: int) -> bytes:
        if count <= 0:
            return b""
        data = web.get_range(url, start, count)
        if data is None:
            raise DownloadError(f"{url}: the server sent a part of the file once, and no more. Try again later.")
        return data

    def attempt() -> ArchiveList:
        try:
            return parse_list(Path(url), size, read_at)
        except SampleError as error:  # the list has no checksum of its own
            raise PassingError(error.problem) from error

    return RemoteArchive(web, url, size, web.patiently(url, attempt))
