"""Charts of results, by matplotlib's objects alone: no window, no global state, as pixels or as SVG.

matplotlib takes long to import, so the functions that draw import it themselves.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from easyseg.io.images import write_image
from easyseg.results.words import metric_title
from easyseg.structures import Color, ImageArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from easyseg.results.history import History
    from easyseg.results.learning_rates import LearningRateCurve

INK = "#26262b"
FAINT = "#8a8d96"
LINE = "#dcdde2"
BLUE = "#2563c9"
ORANGE = "#e07a10"
PAPER = "#ffffff"

CSS_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", LINE: "var(--line)", BLUE: "var(--blue)"}
"""What a page may put in the place of a chart's colours, so that it follows a dark or light scheme."""

_DOTS_PER_INCH = 140
_MOST_WRITTEN_CELLS = 16
_MOST_NAMED_CELLS = 60


def curves(history: History) -> Figure:
    """Draw the losses beside the monitored figure, its best row, and the learning rate."""
    from matplotlib.figure import Figure

    epochs = history["epoch"] if len(history) else []
    # several evaluations within an epoch would lie on top of each other
    unit = "epoch" if len(set(epochs)) == len(epochs) else "step"
    x = _numbers(history, unit)
    with style():
        figure = Figure(figsize=(10.4, 3.5), layout="constrained")
        losses, monitored = figure.subplots(1, 2)
        decorate(losses, "Loss", unit)
        for name, label, color in (("loss", "training", BLUE), ("val_loss", "validation", ORANGE)):
            if name in history.names:
                _line(losses, x, _numbers(history, name), label=label, color=color)
        _begin_at_zero(losses)
        if losses.lines:
            losses.legend(frameon=False, labelcolor=INK, loc="upper right")
        decorate(monitored, metric_title(history.monitor), unit)
        if "learning_rate" in history.names:
            _learning_rate(monitored, x, _numbers(history, "learning_rate"))
        if history.monitor in history.names:
            _line(monitored, x, _numbers(history, history.monitor), label=history.monitor, color=BLUE)
            _begin_at_zero(monitored)
            if history.best is not None:
                _mark_best(monitored, float(history.best[unit]), float(history.best[history.monitor]))
        if len(x) == 1:
            losses.set_xticks(x)
            monitored.set_xticks(x)
    return figure


def learning_rates(curve: LearningRateCurve) -> Figure:
    """Draw the losses of a sweep over the learning rate, and the suggestion."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    rates, course = list(curve.learning_rates), list(curve.smoothed_losses)
    with style():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        decorate(axes, "Loss while the learning rate rises", "learning rate")
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}".replace("e-0", "e-").replace("e+0", "e"))
        axes.plot(rates, list(curve.losses), color=FAINT, linewidth=0.8, alpha=0.6, label="of each batch")
        _line(axes, rates, course, label="smoothed", color=BLUE)
        if curve.suggestion is not None:
            axes.axvline(curve.suggestion, color=ORANGE, linewidth=1.4, label=f"suggestion {curve.suggestion:.2g}")
        if course:  # where it diverges, the loss would press the rest flat
            fall = course[0] - min(course) or 1.0
            axes.set_ylim(min(course) - 0.4 * fall, course[0] + 0.6 * fall)
        axes.legend(frameon=False, labelcolor=INK, loc="best")
    return figure


def matrix(shares: npt.NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], *, title: str) -> Figure:
    """Draw a table of shares as coloured cells.

    Args:
        shares: (R, C) float64 in 0..1; NaN cells stay empty.
        rows: names of the rows, "truth".
        columns: names of the columns, "prediction".
        title: what stands above.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    count = max(shares.shape)
    side = min(3.0 + 0.42 * count, 11.0)
    width = side if shares.shape[0] == shares.shape[1] else 0.8 * side
    # from nothing to full colour, so that the page's own background shows where there is nothing
    scale = LinearSegmentedColormap.from_list("share", [(*_rgb(BLUE), 0.0), (*_rgb(BLUE), 1.0)])
    with style():
        figure = Figure(figsize=(width, 0.92 * side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap=scale, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        axes.set_title(title, color=INK, loc="left", fontsize=11, pad=10)
        axes.set_xlabel("prediction", color=FAINT)
        axes.set_ylabel("truth", color=FAINT)
        axes.tick_params(length=0, colors=INK)
        for edge in axes.spines.values():
            edge.set_color(LINE)
        if count <= _MOST_NAMED_CELLS:
            axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(rows)), rows)
        if count <= _MOST_WRITTEN_CELLS:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.005:  # rounds to 1 % at least; a field of zeros hides what matters
                    color = PAPER if share > 0.5 else INK
                    text = f"{100 * share:.0f}"
                    axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8.5)
    return figure


def classes(
    sizes: Mapping[str, Sequence[int]],
    shares: Sequence[float],
    images: Sequence[int],
    colors: Sequence[Color],
    *,
    num_images: int,
) -> Figure:
    """Draw how much of each class a dataset holds: share of the pixels, images it is in, and objects by size.

    Args:
        sizes: by class, how many objects have 1, 2..3, 4..7, ... pixels.
        shares: of the pixels, 0..1, one for each class.
        images: in which each class is.
        colors: the RGB colour of each class.
        num_images: in all.
    """
    from matplotlib.figure import Figure

    names, places = list(sizes), list(range(len(sizes)))
    used = [at for of_class in sizes.values() for at, count in enumerate(of_class) if count] or [0]
    # black, as backgrounds are, would be a hole in the page
    inks = [tuple(part / 255 for part in color) if any(color) else FAINT for color in colors]
    with style(), _any_alphabet():
        figure = Figure(figsize=(10.4, 1.6 + 0.3 * max(4, len(names))), layout="constrained")
        pixels, present, objects = figure.subplots(1, 3, width_ratios=(2, 1, 2.4))
        for axes, title, unit in (
            (pixels, "Share of the pixels", "%"),
            (present, f"Images, of {num_images:,}", "images"),
            (objects, "Objects by size", "pixels of an object"),
        ):
            decorate(axes, title, unit)
        pixels.barh(places, [100 * share for share in shares], color=inks)
        present.barh(places, images, color=inks)
        for axes, labels in ((pixels, names), (present, [""] * len(names))):
            axes.set_yticks(places, labels, color=INK)
            axes.invert_yaxis()
        bottom = [0] * (max(used) + 1)
        for of_class, ink in zip(sizes.values(), inks, strict=True):
            counts = list(of_class[: max(used) + 1])
            objects.bar(range(len(counts)), counts, bottom=bottom, color=ink, width=0.85)
            bottom = [one + more for one, more in zip(bottom, counts, strict=True)]
        ticks = list(range(min(used), max(used) + 1, max(1, (max(used) - min(used)) // 6)))
        objects.set_xticks(ticks, [f"{1 << at}" if at < 10 else f"{1 << (at - 10)}k" for at in ticks])
        objects.set_xlim(min(used) - 0.6, max(used) + 0.6)
    return figure


def drawn(figure: Figure, path: str | Path | None = None) -> ImageArray:
    """Return a figure as a picture, (H, W, 3) uint8, and write it to a file where one is named."""
    picture = to_array(figure)
    if path is not None:
        write_image(path, picture)
    return picture


def to_array(figure: Figure) -> ImageArray:
    """Return a chart as (H, W, 3) uint8 on white."""
    data = io.BytesIO()
    with style(), _any_alphabet():
        figure.savefig(data, format="png", dpi=_DOTS_PER_INCH, facecolor=PAPER)
    return np.asarray(Image.open(data).convert("RGB")).copy()


def to_svg(figure: Figure) -> str:
    """Return a chart as an <svg> element without background, its text as text; the same bytes every time."""
    text = io.StringIO()
    with style(), _any_alphabet():
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def decorate(axes: Axes, title: str, unit: str) -> None:
    """Give a part of a chart its title, the name of its horizontal axis, and the look that all charts share."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, color=INK, loc="left", fontsize=11)
    axes.set_xlabel(unit, color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    axes.tick_params(length=0, colors=FAINT)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.03)
    for edge in axes.spines.values():
        edge.set_visible(False)


def _line(axes: Axes, x: list[float], y: list[float], *, label: str, color: str) -> None:
    # a single evaluation has no line to draw, only a point
    marker = "o" if sum(map(math.isfinite, y)) < 3 else None
    axes.plot(x, y, color=color, linewidth=1.8, label=label, marker=marker, markersize=4)


def _begin_at_zero(axes: Axes) -> None:
    """Let the vertical axis of losses or shares begin at 0 where it would begin below, or show one value only.

    One value alone lies in the middle, or lower or higher where the axis is that of shares, which ends at 1.
    """
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    values = [value for line in lines for value in line.tolist() if math.isfinite(value)]
    if not values or min(values) < 0:  # a loss of one's own may be negative
        return
    is_flat = min(values) == max(values) or all(len(line) == 1 for line in lines)
    low, high = axes.get_ylim()
    if is_flat:
        low, high = 0.0, 2 * max(values) or 1.0
        high = min(high, 1.0) if max(values) <= 1 else high
    axes.set_ylim(max(low, 0.0), high)
    for line in axes.lines:
        line.set_clip_on(False)  # a line at 0 is as thick as any other


def _learning_rate(axes: Axes, x: list[float], rates: list[float]) -> None:
    second = axes.twinx()
    second.fill_between(x, rates, color=FAINT, alpha=0.13, linewidth=0)
    second.set_ylim(0, max([*rates, 1e-12]) * 1.08)
    second.set_ylabel("learning rate", color=FAINT, fontsize=8.5)
    second.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    second.tick_params(length=0, colors=FAINT, labelsize=8)
    second.yaxis.get_offset_text().set(color=FAINT, fontsize=8)
    for edge in second.spines.values():
        edge.set_visible(False)
    axes.set_zorder(second.get_zorder() + 1)  # the curve lies above the learning rate's area
    axes.patch.set_visible(False)


def _mark_best(axes: Axes, x: float, y: float) -> None:
    ring: dict[str, Any] = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.8}
    axes.plot([x], [y], "o", color=BLUE, clip_on=False, **ring)
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    room = 0.16 * (high - low)
    if y > high - room:  # of the words above the point
        axes.set_ylim(low, high + room)
    sides = {"left": x < left + 0.15 * (right - left), "right": x > right - 0.15 * (right - left)}
    align = next((side for side, near in sides.items() if near), "center")
    axes.annotate(f"best {y:.4f}", (x, y), xytext=(0, 10), textcoords="offset points", ha=align, color=INK, fontsize=9)


def _numbers(history: History, name: str) -> list[float]:
    return [value if isinstance(value, (int, float)) else math.nan for value in history[name]] if len(history) else []


def _rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


@contextmanager
def style() -> Iterator[None]:
    """Draw with the fonts of all charts; both building and writing a figure need it."""
    import matplotlib

    with matplotlib.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "svg.fonttype": "none",
            "svg.hashsalt": "easyseg",
            "text.parse_math": False,  # a dollar sign in a class's name is a dollar sign
        }
    ):
        yield


@contextmanager
def _any_alphabet() -> Iterator[None]:
    """Draw names in alphabets that the font lacks as boxes, without a warning per letter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
