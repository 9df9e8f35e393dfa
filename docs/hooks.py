"""Fills the documentation's tables of settings, and the tree of errors, from the one place where each is declared."""

from __future__ import annotations

import re
from typing import Any

from easyseg import config, errors
from easyseg.cli.options import value_form, value_text

_MARK = re.compile(r"^<!-- settings: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace marks such as `<!-- settings: FitSettings -->`; mkdocs calls this for every page."""
    markdown = markdown.replace("<!-- tree of errors -->", f"```text\n{error_tree()}\n```")
    return _MARK.sub(lambda match: settings_table(getattr(config, match[1])), markdown)


def settings_table(group: type[config.Settings]) -> str:
    """Return a group of settings as a Markdown table."""
    rows = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, field in group.model_fields.items():
        values = value_form(group, name).replace("|", r" \| ")
        rows.append(f"| `{name}` | {values} | `{value_text(field.default)}` | {group.help(name)} |")
    return "\n".join(rows)


def error_tree() -> str:
    """Return the tree of error classes that stands at the head of `easyseg.errors`."""
    return next(part for part in (errors.__doc__ or "").split("\n\n") if part.startswith("EasySegError"))
