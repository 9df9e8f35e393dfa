"""The report of a run: one HTML file that needs nothing else, on a screen, in the dark, and on paper."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyseg.io.atomic import write_text
from easyseg.metrics import CLASS_METRICS
from easyseg.reports.markup import as_read, bar, chip, document, doubts, embedded, escaped, number, section
from easyseg.reports.object_page import object_cards, object_sections
from easyseg.results import History, InstanceReport, Report
from easyseg.results.charts import CSS_VARIABLES, curves, to_svg
from easyseg.results.words import absent_line, counted, metric_title, rows_to_show
from easyseg.structures import ImageArray
from easyseg.visualization import error_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = ("easyseg", "torch", "torchvision", "timm", "segmentation-models-pytorch", "albumentations", "numpy")
_WORST_IMAGES = 8
_WEAK_CLASSES = 3


def write_report(
    path: str | Path,
    *,
    title: str,
    settings: Mapping[str, Any],
    history: History | None = None,
    report: Report | InstanceReport | None = None,
    pictures: Sequence[tuple[str, ImageArray]] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Write the report of a run and return its path.

    Args:
        path: the .html file.
        title: what stands on top.
        settings: every setting by name.
        history: the course of the training.
        report: what the kept model scores.
        pictures: captions and (H, W, 3) uint8 pictures, see `reports.plots.comparison`.
        notes: how the dataset was understood, a line each; those that begin with "Note: " may be wrong and stand on
            top.

    Raises:
        OutputError: the file cannot be written.
    """
    body = [
        f"<header><h1>{escaped(title)}</h1><p class='verdict'>{escaped(verdict(history, report))}</p></header>",
        doubts(notes),
        _figures(history, report),
        section("Course of the training", _chart(curves(history))) if history is not None and len(history) else "",
        *_sections(report),
        section("Pictures", _pictures(pictures, report)) if pictures else "",
        as_read(notes),
        section("Settings", _definitions(settings)),
        section("Environment", _definitions(_environment())),
    ]
    over = "objects" if isinstance(report, InstanceReport) else "pixels"
    footer = (
        f"All figures are shares from 0 to 1, over all {over} of the dataset, at the images' original sizes. "
        "Classes that are not in the dataset count in no mean."
    )
    write_text(path, document(title, body, footer=footer))
    return Path(path)


def _sections(report: Report | InstanceReport | None) -> list[str]:
    if report is None:
        return []
    if isinstance(report, InstanceReport):
        return [*object_sections(report), section("Precision and mistakes", _chart(report.figure()))]
    worst = [section("Worst images", _worst(report))] if report.images else []
    return [_classes(report), section("Confusion", _chart(report.confusion_figure())), *worst]


def verdict(history: History | None, report: Report | InstanceReport | None) -> str:
    """Say in words how the run went."""
    sentences = []
    if history is not None and len(history):
        best, last = history.best, history.rows[-1]
        if best is not None and history.monitor in best:
            name = metric_title(history.monitor)
            name = name[:1].lower() + name[1:] if name[1:2].islower() else name
            value = float(best[history.monitor])
            sentences.append(f"Best {name} {value:.4f}, in epoch {history.best_epoch} of {last['epoch']}.")
        else:
            whose = "" if report is None else " The figures are those of the last weights."
            sentences.append(f"{counted(last['epoch'], 'epoch')}, and no evaluation was kept as the best.{whose}")
        if history.stopped:
            sentences.append(f"Training ended: {history.stopped.rstrip('.')}.")
    if isinstance(report, InstanceReport):
        sentences.append(report.verdict)
    elif report is not None:
        known = sorted((row for row in report.per_class if not math.isnan(row.iou)), key=lambda row: row.iou)
        if len(known) > 1:
            weak = ", ".join(f"{row.name} ({row.iou:.2f})" for row in known[: min(_WEAK_CLASSES, len(known) - 1)])
            sentences.append(f"Hardest by IoU: {weak}; easiest: {known[-1].name} ({known[-1].iou:.2f}).")
        if absent := absent_line(report.classes, [math.isnan(row.iou) for row in report.per_class], report.split):
            sentences.append(absent)
    return " ".join(sentences) or "Nothing was measured."


def _figures(history: History | None, report: Report | InstanceReport | None) -> str:
    figures: list[tuple[str, str]] = []
    if isinstance(report, InstanceReport):
        figures += object_cards(report)
    elif report is not None:
        figures += [
            (number(report.mean_iou), "mean IoU" if len(report.classes) > 1 else "IoU"),
            (number(report.mean_dice), "mean Dice" if len(report.classes) > 1 else "Dice"),
            (number(report.pixel_accuracy), "pixel accuracy"),
            _card(len(report.images), f"{report.split} image"),
        ]
    if history is not None and len(history):
        figures.append(_card(history.rows[-1].get("epoch", len(history)), "epoch"))
        seconds = history.rows[-1].get("seconds")
        if isinstance(seconds, (int, float)):
            figures.append((_duration(float(seconds)), "training time"))
    cards = "".join(
        f"<div class='figure'><b>{escaped(value)}</b><span>{escaped(name)}</span></div>" for value, name in figures
    )
    return f"<div class='figures'>{cards}</div>" if figures else ""


def _card(count: object, noun: str) -> tuple[str, str]:
    number, _, name = counted(count, noun).partition(" ")
    return number, name


def _classes(report: Report) -> str:
    head = "".join(
        f"<th>{name}</th>" for name in ("class", "IoU", "Dice", "precision", "recall", "accuracy", "share of pixels")
    )
    rows = []
    for place in rows_to_show([math.isnan(row.iou) for row in report.per_class]):
        row, color = report.per_class[place], report.class_map.colors[place]
        cells = "".join(f"<td>{number(getattr(row, metric))}</td>" for metric in CLASS_METRICS[1:])
        name = f"<td>{chip(color)}{escaped(row.name)}</td>"
        rows.append(f"<tr>{name}{bar(row.iou)}{cells}<td>{100 * row.share:.1f} %</td></tr>")
    means = "".join(f"<td>{number(getattr(report, f'mean_{metric}'))}</td>" for metric in CLASS_METRICS[1:])
    rows.append(f"<tr class='mean'><td>mean</td>{bar(report.mean_iou)}{means}<td></td></tr>")
    table = f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    rest = f"Frequency-weighted IoU {number(report.frequency_weighted_iou)}. {report.timing_line()}"
    return section("Classes", f"{table}<p class='faint'>{escaped(rest)}</p>")


def _worst(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escaped(image.name)}</td>{bar(image.mean_iou)}"
        f"<td>{number(image.mean_dice)}</td><td>{number(image.pixel_accuracy)}</td></tr>"
        for image in report.worst(_WORST_IMAGES)
    )
    head = "<th>image</th><th>mean IoU</th><th>mean Dice</th><th>pixel accuracy</th>"
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _pictures(pictures: Sequence[tuple[str, ImageArray]], report: Report | InstanceReport | None) -> str:
    legend = ""
    if isinstance(report, Report):
        mistakes, colors = error_legend(report.class_map.task)
        chips = [(report.classes[place], report.class_map.colors[place]) for place in report.classes_to_draw()]
        chips += zip(mistakes, colors, strict=True)
        legend = "".join(f"<span>{chip(color)}{escaped(name)}</span>" for name, color in chips)
        legend = f"<div class='legend'>{legend}</div>"
    figures = "".join(
        f"<figure><figcaption>{escaped(caption)}</figcaption>{embedded(picture, alt=caption)}</figure>"
        for caption, picture in pictures
    )
    return legend + figures


def _environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    found["processor cores"] = str(os.cpu_count() or "?")
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _definitions(values: Mapping[str, Any]) -> str:
    rows = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def _chart(figure: Figure) -> str:
    """Return a chart whose colours follow the page's light or dark scheme."""
    svg = to_svg(figure)
    for color, variable in CSS_VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
