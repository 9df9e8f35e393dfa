"""What the package offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from easyseg import metrics


def test_names_are_found() -> None:
    """All that it lists, and a misspelt one is the error that Python users know."""
    assert all(getattr(metrics, name) is not None for name in metrics.__all__)
    with pytest.raises(AttributeError, match=r"easyseg\.metrics.*confusion"):
        metrics.confusion  # noqa: B018


def test_objects_are_measured_without_torch() -> None:
    """What counts pixels is loaded when it is asked for."""
    code = "import sys; from easyseg.metrics import InstanceScorer; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
