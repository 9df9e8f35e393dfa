"""Single files come out of an archive on a server without the rest of it."""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import pytest

from easyseg.data.download.failures import NotThereError
from easyseg.data.download.remote_archives import RemoteArchive, open_remote_archive
from easyseg.data.download.web import Patience, Web
from easyseg.errors import DownloadError

FILES = {f"{at:03}.png": random.Random(at).randbytes(3000) for at in range(200)}


@pytest.fixture
def url(server: Any) -> str:
    """The address of an archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(f"folder/{name}", content)
    server.files["/a.zip"] = data.getvalue()
    return f"{server.address}/a.zip"


def opened(url: str, patience: Patience) -> RemoteArchive:
    """Return an archive that is there."""
    archive = open_remote_archive(Web(patience), url)
    assert archive is not None
    return archive


def test_files_come_alone(server: Any, url: str, patience: Patience) -> None:
    """The list and one file are a small part of the archive."""
    archive = opened(url, patience)
    assert len(archive.files) == len(FILES)
    before = len(server.requests)
    for name in ("000.png", "123.png", "199.png"):
        assert archive.read(archive.files[name]) == FILES[name]
    spans = [span[6:].split("-") for _, span in server.requests[before:]]
    assert len(spans) == 3
    assert sum(int(end) - int(start) for start, end in spans) < 3 * 6000


@pytest.mark.parametrize("kind", ["drop", "short", "garbage", 503])
def test_what_passes_is_tried_again(server: Any, url: str, patience: Patience, fault: Any, kind: Any) -> None:
    """Damaged bytes are noticed by the archive's own checksum."""
    archive = opened(url, patience)
    server.faults["/a.zip"] = [fault(kind, times=2)]
    assert archive.read(archive.files["007.png"]) == FILES["007.png"]


def test_a_file_that_is_damaged_on_the_server(server: Any, url: str, patience: Patience) -> None:
    """It is an error that names the file."""
    archive = opened(url, patience)
    data = bytearray(server.files["/a.zip"])
    data[archive.files["007.png"].start + 100] ^= 255
    server.files["/a.zip"] = bytes(data)
    with pytest.raises(DownloadError, match=r"007\.png cannot be fetched: .*in 3 attempts"):
        archive.read(archive.files["007.png"])


def test_a_server_without_parts(server: Any, url: str, patience: Patience) -> None:
    """It is left to the caller to fetch the whole."""
    server.has_ranges = False
    assert open_remote_archive(Web(patience), url) is None


def test_a_server_that_changes_its_mind(server: Any, url: str, patience: Patience) -> None:
    """Parts first and then no more: an error, not the whole archive in memory."""
    web = Web(patience)
    get_range = web.get_range
    web.get_range = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(DownloadError, match="sent a part of the file once"):
        open_remote_archive(web, url)
    web.get_range = get_range  # type: ignore[method-assign]
    archive = open_remote_archive(web, url)
    assert archive is not None
    server.has_ranges = False
    with pytest.raises(DownloadError, match="cannot be fetched"):
        archive.read(archive.files["007.png"])


def test_an_archive_without_files(server: Any, patience: Patience) -> None:
    """It is one, with an empty list."""
    data = io.BytesIO()
    zipfile.ZipFile(data, "w").close()
    server.files["/empty.zip"] = data.getvalue()
    assert len(opened(f"{server.address}/empty.zip", patience).files) == 0


def test_what_is_no_archive(server: Any, patience: Patience) -> None:
    """Neither another file nor none."""
    server.files["/b.zip"] = b"no archive, but a page that says so"
    with pytest.raises(DownloadError, match=r"b\.zip cannot be fetched: the archive cannot be read: the end of a zip"):
        open_remote_archive(Web(patience), f"{server.address}/b.zip")
    with pytest.raises(NotThereError):
        open_remote_archive(Web(patience), f"{server.address}/c.zip")
