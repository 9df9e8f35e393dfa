"""Saves under injected faults: a program of its own, so that it holds no torch and forks in a millisecond.

`python faults.py FOLDER EVERY FAULT...` saves checkpoint 300 beside 100 and 200, again and again, each time in a forked
child that strace attaches to. At one file-system call of the save, another one each time, the child is killed (KILL),
or the call fails (ENOSPC, EIO), or it and all that follow of its kind fail (EIO+). Every EVERY-th call is tried. The
first line of JSON counts the calls of a save; one line per case says how the save ended and what was found on the disk.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from easyseg.errors import OutputError
from easyseg.io.snapshots import newest_snapshot, write_snapshot

BEGIN, END, TEXT = 0, 1, 2
SET_TRACER, ANY = 0x59616D61, 2**64 - 1  # of Linux's prctl
SAVED, REFUSED, BROKEN = 1, 2, 3
STATE = {"epoch": 3, "best": float("-inf"), "history": [0.1, 0.2]}


def example(number):
    """State and tensors of a small checkpoint that tell its number; one tensor is larger than a write buffer."""
    rng = np.random.default_rng(number)
    tensors = {
        "model": {"weight": rng.standard_normal((64, 128)).astype(np.float32), "count": np.array(number)},
        "random": {"cpu": rng.integers(0, 256, 5000, dtype=np.uint8)},
    }
    return {**STATE, "number": number}, tensors


def is_example(snapshot):
    """Whether a checkpoint that was read holds exactly what was saved under its number."""
    state, tensors = example(snapshot.number)
    return (
        snapshot.state == state
        and snapshot.tensors.keys() == tensors.keys()
        and all(
            snapshot.tensors[group].keys() == tensors[group].keys()
            and all(np.array_equal(snapshot.tensors[group][name], tensors[group][name]) for name in tensors[group])
            for group in tensors
        )
    )


def child(folder, board):
    """Wait until strace has attached, save, and leave how it ended on the board, which takes no system call."""

    def phase(name):
        text = name.encode()
        board[TEXT : TEXT + len(text) + 1] = text + b"\0"

    ctypes.CDLL(None).prctl(SET_TRACER, ctypes.c_ulong(ANY))  # where users may otherwise trace their own children only
    while not board[BEGIN]:
        time.sleep(0.0005)
    try:
        write_snapshot(folder, 300, *example(300), phase=phase)
        board[END] = SAVED
    except OutputError:
        board[END] = REFUSED
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is to hear of it
        phase(repr(error)[:1000])
        board[END] = BROKEN
    os._exit(0)


def save_under(folder, options, log):
    """Fork a child that saves under strace with these options; return its exit status and the board."""
    board = mmap.mmap(-1, 4096)
    process = os.fork()
    if process == 0:
        child(folder, board)
    command = ["strace", "-f", "-o", str(log), *options, "-p", str(process)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        line = tracer.stderr.readline()
        if "attached" not in line:
            os.kill(process, signal.SIGKILL)
            raise SystemExit(f"strace cannot attach: {line}")
        board[BEGIN] = 1
        _, status = os.waitpid(process, 0)
    text = board[TEXT:].split(b"\0")[0].decode()
    return os.waitstatus_to_exitcode(status), board[END], text


def prepare(folder):
    """Make a folder with two checkpoints and what crashed saves have left behind."""
    for number in (100, 200):
        write_snapshot(folder, number, *example(number))
    for name in (".tmp-000000250-abc", ".trash-000000050-abc"):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(b"half")


def look(folder):
    """Say what is on the disk after a case, and whether the run can go on."""
    valid = []
    for path in sorted(folder.glob("0*")):
        alone = folder.parent / "alone"
        alone.mkdir()
        shutil.copytree(path, alone / path.name)
        snapshot, _ = newest_snapshot(alone)
        if snapshot is not None and is_example(snapshot):
            valid.append(snapshot.number)
        shutil.rmtree(alone)
    newest, problems = newest_snapshot(folder)
    staged = [path.name for path in folder.glob(".tmp-000000300-*")]
    found = {"valid": valid, "newest": newest and newest.number, "problems": problems, "staged": staged}
    if newest is None:
        return {**found, "complete": False, "went_on": False}
    before = newest.path.name
    write_snapshot(folder, 400, *example(400))
    after, _ = newest_snapshot(folder)
    left = sorted(path.name for path in folder.iterdir())
    went_on = after.number == 400 and is_example(after) and left == [before, "000000400"]
    return {**found, "complete": is_example(newest), "went_on": went_on}


def count_calls(text):
    """Count the file-system calls of a trace by name; what only moves memory is no such call."""
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    return {call: counts[call] for call in sorted(counts) if call not in ("mmap", "munmap")}


def main(root, every, faults):
    """Try all faults, each at every `every`-th call of those that a save makes."""
    template, folder, log = root / "template", root / "checkpoints", root / "trace.txt"
    prepare(template)
    shutil.copytree(template, folder)
    code, end, _ = save_under(folder, ["-e", "trace=%file,%desc"], log)
    if (code, end) != (0, SAVED):
        raise SystemExit("the save without a fault failed")
    counts = count_calls(log.read_text())
    print(json.dumps(counts))
    cases = [(call, number) for call in counts for number in range(1, counts[call] + 1)]
    for position, fault in enumerate(faults):
        for call, number in cases[position % every :: every]:
            shutil.rmtree(folder)
            shutil.copytree(template, folder)
            kind = "signal=KILL" if fault == "KILL" else f"error={fault.removesuffix('+')}"
            when = f"{number}+" if fault.endswith("+") else f"{number}"
            options = ["-e", f"trace={call}", "-e", f"inject={call}:{kind}:when={when}"]
            code, end, phase = save_under(folder, options, log)
            ended = {SAVED: "saved", REFUSED: "refused", BROKEN: "broken", 0: "killed"}[end]
            case = {"fault": fault, "call": call, "number": number, "code": code, "ended": ended, "phase": phase}
            happened = code == -signal.SIGKILL or "INJECTED" in log.read_text()
            print(json.dumps({**case, "happened": happened, **look(folder)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
