"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from easyseg.errors import OutputError
from easyseg.io import atomic
from easyseg.io.atomic import atomic_path, make_folder, write_bytes, write_text


def test_text_is_written_as_utf8_and_leaves_nothing_else(tmp_path: Path) -> None:
    """A written file holds the text; no temporary file stays beside it."""
    write_text(tmp_path / "log.txt", "Straße\n")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "Straße\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """Writing into a folder that does not exist makes it."""
    write_bytes(tmp_path / "a" / "b" / "file.bin", b"1")
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"1"


def test_temporary_path_keeps_the_suffix(tmp_path: Path) -> None:
    """Encoders that choose the format by the suffix see the right one."""
    with atomic_path(tmp_path / "picture.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_failure_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    """An exception of the writer changes nothing on the disk."""
    target = tmp_path / "state.txt"
    write_text(target, "old")

    def fail_halfway() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_halfway()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["state.txt"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_system_errors_say_what_to_do(tmp_path: Path, code: int, words: str) -> None:
    """A full disk, a missing permission and the like are named, with the path, and leave nothing behind."""
    target = tmp_path / "weights.bin"
    with pytest.raises(OutputError, match=words) as caught, atomic_path(target):
        raise OSError(code, os.strerror(code))
    assert str(target) in str(caught.value)
    assert "hoose" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_up_at_the_flush_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that only fails when it reaches the disk does not replace the old file."""
    target = tmp_path / "best.bin"
    write_bytes(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_file_and_folder_are_flushed_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is: flush the file, rename it, flush the folder."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(atomic.os, "fsync", lambda descriptor: (events.append("flush"), fsync(descriptor))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    write_bytes(tmp_path / "file", b"1")
    assert events == ["flush", "rename", "flush"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """Permissions are 0666 less the umask, even where a writer replaces the file by one of its own."""
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "shared.bin") as temporary:
            temporary.unlink()
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600)
            os.close(descriptor)
    finally:
        os.umask(before)
    assert (tmp_path / "shared.bin").stat().st_mode & 0o777 == mode


def test_folder_in_the_way_is_named(tmp_path: Path) -> None:
    """A folder of the same name is an error that says so."""
    (tmp_path / "result").mkdir()
    with pytest.raises(OutputError, match="there is a folder of that name"):
        write_bytes(tmp_path / "result", b"1")


def test_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """A file where a folder is wanted is an error that names the path."""
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder") as caught:
        make_folder(tmp_path / "runs" / "first")
    assert str(tmp_path / "runs" / "first") in str(caught.value)


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    """A folder without write permission is an error that names the file."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("the superuser may write anywhere")
    with pytest.raises(OutputError, match="no permission"):
        write_bytes(folder / "file", b"1")


def test_make_folder_returns_an_existing_one(tmp_path: Path) -> None:
    """An existing folder is fine."""
    assert make_folder(tmp_path) == tmp_path
