"""Writes TIFF files of every kind, byte by byte, for tests of reading them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


def packed_in_lzw(data: bytes) -> bytes:
    """Pack bytes as LZW without using its strength: codes of 9 bits, the table cleared before it grows."""
    codes = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def packed_in_bits(data: bytes) -> bytes:
    """Pack bytes as PackBits, in literal runs."""
    runs = [data[start : start + 128] for start in range(0, len(data), 128)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


PACKINGS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: packed_in_lzw,
    8: zlib.compress,
    32946: zlib.compress,
    32773: packed_in_bits,
}


def tiff_bytes(
    values: npt.NDArray[Any],
    *,
    order: str = "<",
    is_big: bool = False,
    is_separate: bool = False,
    tile: int = 0,
    packing: int = 1,
    predictor: int = 1,
    strip_rows: int = 7,
    tags: dict[int, int] | None = None,
    pages: int = 1,
    following: int = 0,
) -> bytes:
    """Return a TIFF file that holds `values`.

    Args:
        values: (H, W, bands).
        order: "<" or ">".
        is_big: the large kind of file, BigTIFF.
        is_separate: a plane for each band.
        tile: side of tiles, or 0 for strips.
        packing: a key of `PACKINGS`.
        predictor: 1, 2 or 3.
        strip_rows: rows of a strip.
        tags: further tags, or other values for some.
        pages: how many times the picture is in the file.
        following: where the last directory says that another one lies; 0 where there is none.
    """
    height, width, bands = values.shape
    planes = [values[..., band : band + 1] for band in range(bands)] if is_separate else [values]
    rows, columns = (tile, tile) if tile else (strip_rows, width)
    chunks = []
    for plane in planes:
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                part = plane[top : top + rows, left : left + columns]
                if tile:
                    part = np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)))
                chunks.append(PACKINGS[packing](_differences(part, order, predictor)))
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    lengths = [len(chunk) for chunk in chunks]
    head = 16 if is_big else 8
    starts = [head + sum(lengths[:at]) for at in range(len(chunks))]
    entries: dict[int, list[int]] = {
        256: [width], 257: [height], 258: [8 * values.itemsize] * bands, 259: [packing], 262: [1], 277: [bands],
        284: [2 if is_separate else 1], 317: [predictor], 339: [kind] * bands,
    }  # fmt: skip
    entries |= (
        {322: [tile], 323: [tile], 324: starts, 325: lengths} if tile else {273: starts, 278: [rows], 279: lengths}
    )
    entries |= {tag: [value] for tag, value in (tags or {}).items()}
    body = b"".join(chunks)
    body += b"\0" * (len(body) % 2)
    first = head + len(body)
    for page in range(pages):
        body += _directory(
            entries, head + len(body), order, is_big=is_big, following=following if page == pages - 1 else None
        )
    sign = b"II" if order == "<" else b"MM"
    start = struct.pack(f"{order}HHHQ", 43, 8, 0, first) if is_big else struct.pack(f"{order}HI", 42, first)
    return sign + start + body


def _differences(part: npt.NDArray[Any], order: str, predictor: int) -> bytes:
    rows, columns, samples = part.shape
    if predictor == 2:
        whole = part.view(f"u{part.itemsize}")
        part = np.concatenate([whole[:, :1], whole[:, 1:] - whole[:, :-1]], axis=1)
    if predictor == 3:
        stored = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"))).view(np.uint8)
        planes = stored.reshape(rows, columns * samples, -1).transpose(0, 2, 1).reshape(rows, -1, samples)
        return np.concatenate([planes[:, :1], planes[:, 1:] - planes[:, :-1]], axis=1).tobytes()
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _directory(entries: dict[int, list[int]], at: int, order: str, *, is_big: bool, following: int | None) -> bytes:
    form, room = ("Q", 8) if is_big else ("I", 4)
    size = (8 if is_big else 2) + (20 if is_big else 12) * len(entries) + room
    fields, tables = b"", b""
    for tag, numbers in sorted(entries.items()):
        table = struct.pack(f"{order}{len(numbers)}I", *numbers)
        fields += struct.pack(f"{order}HH{form}", tag, 4, len(numbers))
        if len(table) <= room:
            fields += table.ljust(room, b"\0")
        else:
            fields += struct.pack(order + form, at + size + len(tables))
            tables += table
    following = at + size + len(tables) if following is None else following
    count = struct.pack(f"{order}{'Q' if is_big else 'H'}", len(entries))
    return count + fields + struct.pack(order + form, following) + tables
