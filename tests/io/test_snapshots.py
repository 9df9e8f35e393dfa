"""Resume checkpoints come back as they were saved, or are not used; and the last good one is never gone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from easyseg.errors import CheckpointError, OutputError
from easyseg.io import durable, snapshots
from easyseg.io.snapshots import (
    check_space,
    newest_snapshot,
    write_snapshot,
    write_snapshot_making_room,
)


def names(folder):
    """The entries of a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def save(folder, *numbers, **options):
    """Save small checkpoints."""
    for number in numbers:
        write_snapshot(folder, number, {"number": number}, {"model": {"weight": np.full(3, number)}}, **options)


def fail_with(code):
    """A call that fails as the system does."""

    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    return fail


def test_what_was_saved_comes_back(tmp_path):
    """State and tensors are read as they were: every type, shape and layout, not-a-number, odd names."""
    state = {
        "step": 7,
        "best": float("-inf"),
        "rates": [0.1, 1e-300, 5e-324],
        "note": "Straße \udcff",
        "none": None,
        "nested": {"yes": True, "empty": {}, "list": []},
    }
    rng = np.random.default_rng(0)
    kinds = [np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_]
    tensors = {
        "optimizer": {kind.__name__: (rng.random((3, 5)) * 9).astype(kind) for kind in kinds},
        "model": {
            "scalar": np.array(2.5, np.float32),
            "empty": np.zeros((0, 3), np.float32),
            "channels_last": rng.random((2, 4, 5, 3)).astype(np.float32).transpose(0, 3, 1, 2),
            "big_endian": np.arange(4, dtype=">f4"),
            "not_finite": np.array([np.nan, np.inf, -0.0], np.float32),
            "großer Name": np.arange(3),
        },
        "nothing": {},
    }
    path = write_snapshot(tmp_path / "run" / "checkpoints", 7, state, tensors)
    assert path == tmp_path / "run" / "checkpoints" / "000000007"
    assert names(path) == [
        "manifest.json",
        "model.safetensors",
        "nothing.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    found, problems = newest_snapshot(path.parent)
    assert problems == []
    assert (found.path, found.number, found.state) == (path, 7, state)
    assert found.tensors.keys() == tensors.keys()
    for group, expected in tensors.items():
        assert found.tensors[group].keys() == expected.keys()
        for name, tensor in expected.items():
            read = found.tensors[group][name]
            assert read.dtype == tensor.dtype.newbyteorder("=")
            assert read.shape == tensor.shape
            assert read.tobytes() == tensor.astype(read.dtype).tobytes()
            assert read.flags.writeable


def test_a_save_loads_no_torch():
    """Saving, reading and locking import no torch: faults can be injected cheaply, and workers start fast."""
    code = "import sys, easyseg.io.snapshots, easyseg.io.locks; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"rates": {1: 0.1}}, r"state\['rates'\] has the key 1"),
        ({"size": [(3, 4)]}, r"state\['size'\]\[0\] is a tuple"),
        ({"score": np.float32(1)}, r"state\['score'\] is a float32"),
    ],
)
def test_state_that_would_change_is_refused(tmp_path, state, words):
    """What JSON would turn into something else is named; nothing is written."""
    with pytest.raises(TypeError, match=words):
        write_snapshot(tmp_path, 1, state, {})
    assert names(tmp_path) == []


def test_tensors_of_other_types_are_refused(tmp_path):
    """A tensor of a type that is not kept is named; nothing stays."""
    with pytest.raises(TypeError, match="'weight' is complex64"):
        write_snapshot(tmp_path, 1, {}, {"model": {"weight": np.zeros(2, np.complex64)}})
    assert names(tmp_path) == []


@pytest.mark.parametrize(("number", "keep", "group"), [(-1, 2, "model"), (1, 1, "model"), (1, 2, "../model")])
def test_wrong_arguments_are_refused(tmp_path, number, keep, group):
    """Negative numbers, keeping fewer than two, and groups that are no plain names are errors."""
    with pytest.raises(ValueError, match="must be"):
        write_snapshot(tmp_path, number, {}, {group: {}}, keep=keep)
    assert names(tmp_path) == []


def test_older_checkpoints_go_and_nothing_else(tmp_path):
    """The newest two stay, or as many as wanted; leftovers of crashed saves go, other files do not."""
    (tmp_path / ".tmp-000000003-abc").mkdir()
    (tmp_path / ".trash-000000003-abc").mkdir()
    (tmp_path / ".tmp-abc").write_text("probe")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "123").mkdir()
    save(tmp_path, 9, 10, 100)
    assert names(tmp_path) == ["000000010", "000000100", "123", "notes.txt"]
    save(tmp_path, 101, 102, keep=3)
    assert names(tmp_path) == ["000000100", "000000101", "000000102", "123", "notes.txt"]


def test_numbers_order_checkpoints_and_times_do_not(tmp_path):
    """The newest is the one with the highest number, however many digits, whatever the clock said."""
    save(tmp_path, 999_999_999, 1_000_000_000)
    os.utime(tmp_path / "999999999", (2e9, 2e9))
    os.utime(tmp_path / "1000000000", (1e9, 1e9))
    assert newest_snapshot(tmp_path)[0].number == 1_000_000_000


def test_an_instant_may_be_saved_again(tmp_path):
    """The same number gets another directory, which is the newer one; nothing is overwritten on the way."""
    save(tmp_path, 4, 5)
    for again in range(1, 12):
        write_snapshot(tmp_path, 5, {"again": again}, {})
        newest, problems = newest_snapshot(tmp_path)
        assert (newest.number, newest.state, problems) == (5, {"again": again}, [])
        assert newest.path.name == f"000000005-{again}"
    assert names(tmp_path) == ["000000005-10", "000000005-11"]


def test_damaged_checkpoints_do_not_count_as_kept(tmp_path):
    """A checkpoint with a file missing is removed rather than kept in the place of a good one."""
    save(tmp_path, 1, 2, 3, keep=3)
    (tmp_path / "000000003" / "model.safetensors").unlink()
    save(tmp_path, 4)
    assert names(tmp_path) == ["000000002", "000000004"]


def test_a_run_that_went_on_from_before_gives_up_what_is_newer(tmp_path):
    """After 30 proved damaged the run goes on from 20: once 25 is saved, 30 goes, and 20 stays."""
    save(tmp_path, 20, 30)
    flip_bit(tmp_path / "000000030" / "model.safetensors", 300)
    assert newest_snapshot(tmp_path)[0].number == 20
    save(tmp_path, 25)
    assert names(tmp_path) == ["000000020", "000000025"]


def flip_bit(path, bit):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    """A folder that is there but cannot be listed is not taken for an empty one."""
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(CheckpointError, match="checkpoints cannot be read"):
        newest_snapshot(tmp_path / "checkpoints")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        save(tmp_path / "checkpoints", 1)


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "no space left on the disk"), (errno.EDQUOT, "quota")])
def test_a_failed_save_says_why_and_changes_nothing(tmp_path, monkeypatch, code, words):
    """The error names the checkpoint and the reason; the older ones stay, no staging directory does."""
    save(tmp_path, 1, 2)
    monkeypatch.setattr(durable.os, "fsync", fail_with(code))
    with pytest.raises(OutputError, match=words) as caught:
        save(tmp_path, 3)
    assert "000000003" in str(caught.value)
    assert names(tmp_path) == ["000000001", "000000002"]
    assert newest_snapshot(tmp_path)[0].number == 2


def test_a_full_disk_is_given_a_second_try_with_more_room(tmp_path, monkeypatch):
    """Where the disk is full, the surplus goes, but not the newest that verifies; then the save succeeds."""
    save(tmp_path, 1, 2, 3, keep=3)
    flip_bit(tmp_path / "000000003" / "model.safetensors", 300)
    write, seen = snapshots.write_durably, []

    def write_if_there_is_room(path, parts):
        seen.append([name for name in names(tmp_path) if name[0] == "0"])
        return write(path, parts) if len(seen[-1]) < 3 else fail_with(errno.ENOSPC)()

    monkeypatch.setattr(snapshots, "write_durably", write_if_there_is_room)
    write_snapshot_making_room(tmp_path, 4, {}, {})
    assert seen[0] == ["000000001", "000000002", "000000003"]
    assert seen[1] == ["000000002", "000000003"]
    assert newest_snapshot(tmp_path)[0].number == 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_save_that_fails_twice_leaves_a_good_checkpoint(tmp_path, monkeypatch, code):
    """Only a full disk costs surplus checkpoints; a failing one costs none; the newest good one is never touched."""
    save(tmp_path, 1, 2)
    monkeypatch.setattr(snapshots, "write_durably", fail_with(code))
    with pytest.raises(OutputError):
        write_snapshot_making_room(tmp_path, 3, {}, {})
    assert names(tmp_path) == (["000000002"] if code == errno.ENOSPC else ["000000001", "000000002"])
    assert newest_snapshot(tmp_path)[0].number == 2


def test_no_room_is_made_where_no_checkpoint_is_known_to_be_good(tmp_path, monkeypatch):
    """Where none verifies, or they cannot be read, none is removed."""
    save(tmp_path, 1, 2)
    for path in tmp_path.glob("0*"):
        flip_bit(path / "state.json", 3)
    monkeypatch.setattr(snapshots, "write_durably", fail_with(errno.ENOSPC))
    with pytest.raises(OutputError):
        write_snapshot_making_room(tmp_path, 3, {}, {})
    assert names(tmp_path) == ["000000001", "000000002"]


def test_what_cannot_be_removed_hinders_no_save(tmp_path, monkeypatch):
    """A leftover or an old checkpoint that the system will not remove stays, and is removed later."""
    save(tmp_path, 1, 2)
    (tmp_path / ".tmp-000000003-abc").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(snapshots.shutil, "rmtree", lambda path, ignore_errors: fail_with(errno.EIO)())
        save(tmp_path, 3)
        assert newest_snapshot(tmp_path)[0].number == 3
        assert len(names(tmp_path)) == 4
    save(tmp_path, 4)
    assert names(tmp_path) == ["000000003", "000000004"]


def test_ctrl_c_leaves_no_staging_directory(tmp_path):
    """An interrupted save is cleared away; the older checkpoints stay."""
    save(tmp_path, 1)

    def interrupt(phase):
        if phase == "flush":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2, phase=interrupt)
    assert names(tmp_path) == ["000000001"]


def test_the_phases_are_told_in_order(tmp_path):
    """Tests of crashes can know where a kill landed."""
    phases = []
    save(tmp_path, 2, phase=phases.append)
    files = ["write model.safetensors", "write state.json", "write manifest.json"]
    assert phases == ["stage", *files, "flush", "rename", "flush folder", "prune", "done"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_permissions_follow_the_umask(tmp_path):
    """A group that shares a server can read the checkpoints where the umask lets it."""
    before = os.umask(0o027)
    try:
        save(tmp_path / "checkpoints", 1)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "checkpoints" / "000000001").iterdir()}
    assert modes == {0o640}
    assert (tmp_path / "checkpoints" / "000000001").stat().st_mode & 0o777 == 0o750


def test_space_is_tried_and_given_back(tmp_path):
    """The check leaves nothing behind, whatever the size; leftovers of crashed saves are room as well."""
    (tmp_path / ".tmp-000000003-abc").mkdir()
    for num_bytes in (0, 1, 3 << 20):
        check_space(tmp_path, num_bytes)
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_missing_space_is_said_before_training(tmp_path, monkeypatch, code):
    """A disk that is too full, or a limit that is too low, is an error at the start."""
    monkeypatch.setattr(durable.os, "posix_fallocate", fail_with(code), raising=False)
    with pytest.raises(OutputError, match="cannot be written"):
        check_space(tmp_path, 1000)
    assert names(tmp_path) == []


def test_space_is_tried_by_writing_where_it_cannot_be_reserved(tmp_path, monkeypatch):
    """Where the disk knows no reservation, zeros are written and flushed."""
    sizes = []
    fsync = os.fsync
    monkeypatch.setattr(durable.os, "posix_fallocate", fail_with(errno.EOPNOTSUPP), raising=False)
    monkeypatch.setattr(durable.os, "fsync", lambda at: (sizes.append(os.fstat(at).st_size), fsync(at)))
    check_space(tmp_path, (1 << 20) + 5)
    assert (1 << 20) + 5 in sizes
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
def test_a_limit_on_file_sizes_is_an_error_in_words(tmp_path):
    """A process that may not write large files says so, at the start and at a save, and leaves nothing behind."""
    code = (
        "import resource, sys, numpy as np\n"
        "from easyseg.errors import OutputError\n"
        "from easyseg.io.snapshots import check_space, write_snapshot\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "for call in (lambda: check_space(sys.argv[1], 20_000),\n"
        "             lambda: write_snapshot(sys.argv[1], 1, {}, {'model': {'weight': np.zeros(5000)}})):\n"
        "    try:\n"
        "        call()\n"
        "    except OutputError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.count("the file would be larger than this system allows") == 2
    assert names(tmp_path) == []
