"""Fills the documentation's tables of settings from the one place where settings are declared."""

from __future__ import annotations

import re
from typing import Any

from easyseg import config
from easyseg.cli.options import value_form, value_text

_MARK = re.compile(r"^<!-- settings: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each `<!-- settings: FitSettings -->` with a table; mkdocs calls this for every page."""
    return _MARK.sub(lambda match: settings_table(getattr(config, match[1])), markdown)


def settings_table(group: type[config.Settings]) -> str:
    """Return a group of settings as a Markdown table."""
    rows = ["| setting | values | default | |", "|---|---|---|---|"]
    for name, field in group.model_fields.items():
        values = value_form(group, name).replace("|", r" \| ")
        rows.append(f"| `{name}` | {values} | `{value_text(field.default)}` | {group.help(name)} |")
    return "\n".join(rows)
