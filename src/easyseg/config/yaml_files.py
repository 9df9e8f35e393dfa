"""Settings as YAML: strict when read, readable when written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from easyseg.config.plain import is_plain, names_of, to_plain
from easyseg.errors import ConfigError

MAX_CONFIG_BYTES = 250_000  # more would take seconds to parse
MAX_BRACKETS = 50

_BARE_PART = re.compile(r"\[[^\][\"'\n]{0,200}\b(encoder|backbone)\[")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Args:
        path: the file; its keys are setting names, and must not repeat.

    Raises:
        ConfigError: the file is missing, too large, no YAML, uses aliases, repeats a key, or is not a mapping.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} has {size:,} bytes; a config file has at most {MAX_CONFIG_BYTES:,}.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a YAML config ({error}). Check the path.") from error
    try:
        values = _StrictLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        hint = ' In a list, parts with brackets need quotes: [heads, "encoder[-1]"].' if _BARE_PART.search(text) else ""
        raise ConfigError(f"{path} is not valid YAML: {error}{hint}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} should hold 'setting: value' lines, such as 'epochs: 20'.")
    return values


def write_yaml(values: Mapping[str, Any]) -> str:
    """Return `values` as YAML text in the given order; a Python object becomes a comment that says to pass it anew."""
    plain = {name: to_plain(value) for name, value in values.items() if is_plain(value)}
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    objects = [f"# {name}: {names_of(value)}" for name, value in values.items() if not is_plain(value)]
    note = "# The above, objects of Python, cannot stand here; pass them again: segmenter.fit(..., name=object)"
    return text + "".join(f"{line}\n" for line in ([*objects, note] if objects else []))


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases (which can blow up a small file), deep brackets or repeated keys."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= MAX_BRACKETS:  # the time to scan them grows with the square of their depth
            raise yaml.YAMLError(f"more than {MAX_BRACKETS} brackets inside each other")
        super().fetch_flow_collection_start(token)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not supported; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen:
                raise yaml.YAMLError(f"the key {key!r} stands there twice")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
