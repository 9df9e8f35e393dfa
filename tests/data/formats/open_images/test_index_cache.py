"""The index of a large table is kept, found again, and never trusted blindly."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.formats.open_images import index_cache
from easyseg.data.formats.open_images.index_cache import open_mask_index
from easyseg.data.formats.open_images.mask_index import MaskIndex, read_mask_index
from easyseg.errors import OutputError, SampleError


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table that counts as a large one, and a cache of its own."""
    monkeypatch.setattr(index_cache, "SMALLEST_BYTES", 10)
    monkeypatch.setenv("EASYSEG_CACHE", str(tmp_path / "cache"))
    rows = [f"{at % 7}_m_{at}.png,{at % 7},/m/{at % 3},{at},0.{at % 7},0.9,0.2,0.8,0.5," for at in range(40)]
    header = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
    (tmp_path / "train.csv").write_text("\n".join([header, *rows]))
    return tmp_path / "train.csv"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The tables that were really read."""
    found: list[Path] = []

    def counted(path: Path, on_rows: Callable[[int], None] | None = None) -> MaskIndex:
        found.append(path)
        return read_mask_index(path, on_rows)

    monkeypatch.setattr(index_cache, "read_mask_index", counted)
    return found


def entries(tmp_path: Path) -> list[Path]:
    """Return the files in the cache."""
    return sorted((tmp_path / "cache" / "open_images").glob("*"))


def assert_same(first: MaskIndex, second: MaskIndex) -> None:
    """All arrays are equal, types included."""
    for field in fields(MaskIndex):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "labels":
            assert one == other
        else:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_a_table_is_read_once(table: Path, reads: list[Path], tmp_path: Path) -> None:
    """The second opening takes the arrays from the cache, and they are the same."""
    first = open_mask_index(table)
    assert_same(first, open_mask_index(table))
    assert reads == [table]
    assert len(entries(tmp_path)) == 1


def test_a_small_table_leaves_nothing_behind(
    table: Path, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is faster read than found again."""
    monkeypatch.setattr(index_cache, "SMALLEST_BYTES", 1 << 20)
    open_mask_index(table)
    assert entries(tmp_path) == []


def test_a_changed_table_is_read_anew(table: Path, reads: list[Path], tmp_path: Path) -> None:
    """Size, time, beginning and end count; the entry of the old one goes."""
    open_mask_index(table)
    text = table.read_text()
    status = table.stat()
    table.write_text(text.replace("/m/2", "/m/9"))
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size and time
    assert "/m/9" in open_mask_index(table).labels
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    open_mask_index(table)
    table.write_text(text + "\n8_m_1.png,8,/m/1,1,0,1,0,1,,")
    assert open_mask_index(table).num_images == 8
    assert len(reads) == 4
    assert len(entries(tmp_path)) == 1


def test_two_tables_have_two_entries(table: Path, reads: list[Path], tmp_path: Path) -> None:
    """A copy elsewhere is another table."""
    other = tmp_path / "other.csv"
    other.write_bytes(table.read_bytes())
    for path in (table, other, table, other):
        open_mask_index(path)
    assert len(reads) == 2
    assert len(entries(tmp_path)) == 2


def damage_byte(path: Path) -> None:
    """Change one byte in the middle of an array."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    """Lose the end."""
    path.write_bytes(path.read_bytes()[:-100])


def save_array(path: Path) -> None:
    """Put a single array there."""
    with path.open("wb") as file:
        np.save(file, np.arange(3))


@pytest.mark.parametrize(
    "damage",
    [
        cut_off,
        damage_byte,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"nonsense" * 100),
        save_array,
        lambda path: np.savez(path, other=np.arange(3)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["cut off", "one bit", "empty", "nonsense", "an array", "other arrays", "a folder"],
)
def test_a_damaged_entry_is_made_anew(
    table: Path, reads: list[Path], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """Whatever lies in its place, the table is what counts."""
    first = open_mask_index(table)
    damage(entries(tmp_path)[0])
    assert_same(first, open_mask_index(table))
    assert len(reads) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"starts": np.arange(8) * 6},
        {"starts": np.array([0, 50, 12, 18, 24, 30, 36, 40])},
        {"starts": np.array([0, 6, 12, 18, 24, 30, 36, 40], np.int32)},
        {"splits": np.full(7, 9, np.uint8)},
        {"splits": np.zeros(3, np.uint8)},
        {"label_ids": np.full(40, 3, np.uint16)},
        {"boxes": np.zeros((40, 3), np.float32)},
        {"names": np.zeros((40, 1), "S5")},
        {"image_ids": np.array([b"1", b"0", b"2", b"3", b"4", b"5", b"6"])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_that_contradicts_itself_is_made_anew(
    table: Path, reads: list[Path], tmp_path: Path, change: dict[str, np.ndarray]
) -> None:
    """Arrays with right checksums that point outside of each other are not trusted either."""
    first = open_mask_index(table)
    entry = entries(tmp_path)[0]
    with np.load(entry) as arrays:
        contents = dict(arrays)
    np.savez(entry, **{**contents, **change})
    assert_same(first, open_mask_index(table))
    assert len(reads) == 2


def test_an_entry_of_another_table_is_not_used(table: Path, reads: list[Path], tmp_path: Path) -> None:
    """A file that was renamed into its place is found out."""
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("/m/2", "/m/9"))
    open_mask_index(other)
    foreign = entries(tmp_path)[0]
    first = open_mask_index(table)
    own = next(path for path in entries(tmp_path) if path != foreign)
    own.write_bytes(foreign.read_bytes())
    assert_same(first, open_mask_index(table))
    assert len(reads) == 3


def test_a_table_that_changes_while_it_is_read_is_not_kept(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read then is of no table that there is."""

    def changing(path: Path, on_rows: object = None) -> MaskIndex:
        index = read_mask_index(path)
        path.write_text(path.read_text() + "\n")
        return index

    monkeypatch.setattr(index_cache, "read_mask_index", changing)
    open_mask_index(table)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_costs_time_only(
    table: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to refuse the dataset."""

    def full(path: Path) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(index_cache, "atomic_path", full)
    assert open_mask_index(table).num_masks == 40
    assert open_mask_index(table).num_masks == 40
    assert len(reads) == 2


def test_a_missing_table_is_a_plain_error(tmp_path: Path) -> None:
    """It names the file."""
    with pytest.raises(SampleError, match="the table cannot be read"):
        open_mask_index(tmp_path / "none.csv")


def test_soundness_is_checked_on_a_whole_index(table: Path) -> None:
    """The check itself accepts what reading gives, and nothing without masks."""
    index = read_mask_index(table)
    assert index_cache._is_sound(index)
    nothing = {
        "image_ids": index.image_ids[:0],
        "starts": index.starts[:1],
        "splits": index.splits[:0],
        "label_ids": index.label_ids[:0],
        "names": index.names[:0],
        "boxes": index.boxes[:0],
        "predicted_ious": index.predicted_ious[:0],
    }
    assert not index_cache._is_sound(replace(index, **nothing))
