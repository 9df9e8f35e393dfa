"""YAML that was made to harm is refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyseg.config import read_yaml
from easyseg.errors import ConfigError

LAUGHS = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 10)]
)
"""The billion laughs: ten lines that stand for a billion words."""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(LAUGHS, "aliases", id="billion laughs"),
        pytest.param(
            LAUGHS.replace("[", "{x: ").replace(", ", ", y: ").replace("]", "}"), "aliases", id="laughs in mappings"
        ),
        pytest.param("a: &a [*a]", "aliases", id="itself"),
        pytest.param("a: &a {b: 1}\nc:\n  <<: *a", "aliases", id="merged"),
        pytest.param("names: " + "[" * 100_000, "brackets inside each other", id="brackets"),
        pytest.param("names: " + "{a: " * 50_000, "brackets inside each other", id="braces"),
        pytest.param("names: " + "[" * 51 + "]" * 51, "brackets inside each other", id="closed brackets"),
        pytest.param("- " * 100_000, "recursion", id="nested lists"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "constructor", id="a call"),
        pytest.param("a: " + "x" * 250_001, "at most", id="too long"),
        pytest.param("a: 1\n" * 2 + "b: 2\n" * 1_000, "'a' stands there twice", id="many keys"),
    ],
)
def test_harmful_yaml_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """Aliases, deep brackets, calls and large files are refused before they cost time or memory."""
    file = tmp_path / "data.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        read_yaml(file)


def test_ordinary_brackets_and_many_keys(tmp_path: Path) -> None:
    """Fifty brackets inside each other are allowed, and a thousand keys take no time worth mentioning."""
    file = tmp_path / "data.yaml"
    file.write_text("a: " + "[" * 50 + "]" * 50 + "\n" + "".join(f"k{at}: 1\n" for at in range(1_000)), "utf-8")
    assert len(read_yaml(file)) == 1_001
