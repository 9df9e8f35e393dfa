"""Charts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from easyseg.results import charts


def _chart():
    return charts.matrix(np.eye(2), ["a", "b"], ["a", "b"], title="t")


def test_svg_is_the_same_every_time():
    """The same chart gives the same text, without a date, so reports can be compared."""
    assert charts.to_svg(_chart()) == charts.to_svg(_chart())
    assert "dc:date" not in charts.to_svg(_chart())


def test_svg_keeps_text_as_text():
    """Letters in a chart can be searched and follow the page's font."""
    assert ">prediction</text>" in charts.to_svg(_chart())


def test_drawing_leaves_global_state_alone():
    """Neither pyplot nor a changed setting is left behind."""
    import matplotlib

    before = dict(matplotlib.rcParams)
    charts.to_array(_chart())
    assert dict(matplotlib.rcParams) == before


def test_results_are_imported_without_matplotlib():
    """The package matplotlib is loaded when something is drawn, not before; pyplot never."""
    script = (
        "import sys, numpy, easyseg.results as r; assert 'matplotlib' not in sys.modules;"
        "r.History().plot(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
