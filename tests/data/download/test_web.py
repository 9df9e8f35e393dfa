"""Requests are patient with what passes, and clear about what does not."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.error
from email.utils import formatdate
from typing import Any

import pytest

from easyseg.data.download import web as web_module
from easyseg.data.download.failures import NotThereError, PassingError, StoppedError
from easyseg.data.download.web import Patience, Web
from easyseg.errors import DownloadError

FILE = bytes(range(256)) * 40


@pytest.fixture
def web(patience: Patience) -> Web:
    """What fetches files."""
    return Web(patience)


@pytest.fixture
def url(server: Any) -> str:
    """The address of a file."""
    server.files["/file"] = FILE
    return f"{server.address}/file"


@pytest.mark.parametrize("sums", ["tag", "md5", "goog", "fake-tag", "none"])
def test_a_file_comes_whole(server: Any, web: Web, url: str, sums: str) -> None:
    """Whatever the server says of its checksum, as long as it is true or none."""
    server.sums = sums
    assert web.get(url, most_bytes=1 << 20) == FILE


@pytest.mark.parametrize("kind", [500, 502, 503, 504, 429, 408, "drop", "short", "garbage"])
def test_what_passes_is_tried_again(server: Any, web: Web, url: str, fault: Any, kind: Any) -> None:
    """Two failures are no error, whether the server says so, breaks off, or sends something else."""
    server.sums = "md5" if kind in ("garbage", "short") else "tag"
    server.faults["/file"] = [fault(kind, times=2)]
    assert web.get(url, most_bytes=1 << 20) == FILE
    assert len(server.requests) == 3


@pytest.mark.parametrize("kind", [500, "drop"])
def test_patience_has_an_end(server: Any, web: Web, url: str, fault: Any, kind: Any) -> None:
    """The message says what went wrong, how often, and what to do."""
    server.faults["/file"] = [fault(kind, times=99)]
    with pytest.raises(DownloadError, match=r"/file cannot be fetched: .*in 3 attempts\. Check the network") as caught:
        web.get(url, most_bytes=1 << 20)
    assert not isinstance(caught.value, NotThereError)
    assert len(server.requests) == 3


def test_a_checksum_that_is_always_wrong(server: Any, web: Web, url: str, fault: Any) -> None:
    """It is an error where the server is certain of it."""
    server.sums = "goog"
    server.faults["/file"] = [fault("garbage", times=99)]
    with pytest.raises(DownloadError, match="its checksum is"):
        web.get(url, most_bytes=1 << 20)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_not_asked_for_again(server: Any, web: Web, url: str, fault: Any, status: int) -> None:
    """It is an error of its own, at once."""
    server.faults["/file"] = [fault(status)]
    with pytest.raises(NotThereError, match=f"/file is not there .the server answers {status}"):
        web.get(url, most_bytes=1 << 20)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 501])
def test_a_refusal_is_final(server: Any, web: Web, url: str, fault: Any, status: int) -> None:
    """Another attempt would not better it."""
    server.faults["/file"] = [fault(status)]
    with pytest.raises(DownloadError, match=f"the server answers {status}"):
        web.get(url, most_bytes=1 << 20)
    assert len(server.requests) == 1


def test_a_file_that_is_too_large(server: Any, web: Web, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by what the server says, and where it says nothing, as it comes."""
    with pytest.raises(DownloadError, match=r"has 10,240 bytes; at most 100"):
        web.get(url, most_bytes=100)
    monkeypatch.setattr(web_module, "_reply", lambda body, *_: web_module.Reply(body, False, 0, None, "", ()))
    with pytest.raises(DownloadError, match="more than 100 bytes"):
        web.get(url, most_bytes=100)


def test_parts_of_files(server: Any, web: Web, url: str, fault: Any) -> None:
    """They are what was asked for, fewer bytes at the end; failures pass."""
    assert web.size(url) == len(FILE)
    assert web.get_range(url, 10, 20) == FILE[10:30]
    assert web.get_range(url, 0, len(FILE)) == FILE
    assert web.get_range(url, len(FILE) - 5, 100) == FILE[-5:]
    server.faults["/file"] = [fault("drop"), fault(503), fault("short")]
    with pytest.raises(DownloadError, match="in 3 attempts"):
        web.get_range(url, 10, 20)
    server.faults["/file"] = [fault("drop"), fault("short")]
    assert web.get_range(url, 10, 20) == FILE[10:30]


def test_a_server_without_parts(server: Any, web: Web, url: str) -> None:
    """It is noticed, and an empty file has no parts either."""
    server.has_ranges = False
    assert web.size(url) is None
    assert web.get_range(url, 10, 20) is None
    server.has_ranges = True
    server.files["/empty"] = b""
    assert web.size(f"{server.address}/empty") is None


@pytest.mark.parametrize(
    ("span", "words"), [("bytes 0-19/10240", "byte 0 came where byte 10"), ("what", "does not say which part")]
)
def test_a_part_that_was_not_asked_for(
    server: Any, web: Web, url: str, monkeypatch: pytest.MonkeyPatch, span: str, words: str
) -> None:
    """A proxy may mix them up."""
    monkeypatch.setattr(server, "span_override", span, raising=False)
    with pytest.raises(DownloadError, match=words):
        web.get_range(url, 10, 20)


def test_redirects_are_followed_on_the_web_only(server: Any, web: Web, url: str, fault: Any) -> None:
    """To another address, but to no file of this machine."""
    server.faults["/moved"] = [fault("redirect", value=url)]
    assert web.get(f"{server.address}/moved", most_bytes=1 << 20) == FILE
    for target in ("file:///etc/passwd", "ftp://example.org/x", "data:,hello"):
        server.faults["/moved"] = [fault("redirect", value=target)]
        with pytest.raises(DownloadError, match=r"redirects to .* not followed|the server answers 302"):
            web.get(f"{server.address}/moved", most_bytes=1 << 20)


def test_no_way_from_https_to_http() -> None:
    """What was asked for encrypted does not come open."""
    handler = web_module._SafeRedirects()
    request = web_module.urllib.request.Request("https://a.org/x")
    with pytest.raises(DownloadError, match="not followed"):
        handler.redirect_request(request, None, 302, "", {}, "http://a.org/x")  # type: ignore[arg-type]
    followed = handler.redirect_request(request, None, 302, "", {}, "https://b.org/x")  # type: ignore[arg-type]
    assert followed is not None
    assert followed.full_url == "https://b.org/x"


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://a.org/x", "gopher://x", "nonsense", "data:,x", "http://127.0.0.1:9/a b"]
)
def test_only_the_web_is_spoken(web: Web, address: str) -> None:
    """Other addresses are refused at once."""
    with pytest.raises(DownloadError, match=r"Only http|is no address"):
        web.get(address, most_bytes=10)


def test_a_server_that_is_not_there(web: Web) -> None:
    """It is tried again, and then an error."""
    with pytest.raises(DownloadError, match=r"cannot be reached .* in 3 attempts"):
        web.get("http://127.0.0.1:9/file", most_bytes=10)


@pytest.mark.parametrize(
    "error", [ssl.SSLCertVerificationError("bad"), urllib.error.URLError(ssl.SSLCertVerificationError("bad"))]
)
def test_a_certificate_that_cannot_be_trusted(
    web: Web, url: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Trying again would not make it better."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(web._opener, "open", refuse)
    with pytest.raises(DownloadError, match="cannot be trusted"):
        web.get(url, most_bytes=10)


def test_a_server_that_speaks_no_http(web: Web, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken answer passes, and in the end is an error."""

    def broken(*_: object, **__: object) -> None:
        raise http.client.BadStatusLine("?")

    monkeypatch.setattr(web._opener, "open", broken)
    with pytest.raises(DownloadError, match="cannot be reached"):
        web.get(url, most_bytes=10)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        (" 7 ", 7, 7),
        (formatdate(time.time() + 1000, usegmt=True), 300, 1001),
        ("soon", None, None),
        (None, None, None),
    ],
    ids=["seconds", "spaces", "moment", "no number", "nothing"],  # the moment differs between processes
)
def test_how_long_to_wait(header: str | None, low: float | None, high: float | None) -> None:
    """A server may ask for seconds or for a moment."""
    found = web_module._retry_after(header)
    assert (found is None) is (low is None)
    if found is not None and low is not None and high is not None:
        assert low <= found <= high


def test_waits_grow_and_have_a_limit(server: Any, url: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They double, heed the server, and never last for ever."""
    web = Web(Patience(attempts=6, timeout_seconds=2, first_wait_seconds=1, longest_wait_seconds=5))
    waits: list[float] = []
    monkeypatch.setattr(web.stop, "wait", waits.append)
    monkeypatch.setattr(web_module.random, "uniform", lambda low, high: low)
    server.faults["/file"] = [fault(503), fault(503), fault(503, value="4"), fault(503, value="900"), fault(503)]
    assert web.get(url, most_bytes=1 << 20) == FILE
    assert waits == [1, 2, 4, 5, 5]


def test_an_attempt_that_brought_something_is_no_failure() -> None:
    """A file that comes in many small pieces comes in the end."""
    web = Web(Patience(attempts=2, first_wait_seconds=0))
    done = 0

    def attempt() -> str:
        nonlocal done
        done += 1
        if done < 10:
            raise PassingError("broken")
        return "all"

    assert web.patiently("x", attempt, lambda: done) == "all"


def test_a_download_that_was_called_off(server: Any, web: Web, url: str) -> None:
    """Nothing more is asked for."""
    web.stop.set()
    with pytest.raises(StoppedError):
        web.get(url, most_bytes=1 << 20)
    assert server.requests == []


def test_a_wait_ends_when_the_download_is_called_off(server: Any, url: str, fault: Any) -> None:
    """Nobody waits for a wait."""
    stop = threading.Event()
    web = Web(Patience(attempts=3, first_wait_seconds=500, longest_wait_seconds=500), stop)
    server.faults["/file"] = [fault(503, times=9)]
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        web.get(url, most_bytes=1 << 20)
    timer.join()


def test_a_connection_that_breaks_while_it_is_read(web: Web) -> None:
    """Whatever it raises, it is worth another attempt."""

    class Broken:
        def read(self, _: int) -> bytes:
            raise http.client.IncompleteRead(b"")

    reply = web_module.Reply(Broken(), False, 0, 10, "", ())  # type: ignore[arg-type]
    with pytest.raises(PassingError, match="the connection broke"):
        list(web.chunks(reply))
