"""The benchmarks run: what they call has not changed under them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
FEW = {"instance_evaluation.py": ["--images", "2", "--rounds", "1", "--only", "easyseg"]}
FEW["instance_metrics.py"] = FEW["instance_evaluation.py"]


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in FOLDER.glob("*.py") if "argparse" in path.read_text()))
def test_benchmark_starts(script: str, tmp_path: Path) -> None:
    """It finds all that it imports, and where it draws its data, it runs on a few of them."""
    words = FEW.get(script, ["--help"])
    program = [sys.executable, str(FOLDER / script), *words]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
