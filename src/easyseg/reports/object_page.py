"""What the report of a run says about objects: how many were found, and which mistakes cost most."""

from __future__ import annotations

import math

from easyseg.reports.markup import bar, escaped, number, section
from easyseg.results import InstanceReport
from easyseg.results.words import absent_line, counted, rows_to_show

WORST_IMAGES = 8
"""So many images are listed, those that went worst."""


def object_cards(report: InstanceReport) -> list[tuple[str, str]]:
    """Return the main figures with their names."""
    images, _, images_name = counted(report.scores.num_images, f"{report.split} image").partition(" ")
    objects, _, objects_name = counted(report.diagnosis.num_truths, "object").partition(" ")
    boxes = [(number(report.box_ap), "box AP")] if report.kind == "mask" else []
    return [
        (number(report.ap), f"{report.kind} AP"),
        (number(report.ap50), "AP at IoU .50"),
        *boxes,
        (images, images_name),
        (objects, objects_name),
    ]


def object_sections(report: InstanceReport) -> list[str]:
    """Return the tables of the classes and of the mistakes."""
    worst = [section("Worst images", _worst(report))] if report.images else []
    return [section("Classes", _classes(report)), section("What holds it back", _mistakes(report)), *worst]


def _classes(report: InstanceReport) -> str:
    columns = {"ap50": "AP50", "ap75": "AP75", "ap_small": "small", "ap_medium": "medium", "ap_large": "large"}
    titles = ["class", f"{report.kind} AP", *columns.values(), "recall", "objects"]
    rows = [
        (report.classes[place], report.scores.classes[place], int(report.scores.num_truths[place, 0]))
        for place in rows_to_show(report.is_absent)
    ]
    lines = []
    for kind, (name, figures, count) in [
        *(("", row) for row in rows),
        (" class='mean'", ("mean", report.scores.overall, report.diagnosis.num_truths)),
    ]:
        cells = "".join(f"<td>{number(getattr(figures, column))}</td>" for column in (*columns, "ar"))
        lines.append(f"<tr{kind}><td>{escaped(name)}</td>{bar(figures.ap)}{cells}<td>{count}</td></tr>")
    note = (
        "AP is the average precision over IoU thresholds .50 to .95, as COCO defines it. Small objects have at most "
        f"32 × 32 pixels, large ones more than 96 × 96. {report.timing_line()}"
    )
    absent = absent_line(report.classes, report.is_absent, report.split)
    return f"{_table(titles, lines)}<p class='faint'>{escaped(f'{absent} {note}'.lstrip())}</p>"


def _worst(report: InstanceReport) -> str:
    lines = [
        f"<tr><td>{escaped(image.name)}</td>{bar(image.counts.ap50)}<td>{image.counts.num_truths}</td>"
        f"<td>{image.counts.num_missed}</td><td>{image.counts.num_wrong}</td></tr>"
        for image in report.worst(WORST_IMAGES)
    ]
    return _table(["image", "AP50", "objects", "not found", "wrong predictions"], lines)


def _mistakes(report: InstanceReport) -> str:
    lines = [
        f"<tr><td>{escaped(row.name)}</td><td>{row.count}</td><td>{number(row.gain)}</td></tr>"
        for row in report.diagnosis.mistakes
    ]
    found = (
        f"{report.diagnosis.num_found} of {report.diagnosis.num_truths} objects found at IoU .50, by "
        f"{counted(report.diagnosis.num_predictions, 'prediction')}."
    )
    training = ""
    if report.training_scores is not None and not math.isnan(report.training_scores.overall.ap):
        there = report.training_scores.overall
        training = f" On training images: AP {number(there.ap)}, AP50 {number(there.ap50)}."
    table = _table(["mistake", "count", "AP50 lost"], lines)
    return f"<p>{escaped(report.verdict)}</p>{table}<p class='faint'>{escaped(found + training)}</p>"


def _table(titles: list[str], lines: list[str]) -> str:
    head = "".join(f"<th>{escaped(title)}</th>" for title in titles)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
