"""Files mapped into memory: shared, with room of their own, removed when nobody wants them."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg.errors import OutputError
from easyseg.io import cache_files
from easyseg.io.cache_files import UNUSED_DAYS, free_disk_bytes, mapped_file, remove_unused


def test_what_one_writes_the_others_read(tmp_path: Path) -> None:
    """The file is made with its folder, full of zeros, for its user alone; who opens it later finds what is in it."""
    path = tmp_path / "deep" / "a.pixels"
    first = mapped_file(path, 1000)
    assert first.shape == (1000,)
    assert not first.any()
    first[10:20] = 7
    second = mapped_file(path, 1000)
    assert second[10:20].tolist() == [7] * 10
    second[0] = 9
    assert first[0] == 9
    assert path.stat().st_size == 1000
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_room_is_taken_at_once(tmp_path: Path) -> None:
    """Nothing of the file is left to be found room for when it is written to."""
    path = tmp_path / "a.pixels"
    mapped_file(path, 1 << 20)
    if hasattr(path.stat(), "st_blocks"):
        assert path.stat().st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("length", [500, 2000])
def test_file_of_another_length_is_brought_to_this_one(tmp_path: Path, length: int) -> None:
    """One that is too long is somebody else's, and nothing of it stays."""
    path = tmp_path / "a.pixels"
    mapped_file(path, 1000)[:] = 1
    found = mapped_file(path, length)
    assert len(found) == path.stat().st_size == length
    assert found.any() == (length > 1000)


def test_systems_without_reservation_write_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file gets its room all the same, and keeps what is in it."""
    monkeypatch.delattr(cache_files.os, "posix_fallocate", raising=False)
    monkeypatch.setattr(cache_files, "_BLOCK", 300)
    path = tmp_path / "a.pixels"
    mapped_file(path, 1000)[:] = 3
    assert mapped_file(path, 1000).tolist() == [3] * 1000
    assert mapped_file(path, 1700).tolist() == [3] * 1000 + [0] * 700


def test_full_disk_and_other_owners_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, with what to do; and through a link nothing is opened."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache_files, "_reserve", full)
    with pytest.raises(OutputError, match="no space left on the disk"):
        mapped_file(tmp_path / "a.pixels", 10)
    monkeypatch.undo()
    if not hasattr(os, "getuid"):
        return
    (tmp_path / "link.pixels").symlink_to(tmp_path / "a.pixels")
    with pytest.raises(OutputError):
        mapped_file(tmp_path / "link.pixels", 10)
    monkeypatch.setattr(cache_files.os, "getuid", lambda: -5)
    with pytest.raises(OutputError, match="belongs to another user"):
        mapped_file(tmp_path / "a.pixels", 10)


def test_what_nobody_opens_is_removed(tmp_path: Path) -> None:
    """By the time it was last opened; other files stay, and a folder that is not there is empty."""
    old = time.time() - (UNUSED_DAYS + 1) * 24 * 3600
    for name in ("old.pixels", "opened.pixels", "new.pixels", "old.txt"):
        mapped_file(tmp_path / name, 10)
        if name != "new.pixels":
            os.utime(tmp_path / name, (old, old))
    mapped_file(tmp_path / "opened.pixels", 10)
    remove_unused(tmp_path, ".pixels")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.pixels", "old.txt", "opened.pixels"]
    remove_unused(tmp_path / "missing", ".pixels")


def test_free_disk_of_a_folder_to_come(tmp_path: Path) -> None:
    """Asked of the nearest folder there is."""
    assert free_disk_bytes(tmp_path / "a" / "b") == pytest.approx(free_disk_bytes(tmp_path), rel=0.1)


def test_mapped_memory_is_plain(tmp_path: Path) -> None:
    """Bytes that can be written to."""
    found = mapped_file(tmp_path / "a.pixels", 3)
    assert found.dtype == np.uint8
    assert found.flags.writeable
