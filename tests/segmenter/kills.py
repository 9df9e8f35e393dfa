"""Trainings ended by signals at random instants: a program of its own, which imports torch once and forks per case.

`python kills.py FOLDER KILL COUNT SEED` trains once to the end. Then it starts the same training COUNT times, ends each
with SIGKILL (TERM: SIGTERM, INT: Ctrl-C), once or several times, and gives the same command again, to the end. The
first line of JSON is about the training that nobody hindered; one line follows per case.

Where the child is, it writes into a file that both processes have mapped: what it says outlives a kill, and costs no
system call that would shift the instants.
"""

from __future__ import annotations

import csv
import hashlib
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401  both only so that no child has to
import torch

from easyseg import Segmenter, Stage
from easyseg.data.shapes import write_shapes
from easyseg.segmenter import resuming
from easyseg.segmenter.recording import Recording
from easyseg.training.callbacks import Callback, FitInfo, FitSummary, StepReport

PHASES = ("start", "train", "save", "evaluate", "finish")
TIMEOUT_SECONDS = 60.0

MOST_TRIES = 10
"""So often a case that is aimed at an evaluation is begun anew where the signal missed it."""

STAGES = [
    Stage("heads", train="heads", epochs=1, learning_rate=0.001, restore_best=True),
    Stage("all", epochs=3, learning_rate=0.003, layer_decay=0.7, batch_size=3),
]
"""The third of the four epochs is the best: neither the first, nor the one whose weights are the last."""


class Marker:
    """A mapped file: the phase the child is in, how often it began each one, and the batches it has done."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def reset(self) -> None:
        """Say that a child is about to start."""
        self._map[:] = bytes(mmap.PAGESIZE)

    @property
    def phase(self) -> str:
        """Where the child is, or was when it ended."""
        return PHASES[self._map[0]]

    @property
    def step(self) -> int:
        """Batches of the run that are done."""
        return int(struct.unpack_from("<q", self._map, 64)[0])

    @step.setter
    def step(self, value: int) -> None:
        struct.pack_into("<q", self._map, 64, value)

    def times(self, phase: str) -> int:
        """How often the child has begun a phase."""
        return int(self._map[8 + PHASES.index(phase)])

    def enter(self, phase: str) -> None:
        """Say what begins now."""
        number = PHASES.index(phase)
        self._map[8 + number] += 1
        self._map[0] = number

    @contextmanager
    def inside(self, phase: str) -> Iterator[None]:
        """Say what happens inside the block; an exception leaves it standing."""
        self.enter(phase)
        yield
        self._map[0] = PHASES.index("train")


class Steps(Callback):
    """Writes down how far the training is."""

    def __init__(self, marker: Marker) -> None:
        self._marker = marker

    def fit_started(self, info: FitInfo) -> None:
        self._marker.enter("start")

    def epoch_started(self, epoch: int) -> None:
        self._marker.enter("train")

    def batch_ended(self, report: StepReport) -> None:
        self._marker.step = report.step

    def fit_ended(self, summary: FitSummary) -> None:
        self._marker.enter("finish")


def marked(function: Callable[..., Any], marker: Marker, phase: str) -> Callable[..., Any]:
    """Return a function that says when it runs."""

    def call(*arguments: Any, **named: Any) -> Any:
        with marker.inside(phase):
            return function(*arguments, **named)

    return call


def train(data: Path, run_dir: Path, marker: Marker) -> None:
    """Train with everything that has a state or draws random numbers; the last weights' sha256 goes beside the run."""
    resuming.write_snapshot_making_room = marked(resuming.write_snapshot_making_room, marker, "save")
    Recording.measure = marked(Recording.measure, marker, "evaluate")
    best_model = Recording.best_model
    last: list[str] = []

    def noted(recording: Recording) -> Any:
        if not last:  # later the model has its best weights
            last.append(weights_digest(recording))
            run_dir.with_suffix(".last").write_text(last[0])
        return best_model(recording)

    def rescued(recording: Recording) -> None:
        """Nobody is there to be handed a model."""

    Recording.best_model = noted
    Recording.rescued_model = rescued
    segmenter = Segmenter("pspnet", "test_resnet", weights=None, image_size=64, precision="bf16", seed=3)
    segmenter.fit(
        data,
        stages=STAGES,
        batch_size=2,
        accumulate=2,
        ema=0.8,
        augment="strong",
        schedule="cosine",
        patience=None,
        run_dir=run_dir,
        checkpoint_every_seconds=0.03,
        verbose=False,
        callbacks=Steps(marker),
    )


def weights_digest(recording: Recording) -> str:
    """Return the sha256 of the last weights and statistics."""
    digest = hashlib.sha256()
    for name, value in recording._fitted.model.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def start(data: Path, run_dir: Path, marker: Marker) -> int:
    """Fork a child that trains, and return its process id; its exit status is that of a program."""
    marker.reset()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with (run_dir.parent / "errors.txt").open("a") as errors:
            os.dup2(errors.fileno(), 2)
            train(data, run_dir, marker)
            code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:  # noqa: BLE001  the parent must see an exit status, never its own code run twice
        with (run_dir.parent / "errors.txt").open("a") as errors:
            errors.write(f"{type(error).__name__}: {error}\n")
    os._exit(code)


def wait(child: int) -> int:
    """Return a child's return code as `subprocess` has it: negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def strike(child: int, marker: Marker, ready: Callable[[], bool], delay: float, number: int) -> dict[str, Any]:
    """Send a signal so many seconds after the child is ready for it; return how it ended, and where it was then."""
    until = time.perf_counter() + TIMEOUT_SECONDS
    while not ready() and time.perf_counter() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.0002)
    target = time.perf_counter() + delay
    while (rest := target - time.perf_counter()) > 0:
        time.sleep(min(rest, 0.001))
    sent_in, step = marker.phase, marker.step
    os.kill(child, number)  # a child that has ended is a zombie until it is waited for
    return {"code": wait(child), "sent_in": sent_in, "step": step, "phase": marker.phase}


def snapshots(run_dir: Path) -> list[int]:
    """Return the numbers of the checkpoints, the newest first."""
    folder = run_dir / "checkpoints"
    found = [path.name for path in folder.iterdir() if path.name[0].isdigit()] if folder.is_dir() else []
    return sorted((int(name.partition("-")[0]) for name in found), reverse=True)


def result(run_dir: Path) -> dict[str, Any]:
    """Return all that must be equal: model file, last weights, and the history without its seconds."""
    with (run_dir / "history.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    best = hashlib.sha256((run_dir / "best.safetensors").read_bytes()).hexdigest()
    return {"best": best, "last": run_dir.with_suffix(".last").read_text(), "rows": rows}


class Trials:
    """Kills and goes on, case by case.

    Args:
        root: folder for data and runs.
        number: the signal.
        seed: of the instants.
    """

    def __init__(self, root: Path, number: int, seed: int) -> None:
        self._root = root
        self._signal = number
        self._data = write_shapes(root / "shapes", count=12, size=64)
        self._marker = Marker(root / "marker")
        self._random = random.Random(seed)
        self._seconds = 0.0
        self._times: dict[str, int] = {}

    def undisturbed(self) -> dict[str, Any]:
        """Train once to the end, and learn how long that takes and how often it saves and evaluates."""
        run_dir = self._root / "undisturbed"
        began = time.perf_counter()
        code = wait(start(self._data, run_dir, self._marker))
        self._seconds = time.perf_counter() - began
        self._times = {phase: self._marker.times(phase) for phase in PHASES}
        return {"code": code, "seconds": self._seconds, "times": self._times, "result": result(run_dir)}

    def case(self, index: int, aim: str) -> dict[str, Any]:
        """Interrupt a training once or several times; then go on to its end."""
        run_dir = self._root / f"case_{index}"
        strikes = [self._interrupt(run_dir, aim)]
        tries = 1
        # evaluations are over in milliseconds, and on a slow machine the signal may come after them
        while not strikes[0]["hit"] or (aim == "evaluate" != strikes[0]["sent_in"] and tries < MOST_TRIES):
            shutil.rmtree(run_dir, ignore_errors=True)
            strikes = [self._interrupt(run_dir, aim)]
            tries += 1
        before, code = resumed(run_dir), 0
        while is_unfinished(run_dir):
            is_due = index % 4 == 1 and len(strikes) == 1  # else it would be left to chance whether any is struck again
            if not is_due and self._random.random() >= 0.35:
                break
            again = self._interrupt(run_dir, "early" if is_due else "train")
            if again["hit"]:
                strikes.append(again)
                before = resumed(run_dir)
        if is_unfinished(run_dir):
            code = wait(start(self._data, run_dir, self._marker))
        found = {"aim": aim, "strikes": strikes, "code": code, "resumed": resumed(run_dir) - before}
        return {**found, "result": result(run_dir)} if code == 0 else found

    def _interrupt(self, run_dir: Path, aim: str) -> dict[str, Any]:
        """Start the training and send it the signal; "hit" is whether that met it before it came to its end."""
        marker, draw = self._marker, self._random
        child = start(self._data, run_dir, marker)
        if aim == "early":  # what is left of the run may be short
            found = strike(child, marker, lambda: marker.times("train") > 0, draw.uniform(0, 0.005), self._signal)
        elif aim == "start":
            found = strike(child, marker, lambda: True, draw.uniform(0, self._seconds), self._signal)
        elif aim == "train":
            late = draw.uniform(0, 0.75 * self._seconds)  # the rest goes into the report
            found = strike(child, marker, lambda: marker.times("train") > 0, late, self._signal)
        else:
            turn = draw.randint(1, self._times[aim])
            found = strike(child, marker, lambda: marker.times(aim) >= turn, draw.uniform(0, 0.015), self._signal)
        hit = found["code"] != 0
        if self._signal != signal.SIGKILL:  # what writes the report lets signals end it as any program
            hit = hit and not (found["code"] == -self._signal and found["phase"] == "finish")
            hit = hit and found["sent_in"] != "finish"
        return {**found, "hit": hit, "saved": snapshots(run_dir)[:1]}


def is_unfinished(run_dir: Path) -> bool:
    """Tell whether the run is not at its end, whether or not it has a checkpoint."""
    return (run_dir / "checkpoints").exists() or not (run_dir / "report.html").is_file()


def resumed(run_dir: Path) -> int:
    """Count how often the run went on from a checkpoint."""
    log = run_dir / "log.txt"
    return log.read_text().count("Going on after ") if log.is_file() else 0


def main(root: Path, name: str, count: int, seed: int) -> None:
    """Try `count` cases, a quarter of them aimed at saves, a quarter at evaluations, the others at any instant."""
    torch.set_num_threads(1)
    trials = Trials(root, signal.Signals[f"SIG{name}"], seed)
    print(json.dumps(trials.undisturbed()), flush=True)
    # until training starts, the other signals end it as any program
    aims = ("save", "train", "evaluate", "start" if name == "KILL" else "train")
    for index in range(count):
        print(json.dumps(trials.case(index, aims[index % len(aims)])), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
