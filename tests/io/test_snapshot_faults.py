"""A save that is killed or fails at any system call leaves the old checkpoint or the new one, whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from easyseg.errors import OutputError
from easyseg.io.snapshots import newest_snapshot, write_snapshot

KINDS = ("KILL", "ENOSPC", "EIO", "EIO+")
PHASES = ["stage", "write model.safetensors", "write random.safetensors", "write state.json", "write manifest.json"]
PHASES += ["flush", "rename", "flush folder", "prune"]
LATE = ("flush folder", "prune", "done")
CALLS = ("open", "close", "fsync", "mkdir", "rename", "unlink", "rmdir", "scandir", "listdir", "stat", "lstat")


def run_faults(faults, folder, every):
    """Run the program that injects faults; return the number of calls of a save, by name, and the cases."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, faults.__file__, str(folder), str(every), *KINDS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    if "strace cannot attach" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    counts, *cases = map(json.loads, done.stdout.splitlines())
    return counts, [case for case in cases if case["happened"]], len(cases)


def check_case(case):
    """A valid checkpoint is there, the newest is the old or the new one, and the next save succeeds."""
    assert case["valid"], case
    assert case["complete"], case
    assert case["went_on"], case
    assert case["problems"] == [], case
    committed = case["phase"] in LATE
    if case["ended"] == "killed":
        assert case["code"] == -9, case
        assert case["newest"] in ((200, 300) if case["phase"] == "rename" else (300,) if committed else (200,)), case
    elif case["ended"] == "saved":
        assert case["newest"] == 300, case
        assert case["phase"] == "done", case
    else:
        assert case["ended"] == "refused", case
        assert case["newest"] == (300 if committed else 200), case
        assert case["fault"].endswith("+") or case["staged"] == [], case
    if not committed:
        assert case["valid"] == [100, 200], case


def test_sampled_system_calls(faults, tmp_path):
    """At every fourth system call of a save: a kill, a full disk, a failing one (the sample of the test below)."""
    _, cases, _ = run_faults(faults, tmp_path, 4)
    assert len(cases) >= 110
    assert {case["fault"] for case in cases} == set(KINDS)
    for case in cases:
        check_case(case)


@pytest.mark.slow
def test_every_system_call(faults, tmp_path):
    """At every system call of a save: a kill, a full disk, a failing one, one that goes on failing."""
    counts, cases, tried = run_faults(faults, tmp_path, 1)
    assert counts.keys() >= {"openat", "write", "fsync", "close", "mkdir", "rename", "unlinkat", "getdents64"}
    assert counts["fsync"] == 6  # four files, the staging directory, the folder
    assert len(cases) >= 0.98 * tried
    for case in cases:
        check_case(case)
    killed = Counter(case["phase"] for case in cases if case["ended"] == "killed")
    assert killed.keys() >= set(PHASES)
    assert all(case["ended"] == "killed" for case in cases if case["fault"] == "KILL")
    assert sum(case["ended"] == "refused" for case in cases) >= 100


class Dead(BaseException):
    """The process was killed: no handler of its may do anything more."""


class FaultyDisk:
    """Counts the calls that reach the disk, and lets one of them fail, or this and all later ones."""

    def __init__(self, fail_at, fault):
        self.fail_at = fail_at
        self.fault = fault
        self.calls = []

    def count(self, name, call, *arguments, **keywords):
        self.calls.append(name)
        if len(self.calls) == self.fail_at or (self.fault is Dead and len(self.calls) > self.fail_at > 0):
            raise Dead if self.fault is Dead else OSError(self.fault, os.strerror(self.fault))
        # nothing is flushed: what matters here is what was done, and flushing is slow
        return None if name == "fsync" else call(*arguments, **keywords)

    def wrap(self, name, call):
        return lambda *arguments, **keywords: self.count(name, call, *arguments, **keywords)


class FaultyFile:
    """An open file whose writes and closing are counted."""

    def __init__(self, disk, file):
        self.disk, self.file, self.fileno = disk, file, file.fileno
        self.write, self.flush = disk.wrap("write", file.write), disk.wrap("flush", file.flush)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.disk.count("close file", lambda: None)
        finally:
            self.file.close()


def save_on(disk, folder, example, number):
    """Save on a faulty disk; return how it ended."""
    open_path = Path.open
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, disk.wrap(name, getattr(os, name)))
        patch.setattr(
            Path,
            "open",
            lambda path, mode: (
                FaultyFile(disk, disk.count("open file", open_path, path, mode))
                if mode == "xb"
                else open_path(path, mode)
            ),
        )
        try:
            write_snapshot(folder, number, *example(number))
        except OutputError:
            return "refused"
        except Dead:
            return "killed"
    return "saved"


@pytest.mark.parametrize("fault", [Dead, errno.ENOSPC, errno.EIO])
def test_every_call_without_strace(faults, tmp_path, fault):
    """The same on any system: each call of Python's that reaches the disk fails once."""
    template, folder = tmp_path / "template", tmp_path / "checkpoints"
    faults.prepare(template)
    shutil.copytree(template, folder)
    reference = FaultyDisk(0, fault)
    assert save_on(reference, folder, faults.example, 300) == "saved"
    assert set(reference.calls) >= {"mkdir", "open file", "write", "fsync", "close file", "rename", "rmdir"}
    assert len(reference.calls) > 40
    ends = Counter()
    for position in range(1, len(reference.calls) + 1):
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        disk = FaultyDisk(position, fault)
        ended = save_on(disk, folder, faults.example, 300)
        ends[ended] += 1
        newest, problems = newest_snapshot(folder)
        case = (position, disk.calls[-1], ended)
        assert newest is not None, case
        assert faults.is_example(newest), case
        assert newest.number in ((300,) if ended == "saved" else (200, 300)), case
        assert problems == [], case
        assert ended == "killed" or not list(folder.glob(".tmp-000000300-*")), case
        write_snapshot(folder, 400, *faults.example(400))
        assert sorted(path.name for path in folder.iterdir()) == [newest.path.name, "000000400"], case
    expected = {"killed"} if fault is Dead else {"saved", "refused"}
    assert set(ends) == expected
