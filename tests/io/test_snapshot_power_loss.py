"""After a power failure during a save, the old checkpoint or the new one is whole, whatever had reached the disk.

The test watches a real save, and keeps a model of the disk. In the model a file's content is certain once the file was
flushed, and an entry of a folder (made, renamed, removed) once that folder was flushed. At every instant of the save
the power fails: each change that is not certain is kept or lost by chance, and unflushed files are empty, cut or zeros.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path

import pytest

from easyseg.io import snapshots
from easyseg.io.snapshots import newest_snapshot, write_snapshot

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names open files by /proc")


class Watcher:
    """Writes down what a save changes: entries of folders, and flushes, by inode."""

    def __init__(self, root):
        self.log = []
        self.contents = {}  # inode of a file -> its bytes when last seen
        self.children = {}  # inode of a folder -> its entries when last seen: name -> (inode, is a folder)
        self.root = root
        self.look()
        self.log.clear()

    def look(self):
        """Add to the log what has changed in the folders since the last look."""
        for folder, names, files in os.walk(self.root):
            inode = Path(folder).stat().st_ino
            now = {}
            for name in names + files:
                status = Path(folder, name).lstat()
                now[name] = (status.st_ino, stat.S_ISDIR(status.st_mode))
                if name in files:
                    self.contents[status.st_ino] = Path(folder, name).read_bytes()
            before = self.children.get(inode, {})
            gone = [name for name in before if now.get(name) != before[name]]
            new = [name for name in now if now[name] != before.get(name)]
            if gone or new:
                self.log.append(("entries", inode, gone, {name: now[name] for name in new}))
            self.children[inode] = now

    def after(self, call):
        """Return the call with a look after it."""

        def watched(*arguments, **keywords):
            result = call(*arguments, **keywords)
            self.look()
            return result

        return watched

    def fsync(self, descriptor):
        self.look()
        status = os.fstat(descriptor)
        content = None if stat.S_ISDIR(status.st_mode) else Path(f"/proc/self/fd/{descriptor}").read_bytes()
        self.log.append(("flush", status.st_ino, content))


def watch(folder, number, example):
    """Save a checkpoint; return the folders before it, as inode -> entries, the file contents, and the log."""
    watcher = Watcher(folder)
    before = {inode: dict(entries) for inode, entries in watcher.children.items()}
    contents = dict(watcher.contents)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "rename", "unlink", "rmdir"):
            patch.setattr(os, name, watcher.after(getattr(os, name)))
        patch.setattr(os, "fsync", watcher.fsync)
        write_snapshot(folder, number, *example(number))
    watcher.look()
    return before, contents, watcher.log, watcher.contents


def fail_power(before, certain, log, seen, chance):
    """Return folders and file contents as the disk may hold them when the power fails after these events."""
    folders = {inode: dict(entries) for inode, entries in before.items()}
    contents = dict(certain)
    flushed_at = {}
    for position, (kind, inode, *_) in enumerate(log):
        if kind == "flush":
            flushed_at[inode] = position
    for position, (kind, inode, *change) in enumerate(log):
        if kind == "flush" and change[0] is not None:
            contents[inode] = change[0]
        elif kind == "entries" and (position < flushed_at.get(inode, -1) or chance.random() < 0.5):
            gone, new = change
            entries = folders.setdefault(inode, {})
            for name in gone:
                entries.pop(name, None)
            entries.update(new)
    for inode, content in seen.items():
        if inode not in contents:
            lost = chance.choice(["empty", "cut", "zeros"])
            length = chance.randrange(len(content) + 1) if lost == "cut" else len(content)
            contents[inode] = b"" if lost == "empty" else content[:length] if lost == "cut" else bytes(length)
    return folders, contents


def build(folder, inode, folders, contents):
    """Make the folder that the model describes."""
    folder.mkdir()
    for name, (child, is_folder) in folders.get(inode, {}).items():
        if is_folder:
            build(folder / name, child, folders, contents)
        else:
            (folder / name).write_bytes(contents[child])


def crash_states(folder, faults, tmp_path, num_states):
    """Save 300 beside 100 and 200, and yield what can be read after each of so many power failures."""
    faults.prepare(folder)
    root = folder.stat().st_ino
    before, contents, log, seen = watch(folder, 300, faults.example)
    chance = random.Random(0)
    for state in range(num_states):
        events = log[: state % (len(log) + 1)]
        build(tmp_path / "disk", root, *fail_power(before, contents, events, seen, chance))
        yield events, newest_snapshot(tmp_path / "disk")
        shutil.rmtree(tmp_path / "disk")


def test_power_failures(faults, tmp_path):
    """In 500 states of the disk the newest checkpoint that verifies is the old one or the new one, whole."""
    numbers, cases = Counter(), 0
    for events, (newest, _) in crash_states(tmp_path / "checkpoints", faults, tmp_path, 500):
        assert newest is not None, events
        assert faults.is_example(newest), events
        numbers[newest.number] += 1
        cases += 1
    assert cases == 500
    assert set(numbers) == {200, 300}
    assert min(numbers.values()) >= 50


def test_nothing_older_goes_before_the_new_one_is_certain(faults, tmp_path):
    """Whenever one of the older checkpoints is gone, the new one is there, whole, and it is the one that is used."""
    faults.prepare(tmp_path / "checkpoints")
    root = (tmp_path / "checkpoints").stat().st_ino
    before, contents, log, seen = watch(tmp_path / "checkpoints", 300, faults.example)
    chance = random.Random(1)
    removed = 0
    for state in range(500):
        folders, files = fail_power(before, contents, log[: state % (len(log) + 1)], seen, chance)
        if not folders[root].keys() >= {"000000100", "000000200"}:
            removed += 1
            build(tmp_path / "disk", root, folders, files)
            newest, problems = newest_snapshot(tmp_path / "disk")
            assert newest.number == 300
            assert problems == []
            shutil.rmtree(tmp_path / "disk")
    assert removed >= 20


@pytest.mark.parametrize("unflushed", ["files", "folders"])
def test_without_flushing_the_simulation_finds_damage(faults, tmp_path, monkeypatch, unflushed):
    """The simulation can fail: a save that leaves out a flush ends with checkpoints that are damaged or gone."""
    if unflushed == "folders":
        monkeypatch.setattr(snapshots, "sync_folder", lambda folder: None)
    else:
        fsync = Watcher.fsync
        monkeypatch.setattr(
            Watcher, "fsync", lambda self, at: fsync(self, at) if stat.S_ISDIR(os.fstat(at).st_mode) else self.look()
        )
    states = crash_states(tmp_path / "checkpoints", faults, tmp_path, 1000)
    assert any(newest is None or problems or newest.number == 100 for _, (newest, problems) in states)
