"""A checkup of a dataset as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from easyseg.io.atomic import write_text
from easyseg.reports.markup import as_read, bar, chip, document, doubts, embedded, escaped, section, told
from easyseg.results.checkup import Checkup, Finding, PicturedCase, Severity
from easyseg.results.words import counted
from easyseg.structures import Color

_MOST_LISTED = 200
_MOST_OPEN = 8
_FOOTER = "Nothing was changed in the dataset. A finding lists its first cases; its number counts all."


def write_checkup(
    path: str | Path,
    checkup: Checkup,
    *,
    pictures: Mapping[str, Sequence[PicturedCase]],
    colors: Mapping[str, Color],
) -> Path:
    """Write a checkup and return its path.

    Args:
        path: the .html file.
        checkup: what was found.
        pictures: pictures of cases by kind of finding.
        colors: the colour of each class.

    Raises:
        OutputError: the file cannot be written.
    """
    title = f"Checkup of {Path(checkup.name).name}"
    parts = [
        f"<header><h1>{escaped(title)}</h1><p class='faint'>{escaped(checkup.name)}</p>{_verdict(checkup)}</header>",
        _figures(checkup),
        doubts(checkup.reading),
        as_read(checkup.reading),
        _contents(checkup),
        *(_finding(finding, pictures.get(finding.kind, ())) for finding in checkup),
        section("Classes", _classes(checkup, colors)) if checkup.class_shares else "",
    ]
    write_text(path, document(title, parts, footer=_FOOTER))
    return Path(path)


def _verdict(checkup: Checkup) -> str:
    state = "healthy" if checkup.is_healthy else "ill"
    return f"<p class='verdict {state}'>{escaped(checkup.verdict)}</p>"


def _figures(checkup: Checkup) -> str:
    figures = [(f"{checkup.num_images:,}", "images"), (f"{checkup.num_masks:,}", "masks")]
    figures += [(f"{count:,}", split) for split, count in checkup.splits.items()]
    figures += [(str(len(checkup.classes)), "class" if len(checkup.classes) == 1 else "classes")]
    cards = "".join(
        f"<div class='figure'><b>{escaped(value)}</b><span>{escaped(name)}</span></div>" for value, name in figures
    )
    return f"<div class='figures'>{cards}</div>"


def _contents(checkup: Checkup) -> str:
    """Return the list of findings, with a link to each."""
    if not checkup.findings:
        return section("Findings", "<p>Nothing to mend and nothing to note.</p>")
    rows = "".join(
        f"<li>{_badge(finding.severity)}<div><a href='#{escaped(finding.kind)}'>{escaped(finding.title)}</a>"
        f"<p>{escaped(finding.found)}</p></div></li>"
        for finding in checkup
    )
    return section("Findings", f"<ul class='contents'>{rows}</ul>")


def _finding(finding: Finding, pictures: Sequence[PicturedCase]) -> str:
    head = f"<h2>{_badge(finding.severity)}{escaped(finding.title)}</h2>"
    advice = f"<p class='advice'><b>What to do</b>{told(finding.advice)}</p>" if finding.advice else ""
    shown = "".join(map(_pictured, pictures))
    # what all stands below its pictures need not be listed again
    listed = "" if len(pictures) == finding.count else _cases(finding)
    body = f"{shown}{listed}"
    if finding.severity == "note" and body:  # good to know, but nobody has to scroll past it
        body = f"<details><summary>Show them</summary>{body}</details>"
    return (
        f"<section id='{escaped(finding.kind)}' class='is-{finding.severity}'>{head}<p>{told(finding.found)}</p>"
        f"{advice}{body}</section>"
    )


def _pictured(case: PicturedCase) -> str:
    panels = "".join(
        f"<div><span>{escaped(panel.title)}</span>{embedded(panel.picture, alt=panel.title)}</div>"
        for panel in case.panels
    )
    caption = f"<figcaption>{escaped(case.caption)}</figcaption>"
    return f"<figure class='case'>{caption}<div class='panels'>{panels}</div></figure>"


def _cases(finding: Finding) -> str:
    if not finding.cases:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(case.name)}</td><td>{escaped(case.detail)}</td></tr>"
        for case in finding.cases[:_MOST_LISTED]
    )
    more = finding.count - min(len(finding.cases), _MOST_LISTED)
    rest = f"<p class='faint'>and {more:,} more</p>" if more > 0 else ""
    is_open = " open" if len(finding.cases) <= _MOST_OPEN else ""
    summary = f"<summary>{escaped(counted(f'{finding.count:,}', 'case'))}</summary>"
    return f"<details{is_open}>{summary}<div class='scroll'><table class='cases'>{rows}</table></div>{rest}</details>"


def _classes(checkup: Checkup, colors: Mapping[str, Color]) -> str:
    splits = list(dict.fromkeys(share.split for share in checkup.class_shares))
    head = "<th>class</th>" + "".join(f"<th>share of {split}</th><th>images</th>" for split in splits)
    rows = []
    for name in checkup.classes:
        shares = [share for share in checkup.class_shares if share.name == name]
        cells = "".join(
            f"{bar(share.share, f'{share.share:.2%}')}<td{'' if share.images else ' class=none'}>{share.images:,}</td>"
            for share in shares
        )
        rows.append(f"<tr><td>{chip(colors[name]) if name in colors else ''}{escaped(name)}</td>{cells}</tr>")
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _badge(severity: Severity) -> str:
    return f"<span class='badge is-{severity}'>{severity}</span>"
