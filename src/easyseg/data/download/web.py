"""HTTP with the patience that long downloads need: retries, time-outs, byte ranges, checksums.

Only `http` and `https` are spoken, wherever a server redirects to.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, TypeVar

from easyseg import __version__
from easyseg.data.download.checksums import Checksum, expected_checksums
from easyseg.data.download.failures import NotThereError, PassingError, RangeRefusedError, StoppedError
from easyseg.errors import DownloadError

Answer = TypeVar("Answer")

CHUNK_BYTES = 1 << 18

_PASSING = frozenset([408, 425, 429, 500, 502, 503, 504])
"""Answers that another attempt may better."""
_NOT_THERE = frozenset([403, 404, 410])
"""403 is what a bucket says of a file that it does not have to those who may not list it."""
_RANGE_REFUSED = 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on trying.

    Attributes:
        attempts: attempts in a row that bring nothing, until it is an error.
        timeout_seconds: silence of the server that ends an attempt.
        first_wait_seconds: before the second attempt; it doubles with each.
        longest_wait_seconds: longest wait, also where the server asks for more.
    """

    attempts: int = 6
    timeout_seconds: float = 30.0
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body is still to be read.

    Attributes:
        body: the body.
        is_part: it is a part of the file, as was asked for.
        start: where it begins in the file, in bytes.
        total: how many bytes the file has; None where the server does not say.
        validator: what tells this version of the file from others; empty where the server does not say.
        checksums: what the server says of the whole file.
    """

    body: IO[bytes]
    is_part: bool
    start: int
    total: int | None
    validator: str
    checksums: tuple[Checksum, ...]


class Web:
    """Fetches files, from several threads at a time.

    Args:
        patience: how long to go on trying.
        stop: set by whoever calls the download off; noticed within a chunk or a wait.
    """

    def __init__(self, patience: Patience | None = None, stop: threading.Event | None = None) -> None:
        self.patience = patience or Patience()
        self.stop = stop or threading.Event()
        self._opener = _opener()

    def get(self, url: str, *, most_bytes: int) -> bytes:
        """Return a file.

        Args:
            url: its address.
            most_bytes: larger files are refused.

        Raises:
            NotThereError: the server does not have it.
            DownloadError: it cannot be had, or is too large.
            StoppedError: the download was called off.
        """
        seen: set[bytes] = set()

        def attempt() -> bytes:
            with self.open(url) as reply:
                if reply.total is not None and reply.total > most_bytes:
                    raise DownloadError(f"{url} has {reply.total:,} bytes; at most {most_bytes:,} were expected.")
                data = b"".join(self.chunks(reply, most_bytes + 1))
                if len(data) > most_bytes:
                    raise DownloadError(f"{url} has more than {most_bytes:,} bytes, which were expected at most.")
            if reply.total is not None and len(data) != reply.total:
                raise PassingError(f"{len(data):,} of {reply.total:,} bytes came")
            for checksum in reply.checksums:
                checksum.verify(checksum.of(data), seen)
            return data

        return self.patiently(url, attempt)

    def get_range(self, url: str, start: int, count: int) -> bytes | None:
        """Return some bytes of a file, fewer at its end; None where the server sends whole files only.

        Raises:
            NotThereError: the server does not have it.
            DownloadError: it cannot be had.
            StoppedError: the download was called off.
        """

        def attempt() -> bytes | None:
            with self.open(url, {"Range": f"bytes={start}-{start + count - 1}"}) as reply:
                if not reply.is_part or reply.total is None:
                    return None
                if reply.start != start:
                    raise PassingError(f"byte {reply.start:,} came where byte {start:,} was asked for")
                data = b"".join(self.chunks(reply, count))
                if len(data) < min(count, reply.total - start):
                    raise PassingError(f"{len(data):,} of {count:,} bytes came")
                return data

        return self.patiently(url, attempt)

    def size(self, url: str) -> int | None:
        """Return how many bytes a file has; None where the server does not say, or sends whole files only.

        Raises:
            NotThereError: the server does not have it.
            DownloadError: it cannot be had.
            StoppedError: the download was called off.
        """

        def attempt() -> int | None:
            try:
                with self.open(url, {"Range": "bytes=0-0"}) as reply:
                    return reply.total if reply.is_part else None
            except RangeRefusedError:
                return None

        return self.patiently(url, attempt)

    def patiently(self, url: str, attempt: Callable[[], Answer], gained: Callable[[], int] = lambda: 0) -> Answer:
        """Return what an attempt returns, trying again after a `PassingError`.

        Args:
            url: what errors call it.
            attempt: does the work.
            gained: how far the work is; an attempt that brought it further is no failure.

        Raises:
            DownloadError: too many attempts in a row failed.
            StoppedError: the download was called off.
        """
        failures = 0
        while True:
            self.refuse_when_stopped()
            before = gained()
            try:
                return attempt()
            except PassingError as error:
                failures = 1 if gained() > before else failures + 1
                if failures >= self.patience.attempts:
                    raise DownloadError(
                        f"{url} cannot be fetched: {error}, in {failures} attempts. Check the network, and do the same "
                        "again: it goes on where it ended."
                    ) from error
                self._wait(failures, error.wait_seconds)

    @contextlib.contextmanager
    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Reply]:
        """Send a request, and give the answer.

        Raises:
            PassingError: worth another attempt.
            NotThereError: the server does not have the file.
            RangeRefusedError: it has no such bytes.
            DownloadError: the server refuses, or cannot be trusted.
        """
        with contextlib.ExitStack() as stack:
            try:
                agent = {"User-Agent": f"easyseg/{__version__}"}
                request = urllib.request.Request(url, headers={**agent, **(headers or {})})
                response = stack.enter_context(self._opener.open(request, timeout=self.patience.timeout_seconds))
            except urllib.error.HTTPError as error:
                with error:
                    raise _refusal(url, error) from error
            except ssl.SSLCertVerificationError as error:  # before ValueError, which it is, too
                raise _network_error(url, error) from error
            except (ValueError, http.client.InvalidURL) as error:
                raise DownloadError(f"{url} is no address of a file on the web ({error}).") from error
            except (OSError, http.client.HTTPException) as error:
                raise _network_error(url, error) from error
            yield _reply(response, response.headers, response.status)

    def chunks(self, reply: Reply, most_bytes: int | None = None) -> Iterator[bytes]:
        """Yield the body piece by piece, at most so many bytes.

        Raises:
            PassingError: the connection broke.
            StoppedError: the download was called off.
        """
        left = most_bytes
        while left is None or left > 0:
            self.refuse_when_stopped()
            try:
                data = reply.body.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
            except (OSError, http.client.HTTPException) as error:
                raise PassingError(f"the connection broke ({error or type(error).__name__})") from error
            if not data:
                return
            left = None if left is None else left - len(data)
            yield data

    def refuse_when_stopped(self) -> None:
        """Raise a `StoppedError` where the download was called off."""
        if self.stop.is_set():
            raise StoppedError

    def _wait(self, failures: int, asked_seconds: float | None) -> None:
        seconds = self.patience.first_wait_seconds * 2 ** (failures - 1) if asked_seconds is None else asked_seconds
        seconds = min(max(0.0, seconds), self.patience.longest_wait_seconds)
        # not all threads at the same moment again
        self.stop.wait(seconds * random.uniform(1.0, 1.25))


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses on the web and, unlike urllib's own, no files and no other protocols."""
    opener = urllib.request.OpenerDirector()
    handlers = (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SafeRedirects(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address on the web, but never from an encrypted to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https:",) if req.full_url.lower().startswith("https:") else ("http:", "https:")
        if not newurl.lower().startswith(allowed):
            raise DownloadError(
                f"{req.full_url} redirects to {newurl}, which is not followed: it is not {allowed[-1]}//."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _reply(body: IO[bytes], headers: Message, status: int) -> Reply:
    length = headers.get("Content-Length", "")
    is_part = status == http.client.PARTIAL_CONTENT
    start, total = 0, int(length) if length.isdigit() else None
    if is_part:
        found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if found is None:
            raise PassingError("the server does not say which part of the file it sends")
        start, total = int(found[1]), int(found[3])
    tag = headers.get("ETag", "").strip()
    # a weak tag may stay while the bytes change
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    return Reply(body, is_part, start, total, validator, expected_checksums(headers, is_whole=not is_part))


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in _NOT_THERE:
        return NotThereError(f"{url} is not there (the server answers {error.code}).")
    if error.code in _PASSING:
        return PassingError(f"the server answers {error.code}", _retry_after(error.headers.get("Retry-After")))
    if error.code == _RANGE_REFUSED:
        found = _UNSATISFIED.fullmatch(error.headers.get("Content-Range", "").strip())
        return RangeRefusedError(int(found[1]) if found else None)
    return DownloadError(f"{url} cannot be fetched: the server answers {error.code} {error.reason}.")


def _network_error(url: str, error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadError(f"{url} cannot be trusted ({reason}). Check this machine's clock, and the network.")
    if isinstance(error, urllib.error.URLError) and not isinstance(reason, OSError):
        return DownloadError(f"{url} cannot be fetched: {reason}. Only http:// and https:// are spoken.")
    return PassingError(f"the server cannot be reached ({reason or type(reason).__name__})")


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header means: a number of them, or a date."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
