"""A large file comes piece by piece, goes on where it ended, and appears only when it is right."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from easyseg.data.download import large_files
from easyseg.data.download import web as web_module
from easyseg.data.download.failures import NotThereError, StoppedError
from easyseg.data.download.large_files import fetch_large_file
from easyseg.data.download.web import Patience, Web
from easyseg.errors import DownloadError, OutputError

FILE = bytes(range(256)) * 400


@pytest.fixture
def web(patience: Patience, monkeypatch: pytest.MonkeyPatch) -> Web:
    """What fetches files, in small pieces."""
    monkeypatch.setattr(web_module, "CHUNK_BYTES", 4096)
    return Web(patience)


@pytest.fixture
def url(server: Any) -> str:
    """The address of a file."""
    server.files["/large"] = FILE
    return f"{server.address}/large"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it goes."""
    return tmp_path / "folder" / "large"


def assert_complete(path: Path) -> None:
    """The file is there, and nothing beside it."""
    assert path.read_bytes() == FILE
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("sums", ["tag", "md5", "goog", "fake-tag", "none"])
def test_it_comes_whole(server: Any, web: Web, url: str, path: Path, sums: str) -> None:
    """Under every kind of checksum; one that only looks like one costs a second attempt."""
    server.sums = sums
    seen: list[tuple[int, int | None]] = []
    fetch_large_file(web, url, path, lambda done, total: seen.append((done, total)))
    assert_complete(path)
    assert seen[-1] == (len(FILE), len(FILE))
    assert len(server.requests) == (2 if sums == "fake-tag" else 1)


def test_what_is_there_is_not_fetched(server: Any, web: Web, url: str, path: Path) -> None:
    """A second call costs nothing."""
    fetch_large_file(web, url, path)
    fetch_large_file(web, url, path)
    assert len(server.requests) == 1


def test_a_broken_connection_goes_on_where_it_ended(server: Any, web: Web, url: str, path: Path, fault: Any) -> None:
    """Each attempt asks for what is missing; attempts that bring something are never too many."""
    server.faults["/large"] = [fault("drop", times=8)]
    fetch_large_file(web, url, path)
    assert_complete(path)
    starts = [int(span[6:-1]) if span else 0 for span in server.asked_for("/large")]
    assert starts == sorted(set(starts))
    assert len(starts) == 9


def test_an_interruption_goes_on_with_the_next_call(
    server: Any, web: Web, url: str, path: Path, patience: Patience
) -> None:
    """Also in another process: what has come lies beside the file."""

    def call_off(done: int, total: int | None) -> None:
        if done > 50_000:
            web.stop.set()

    with pytest.raises(StoppedError):
        fetch_large_file(web, url, path, call_off)
    have = path.with_name("large.part").stat().st_size
    assert 50_000 < have < len(FILE)
    assert not path.exists()
    fetch_large_file(Web(patience), url, path)
    assert_complete(path)
    assert server.asked_for("/large")[-1] == f"bytes={have - 1}-"


def test_a_part_that_was_complete_already(server: Any, web: Web, url: str, path: Path) -> None:
    """Killed just before the end: one byte comes anew."""
    fetch_large_file(web, url, path)
    path.rename(path.with_name("large.part"))
    tag = f'"{hashlib.md5(FILE).hexdigest()}"'
    path.with_name("large.part-version").write_text(tag)
    fetch_large_file(web, url, path)
    assert_complete(path)
    assert server.asked_for("/large")[-1] == f"bytes={len(FILE) - 1}-"


@pytest.mark.parametrize("sums", ["tag", "none"])
def test_a_file_that_changed_meanwhile_comes_anew(server: Any, web: Web, url: str, path: Path, sums: str) -> None:
    """Parts of two versions are never put together, also where no checksum would tell."""
    server.sums = sums
    path.parent.mkdir()
    path.with_name("large.part").write_bytes(b"of an older version" * 100)
    path.with_name("large.part-version").write_text('"another tag"')
    fetch_large_file(web, url, path)
    assert_complete(path)


def test_a_part_of_an_unknown_version_comes_anew(server: Any, web: Web, url: str, path: Path) -> None:
    """Without a word on what it is a part of, it is none."""
    path.parent.mkdir()
    path.with_name("large.part").write_bytes(FILE[:1000])
    fetch_large_file(web, url, path)
    assert_complete(path)
    assert server.asked_for("/large") == [""]


def test_a_file_that_became_shorter_comes_anew(server: Any, web: Web, url: str, path: Path, fault: Any) -> None:
    """The server has no such bytes any more."""
    path.parent.mkdir()
    path.with_name("large.part").write_bytes(FILE + FILE)
    server.sums = "none"
    path.with_name("large.part-version").write_text("Thu, 01 Jan 1970 00:00:00 GMT")
    server.ignores_versions = True
    fetch_large_file(web, url, path)
    assert_complete(path)


@pytest.mark.parametrize("kind", ["garbage", "short", 500, 503])
def test_what_passes_is_tried_again(server: Any, web: Web, url: str, path: Path, fault: Any, kind: Any) -> None:
    """Wrong bytes are thrown away."""
    server.sums = "md5"
    server.faults["/large"] = [fault(kind, times=2)]
    fetch_large_file(web, url, path)
    assert_complete(path)


def test_a_server_without_parts(server: Any, web: Web, url: str, path: Path, fault: Any) -> None:
    """It begins anew each time, and comes in the end."""
    server.has_ranges = False
    server.faults["/large"] = [fault("drop", times=2)]
    fetch_large_file(web, url, path)
    assert_complete(path)


def test_a_part_that_was_not_asked_for(server: Any, web: Web, url: str, path: Path, fault: Any) -> None:
    """It is thrown away with what came before, for nobody knows where the fault is, and the whole file comes."""
    server.faults["/large"] = [fault("drop")]
    server.span_override = f"bytes 7-{len(FILE) - 1}/{len(FILE)}"
    fetch_large_file(web, url, path)
    assert_complete(path)
    assert [bool(span) for span in server.asked_for("/large")] == [False, True, False]


def test_more_bytes_than_there_are(
    server: Any, web: Web, url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are thrown away."""
    monkeypatch.setattr(Web, "chunks", lambda self, reply: iter([FILE, b"and more"]))
    with pytest.raises(DownloadError, match="bytes came where"):
        fetch_large_file(web, url, path)
    assert not path.exists()


def test_what_is_not_there(server: Any, web: Web, url: str, path: Path) -> None:
    """Nothing is left behind but the folder."""
    with pytest.raises(NotThereError):
        fetch_large_file(web, f"{url}-not", path)
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_is_said_in_words(web: Web, url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what has come stays, to go on with."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(large_files, "_append", full)
    with pytest.raises(OutputError, match="no space left on the disk"):
        fetch_large_file(web, url, path)
