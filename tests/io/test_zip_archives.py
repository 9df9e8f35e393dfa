"""Zip archives of many files are listed compactly and read in place; damaged and hostile ones are refused."""

from __future__ import annotations

import random
import struct
import zipfile
from pathlib import Path

import pytest

from easyseg.errors import SampleError
from easyseg.io.zip_archives import list_archive, parse_list, read_archived
from easyseg.structures import ArchivedFile


def write_archive(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_file_is_read_as_it_was_packed(tmp_path: Path, method: int) -> None:
    """The bytes are those that Python's own module packed, in folders or not."""
    files = {f"folder/{at:03}.png": random.Random(at).randbytes(at * 37) for at in range(50)}
    archive = list_archive(write_archive(tmp_path / "a.zip", {**files, "folder/": b""}, method))
    assert len(archive) == 50
    for name, data in files.items():
        assert read_archived(archive[name.rpartition("/")[2]]) == data
    assert "x.png" not in archive
    assert "ü.png" not in archive
    with pytest.raises(KeyError):
        _ = archive["x.png"]
    assert archive["003.png"].path == tmp_path / "a.zip" / "003.png"


def test_names_are_no_paths(tmp_path: Path) -> None:
    """Of hostile names only the last part counts, and names that no table can hold are left out."""
    files = {"../../up.png": b"1", "/etc/abs.png": b"2", "ü.png": b"3", "n" * 200: b"4", "dir\\win.png": b"5"}
    archive = list_archive(write_archive(tmp_path / "a.zip", files))
    assert archive.names.tolist() == [b"abs.png", b"up.png", b"win.png"]


def test_the_last_of_several_files_of_a_name_counts(tmp_path: Path) -> None:
    """As for everybody who unpacks the archive."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/a.png", b"old")
        archive.writestr("y/a.png", b"new")
    assert read_archived(list_archive(tmp_path / "a.zip")["a.png"]) == b"new"


def test_an_empty_archive_and_one_with_a_comment(tmp_path: Path) -> None:
    """Neither is an error."""
    assert len(list_archive(write_archive(tmp_path / "a.zip", {}))) == 0
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a", b"data")
        archive.comment = b"words " * 5000
    assert read_archived(list_archive(tmp_path / "b.zip")["a"]) == b"data"


def widened(data: bytes) -> bytearray:
    """Return an archive whose end is written as for more than 65,535 files or 4 GB."""
    end = data.index(b"PK\5\6")
    count, length, start = struct.unpack_from("<H2L", data, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    full = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytearray(data[:end] + record + place + full)


def test_the_end_of_a_very_large_archive(tmp_path: Path) -> None:
    """65,536 files and more need the wide form, which says the same in larger numbers."""
    data = widened(write_archive(tmp_path / "a.zip", {"a": b"first", "b": b"second"}).read_bytes())
    (tmp_path / "b.zip").write_bytes(data)
    assert zipfile.ZipFile(tmp_path / "b.zip").namelist() == ["a", "b"]
    assert read_archived(list_archive(tmp_path / "b.zip")["b"]) == b"second"


@pytest.mark.parametrize(
    ("mark", "offset", "value", "words"),
    [
        (b"PK\6\7", 8, struct.pack("<Q", 2**64 - 1), "its end is damaged"),
        (b"PK\6\6", 0, b"XX", "its end is damaged"),
        (b"PK\6\6", 32, struct.pack("<Q", 2**63), "cannot be"),
        (b"PK\6\6", 40, struct.pack("<Q", 2**63), "cannot be"),
        (b"PK\6\6", 48, struct.pack("<Q", 2**64 - 1), "cannot be"),
        (b"PK\6\7", 0, b"XX", "cannot be"),
    ],
    ids=["its place", "its mark", "count", "length", "place of the list", "mark of its place"],
)
def test_a_damaged_end_of_a_very_large_archive(
    tmp_path: Path, mark: bytes, offset: int, value: bytes, words: str
) -> None:
    """Numbers beyond everything are refused, not read by."""
    data = widened(write_archive(tmp_path / "a.zip", {"a": b"first"}).read_bytes())
    at = data.index(mark) + offset
    data[at : at + len(value)] = value
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(SampleError, match=words):
        list_archive(tmp_path / "b.zip")


@pytest.mark.slow
def test_more_files_than_a_plain_archive_can_count(tmp_path: Path) -> None:
    """As Python's own module writes it."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for at in range(65_540):
            archive.writestr(f"{at}", b"")
    assert len(list_archive(path)) == 65_540


def test_a_list_that_is_cut_off_while_it_is_read(tmp_path: Path) -> None:
    """The archive may change meanwhile."""
    path = write_archive(tmp_path / "a.zip", {"a": b"first"})
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    with pytest.raises(SampleError, match="its list of files is cut off"):
        parse_list(path, len(data), lambda at, count: data[at : at + 5] if at == start else data[at : at + count])


def test_wide_numbers_in_the_list(tmp_path: Path) -> None:
    """Lengths and places beyond 4 GB stand in a field of their own; here, small ones do."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("big", "w", force_zip64=True) as file:
        file.write(b"data" * 100)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    entry = data.index(b"PK\1\2")
    # as a writer does that cannot know better: 32-bit fields full, the real numbers behind the name
    start = struct.unpack_from("<L", data, entry + 42)[0]
    struct.pack_into("<2L", data, entry + 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<L", data, entry + 42, 0xFFFFFFFF)
    extra = struct.pack("<2H3Q", 1, 24, 400, 400, start)
    extra_length = struct.unpack_from("<H", data, entry + 30)[0]
    junk = struct.pack("<2H2s", 0xCAFE, 2, b"xx")
    struct.pack_into("<H", data, entry + 30, len(junk) + len(extra))
    name_end = entry + 46 + 3
    data[name_end : name_end + extra_length] = junk + extra
    end = data.index(b"PK\5\6")
    struct.pack_into("<L", data, end + 12, end - entry)
    (tmp_path / "b.zip").write_bytes(data)
    assert read_archived(list_archive(tmp_path / "b.zip")["big"]) == b"data" * 100


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A file that unpacks to more than it says, or than is allowed, is refused before it fills the memory."""
    path = write_archive(tmp_path / "a.zip", {"bomb": bytes(50 << 20)})
    file = list_archive(path)["bomb"]
    with pytest.raises(SampleError, match=r"at most 1,000,000 are unpacked"):
        read_archived(file, most_bytes=1_000_000)
    lying = ArchivedFile(file.archive, file.name, file.start, file.packed_bytes, 1000, file.checksum)
    with pytest.raises(SampleError, match="checksum is wrong"):
        read_archived(lying)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, b"XX", "there is no file at its place"),
        (8, b"\x63\x00", "packed by method 99"),
        (40, b"\xff\xff\xff\xff", "cannot be unpacked|checksum is wrong"),
    ],
)
def test_damage_in_a_file_is_found(tmp_path: Path, at: int, value: bytes, words: str) -> None:
    """A damaged header and damaged data are errors that name archive and file."""
    path = write_archive(tmp_path / "a.zip", {"mask.png": b"many bytes " * 100})
    file = list_archive(path)["mask.png"]
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(SampleError, match=words) as caught:
        read_archived(file)
    assert str(caught.value.path).endswith("mask.png")


def test_an_archive_that_was_cut_off(tmp_path: Path) -> None:
    """Without its end it is none; a file that was beyond the end is an error."""
    path = write_archive(tmp_path / "a.zip", {"a": b"x" * 100, "b": b"y" * 100}, zipfile.ZIP_STORED)
    file = list_archive(path)["b"]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SampleError, match="cut off, or no zip archive"):
        list_archive(path)
    with pytest.raises(SampleError, match="cut off in it"):
        read_archived(file)
    with pytest.raises(SampleError, match="does not exist"):
        list_archive(tmp_path / "none.zip")


def test_files_that_lead_outside_and_encrypted_ones_are_left_out(tmp_path: Path) -> None:
    """What a list says of places beyond the archive's end, and what needs a password, is not there."""
    data = bytearray(write_archive(tmp_path / "a.zip", {"a": b"x" * 100, "b": b"y" * 100}).read_bytes())
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    struct.pack_into("<L", data, first + 42, 0x7FFFFFFF)
    struct.pack_into("<H", data, second + 8, 1)
    (tmp_path / "b.zip").write_bytes(data)
    assert len(list_archive(tmp_path / "b.zip")) == 0


@pytest.mark.parametrize(
    ("offset", "value"), [(10, 0x7FFF), (12, 0x10000000), (16, 0x7FFFFFFF)], ids=["count", "length", "place"]
)
def test_a_list_that_cannot_be(tmp_path: Path, offset: int, value: int) -> None:
    """Numbers that do not fit the archive are refused before anything is read by them."""
    data = bytearray(write_archive(tmp_path / "a.zip", {"a": b"x"}).read_bytes())
    struct.pack_into("<H" if offset == 10 else "<L", data, data.index(b"PK\5\6") + offset, value)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(SampleError, match=r"cannot be|damaged|shorter"):
        list_archive(tmp_path / "b.zip")


def test_random_damage_is_always_a_plain_error(tmp_path: Path) -> None:
    """300 archives with random bytes in them: each is read rightly, or refused."""
    files = {f"{at}.png": random.Random(at).randbytes(60) for at in range(6)}
    whole = write_archive(tmp_path / "a.zip", files).read_bytes()
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if dice.random() < 0.2:
            del data[dice.randrange(len(data)) :]
        (tmp_path / "b.zip").write_bytes(bytes(data) or b"x")
        try:
            archive = list_archive(tmp_path / "b.zip")
            for at in range(len(archive)):
                name, unpacked = archive.names[at].decode(), read_archived(archive.file(at))
                assert name not in files or unpacked == files[name] or unpacked in files.values()
        except SampleError:
            refused += 1
    assert refused > 100
