"""A chart of how objects were found: precision over recall, and what mistakes cost."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from easyseg.metrics.instance import Diagnosis, InstanceScores
from easyseg.metrics.instance.matching import IOU_THRESHOLDS
from easyseg.metrics.instance.precision import RECALL_POINTS
from easyseg.results import charts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DRAWN = ((0, charts.BLUE), (5, charts.ORANGE), (9, charts.FAINT))
"""Places of the IoU thresholds .50, .75 and .95, and the colours of their curves."""


def findings(scores: InstanceScores, diagnosis: Diagnosis) -> Figure:
    """Draw precision over recall as a mean over the classes, at three IoU thresholds, beside the costs of mistakes."""
    from matplotlib.figure import Figure

    with charts.style():
        figure = Figure(figsize=(10.4, 3.5), layout="constrained")
        curves, costs = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _draw_precision(curves, scores)
        _draw_costs(costs, diagnosis)
    return figure


def _draw_precision(axes: Axes, scores: InstanceScores) -> None:
    charts.decorate(axes, f"Precision over recall of {'masks' if scores.kind == 'mask' else 'boxes'}", "recall")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)
        means = np.nanmean(scores.precision, axis=0)
    for place, color in _DRAWN:
        area = means[place].mean()
        shown = "n/a" if np.isnan(area) else f"{area:.2f}"
        label = f"IoU {IOU_THRESHOLDS[place]:.2f}: AP {shown}".replace("0.", ".")
        axes.plot(RECALL_POINTS, means[place], color=color, linewidth=1.8, label=label)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    axes.legend(frameon=False, labelcolor=charts.INK, loc="best")


def _draw_costs(axes: Axes, diagnosis: Diagnosis) -> None:
    """Draw a bar for each kind of mistake, with its cost and count; costs that do not exist are 0 here."""
    charts.decorate(axes, "AP50 lost to each kind of mistake, and how many", "")
    costs = [0.0 if np.isnan(row.gain) else max(0.0, row.gain) for row in diagnosis.mistakes]
    most = max([*costs, 0.05])
    places = range(len(costs))
    axes.barh(places, costs, color=charts.ORANGE, height=0.62)
    axes.set_yticks(places, [row.name for row in diagnosis.mistakes], color=charts.INK)
    for place, (row, cost) in enumerate(zip(diagnosis.mistakes, costs, strict=True)):
        words = f"{cost:.2f}  ({row.count:,})"
        axes.text(cost + 0.015 * most, place, words, va="center", color=charts.INK, fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.32 * most)
    axes.xaxis.set_visible(False)
    axes.grid(visible=False)
