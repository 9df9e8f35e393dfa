"""Pieces of HTML that all reports are put together from."""

from __future__ import annotations

import base64
import html
import importlib.resources
import io
import math
import re
from collections.abc import Iterable

from PIL import Image

from easyseg.errors import hint_wording
from easyseg.structures import Color, ImageArray

_WEBP_QUALITY = 88
_VALUE = r"(?:&#x27;.*?&#x27;|[\[({].*?[\])}]|(?:[^\s,;.)]|\.(?=\w))+)"
_TO_TYPE = re.compile(rf"--[a-z][a-z-]*(?: {_VALUE})?|\b[a-z_]+={_VALUE}")
"""A flag with its value, or a keyword with its."""
_NOTE = "Note: "


def document(title: str, parts: Iterable[str], *, footer: str) -> str:
    """Return a page that needs nothing else, on a screen, in the dark, and on paper.

    Args:
        title: the page's name.
        parts: what stands on it, as HTML; empty parts are left out.
        footer: a last line, as text.
    """
    style = (importlib.resources.files("easyseg.reports") / "page.css").read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>{escaped(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def escaped(text: object) -> str:
    """Return text that a browser shows as it is."""
    return html.escape(str(text))


def section(title: str, content: str) -> str:
    """Return a part of a page with a headline."""
    return f"<section><h2>{escaped(title)}</h2>{content}</section>"


def told(text: str) -> str:
    """Return a text with the flags of the command line where that is what called, and what to type set apart."""
    return _TO_TYPE.sub(r"<code>\g<0></code>", escaped(hint_wording.get()(text)))


def doubts(reading: Iterable[str]) -> str:
    """Return what may be wrong about how a dataset was understood: the lines that begin with "Note: ", a box each."""
    notes = (line.removeprefix(_NOTE) for line in reading if line.startswith(_NOTE))
    return "".join(f"<p class='note'><b>Note</b>{told(line)}</p>" for line in notes)


def as_read(reading: Iterable[str]) -> str:
    """Return how a dataset was understood, as a part of a page: the lines that are no doubts."""
    lines = "".join(f"<li>{told(line)}</li>" for line in reading if not line.startswith(_NOTE))
    return section("How the data was read", f"<ul class='reading'>{lines}</ul>") if lines else ""


def embedded(picture: ImageArray, *, alt: str) -> str:
    """Return a picture, (H, W, 3) uint8, as an image that lies in the page itself."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "WEBP", quality=_WEBP_QUALITY)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    height, width = picture.shape[:2]
    source = f"data:image/webp;base64,{encoded}"
    return f'<img src="{source}" alt="{escaped(alt)}" width="{width}" height="{height}" loading="lazy">'


def bar(share: float, text: str = "") -> str:
    """Return a cell with a bar for a share from 0 to 1, and the share or a text beside it."""
    width = 0.0 if math.isnan(share) else share
    return f"<td class='bar' style='--share: {100 * width:.1f}%'>{text or number(share)}</td>"


def chip(color: Color) -> str:
    """Return a small square in a colour."""
    return f"<span class='chip' style='background: rgb({color[0]} {color[1]} {color[2]})'></span>"


def number(value: float) -> str:
    """Return a figure with four digits, a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.4f}"
