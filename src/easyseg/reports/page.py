"""The report of a run: one HTML file that needs nothing else, on a screen, in the dark, and on paper."""

from __future__ import annotations

import base64
import html
import importlib.metadata
import importlib.resources
import io
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from easyseg.io.atomic import write_text
from easyseg.metrics import CLASS_METRICS
from easyseg.results import History, Report
from easyseg.results.charts import CSS_VARIABLES, curves, to_svg
from easyseg.results.words import counted, metric_title
from easyseg.structures import Color, ImageArray
from easyseg.visualization import error_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKAGES = ("easyseg", "torch", "torchvision", "timm", "segmentation-models-pytorch", "albumentations", "numpy")
_WORST_IMAGES = 8
_WEAK_CLASSES = 3
_WEBP_QUALITY = 88


def write_report(
    path: str | Path,
    *,
    title: str,
    settings: Mapping[str, Any],
    history: History | None = None,
    report: Report | None = None,
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
        notes: sentences for the reader, such as how the classes were found.

    Raises:
        OutputError: the file cannot be written.
    """
    style = (importlib.resources.files("easyseg.reports") / "page.css").read_text(encoding="utf-8")
    body = [
        f"<header><h1>{_escaped(title)}</h1><p class='verdict'>{_escaped(verdict(history, report))}</p></header>",
        *(f"<p class='note'><b>Note</b>{_escaped(note.removeprefix('Note: '))}</p>" for note in notes),
        _figures(history, report),
        _section("Course of the training", _chart(curves(history))) if history is not None and len(history) else "",
        _classes(report) if report is not None else "",
        _section("Confusion", _chart(report.confusion_figure())) if report is not None else "",
        _section("Worst images", _worst(report)) if report is not None and report.images else "",
        _section("Pictures", _pictures(pictures, report)) if pictures else "",
        _section("Settings", _definitions(settings)),
        _section("Environment", _definitions(_environment())),
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(part for part in body if part)}\n"
        "<footer>All figures are shares from 0 to 1, over all pixels of the dataset, at the images' original sizes. "
        "Classes that are not in the dataset count in no mean.</footer>\n</main>\n</body>\n</html>\n"
    )
    write_text(path, page)
    return Path(path)


def verdict(history: History | None, report: Report | None) -> str:
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
            sentences.append(f"{counted(last['epoch'], 'epoch')}, and no evaluation was kept as the best.")
        if history.stopped:
            sentences.append(f"Training ended: {history.stopped.rstrip('.')}.")
    if report is not None:
        known = sorted((row for row in report.per_class if not math.isnan(row.iou)), key=lambda row: row.iou)
        if len(known) > 1:
            weak = ", ".join(f"{row.name} ({row.iou:.2f})" for row in known[: min(_WEAK_CLASSES, len(known) - 1)])
            sentences.append(f"Hardest by IoU: {weak}; easiest: {known[-1].name} ({known[-1].iou:.2f}).")
        absent = [row.name for row in report.per_class if math.isnan(row.iou)]
        if absent:
            sentences.append(f"Not in the {report.split} split, so not measured: {', '.join(absent)}.")
    return " ".join(sentences) or "Nothing was measured."


def _figures(history: History | None, report: Report | None) -> str:
    figures: list[tuple[str, str]] = []
    if report is not None:
        figures += [
            (_number(report.mean_iou), "mean IoU" if len(report.classes) > 1 else "IoU"),
            (_number(report.mean_dice), "mean Dice" if len(report.classes) > 1 else "Dice"),
            (_number(report.pixel_accuracy), "pixel accuracy"),
            _card(len(report.images), f"{report.split} image"),
        ]
    if history is not None and len(history):
        figures.append(_card(history.rows[-1].get("epoch", len(history)), "epoch"))
        seconds = history.rows[-1].get("seconds")
        if isinstance(seconds, (int, float)):
            figures.append((_duration(float(seconds)), "training time"))
    cards = "".join(
        f"<div class='figure'><b>{_escaped(value)}</b><span>{_escaped(name)}</span></div>" for value, name in figures
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
    for row, color in zip(report.per_class, report.class_map.colors, strict=True):
        cells = "".join(f"<td>{_number(getattr(row, metric))}</td>" for metric in CLASS_METRICS[1:])
        name = f"<td>{_chip(color)}{_escaped(row.name)}</td>"
        rows.append(f"<tr>{name}{_bar(row.iou)}{cells}<td>{100 * row.share:.1f} %</td></tr>")
    means = "".join(f"<td>{_number(getattr(report, f'mean_{metric}'))}</td>" for metric in CLASS_METRICS[1:])
    rows.append(f"<tr class='mean'><td>mean</td>{_bar(report.mean_iou)}{means}<td></td></tr>")
    table = f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    rest = f"Frequency-weighted IoU {_number(report.frequency_weighted_iou)}. {report.timing_line()}"
    return _section("Classes", f"{table}<p class='faint'>{_escaped(rest)}</p>")


def _worst(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{_escaped(image.name)}</td>{_bar(image.mean_iou)}"
        f"<td>{_number(image.mean_dice)}</td><td>{_number(image.pixel_accuracy)}</td></tr>"
        for image in report.worst(_WORST_IMAGES)
    )
    head = "<th>image</th><th>mean IoU</th><th>mean Dice</th><th>pixel accuracy</th>"
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _pictures(pictures: Sequence[tuple[str, ImageArray]], report: Report | None) -> str:
    legend = ""
    if report is not None:
        mistakes, colors = error_legend(report.class_map.task)
        chips = zip((*report.classes, *mistakes), (*report.class_map.colors, *colors), strict=True)
        legend = "".join(f"<span>{_chip(color)}{_escaped(name)}</span>" for name, color in chips)
        legend = f"<div class='legend'>{legend}</div>"
    figures = "".join(
        f"<figure><figcaption>{_escaped(caption)}</figcaption>{_embedded(picture, alt=caption)}</figure>"
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


def _escaped(text: object) -> str:
    return html.escape(str(text))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_escaped(title)}</h2>{content}</section>"


def _definitions(values: Mapping[str, Any]) -> str:
    rows = "".join(f"<div><dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd></div>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def _chart(figure: Figure) -> str:
    """Return a chart whose colours follow the page's light or dark scheme."""
    svg = to_svg(figure)
    for color, variable in CSS_VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg


def _embedded(picture: ImageArray, *, alt: str) -> str:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "WEBP", quality=_WEBP_QUALITY)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    height, width = picture.shape[:2]
    source = f"data:image/webp;base64,{encoded}"
    return f'<img src="{source}" alt="{_escaped(alt)}" width="{width}" height="{height}" loading="lazy">'


def _bar(share: float) -> str:
    width = 0.0 if math.isnan(share) else share
    return f"<td class='bar' style='--share: {100 * width:.1f}%'>{_number(share)}</td>"


def _chip(color: Color) -> str:
    return f"<span class='chip' style='background: rgb({color[0]} {color[1]} {color[2]})'></span>"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
