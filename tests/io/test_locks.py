"""One process at a time works in a run folder, and a lock is gone with its process."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from easyseg.errors import OutputError, RunLockedError
from easyseg.io import locks
from easyseg.io.locks import run_lock

# Takes the lock, says so, and keeps it until it is told to go on.
HOLD = """
import os, sys, time
from easyseg.io.locks import run_lock
with run_lock(sys.argv[1]):
    {inside}
    print("locked", flush=True)
    sys.stdin.readline()
"""
FORK = """
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent is gone
        time.sleep({seconds})
        os._exit(0)
    print(worker, flush=True)
"""
START = """
    import subprocess
    worker = subprocess.Popen(["sleep", "30"], close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(worker.pid, flush=True)
"""
TRY = """
import sys
from easyseg.errors import RunLockedError
from easyseg.io.locks import run_lock
try:
    with run_lock(sys.argv[1]):
        print("locked")
except RunLockedError as error:
    print(error)
"""

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")


@pytest.fixture
def hold(tmp_path):
    """Start processes that hold the lock of a folder; end what is left of them."""
    started = []

    def start(inside="pass"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(inside=inside), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        lines = []
        while not lines or lines[-1] != "locked":
            lines.append(process.stdout.readline().strip())
            assert lines[-1], "the holder ended early"
        return process, lines[:-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def try_elsewhere(folder):
    """Try to take the lock in another process; return "locked" or its error."""
    done = subprocess.run([sys.executable, "-c", TRY, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def is_alive(process_id):
    """Whether a process exists and has not ended."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_second_process_is_told_who_holds_the_folder(hold, tmp_path):
    """The error names the folder, the first one's process id and host, and what to do; it is an OutputError."""
    first, _ = hold()
    with pytest.raises(RunLockedError) as caught, run_lock(tmp_path):
        pass
    message = str(caught.value)
    assert f"{tmp_path} is in use by process {first.pid} on {socket.gethostname()}." in message
    assert "choose another run folder" in message
    assert isinstance(caught.value, OutputError)
    first.communicate("\n")
    assert first.returncode == 0
    with run_lock(tmp_path):
        pass


def test_the_folder_is_free_again_after_an_error(tmp_path):
    """Leaving the block frees the folder, however it is left; the folder is made where it is missing."""
    folder = tmp_path / "runs" / "first"

    def fail_inside():
        with run_lock(folder):
            assert try_elsewhere(folder).startswith("The run folder")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_inside()
    assert try_elsewhere(folder) == "locked"


@posix
def test_a_killed_process_leaves_no_lock(hold, tmp_path):
    """After SIGKILL the folder is free at once, though the file still names the dead process."""
    first, _ = hold()
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert str(first.pid) in (tmp_path / ".lock").read_text()
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"


@posix
@pytest.mark.parametrize("inside", [FORK.format(seconds=30), START])
def test_a_worker_that_outlives_its_killed_parent_does_not_keep_the_lock(hold, tmp_path, inside):
    """Forked loaders and started programs may live on for a while; the folder is free all the same."""
    first, (worker,) = hold(inside)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    try:
        with run_lock(tmp_path):
            assert is_alive(int(worker))
    finally:
        os.kill(int(worker), signal.SIGKILL)


@posix
def test_a_worker_that_ends_does_not_free_its_parents_lock(hold, tmp_path):
    """A forked child that leaves the block, or tries to lock the folder itself, changes nothing for its parent."""
    inside = """
    worker = os.fork()
    if worker == 0:
        try:
            with run_lock(sys.argv[1]):
                print("twice")
        except Exception as error:
            print(str(os.getppid()) in str(error))
        raise SystemExit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), flush=True)
"""
    first, lines = hold(inside)
    assert lines == ["True", "7"]
    with pytest.raises(RunLockedError, match=f"process {first.pid} "), run_lock(tmp_path):
        pass


def test_a_second_run_of_the_same_process_is_refused(tmp_path):
    """The system's locks are between processes; two threads or cells of a notebook are kept apart as well."""
    caught = []

    def lock_again():
        try:
            with run_lock(tmp_path):
                caught.append(None)
        except RunLockedError as error:
            caught.append(str(error))

    with run_lock(tmp_path):
        thread = threading.Thread(target=lock_again)
        thread.start()
        thread.join()
        lock_again()
        with run_lock(tmp_path / "another"):
            pass
        assert str(os.getpid()) in try_elsewhere(tmp_path)  # the refused ones have not freed the lock
    lock_again()
    assert [message is None for message in caught] == [False, False, True]
    assert f"another run of this very process ({os.getpid()})" in caught[0]


def test_an_unsigned_lock_is_still_a_lock(hold, tmp_path, monkeypatch):
    """Where the holder has not written its name yet, the error says so much."""
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: None)
    hold()
    (tmp_path / ".lock").write_text("")
    with pytest.raises(RunLockedError, match="in use by another process"), run_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOLCK, "this disk has no file locks"), (errno.EIO, "cannot be written: Input/output")]
)
def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, code, words):
    """Where locks cannot be had the run is refused, and no descriptor stays open; later it can be locked."""

    def fail(descriptor):
        opened.append(descriptor)
        raise OSError(code, os.strerror(code))

    opened = []
    with monkeypatch.context() as patch:
        patch.setattr(locks, "_lock", fail)
        with pytest.raises(OutputError, match=words) as caught, run_lock(tmp_path):
            pass
    assert "hoose" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
    with run_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """A file in the place of the run folder is an error of its own."""
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"), run_lock(tmp_path / "run"):
        pass
