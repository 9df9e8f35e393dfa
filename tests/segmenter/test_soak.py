"""Ten thousand steps take no more memory, threads, processes or files than a thousand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from easyseg import Segmenter
from easyseg.training.callbacks import Callback, StepReport

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

STEPS = 10_000
EVERY = 20


def resident_bytes() -> int:
    """Return how much memory this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def belongings() -> dict[str, int]:
    """Count threads, child processes and open files."""
    tasks = list(Path("/proc/self/task").iterdir())
    children = [number for task in tasks for number in (task / "children").read_text().split()]
    return {"threads": len(tasks), "children": len(children), "files": len(list(Path("/proc/self/fd").iterdir()))}


def most(held: list[dict[str, int]]) -> dict[str, int]:
    """Return the most of each kind that was held at one time."""
    return {kind: max(each[kind] for each in held) for kind in held[0]}


class Watch(Callback):
    """Notes down what the process holds, every so many steps."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.bytes: list[int] = []
        self.held: list[dict[str, int]] = []

    def batch_ended(self, report: StepReport) -> None:
        if report.step % EVERY == 0:
            self.steps.append(report.step)
            self.bytes.append(resident_bytes())
            self.held.append(belongings())


@pytest.mark.parametrize("workers", [0, 2])
def test_long_training_leaks_nothing(shapes: Path, tmp_path: Path, workers: int) -> None:
    """Evaluations, checkpoints, logs and the history included; when it is over, all is as before."""
    watch = Watch()
    small = {"batch_size": 1, "ema": 0.9, "accumulate": 2, "verbose": False, "patience": None, "workers": workers}
    segmenter = Segmenter("pspnet", "test_resnet", weights=None, image_size=32)
    segmenter.fit(shapes, epochs=1, run_dir=tmp_path / "warm_up", **small)  # starts what lives as long as the process
    before = belongings()

    steps = STEPS if workers == 0 else STEPS // 5
    segmenter = Segmenter("pspnet", "test_resnet", weights=None, image_size=32)
    segmenter.fit(
        shapes,
        epochs=steps // 8,
        evaluate_every="400 steps",
        run_dir=tmp_path / "run",
        checkpoint_every_seconds=1,
        callbacks=watch,
        **small,
    )
    assert watch.steps[-1] == steps
    half = len(watch.steps) // 2
    slope = np.polyfit(watch.steps[half:], watch.bytes[half:], 1)[0]
    print(f"{slope:.0f} bytes a step over {steps // 2} steps, {watch.bytes[-1] / 1e6:.0f} MB at the end")
    assert slope < 1000
    quarter = half // 2
    # batches on their way from a worker have files open, now more of them and now fewer: the most is compared
    assert most(watch.held[-quarter:]) == most(watch.held[quarter:half])
    assert belongings() == before
