"""What a session that breaks off leaves behind, and what the next one makes of it."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from easyseg.data.shapes import write_shapes
from easyseg.errors import ConfigError, OutputError
from easyseg.io.locks import run_lock
from easyseg.reports.run_folder import RunFolder, claim_run_path
from easyseg.segmenter import fitting, places, recording, resuming
from easyseg.segmenter.recording import Recording
from easyseg.training.callbacks import Callback, StepReport
from easyseg.training.loggers import Logger


def log(run_dir: Path) -> str:
    """Return what a run said."""
    return (run_dir / "log.txt").read_text(encoding="utf-8")


def saved(run_dir: Path) -> list[int]:
    """Return the steps of the checkpoints there are."""
    return sorted(int(path.name) for path in (run_dir / "checkpoints").iterdir() if path.name.isdigit())


def epochs(run_dir: Path) -> list[str]:
    """Return the epochs that the history's file has rows of."""
    with (run_dir / "history.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rising(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every evaluation be better than those before it."""
    measure, score = Recording.measure, iter(range(1, 100))
    monkeypatch.setattr(Recording, "measure", lambda self: {**measure(self), "mean_iou": next(score) / 100})


def test_run_that_broke_off_before_it_was_saved_makes_way(session: Any, tmp_path: Path) -> None:
    """Nothing is lost by beginning anew, with other settings, too; but resume=True wants more than that."""
    session(at=1)
    assert saved(tmp_path / "run") == []
    with pytest.raises(ConfigError, match=r"resume=True: there is no interrupted run"):
        session(resume=True)
    assert len(session(learning_rate=0.1, epochs=1).history) == 1
    assert "Going on" not in log(tmp_path / "run")


def cross_entropy_of_its_own() -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss that lies at another place in memory every time."""

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(logits, targets.long().clamp(max=3))

    return loss


def test_loss_of_ones_own_may_lie_elsewhere_in_memory(session: Any) -> None:
    """As it does in every new process."""
    losses = [cross_entropy_of_its_own(), cross_entropy_of_its_own()]
    assert repr(losses[0]) != repr(losses[1])
    session(at=3, loss=losses[0])
    assert len(session(loss=losses[1]).history) == 3


class Silent(Logger):
    """Writes nothing."""

    name = "silent"


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"model": {"device": "cpu", "precision": "fp32"}}, {"model": {"device": "cpu:0", "precision": "fp32"}}),
        ({"loggers": [Silent()]}, {"loggers": [Silent(), Silent()]}),
        ({"loggers": []}, {"loggers": [Silent()]}),
    ],
    ids=["device", "more loggers", "a logger"],
)
def test_devices_and_loggers_may_change(session: Any, then: dict[str, Any], now: dict[str, Any]) -> None:
    """They are none of what makes a training the same."""
    session(at=3, **then)
    assert len(session(**now).history) == 3


def test_files_go_back_to_the_checkpoint(session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and a best model from after it come again; until then the folder must not speak of them."""
    rising(monkeypatch)
    run_dir, best = tmp_path / "run", tmp_path / "run" / "best.safetensors"
    session(at=8)
    first = digest(best)
    kept = shutil.copytree(run_dir / "checkpoints", tmp_path / "kept")
    session(at=11)
    assert epochs(run_dir) == ["1", "2"]
    assert digest(best) != first
    shutil.rmtree(run_dir / "checkpoints")
    shutil.copytree(kept, run_dir / "checkpoints")
    session(at=8)
    assert epochs(run_dir) == ["1"]
    assert digest(best) == first


def test_signal_in_the_last_save_is_an_interruption(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks after it but the very end of training; the log says how to go on, and that works."""
    write = resuming.write_snapshot_making_room
    steps: list[int] = []

    def struck(folder: Path, step: int, *rest: Any) -> None:
        write(folder, step, *rest)
        steps.append(step)
        if step == 12 and steps.count(12) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "write_snapshot_making_room", struck)
        with pytest.raises(KeyboardInterrupt):
            session()
    assert "it was interrupted; run the same command again to go on" in log(tmp_path / "run")
    assert len(session().history) == 3
    assert epochs(tmp_path / "run") == ["1", "2", "3"]


class Disk:
    """Takes no file of some kind while it is full."""

    def __init__(self) -> None:
        self.is_full = False

    def limits(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Return what writes a file where there is room, and else raises."""

        def call(*arguments: Any, **named: Any) -> Any:
            if self.is_full:
                raise OutputError("there is no space left on the disk")
            return write(*arguments, **named)

        return call


@pytest.mark.parametrize("name", ["history.csv", "best.safetensors", "log.txt"])
def test_training_outlives_a_disk_that_is_full_after_an_epoch(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It says which file could not be written, and writes it at the end; the log lacks some lines."""
    disk = Disk()
    where, what = {
        "history.csv": (RunFolder, "write_history"),
        "best.safetensors": (recording, "save_checkpoint"),
        "log.txt": (RunFolder, "log"),
    }[name]
    with monkeypatch.context() as patched:
        rising(patched)
        session(folder="whole")
    monkeypatch.setattr(where, what, disk.limits(getattr(where, what)))

    class Filler(Callback):
        def batch_ended(self, report: StepReport) -> None:
            disk.is_full = report.step >= 11

    def freed(best: Any) -> Any:
        disk.is_full = False
        return best

    best_model = Recording.best_model
    monkeypatch.setattr(Recording, "best_model", lambda self: freed(best_model(self)))
    rising(monkeypatch)
    session(callbacks=[Filler()], verbose=True)
    words = "Training goes on, though a file could not be written: there is no space left on the disk"
    assert words in capsys.readouterr().err
    assert epochs(tmp_path / "run") == ["1", "2", "3"]
    assert digest(tmp_path / "run/best.safetensors") == digest(tmp_path / "whole/best.safetensors")


GROUP = """
import sys, time
from pathlib import Path

from easyseg import Segmenter
from easyseg.training.callbacks import Callback

class Striker(Callback):
    def batch_ended(self, report):
        if report.step == 3:
            print("here", flush=True)
            while not Path(sys.argv[3]).exists():
                time.sleep(0.02)
            time.sleep(1)  # workers that obey are gone by then, and torch has noticed

segmenter = Segmenter("pspnet", "test_resnet", weights=None, image_size=32, precision="fp32", seed=3)
segmenter.fit(sys.argv[1], epochs=3, batch_size=2, workers=2, run_dir=sys.argv[2], verbose=False, callbacks=Striker())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signals a group of processes")
def test_signal_to_all_processes_of_a_run_saves_it(tmp_path: Path) -> None:
    """As Ctrl-C in a terminal and schedulers send it: the workers, too, get it, and leave the answer to the others."""
    data = write_shapes(tmp_path / "shapes", count=12, size=40)
    programs = {
        number: subprocess.Popen(
            [
                sys.executable,
                "-c",
                GROUP,
                str(data),
                str(tmp_path / number.name),
                str(tmp_path / f"{number.name}.sent"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    for number, program in programs.items():
        assert program.stdout is not None
        if program.stdout.readline():  # else it has failed, and says why
            os.killpg(program.pid, number)
        (tmp_path / f"{number.name}.sent").touch()
    errors = {number: program.communicate(timeout=120)[1].decode() for number, program in programs.items()}
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)):  # as Python ends after Ctrl-C
        assert programs[number].returncode == code, errors[number]
        assert saved(tmp_path / number.name) == [3], errors[number]
        assert "it was interrupted; run the same command again to go on" in log(tmp_path / number.name)


def test_runs_that_begin_in_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    """Whoever makes the folder has it, and the others make one beside it."""
    path, found = tmp_path / "runs" / "now", []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        found.append(claim_run_path(path))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {folder.name for folder in found} == {"now", *(f"now_{number}" for number in range(2, 9))}


def test_runs_without_a_name_have_folders_of_their_own(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the clock gives both the same name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "new_run_path", lambda label: Path("runs", "now"))
    new_job, inner = fitting.new_job, []

    def slow(*arguments: Any, **settings: Any) -> Any:
        if not inner:  # the second one begins and ends while the first one builds its model
            inner.append(True)
            session(run_dir="auto", epochs=1)
        return new_job(*arguments, **settings)

    monkeypatch.setattr(fitting, "new_job", slow)
    session(run_dir="auto", epochs=1)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["now", "now_2"]
    assert all((path / "history.csv").is_file() for path in Path("runs").iterdir())


def test_fit_that_failed_leaves_no_part_frozen(session: Any) -> None:
    """Neither by the stage it broke off in, nor by `freeze` of this one `fit`."""
    segmenter = session(at=6, freeze="encoder")
    assert segmenter.network.frozen == frozenset()
    assert all(weight.requires_grad for weight in segmenter.network.parameters())


def test_run_that_goes_on_is_not_asked_for_room(session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoints have theirs already; and room for gradients is asked for where batches share a step."""
    asked: list[int] = []
    monkeypatch.setattr(resuming, "check_space", lambda folder, num_bytes: asked.append(num_bytes))
    session(at=3)
    session(epochs=3)
    assert len(asked) == 1
    session(folder="shared", epochs=1, accumulate=2)
    assert asked[1] > asked[0]


def test_runs_at_work_and_runs_that_vanish_are_no_interrupted_ones(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that nobody works at goes on; without one, a new one begins."""
    monkeypatch.chdir(tmp_path)
    session(at=3, folder="runs/a")
    with run_lock(tmp_path / "runs/a"):
        session(at=4, run_dir="auto")
    assert len(list(Path("runs").iterdir())) == 2
    is_locked = resuming.is_locked

    def ended_meanwhile(path: Path) -> bool:
        shutil.rmtree(path / "checkpoints")
        return is_locked(path)

    monkeypatch.setattr(resuming, "is_locked", ended_meanwhile)
    assert len(session(run_dir="auto").history) == 3
    assert len(list(Path("runs").iterdir())) == 3
