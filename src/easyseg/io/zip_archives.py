"""Zip archives of very many small files, read in place.

The list of an archive's files is kept in a few arrays: with Python's own `zipfile`, that of an archive of 170,000 masks
takes a second and 100 MB, and there are sixteen of them. What a list says is not trusted: nothing is read outside of
the archive, nothing larger than expected is unpacked, and every file's checksum is verified.
"""

from __future__ import annotations

import io
import struct
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import SampleError
from easyseg.io.decoding import opened
from easyseg.structures import ArchivedFile

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Returns the bytes of an archive from a position on, a number of them or fewer at its end."""

LARGEST_FILE = 256 << 20
"""Larger files in an archive are not unpacked."""

HEADER_BYTES = 30
"""What stands before each file, without its name and extra fields."""

_END = struct.Struct("<4s4H2LH")
_END_64_PLACE = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_IS_64 = 0xFFFFFFFF
_LARGEST_LIST = 256 << 20
_NO_FILE_BYTES = 1 << 40  # longer than any file that is unpacked
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveList:
    """The files in a zip archive, N of them, sorted by name. Folders in it, and names that are not ASCII, are left out.

    Attributes:
        path: the archive.
        names: (N,) ASCII bytes, the files' names without folders, ascending.
        starts: (N,) int64, where each file's header begins.
        packed_bytes: (N,) int64, how long it is in the archive.
        num_bytes: (N,) int64, how long it is unpacked.
        checksums: (N,) uint32, CRC-32 of the unpacked bytes.
    """

    path: Path
    names: npt.NDArray[np.bytes_]
    starts: npt.NDArray[np.int64]
    packed_bytes: npt.NDArray[np.int64]
    num_bytes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, names: npt.NDArray[np.bytes_]) -> ArchiveList:
        """Return a list of some of the files alone, by their names; those that are not there are left out."""
        at = np.flatnonzero(np.isin(self.names, names))
        return ArchiveList(
            self.path,
            self.names[at],
            starts=self.starts[at],
            packed_bytes=self.packed_bytes[at],
            num_bytes=self.num_bytes[at],
            checksums=self.checksums[at],
        )

    def file(self, at: int) -> ArchivedFile:
        """Return the file at a place of the list."""
        return ArchivedFile(
            self.path,
            self.names[at].decode("ascii"),
            start=int(self.starts[at]),
            packed_bytes=int(self.packed_bytes[at]),
            num_bytes=int(self.num_bytes[at]),
            checksum=int(self.checksums[at]),
        )

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> ArchivedFile:
        at = self._find(name)
        if at is None:
            raise KeyError(name)
        return self.file(at)

    def _find(self, name: str) -> int | None:
        wanted = np.bytes_(name.encode("ascii", "replace"))
        at = int(np.searchsorted(self.names, wanted))
        return at if at < len(self.names) and self.names[at] == wanted else None


def list_archive(path: Path) -> ArchiveList:
    """Return what files are in a zip archive.

    Raises:
        SampleError: it cannot be read, is cut off, or no zip archive.
    """
    with opened(path) as file:
        size = file.seek(0, io.SEEK_END)

        def read_at(start: int, count: int) -> bytes:
            file.seek(start)
            return file.read(count)

        return parse_list(path, size, read_at)


def parse_list(path: Path, size: int, read_at: ReadAt) -> ArchiveList:
    """Return what files are in a zip archive, wherever its bytes come from.

    Args:
        path: what errors call it.
        size: how many bytes it has.
        read_at: reads from it.

    Raises:
        SampleError: it is cut off, or no zip archive.
    """
    count, length, start = _find_list(path, size, read_at)
    data = read_at(start, length)
    if len(data) < length:
        raise _broken(path, "its list of files is cut off")
    names: list[bytes] = []
    numbers = array("q")
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > length:
            raise _broken(path, "its list of files is shorter than it says")
        fields = _ENTRY.unpack_from(data, at)
        if fields[0] != b"PK\1\2":
            raise _broken(path, "its list of files is damaged")
        name_end = at + _ENTRY.size + fields[10]
        packed, unpacked, begin = fields[8], fields[9], fields[16]
        if _IS_64 in (packed, unpacked, begin):
            packed, unpacked, begin = _wide_fields(data[name_end : name_end + fields[11]], packed, unpacked, begin)
        name = data[at + _ENTRY.size : name_end].replace(b"\\", b"/").rpartition(b"/")[2]
        is_plain = name.isascii() and 0 < len(name) <= _LONGEST_NAME and not fields[3] & _ENCRYPTED
        if is_plain and begin + packed <= size:
            names.append(name)
            numbers.extend((begin, packed, min(unpacked, _NO_FILE_BYTES), fields[7]))
        at = name_end + fields[11] + fields[12]
    return _sorted(path, names, numbers)


def read_archived(file: ArchivedFile, *, most_bytes: int = LARGEST_FILE) -> bytes:
    """Return the unpacked bytes of a file in an archive.

    Args:
        file: the file.
        most_bytes: larger ones are refused.

    Raises:
        SampleError: the archive is missing or has changed, or the file is damaged, too large, or packed in another way
            than zip archives usually are.
    """
    with opened(file.archive) as source:
        source.seek(file.start)
        header = source.read(HEADER_BYTES)
        names = source.read(_name_bytes(file, header))
        packed = source.read(file.packed_bytes) if file.packed_bytes <= most_bytes else b""
    return unpack(file, header + names + packed, most_bytes=most_bytes)


def unpack(file: ArchivedFile, data: bytes, *, most_bytes: int = LARGEST_FILE) -> bytes:
    """Return the unpacked bytes of a file from the part of the archive that begins with its header.

    Args:
        file: the file.
        data: bytes of the archive from `file.start` on; more than the file's own do no harm.
        most_bytes: larger files are refused.

    Raises:
        SampleError: as `read_archived`.
    """
    if max(file.num_bytes, file.packed_bytes) > most_bytes:
        raise _damaged(file, f"it has {file.num_bytes:,} bytes; at most {most_bytes:,} are unpacked")
    begin = HEADER_BYTES + _name_bytes(file, data[:HEADER_BYTES])
    packed = data[begin : begin + file.packed_bytes]
    if len(packed) < file.packed_bytes:
        raise _damaged(file, "the archive is cut off in it")
    method = _LOCAL.unpack_from(data)[3]
    if method == _DEFLATED:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            unpacked = unpacker.decompress(packed, file.num_bytes + 1)
        except zlib.error as error:
            raise _damaged(file, f"it cannot be unpacked ({error})") from error
    elif method == _STORED:
        unpacked = packed
    else:
        raise _damaged(file, f"it is packed by method {method}; only plain and deflated files are read")
    if len(unpacked) != file.num_bytes or zlib.crc32(unpacked) != file.checksum:
        raise _damaged(file, "its checksum is wrong")
    return unpacked


def _name_bytes(file: ArchivedFile, header: bytes) -> int:
    """Return how many bytes of names stand between a file's header and the file."""
    if len(header) < HEADER_BYTES or header[:4] != b"PK\3\4":
        raise _damaged(file, "there is no file at its place; the archive has changed")
    fields = _LOCAL.unpack(header)
    return int(fields[9]) + int(fields[10])


def _find_list(path: Path, size: int, read_at: ReadAt) -> tuple[int, int, int]:
    """Return how many files the archive's list has, its length in bytes, and where it begins."""
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = read_at(tail_start, size - tail_start)
    place = tail.rfind(b"PK\5\6")
    if place < 0 or place + _END.size > len(tail):
        raise _broken(path, "the end of a zip archive is missing; it is cut off, or no zip archive")
    fields = _END.unpack_from(tail, place)
    count, length, start = fields[4], fields[5], fields[6]
    if count == 0xFFFF or _IS_64 in (length, start):
        count, length, start = _find_list_64(path, tail_start + place, read_at, (count, length, start))
    if length > _LARGEST_LIST or start + length > size or count * _ENTRY.size > length:
        raise _broken(path, f"its list of {count:,} files in {length:,} bytes cannot be")
    return count, length, start


def _find_list_64(path: Path, end: int, read_at: ReadAt, narrow: tuple[int, int, int]) -> tuple[int, int, int]:
    """Do the same for an archive with more than 65,535 files, or larger than 4 GB."""
    before = read_at(max(0, end - _END_64_PLACE.size), _END_64_PLACE.size)
    if len(before) < _END_64_PLACE.size or before[:4] != b"PK\6\7":
        return narrow
    # the place may be any number, and the record stands before what tells it
    data = read_at(min(_END_64_PLACE.unpack(before)[2], end), _END_64.size)
    if len(data) < _END_64.size or data[:4] != b"PK\6\6":
        raise _broken(path, "its end is damaged")
    fields = _END_64.unpack(data)
    return fields[7], fields[8], fields[9]


def _wide_fields(extra: bytes, packed: int, unpacked: int, begin: int) -> tuple[int, int, int]:
    """Return packed and unpacked length and place of a file, where they take more than 32 bits."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            values = [next(wide, value) if value == _IS_64 else value for value in (unpacked, packed, begin)]
            return values[1], values[0], values[2]
        at += 4 + length
    return packed, unpacked, begin


def _sorted(path: Path, found: list[bytes], found_numbers: array[int]) -> ArchiveList:
    names = np.array(found, f"S{max(map(len, found), default=1)}")
    # stable, and the last of several of a name counts, as it does for everybody who unpacks the archive
    order = np.argsort(names, kind="stable")
    names = names[order]
    is_last = np.append(names[1:] != names[:-1], [True])[: len(names)]
    order = order[is_last]
    numbers = np.frombuffer(found_numbers, np.int64).reshape(-1, 4)[order]
    return ArchiveList(
        path,
        names[is_last],
        starts=numbers[:, 0],
        packed_bytes=numbers[:, 1],
        num_bytes=numbers[:, 2],
        checksums=numbers[:, 3].astype(np.uint32),
    )


def _broken(path: Path, problem: str) -> SampleError:
    return SampleError(path, f"the archive cannot be read: {problem}. Fetch it again, or remove it.")


def _damaged(file: ArchivedFile, problem: str) -> SampleError:
    return SampleError(file.path, f"this file in the archive cannot be read: {problem}. Fetch the archive again.")
