"""TIFF files of any number of bands and any usual type of numbers: 16 bits, whole numbers with a sign, floats.

Pillow knows such files in part only: it takes the first of several planes for the whole image, cuts 16-bit colours down
to 8 bits, and refuses most others; OpenCV stops at four bands. What both do well is to unpack compressed bytes. So the
structure of the file is read here, and its packed bytes are handed to Pillow as what they are, rows of bytes.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from easyseg.errors import OutputError, SampleError
from easyseg.io import atomic
from easyseg.structures import MAX_PIXELS, SizeHW

MAX_BYTES = 8 * MAX_PIXELS
"""Largest picture that is decoded, in bytes of its numbers."""

_PACKINGS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate", 34925: "LZMA", 50000: "Zstandard"}
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q"}
_MOST_BEYOND = 1 << 24  # bytes by which tiles may reach beyond a small picture
_WIDTH, _HEIGHT, _BITS, _PACKING, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_STARTS, _ORIENTATION, _BANDS, _STRIP_ROWS, _STRIP_LENGTHS = 273, 274, 277, 278, 279
_PLANES, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_STARTS, _TILE_LENGTHS, _SAMPLE_FORMAT = (
    284, 317, 322, 323, 324, 325, 339,
)  # fmt: skip
_IS_PREVIEW, _IS_DARK_WHITE, _MORE_BANDS = 254, 0, 338
_FORMATS = {"u": 1, "i": 2, "f": 3}
_MOST_WRITTEN = (1 << 32) - (1 << 20)
"""Places in a file of the classic kind are 32-bit numbers."""

Tags = dict[int, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class TiffFacts:
    """What a TIFF file's first directory says about its numbers.

    Attributes:
        size_hw: height and width as stored, in pixels.
        bands: numbers per pixel.
        dtype: their type, in the machine's byte order; None for what no numpy type stands for, such as single bits.
        orientation: 1..8, as in EXIF.
        photometric: 0 and 1 grey, 2 RGB, 3 palette, others.
        is_separate: each band lies in a plane of its own.
        tags: all tags, for `decode`.
        order: "<" or ">", the file's byte order.
        is_stack: a second picture of the same size follows.
    """

    size_hw: SizeHW
    bands: int
    dtype: np.dtype[Any] | None
    orientation: int
    photometric: int
    is_separate: bool
    tags: Tags
    order: str
    is_stack: bool

    @property
    def needs_this_module(self) -> bool:
        """Whether no other decoder gives all of the file's numbers as they are."""
        if self.dtype is None:
            return False
        is_plain_grey = self.bands == 1 and self.dtype.name in ("uint8", "uint16", "int16", "int32", "float32")
        is_plain_color = self.bands in (3, 4) and self.dtype == np.uint8 and self.photometric not in (0, 1)
        return not (is_plain_grey or is_plain_color)

    @property
    def lacks_parts(self) -> bool:
        """Whether the strips or tiles do not cover the picture; other decoders leave the rest black without a word."""
        if not self.tags.keys() & {_STRIP_STARTS, _TILE_STARTS}:
            return False  # such as the JPEG kind of old
        rows, columns = _chunk_hw(self)
        height, width = self.size_hw
        planes = self.bands if self.is_separate else 1
        return len(_chunks(self)) < planes * -(-height // rows) * -(-width // columns)

    @property
    def upright_hw(self) -> SizeHW:
        """Height and width after turning."""
        height, width = self.size_hw
        return (width, height) if self.orientation >= 5 else (height, width)


def is_tiff(start: bytes) -> bool:
    """Return whether a file that begins so is a TIFF file, of the classic or the large kind."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_facts(path: Path, source: BinaryIO) -> TiffFacts:
    """Read a TIFF file's first directory; the position in `source` is left anywhere.

    Raises:
        SampleError: the picture is larger than `MAX_PIXELS` or `MAX_BYTES`.
        Exception: of any kind, on a damaged file; see `decoding.decoder_errors`.
    """
    order, tags, second = _directories(source)
    height, width = int(tags[_HEIGHT][0]), int(tags[_WIDTH][0])
    bands = int(_first(tags, _BANDS, 1))
    if not (height > 0 and width > 0 and bands > 0):
        raise SampleError(path, f"the picture has {width} x {height} pixels of {bands} bands. Save it anew.")
    dtype = _dtype(tags)
    needed = height * width * bands * (dtype.itemsize if dtype else 1)
    if height * width > MAX_PIXELS or needed > MAX_BYTES:
        raise SampleError(
            path,
            f"the picture has {width} x {height} pixels of {bands} bands, {needed:,} bytes; at most {MAX_PIXELS:,} "
            f"pixels and {MAX_BYTES:,} bytes are decoded. Cut it into tiles first.",
        )
    is_preview = bool(second and _first(second, _IS_PREVIEW, 0) & 1)
    follows = second is not None and (second.get(_HEIGHT), second.get(_WIDTH)) == (tags[_HEIGHT], tags[_WIDTH])
    orientation = int(_first(tags, _ORIENTATION, 1))
    return TiffFacts(
        size_hw=(height, width),
        bands=bands,
        dtype=dtype,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        photometric=int(_first(tags, _PHOTOMETRIC, 1)),
        is_separate=_first(tags, _PLANES, 1) == 2,
        tags=tags,
        order=order,
        is_stack=follows and not is_preview,
    )


def decode(path: Path, data: bytes, facts: TiffFacts) -> npt.NDArray[Any]:
    """Return the numbers of a TIFF file exactly as stored, not yet turned upright.

    Args:
        path: named in errors.
        data: the whole file.
        facts: from `read_facts`; its `dtype` must not be None.

    Returns:
        (H, W, bands) of `facts.dtype`.

    Raises:
        SampleError: the bytes are packed in a way that is not known.
        Exception: of any kind, on a damaged file; see `decoding.decoder_errors`.
    """
    packing = int(_first(facts.tags, _PACKING, 1))
    predictor = int(_first(facts.tags, _PREDICTOR, 1))
    if packing not in _PACKINGS or predictor not in (1, 2, 3):
        raise SampleError(
            path,
            f"a TIFF file of {facts.bands} bands of type {facts.dtype} packed in a way that cannot be read "
            f"(compression {packing}, predictor {predictor}). Save it with deflate or LZW, or without compression.",
        )
    height, width = facts.size_hw
    planes = facts.bands if facts.is_separate else 1
    pixels = np.empty((height, width, facts.bands), facts.dtype)
    chunks = _chunks(facts)
    for plane in range(planes):
        mine = chunks[plane * (len(chunks) // planes) : (plane + 1) * (len(chunks) // planes)]
        target = pixels[..., plane : plane + 1] if facts.is_separate else pixels
        _fill_plane(target, data, mine, facts, packing=packing, predictor=predictor)
    if facts.photometric == _IS_DARK_WHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels


def write_tiff(path: str | os.PathLike[str], pixels: npt.NDArray[Any]) -> None:
    """Write numbers as a TIFF file, unpacked, pixel after pixel; for images that no other format holds.

    Args:
        path: the file. Its folder is made where missing.
        pixels: (H, W) or (H, W, bands) whole numbers or floats.

    Raises:
        OutputError: the array is no image, is too large for such a file, or the file cannot be written.
    """
    values = pixels[..., None] if pixels.ndim == 2 else pixels
    if values.ndim != 3 or values.size == 0 or values.dtype.kind not in _FORMATS or values.nbytes > _MOST_WRITTEN:
        raise OutputError(
            f"{path}: an array of shape {pixels.shape} and type {pixels.dtype} cannot be written as TIFF; expected "
            "(H, W) or (H, W, bands) whole numbers or floats, 4 GB at the most."
        )
    height, width, bands = values.shape
    size = values.dtype.itemsize
    tags: list[tuple[int, str, tuple[int, ...]]] = [
        (_WIDTH, "I", (width,)), (_HEIGHT, "I", (height,)), (_BITS, "H", (8 * size,) * bands), (_PACKING, "H", (1,)),
        (_PHOTOMETRIC, "H", (1,)), (_STRIP_STARTS, "I", (0,)), (_BANDS, "H", (bands,)), (_STRIP_ROWS, "I", (height,)),
        (_STRIP_LENGTHS, "I", (values.nbytes,)), (_PLANES, "H", (1,)), (_MORE_BANDS, "H", (0,) * (bands - 1)),
        (_SAMPLE_FORMAT, "H", (_FORMATS[values.dtype.kind],) * bands),
    ]  # fmt: skip
    atomic.write_bytes(path, _head(tags) + values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def _head(tags: list[tuple[int, str, tuple[int, ...]]]) -> bytes:
    """Return the beginning of a file of one strip, which follows it."""
    tags = [tag for tag in tags if tag[2]]
    tables_at = 8 + 2 + 12 * len(tags) + 4
    tables = {tag: struct.pack(f"<{len(values)}{form}", *values) for tag, form, values in tags}
    lengths = {tag: len(table) for tag, table in tables.items() if len(table) > 4}
    strip_at = tables_at + sum(lengths.values())
    tables[_STRIP_STARTS] = struct.pack("<I", strip_at)
    entries, behind = b"", b""
    for tag, form, values in tags:
        is_far = tag in lengths
        field = struct.pack("<I", tables_at + len(behind)) if is_far else tables[tag].ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[form], len(values)) + field
        behind += tables[tag] if is_far else b""
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + behind


def _fill_plane(
    target: npt.NDArray[Any],
    data: bytes,
    chunks: list[tuple[int, int]],
    facts: TiffFacts,
    *,
    packing: int,
    predictor: int,
) -> None:
    """Unpack the strips or tiles of one plane into an (H, W, samples) array."""
    height, width, samples = target.shape
    rows, columns = _chunk_hw(facts)
    is_tiled = _TILE_WIDTH in facts.tags
    across = -(-width // columns)
    down = -(-height // rows)
    if len(chunks) != across * down:
        raise ValueError(f"{len(chunks)} strips or tiles instead of {across * down}")
    # one tile, or all strips, of which only the last may have fewer rows
    total_rows = rows * len(chunks) if is_tiled else height
    row_bytes = columns * samples * target.dtype.itemsize
    if total_rows * row_bytes > 4 * target.nbytes + _MOST_BEYOND:
        raise ValueError(f"tiles of {columns} x {rows} pixels for a picture of {width} x {height}")
    raw = _unpacked(data, chunks, rows=rows, total_rows=total_rows, row_bytes=row_bytes, packing=packing)
    numbers = _numbers(raw, target.dtype, facts.order, samples=samples, predictor=predictor)
    if not is_tiled:
        target[...] = numbers
        return
    for number in range(len(chunks)):
        top, left = number // across * rows, number % across * columns
        inside = target[top : top + rows, left : left + columns]
        inside[...] = numbers[number * rows :][: inside.shape[0], : inside.shape[1]]


def _unpacked(
    data: bytes, chunks: list[tuple[int, int]], *, rows: int, total_rows: int, row_bytes: int, packing: int
) -> npt.NDArray[np.uint8]:
    """Return the unpacked bytes of strips, (total_rows, row_bytes).

    Pillow unpacks them: it is given a file whose pixels are these bytes.
    """
    parts = [data[start : start + length] for start, length in chunks]
    lengths = [len(part) for part in parts]
    if packing == 1:
        return np.frombuffer(b"".join(parts), np.uint8, total_rows * row_bytes).reshape(total_rows, row_bytes)
    count = len(parts)
    tags = [
        (_WIDTH, row_bytes), (_HEIGHT, total_rows), (_BITS, 8), (_PACKING, packing), (_PHOTOMETRIC, 1),
        (_STRIP_STARTS, None), (_BANDS, 1), (_STRIP_ROWS, rows), (_STRIP_LENGTHS, None),
    ]  # fmt: skip
    tables_at = 8 + 2 + 12 * len(tags) + 4
    starts = np.cumsum([tables_at + 8 * count, *lengths[:-1]], dtype=np.uint32)
    tables = starts.astype("<u4").tobytes() + np.array(lengths, "<u4").tobytes()
    entries = b""
    for tag, value in tags:
        at = tables_at if tag == _STRIP_STARTS else tables_at + 4 * count
        if value is None and count == 1:
            value = int(starts[0]) if tag == _STRIP_STARTS else lengths[0]
        is_table = value is None
        entries += struct.pack("<HHII", tag, 4, count if is_table else 1, at if is_table else value)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0)
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(b"".join([head, tables, *parts])))
    return np.asarray(image)


def _numbers(
    raw: npt.NDArray[np.uint8], dtype: np.dtype[Any], order: str, *, samples: int, predictor: int
) -> npt.NDArray[Any]:
    """Turn rows of bytes into (rows, columns, samples) numbers, undoing the differences that help to pack them."""
    size = dtype.itemsize
    if predictor == 3:
        # differences of bytes; then the rows hold first the highest bytes of all numbers, then the next, ...
        bytes_of = np.cumsum(raw.reshape(len(raw), -1, samples), axis=1, dtype=np.uint8).reshape(len(raw), size, -1)
        highest_first = np.ascontiguousarray(bytes_of.transpose(0, 2, 1))
        stored = highest_first.view(dtype.newbyteorder(">"))
    else:
        stored = np.ascontiguousarray(raw).view(dtype.newbyteorder(order))  # type: ignore[arg-type]
    numbers = stored.reshape(len(raw), -1, samples).astype(dtype, copy=False)
    if predictor == 2:
        whole = numbers.view(f"u{size}")  # differences of the bit patterns, whatever they stand for
        numbers = np.cumsum(whole, axis=1, dtype=whole.dtype).view(dtype)
    return numbers


def _directories(source: BinaryIO) -> tuple[str, Tags, Tags | None]:
    """Return the byte order and the tags of the first two directories."""
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    start = source.read(16)
    order = "<" if start[:2] == b"II" else ">"
    is_big = start[2:4] in (b"+\0", b"\0+")
    at = struct.unpack(f"{order}Q", start[8:16])[0] if is_big else struct.unpack(f"{order}I", start[4:8])[0]
    found = list(_walk(source, at, order, is_big=is_big, size=size))
    return order, found[0], found[1] if len(found) > 1 else None


def _walk(source: BinaryIO, at: int, order: str, *, is_big: bool, size: int) -> Iterator[Tags]:
    entry = struct.Struct(f"{order}HHQ8s" if is_big else f"{order}HHI4s")
    number, offset = ("Q", "Q") if is_big else ("H", "I")
    for _ in range(2):
        if at >= size:
            return
        source.seek(at)
        (count,) = struct.unpack(order + number, source.read(struct.calcsize(number)))
        if count * entry.size > size:
            raise ValueError(f"a directory of {count} tags in a file of {size} bytes")
        entries = source.read(entry.size * count)
        following = source.read(struct.calcsize(offset))
        tags: Tags = {}
        for tag, kind, length, field in entry.iter_unpack(entries):
            if kind not in _TYPES:
                continue
            form = f"{order}{length}{_TYPES[kind]}" if length <= size else ""
            needed = struct.calcsize(form)
            if needed > len(field):
                source.seek(struct.unpack(order + offset, field)[0])
                field = source.read(needed)
            if len(field) >= needed:  # what lies beyond the file's end may be of no use to us
                tags[tag] = struct.unpack(form, field[:needed])
        yield tags
        at = struct.unpack(order + offset, following)[0] if len(following) == struct.calcsize(offset) else 0
        if not at:
            return


def _chunks(facts: TiffFacts) -> list[tuple[int, int]]:
    is_tiled = _TILE_WIDTH in facts.tags
    starts = facts.tags[_TILE_STARTS if is_tiled else _STRIP_STARTS]
    lengths = facts.tags[_TILE_LENGTHS if is_tiled else _STRIP_LENGTHS]
    return list(zip(starts, lengths, strict=True))


def _chunk_hw(facts: TiffFacts) -> SizeHW:
    height, width = facts.size_hw
    if _TILE_WIDTH in facts.tags:
        rows, columns = int(facts.tags[_TILE_HEIGHT][0]), int(facts.tags[_TILE_WIDTH][0])
    else:
        rows, columns = min(height, int(_first(facts.tags, _STRIP_ROWS, height))), width
    if rows < 1 or columns < 1:
        raise ValueError(f"strips or tiles of {columns} x {rows} pixels")
    return rows, columns


def _dtype(tags: Tags) -> np.dtype[Any] | None:
    bits, formats = set(tags.get(_BITS, (1,))), set(tags.get(_SAMPLE_FORMAT, (1,)))
    if len(bits) != 1 or len(formats) != 1:
        return None
    kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(formats.pop(), "")
    name = f"{kind}{bits.pop() // 8}" if bits <= {8, 16, 32, 64} else ""
    return np.dtype(name) if name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8") else None


def _first(tags: Tags, tag: int, default: int) -> Any:
    return tags[tag][0] if tags.get(tag) else default
