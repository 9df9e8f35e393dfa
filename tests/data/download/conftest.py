"""A server on this machine with the layout of Open Images, which can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import re
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

import numpy as np
import pytest
from PIL import Image

from easyseg.config import DownloadSettings
from easyseg.data.download.web import Patience

CAT, DOG, TREE = "/m/01yrx", "/m/0bt9lr", "/m/07j7r"
HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
IMPATIENT = Patience(attempts=3, timeout_seconds=2.0, first_wait_seconds=0.01, longest_wait_seconds=0.05)


@dataclass
class Fault:
    """What the server does wrong.

    Attributes:
        kind: "drop" ends the connection in the middle; "short" and "garbage" send a part, or other bytes, as if it were
            all; "redirect" sends elsewhere; a number is the answer's status.
        times: how often.
        value: the Retry-After header, or where to redirect to.
    """

    kind: str | int
    times: int = 1
    value: str = ""


@dataclass
class Server:
    """Files by their paths, and how they are served.

    Attributes:
        files: the bytes of each path.
        faults: what goes wrong at a path, one after the other.
        requests: (path, Range header) of each request.
        has_ranges: whether parts of files are sent.
        span_override: what to say instead of which part of the file is sent.
        ignores_versions: parts are sent of whatever version of the file there is.
        sums: which headers tell checksums: "tag", "md5", "goog", "fake-tag" (looks like a sum and is none), "none".
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str]] = field(default_factory=list)
    has_ranges: bool = True
    span_override: str = ""
    ignores_versions: bool = False
    sums: str = "tag"

    def settings(self, **given: object) -> DownloadSettings:
        """Return settings that fetch from this server."""
        urls = {"annotations_url": f"{self.address}/openimages", "images_url": f"{self.address}/images"}
        return DownloadSettings.of({"classes": ["Cat", "Dog"], "threads": 4, **urls, **given})

    def asked_for(self, ending: str) -> list[str]:
        """Return the Range headers of the requests for a path with this ending."""
        return [span for path, span in self.requests if path.endswith(ending)]

    def next_fault(self, path: str) -> Fault | None:
        """Return what goes wrong at this request."""
        for fault in self.faults[path]:
            if fault.times > 0:
                fault.times -= 1
                return fault
        return None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the requests for the files of `made`."""

    made: Server
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        span = self.headers.get("Range", "")
        self.made.requests.append((self.path, span))
        fault = self.made.next_fault(self.path)
        data = self.made.files.get(self.path)
        if fault is not None and (isinstance(fault.kind, int) or fault.kind == "redirect"):
            self.answer(fault.kind if isinstance(fault.kind, int) else 302, b"", fault)
        elif data is None:
            self.answer(404, b"")
        elif self.made.has_ranges and span and self.is_of_version(data):
            self.part(data, span, fault)
        else:
            self.answer(200, data, fault)

    def is_of_version(self, data: bytes) -> bool:
        version = self.headers.get("If-Range", "")
        return self.made.ignores_versions or version in ("", self.tag(data), formatdate(0, usegmt=True))

    def part(self, data: bytes, span: str, fault: Fault | None) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", span)
        assert found
        start, end = int(found[1]), int(found[2] or len(data) - 1)
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        end = min(end, len(data) - 1)
        self.answer(206, data[start : end + 1], fault, f"bytes {start}-{end}/{len(data)}", whole=data)

    def answer(
        self, status: int, data: bytes, fault: Fault | None = None, span: str = "", whole: bytes | None = None
    ) -> None:
        kind = fault.kind if fault else ""
        sent = {"short": data[: len(data) // 2], "garbage": bytes(len(data)), "drop": data[: len(data) // 2]}.get(
            str(kind), data
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(data if kind == "drop" else sent)))
        if span:
            self.send_header("Content-Range", self.made.span_override or span)
        if fault and fault.value:
            self.send_header("Location" if kind == "redirect" else "Retry-After", fault.value)
        self.checksums(data if whole is None else whole)
        self.end_headers()
        self.wfile.write(sent)
        if kind == "drop":
            self.close_connection = True

    def checksums(self, data: bytes) -> None:
        digest = hashlib.md5(data).digest()
        if self.made.sums == "md5":
            self.send_header("Content-MD5", base64.b64encode(digest).decode())
        if self.made.sums == "goog":
            self.send_header("x-goog-hash", "crc32c=AAAAAA==")
            self.send_header("x-goog-hash", f"md5={base64.b64encode(digest).decode()}")
        if self.made.sums != "none":
            self.send_header("ETag", self.tag(data))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))

    def tag(self, data: bytes) -> str:
        salt = b"salt" if self.made.sums == "fake-tag" else b""
        return f'"{hashlib.md5(salt + data).hexdigest()}"'


class QuietServer(http.server.ThreadingHTTPServer):
    """Serves each request in a thread, and says nothing of clients that go away."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...


def png(pixels: np.ndarray) -> bytes:
    """Return a mask file, 1 bit per pixel as the published ones."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


def jpeg(value: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """Return an image file."""
    file = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(file, "JPEG")
    return file.getvalue()


def image_id(number: int) -> str:
    """Return the id of an image: they are spread over the first digits."""
    return f"{number % 3}{number:015x}"


def fill_server(server: Server, *, split: str = "train", images: int = 12, first: int = 0) -> None:
    """Put a small Open Images on the server: each image has a Cat or a Dog, every third a Tree, too."""
    rows, archives = [HEADER], defaultdict(io.BytesIO)
    files: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for number in range(first, first + images):
        name = image_id(number)
        server.files[f"/images/{split}/{name}.jpg"] = jpeg(number)
        for box, label in enumerate([CAT if number % 2 else DOG, *([TREE] if number % 3 == 0 else [])]):
            mask = np.zeros((60, 80), np.uint8)
            mask[6 * box : 30, 8:40] = 255
            path = f"{name}_{label.replace('/', '')}_{box:08x}.png"
            files[name[0]].append((path, png(mask)))
            rows.append(f"{path},{name},{label},{box:08x},0.1,0.5,{0.1 * box},0.5,0.8,0.1 0.2 1;0.3 0.4 0")
    for digit, members in files.items():
        with zipfile.ZipFile(archives[digit], "w", zipfile.ZIP_DEFLATED) as archive:
            # files that nobody asks for, as in the published archives
            for at in range(40):
                archive.writestr(f"other_{at}.png", np.random.default_rng(at).bytes(400))
            for path, data in members:
                archive.writestr(path, data)
        server.files[f"/openimages/v5/{split}-masks/{split}-masks-{digit}.zip"] = archives[digit].getvalue()
    server.files[f"/openimages/v5/{split}-annotations-object-segmentation.csv"] = "\n".join(rows).encode()
    server.files["/openimages/v5/class-descriptions-boxable.csv"] = f"{CAT},Cat\n{DOG},Dog\n{TREE},Tree\n".encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with a small Open Images."""
    made = Server()
    with QuietServer(("127.0.0.1", 0), type("Bound", (Handler,), {"made": made})) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        made.address = f"http://127.0.0.1:{running.server_address[1]}"
        fill_server(made)
        yield made
        running.shutdown()
        thread.join()


@pytest.fixture
def fault() -> type[Fault]:
    """What to tell the server to do wrong."""
    return Fault


@pytest.fixture
def patience() -> Patience:
    """Patience for a server that is quick."""
    return IMPATIENT


@pytest.fixture
def fill() -> Callable[..., None]:
    """What puts another split on the server."""
    return fill_server
