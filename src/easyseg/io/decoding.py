"""Opening picture files that may be damaged, hostile, or no pictures at all.

Decoders of known formats only, picked by a file's first bytes and not by its name; sizes are checked before any pixel
is decoded, and every failure names the file.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from easyseg.errors import EasySegError, SampleError
from easyseg.structures import MAX_PIXELS as MAX_PIXELS
from easyseg.structures import SizeHW

_FACTORIES: tuple[tuple[bytes, Callable[..., ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"II+\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00+", TiffImagePlugin.TiffImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    *((b"P%d" % kind, PpmImagePlugin.PpmImageFile) for kind in range(1, 7)),
)

_LEAST_ALIKE = 0.75
_LEAST_BEGINNING = 3
_ORIENTATION_TAG = 0x0112
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class PngFacts:
    """What a PNG file's chunks say.

    Attributes:
        bit_depth: bits per channel.
        color_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        is_plain: no transparent colour and no animation, so any decoder gives the same pixels.
        exif: the EXIF block, empty where there is none.
    """

    bit_depth: int
    color_type: int
    is_plain: bool
    exif: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """An opened picture, its pixels not decoded yet.

    Attributes:
        image: Pillow's image.
        orientation: EXIF orientation, 1..8, still to be applied to the decoded pixels.
        size_hw: height and width after that.
        png: facts about a PNG file, else None.
    """

    image: ImageFile.ImageFile
    orientation: int
    size_hw: SizeHW
    png: PngFacts | None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading; a missing, empty or unreadable one is a `SampleError`."""
    try:
        with path.open("rb") as file:
            if not file.peek(1):
                raise SampleError(path, "the file is empty (0 bytes). Copy it again, or remove it.")
            yield file
    except IsADirectoryError as error:
        raise SampleError(path, "this is a folder; an image file was expected.") from error
    except FileNotFoundError as error:
        raise SampleError(path, f"the file does not exist.{_nearest(path)}") from error
    except PermissionError as error:
        raise SampleError(path, "no permission to read the file. Change its permissions.") from error
    except OSError as error:
        raise SampleError(path, f"the file cannot be read ({error.strerror or error}).") from error


@contextlib.contextmanager
def decoder_errors(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into a `SampleError` that names the file."""
    try:
        yield
    except EasySegError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise SampleError(
            path, f"the picture is damaged or incomplete ({reason}). Copy it again or save it anew; or remove it."
        ) from error


def open_picture(path: Path, source: BinaryIO, *, checksums: bool) -> Picture:
    """Read a picture's header.

    Args:
        path: named in errors.
        source: the file, or its bytes.
        checksums: check those of a PNG file, which needs all of its bytes.

    Raises:
        SampleError: it is no picture of a known format, an incomplete PNG, or larger than `MAX_PIXELS`.
    """
    start = source.read(16)
    source.seek(0)
    png = _inspect_png(path, source, checksums=checksums) if start.startswith(_PNG_MAGIC) else None
    image = _factory(path, start)(source, str(path))
    if image.width * image.height > MAX_PIXELS:
        raise SampleError(
            path,
            f"the picture has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are decoded. "
            "Cut it into tiles first.",
        )
    _refuse_stack(path, image)
    orientation = _orientation(image, png)
    height, width = image.height, image.width
    size_hw = (width, height) if orientation >= 5 else (height, width)
    return Picture(image, orientation, size_hw, png)


def upright(pixels: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Turn and mirror an (H, W) or (H, W, C) array as its EXIF orientation (1..8) says."""
    if orientation == 1:
        return pixels
    turned = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def near_name(name: str, names: Iterable[str]) -> str | None:
    """Return the file or folder name that `name` may be a slip or the beginning of, None where none comes near.

    Suffixes do not count: they make names alike that have nothing to do with each other.
    """
    by_stem = {Path(other).stem.lower(): other for other in names}
    wanted = Path(name).stem.lower()
    found = difflib.get_close_matches(wanted, by_stem, n=1, cutoff=_LEAST_ALIKE)
    if not found and len(wanted) >= _LEAST_BEGINNING:
        longer = [stem for stem in by_stem if stem.startswith(wanted)]
        found = longer if len(longer) == 1 else []
    return by_stem[found[0]] if found else None


def _factory(path: Path, start: bytes) -> Callable[..., ImageFile.ImageFile]:
    for magic, factory in _FACTORIES:
        if start.startswith(magic) and (magic != b"RIFF" or start[8:12] == b"WEBP"):
            return factory
    if start.startswith(b"version https:/"):
        raise SampleError(path, "this is a Git LFS pointer, not the picture itself. Type: git lfs pull")
    raise SampleError(
        path,
        f"this is no picture of a known format; it starts with the bytes {start[:8]!r}. "
        "Expected PNG, JPEG, TIFF, BMP, WebP, GIF or PPM.",
    )


def _refuse_stack(path: Path, image: ImageFile.ImageFile) -> None:
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.n_frames == 1:
        return
    first_size = image.size
    image.seek(1)
    # smaller pages are previews of the first; pages of its size are images of their own
    is_stack = image.size == first_size
    image.seek(0)
    if is_stack:
        raise SampleError(path, f"the file holds {image.n_frames} pages. Save each page as a file of its own.")


def _orientation(image: ImageFile.ImageFile, png: PngFacts | None) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow turns these itself
    try:
        if png is None:
            value = image.getexif().get(_ORIENTATION_TAG, 1)
        else:
            exif = Image.Exif()
            exif.load(png.exif)
            value = exif.get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing about the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _inspect_png(path: Path, source: BinaryIO, *, checksums: bool) -> PngFacts:
    """Walk over all chunks of a PNG file, which finds out cheaply whether it is complete."""
    source.seek(len(_PNG_MAGIC))
    bit_depth, color_type, is_plain, exif = 0, 0, True, b""
    while True:
        header = source.read(8)
        length, name = int.from_bytes(header[:4], "big"), header[4:]
        if len(header) < 8:
            raise _truncated(path, source)
        if checksums or name in (b"IHDR", b"eXIf"):
            payload, checksum = source.read(length), source.read(4)
            is_critical = not name[0] & 0x20
            if len(checksum) < 4:
                raise _truncated(path, source)
            if is_critical and zlib.crc32(payload, zlib.crc32(name)) != int.from_bytes(checksum, "big"):
                raise SampleError(path, "the PNG file is damaged (checksum of its data is wrong). Copy it again.")
            if name == b"IHDR":
                bit_depth, color_type = payload[8], payload[9]
            elif name == b"eXIf":
                exif = payload
        else:
            source.seek(length + 4, io.SEEK_CUR)
        is_plain = is_plain and name not in (b"tRNS", b"acTL")
        if name == b"IEND":
            break
    source.seek(0)
    return PngFacts(bit_depth, color_type, is_plain, exif)


def _truncated(path: Path, source: BinaryIO) -> SampleError:
    size = source.seek(0, io.SEEK_END)
    return SampleError(path, f"the PNG file is cut off after {size:,} bytes. Copy it again, or remove it.")


def _nearest(path: Path) -> str:
    try:
        near = near_name(path.name, (other.name for other in path.parent.iterdir()))
    except OSError:
        return f" Its folder does not exist either: {path.parent}."
    return f" The nearest name there is {near!r}." if near else ""
