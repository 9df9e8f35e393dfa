"""Fills the documentation's tables of settings, and the tree of errors, from the one place where each is declared.

mkdocs calls `on_page_markdown`. Who reads the pages in the repository finds the same in settings.md, which
`python docs/hooks.py` writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from easyseg import config, errors
from easyseg.cli.options import value_form, value_text

_MARK = re.compile(r"^.*<!-- settings: (\w+) -->$", re.MULTILINE)  # before it may stand a link to settings.md

_VERBS = {
    "Segmenter": config.ModelSettings,
    "load_dataset": config.DataSettings,
    "check": config.CheckSettings,
    "fit": config.FitSettings,
    "Stage": config.Stage,
    "find_learning_rate": config.RateFinderSettings,
    "evaluate": config.EvaluateSettings,
    "predict": config.PredictSettings,
}


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


def settings_page() -> str:
    """Return what settings.md holds."""
    tables = "".join(f"\n## {verb}\n\n{settings_table(group)}\n" for verb, group in _VERBS.items())
    return (
        "<!-- Made by `python docs/hooks.py` from easyseg.config and easyseg.errors: change those. -->\n\n"
        "# All settings and errors\n\n"
        "Each setting is a keyword in Python, a flag on the command line, and a key in YAML, under the same name\n"
        f"([how each is written](command-line.md#one-name-everywhere)).\n{tables}\n"
        f"## Errors\n\n```text\n{error_tree()}\n```\n"
    )


def error_tree() -> str:
    """Return the tree of error classes that stands at the head of `easyseg.errors`."""
    return next(part for part in (errors.__doc__ or "").split("\n\n") if part.startswith("EasySegError"))


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(settings_page(), encoding="utf-8")
