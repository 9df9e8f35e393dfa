"""Starting several processes: what is refused first, and the exit status of the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from easyseg.data.shapes import write_shapes
from easyseg.errors import ConfigError
from easyseg.training import launching


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "no CUDA device. Type device='cpu'"), (1, "has one CUDA device"), (3, r"Start 3 processes \(--devices 3\)")],
)
def test_missing_gpus_are_counted(monkeypatch: pytest.MonkeyPatch, count: int, words: str) -> None:
    """The message says what is there."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(ConfigError, match=words):
        launching.launch(["train"], devices=4, device="auto")


def test_one_gpu_is_not_shared() -> None:
    """A device by number is one device."""
    with pytest.raises(ConfigError, match="'cuda:1'"):
        launching.launch(["train"], devices=2, device="cuda:1")


def test_processes_do_not_start_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """--devices within torchrun would start the square of what was meant."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="Leave out --devices"):
        launching.launch(["train"], devices=2, device="cpu")


@pytest.mark.parametrize(
    ("code", "signalled", "expected"),
    [(None, None, 0), (2, None, 2), (-9, None, 137), (None, signal.SIGTERM, 143), (None, signal.SIGINT, None)],
)
def test_exit_status_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, code: int | None, signalled: signal.Signals | None, expected: int | None
) -> None:
    """That of the first process to fail, or of the signal that came to this one; the environment is as before."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = []

    def start(plan: object, program: str) -> object:
        def call(*words: str) -> None:
            given.append((os.environ["OMP_NUM_THREADS"], program, *words))
            if signalled is not None:
                raise SignalException("came", signalled)
            if code is not None:
                raise ChildFailedError("easyseg", {1: ProcessFailure(1, 7, code, "")})

        return call

    monkeypatch.setattr(launching, "elastic_launch", start)
    if expected is None:
        with pytest.raises(KeyboardInterrupt):
            launching.launch(["train", "x"], devices=2, device="cpu")
    else:
        assert launching.launch(["train", "x"], devices=2, device="cpu") == expected
    assert given[0][1:] == (sys.executable, "-m", "easyseg", "train", "x")
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.slow
def test_command_line_trains_on_two(tmp_path: Path) -> None:
    """Ctrl-C to `easyseg train --devices 2` saves and ends with 130; the same command goes on to the end."""
    write_shapes(tmp_path / "shapes", count=15, size=40)
    words = "train --data shapes --encoder test_resnet --weights none --image-size 32,32 --epochs 40 --patience none"
    command = [
        sys.executable,
        "-m",
        "easyseg",
        *words.split(),
        *["--devices", "2", "--device", "cpu", "--run-dir", "run"],
    ]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run" / "history.csv"
    until = time.monotonic() + 120
    while not history.is_file() and time.monotonic() < until:
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, told = first.communicate(timeout=120)
    assert first.returncode == 130, told
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("Going on with the interrupted run") == 1
    assert len(history.read_text().splitlines()) == 41


@pytest.mark.slow
def test_mistake_of_all_is_told_once(tmp_path: Path) -> None:
    """A folder that is not there, found by each process, with the exit status of a mistake."""
    command = [sys.executable, "-m", "easyseg", "train", "--data", "nowhere", "--device", "cpu", "--devices", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("nowhere") == 1
    assert "Traceback" not in done.stderr
