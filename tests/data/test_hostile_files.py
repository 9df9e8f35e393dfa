"""Small files that want to be huge: pictures, archives and texts that unpack to what no memory holds."""

from __future__ import annotations

import base64
import io
import json
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.config import CheckSettings, read_yaml
from easyseg.data.check.doctor import examine_folder
from easyseg.data.reading import load_dataset
from easyseg.errors import ConfigError, EasySegError, SampleError
from easyseg.io.images import write_image

SIDE = 60_000
"""3.6 billion pixels, twenty times what is decoded."""
MOST_BYTES = 400 << 20
"""So much memory may come on top of what the process has already."""


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a part of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int = 8, color: int = 0, *, extra: bytes = b"", lace: int = 0) -> bytes:
    """Return a PNG file of any claimed size whose pixels are a short stream of zeros."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, lace)
    palette = chunk(b"PLTE", bytes(768)) if color == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 16)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + extra + pixels + chunk(b"IEND", b"")


@lru_cache(maxsize=1)
def zeros(size: int) -> bytes:
    """Return the zlib stream of so many zeros, made without holding them."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def tiff(width: int, height: int, *, bands: int = 1, compression: int = 8, bits: int = 8, data: bytes = b"") -> bytes:
    """Return a TIFF file of any claimed size with one strip."""
    data = data or zlib.compress(bytes(1 << 16))
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def gif(width: int, height: int) -> bytes:
    """Return a GIF file of any claimed size."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"


def bmp(width: int, height: int, bits: int = 24, compression: int = 0) -> bytes:
    """Return a BMP file of any claimed size."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 64, 0, 0, 54) + info + bytes(64)


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG file whose header claims any size."""
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    """Return a WebP file whose extended header claims any size up to 2^24."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


def text_bomb(kind: bytes) -> bytes:
    """Return a compressed comment of a PNG file that holds half a gigabyte."""
    packed = zeros(512 << 20)
    if kind == b"iTXt":
        return chunk(kind, b"Comment\0\1\0\0\0" + packed)
    return chunk(kind, (b"icc" if kind == b"iCCP" else b"Comment") + b"\0\0" + packed)


PICTURES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "PNG, grey": (".png", lambda: png(SIDE, SIDE)),
    "PNG, RGB": (".png", lambda: png(SIDE, SIDE, color=2)),
    "PNG, palette": (".png", lambda: png(SIDE, SIDE, color=3)),
    "PNG, 16 bit RGBA": (".png", lambda: png(SIDE, SIDE, 16, 6)),
    "PNG, 1 bit": (".png", lambda: png(SIDE, SIDE, 1)),
    "PNG, interlaced": (".png", lambda: png(SIDE, SIDE, lace=1)),
    "PNG, one endless row": (".png", lambda: png(2**31 - 1, 1)),
    "PNG, one endless column": (".png", lambda: png(1, 2**31 - 1)),
    "TIFF, deflate": (".tif", lambda: tiff(SIDE, SIDE)),
    "TIFF, LZW": (".tif", lambda: tiff(SIDE, SIDE, compression=5)),
    "TIFF, PackBits": (".tif", lambda: tiff(SIDE, SIDE, compression=32773)),
    "TIFF, uncompressed": (".tif", lambda: tiff(SIDE, SIDE, compression=1)),
    "TIFF, fax": (".tif", lambda: tiff(SIDE, SIDE, compression=4, bits=1)),
    "TIFF, many bands": (".tif", lambda: tiff(10_000, 10_000, bands=60)),
    "TIFF, 65,535 bands": (".tif", lambda: tiff(4000, 4000, bands=65_535)),
    "TIFF, unpacks to more than it claims": (".tif", lambda: tiff(64, 64, bands=5, data=zeros(512 << 20))),
    "GIF": (".gif", lambda: gif(SIDE, SIDE)),
    "BMP": (".bmp", lambda: bmp(SIDE, SIDE)),
    "BMP, RLE": (".bmp", lambda: bmp(SIDE, SIDE, 8, 1)),
    "BMP, upside down": (".bmp", lambda: bmp(SIDE, -SIDE)),
    "JPEG": (".jpg", lambda: jpeg(SIDE, SIDE)),
    "WebP": (".webp", lambda: webp(1 << 24, 1 << 24)),
    "PGM": (".pgm", lambda: b"P5 60000 60000 255\n" + bytes(64)),
}  # fmt: skip
HIDDEN: dict[str, bytes] = {"zTXt": b"zTXt", "iTXt": b"iTXt", "iCCP": b"iCCP"}


def pairs(root: Path) -> Path:
    """Write four images with masks."""
    generator = np.random.default_rng(0)
    for at in range(4):
        write_image(root / f"images/{at}.png", generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        write_image(root / f"masks/{at}.png", generator.integers(0, 2, (32, 32), dtype=np.uint8))
    return root


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let whatever asks for too much memory fail here, before it harms the machine."""
    if sys.platform != "linux":
        yield
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def use(root: Path, **arguments: Any) -> None:
    """Read everything in a dataset."""
    dataset = load_dataset(root, **arguments)
    for at in range(len(dataset)):
        dataset.image(at)
        dataset.mask(at)


def refused(root: Path, **arguments: Any) -> str:
    """Return with which words something in a dataset was refused."""
    with pytest.raises(EasySegError) as error:
        use(root, **arguments)
    return str(error.value)


@pytest.mark.parametrize("role", ["images", "masks"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_claim_to_be_huge(tmp_path: Path, name: str, role: str) -> None:
    """They are refused by their headers, in words, as image and as mask; a checkup reports them."""
    suffix, write = PICTURES[name]
    root = pairs(tmp_path / "data")
    (root / role / "2.png").unlink()
    bomb = root / role / f"2{suffix}"
    bomb.write_bytes(write())
    if suffix == ".gif" or suffix == ".pgm":
        bomb = bomb.rename(root / role / "2.png")  # read by what it is, not by its name
    assert len(bomb.read_bytes()) < 2 << 20
    assert bomb.name in refused(root, classes=["a", "b"])
    checkup = examine_folder(root, {"classes": ["a", "b"]}, CheckSettings(verbose=False, workers=0))
    assert any(bomb.name in case.name for finding in checkup for case in finding.cases)


@pytest.mark.parametrize("kind", HIDDEN)
def test_comments_that_unpack_to_gigabytes(tmp_path: Path, kind: str) -> None:
    """A small picture is read without them, or refused; they are never unpacked."""
    root = pairs(tmp_path / "data")
    (root / "images/2.png").write_bytes(png(32, 32, extra=text_bomb(HIDDEN[kind])))
    with suppress(SampleError):
        use(root, classes=["a", "b"])


def test_masks_inside_annotation_files(tmp_path: Path) -> None:
    """A labelme mask whose PNG claims to be huge, Supervisely's packed once more, run lengths of COCO."""
    image = np.zeros((32, 32, 3), np.uint8)
    write_image(tmp_path / "labelme/a.png", image)
    text = base64.b64encode(png(SIDE, SIDE)).decode()
    shape = {"label": "x", "points": [[0, 0], [5, 5]], "shape_type": "mask", "mask": text}
    content = {"version": "5", "shapes": [shape], "imagePath": "a.png", "imageData": None}
    (tmp_path / "labelme/a.json").write_text(json.dumps(content))
    assert "a.json" in refused(tmp_path / "labelme") or "embedded mask" in refused(tmp_path / "labelme")
    for at, packed in enumerate((zlib.compress(png(SIDE, SIDE)), zeros(512 << 20))):
        root = tmp_path / f"supervisely{at}"
        write_image(root / "ds/img/a.png", image)
        bitmap = {"data": base64.b64encode(packed).decode(), "origin": [0, 0]}
        objects = [{"classTitle": "x", "geometryType": "bitmap", "bitmap": bitmap}]
        (root / "ds/ann").mkdir()
        (root / "ds/ann/a.png.json").write_text(
            json.dumps({"size": {"height": 32, "width": 32}, "objects": objects, "tags": [], "description": ""})
        )
        classes = [{"title": "x", "shape": "bitmap", "color": "#ff0000"}]
        (root / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}))
        assert refused(root)
    for counts in ([10**15], "0" * 10_000_000, [1] * 3_000_000):
        root = tmp_path / f"coco{len(str(counts))}"
        write_image(root / "a.png", image)
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 9, 9], "area": 4}
        annotation["segmentation"] = {"counts": counts, "size": [SIDE, SIDE]}
        images = [{"id": 1, "file_name": "a.png", "height": 32, "width": 32}]
        content = {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "x"}]}
        (root / "coco.json").write_text(json.dumps(content))
        assert refused(root)


def test_archives_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    """A mask in a zip file of Open Images that is half a gigabyte of zeros, or claims to be small and is not."""
    head = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
    name = "0000000000000001_m01yrx_abc.png"
    line = f"{name},0000000000000001,/m/01yrx,abc,0.1,0.9,0.1,0.9,0.9,\n"
    write_image(tmp_path / "images/0000000000000001.png", np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "validation-annotations-object-segmentation.csv").write_text(head + line)
    (tmp_path / "class-descriptions.csv").write_text("/m/01yrx,Cat\n")
    with (
        zipfile.ZipFile(tmp_path / "validation-masks-0.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w") as file,
    ):
        for _ in range(512):
            file.write(bytes(1 << 20))
    assert refused(tmp_path)


def laughs(first: str, each: Callable[[int], str], count: int) -> str:
    """Return lines of which each repeats the one before it several times."""
    return "\n".join([f"a0: &a0 {first}", *(f"a{at}: &a{at} {each(at)}" for at in range(1, count))])


TEXTS = {
    "lists of lists": laughs("[lol, lol]", lambda at: f"[{', '.join([f'*a{at - 1}'] * 10)}]", 10),
    "merged mappings": laughs("{x: y}", lambda at: f"{{<<: [*a{at - 1}, *a{at - 1}]}}", 30),
    "one alias": "a: &a [1]\nb: *a",
    "itself": "a: &a [*a]",
    "brackets": "a: " + "[" * 100_000,
    "braces": "{a: " * 100_000,
    "indents": "\n".join(" " * at + "a:" for at in range(5000)),
    "a number": "a: 0x" + "f" * 3_000_000,
    "sexagesimals": "a: " + ":".join(["59"] * 200_000),
    "a class": "a: !!python/object/apply:os.system ['true']",
    "a long key": "? " + "a" * 2_000_000 + "\n: 1",
    "dashes": "- " * 50_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_yaml_that_grows(tmp_path: Path, name: str) -> None:
    """As settings, and as the data.yaml of a YOLO dataset."""
    (tmp_path / "a.yaml").write_text(TEXTS[name])
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        read_yaml(tmp_path / "a.yaml")
    root = tmp_path / "yolo"
    write_image(root / "images/train/a.png", np.zeros((32, 32, 3), np.uint8))
    (root / "labels/train").mkdir(parents=True)
    (root / "labels/train/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (root / "data.yaml").write_text(TEXTS[name])
    assert "data.yaml" in refused(root, format="yolo")
