"""A training that was ended by a signal, at whatever instant, comes to the very same result with the same command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes and kills them")

Case = dict[str, Any]


def trials(root: Path, signal_name: str, count: int, seed: int) -> tuple[Case, list[Case]]:
    """Return what `kills.py` found: the training that nobody hindered, and the cases."""
    program = [sys.executable, str(Path(__file__).with_name("kills.py")), str(root), signal_name, str(count), str(seed)]
    found = subprocess.run(
        program, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert found.returncode == 0, found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    errors = (root / "errors.txt").read_text()
    assert lines[0]["code"] == 0, errors
    values = [row["mean_iou"] for row in lines[0]["result"]["rows"]]
    assert max(values) == values[2] > values[0], "a best epoch in the middle proves most"
    assert len(lines) == count + 1, found.stderr
    assert [case["code"] for case in lines[1:]] == [0] * count, errors
    return lines[0], lines[1:]


def check_results(undisturbed: Case, cases: list[Case], code: int) -> None:
    """Every strike ended the process as it must, work that was saved was taken up, and nothing else differs."""
    for case in cases:
        assert [strike["code"] for strike in case["strikes"]] == [code] * len(case["strikes"]), case
        assert case["result"] == undisturbed["result"], case
        last = case["strikes"][-1]
        # a checkpoint is gone only when the run is at its end
        assert case["resumed"] >= len(last["saved"]), case


def count_phase(cases: list[Case], phase: str, key: str = "phase") -> int:
    """Count the cases that a signal met in a phase."""
    return sum(any(strike[key] == phase for strike in case["strikes"]) for case in cases)


@pytest.mark.parametrize(
    ("count", "in_saves", "in_evaluations"), [(12, 1, 1), pytest.param(200, 30, 20, marks=pytest.mark.slow)]
)
def test_killed_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, count: int, in_saves: int, in_evaluations: int
) -> None:
    """SIGKILL in saves, evaluations and anywhere else, some runs several times: the same files to the last bit."""
    undisturbed, cases = trials(tmp_path, "KILL", count, seed=count)
    check_results(undisturbed, cases, -9)
    assert count_phase(cases, "save") >= in_saves
    assert count_phase(cases, "evaluate") >= in_evaluations
    assert sum(case["resumed"] for case in cases) >= count / 2
    assert any(len(case["strikes"]) > 1 for case in cases)


@pytest.mark.parametrize(
    ("name", "code", "count"),
    [
        ("TERM", 143, 8),
        ("INT", 130, 4),
        pytest.param("TERM", 143, 50, marks=pytest.mark.slow),
        pytest.param("INT", 130, 20, marks=pytest.mark.slow),
    ],
)
def test_signal_ends_a_run_when_it_is_saved(tmp_path: Path, name: str, code: int, count: int) -> None:
    """At most one batch after the one it met; in an evaluation none, which is made up for by the next session."""
    undisturbed, cases = trials(tmp_path, name, count, seed=count)
    check_results(undisturbed, cases, code)
    for case in cases:
        for strike in case["strikes"]:
            begun = strike["step"]  # of a session that had done no batch yet, the marker says 0
            assert begun <= strike["saved"][0] <= begun + 1 or begun == 0, case
        assert 0 <= case["strikes"][0]["saved"][0] - case["strikes"][0]["step"] <= 1, case
    assert count_phase(cases, "evaluate", "sent_in") >= 1
