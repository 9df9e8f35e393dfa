"""Hints of the library in the words of the shell: `weights=None` becomes `--weights none`.

The library speaks Python, as most of its users do. What is printed by a command goes through `as_typed` first.
"""

from __future__ import annotations

import ast
import re
import shlex
from functools import lru_cache
from typing import Any

from easyseg.cli.options import FURTHER_VALUE, PATHS, PYTHON_ONLY, is_switch
from easyseg.config import (
    CheckSettings,
    DataSettings,
    EvaluateSettings,
    FitSettings,
    ModelSettings,
    PredictSettings,
    RateFinderSettings,
)

_GROUPS = (
    ModelSettings,
    DataSettings,
    FitSettings,
    EvaluateSettings,
    PredictSettings,
    RateFinderSettings,
    CheckSettings,
)
_POSITIONAL = {"Segmenter": ("model", "encoder"), "load_dataset": ("data",)}
_KNOWN_ALREADY = ("...", "path")
"""First arguments that stand for what was typed before."""
_LISTS = {"easyseg.list_models": "easyseg list models", "easyseg.list_encoders": "easyseg list encoders"}
_WORD = re.compile(r"\.\.\.|None|True|False|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_CLOSING = re.compile(r"[)\]}'\"]")
_OR_NONE = re.compile(r"(expected [^.]*?) or None\b")
_GOES_ON = re.compile(r"\w|[)\]]?[./\\=&,-]\w")
"""What stands behind a value that is only the beginning of something else, such as a path."""


def as_typed(text: str) -> str:
    """Return a message with its Python hints as flags and commands; everything else stays as it is.

    A hint is a declared setting with a literal value, a call of `Segmenter` or `load_dataset` of nothing but these, or
    a call of `easyseg.list_models` or `easyseg.list_encoders`; or the bare name of a setting, "ignore=" or "class_map".
    """
    if text.startswith("Stage "):
        return text  # what is wrong stands in YAML, where a stage's settings have no flags
    pieces, done = [], 0
    for start in _hints().finditer(text):
        if start.start() < done:  # inside the hint before
            continue
        begin = start.end() if start["setting"] else start.start()
        source = _expression_at(text, begin)
        end = begin + len(source)
        if not source or _GOES_ON.match(text, end):
            continue
        try:
            node = _parsed(source)
            said = _flag(start["setting"], node) if start["setting"] else _command(node)
        except ValueError:
            continue
        pieces += [text[done : start.start()], said]
        done = end
    return _without_bare_names("".join([*pieces, text[done:]]))


def _without_bare_names(text: str) -> str:
    """Return a text in which settings that stand without a value are flags, too, and none is written small."""
    flags = _bare_names().sub(lambda found: f"--{(found['equals'] or found['word']).replace('_', '-')}", text)
    return _OR_NONE.sub(r"\1 or none", flags)


@lru_cache(maxsize=1)
def _switches() -> dict[str, bool]:
    """Return every word that has a flag, and whether its value may be left out."""
    declared = {name: is_switch(group, name) for group in _GROUPS for name in group.model_fields.keys() - PYTHON_ONLY}
    return {**dict.fromkeys(PATHS, False), **declared}


@lru_cache(maxsize=1)
def _hints() -> re.Pattern[str]:
    settings = "|".join(_switches())
    calls = "|".join(re.escape(name) for name in (*_POSITIONAL, *_LISTS))
    return re.compile(rf"(?<![\w./\\=,&?'\"-])(?:(?P<setting>{settings})=(?=\S)|(?:{calls})(?=\())")


@lru_cache(maxsize=1)
def _bare_names() -> re.Pattern[str]:
    """Match "ignore=" and "class_map"; a word without an underscore may be just a word."""
    every = "|".join(_switches())
    joined = "|".join(name for name in _switches() if "_" in name)
    return re.compile(
        rf"(?<![^\s(])(?:(?P<equals>{every})=(?=[\s.,;:)]|$)(?!\.\.\.)|(?P<word>{joined})(?=[.,;:)]?(?:\s|$)))"
    )


def _expression_at(text: str, start: int) -> str:
    """Return the shortest Python expression that begins there, or "" where there is none."""
    if word := _WORD.match(text, start):
        return word[0]
    for closing in _CLOSING.finditer(text, start + 1):
        source = text[start : closing.end()]
        try:
            _parsed(source)
        except ValueError:
            continue
        return source
    return ""


def _parsed(source: str) -> ast.expr:
    """Return an expression's syntax tree; `{"a": 1, ...}`, which is no Python, is one too.

    Raises:
        ValueError: it is no expression.
    """
    complete = re.sub(r"\.\.\.(?=[,}])", "**...", source) if source.startswith("{") else source
    try:
        return ast.parse(complete, mode="eval").body
    except SyntaxError as error:
        raise ValueError(source) from error


def _command(node: ast.expr) -> str:
    """Return the shell's words for a call."""
    if not isinstance(node, ast.Call):
        raise ValueError
    keywords = [(keyword.arg or "", keyword.value) for keyword in node.keywords]
    called = ast.unparse(node.func)
    if called in _LISTS:
        return " ".join([_LISTS[called], *map(_quoted, node.args), *(_flag(name, value) for name, value in keywords)])
    said = (value for value in node.args if ast.unparse(value) not in _KNOWN_ALREADY)
    positional = zip(_POSITIONAL[called], said, strict=False)
    flags = [_flag(name, value) for name, value in [*positional, *keywords]]
    if not flags:
        raise ValueError(called)
    return " ".join(flags)


def _flag(setting: str, node: ast.expr) -> str:
    if setting not in _switches():
        raise ValueError(setting)
    flag = f"--{setting.replace('_', '-')}"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool) and _switches()[setting]:
        return flag if node.value else f"--no-{flag[2:]}"
    value = _quoted(node)
    # "-1,255" would be taken for a flag of its own
    return f"{flag}={value}" if value.startswith("-") else f"{flag} {value}"


def _quoted(node: ast.expr) -> str:
    return shlex.quote(_value(node))


def _value(node: ast.expr) -> str:
    """Return a literal as one types it behind a flag."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return ",".join("..." if key is None else _of_class(_listed(key), value) for key, value in pairs)
    if isinstance(node, (ast.List, ast.Tuple)):
        return ",".join(map(_listed, node.elts))
    return _item(node)


def _of_class(name: str, node: ast.expr) -> str:
    """Return what one class is in the masks; a list holds several values or names of objects, a tuple is a colour."""
    if not isinstance(node, ast.List) or not node.elts:
        return f"{name}={_listed(node)}"
    first, *others = map(_listed, node.elts)
    further = [other if FURTHER_VALUE.fullmatch(other) else f"{name}={other}" for other in others]
    return ",".join([f"{name}={first}", *further])


def _listed(node: ast.expr) -> str:
    """Return a value of a list; a flag cannot hold one with a comma in it."""
    text = _item(node)
    if "," in text:
        raise ValueError(text)
    return text


def _item(node: ast.expr) -> str:
    """Return a single value, or a colour as #rrggbb."""
    if isinstance(node, ast.Name):
        return node.id  # stands for a value, as in class_map={'name': value}
    if isinstance(node, (ast.List, ast.Tuple)):
        is_named = all(isinstance(part, ast.Name) for part in node.elts)
        return "#rrggbb" if is_named else "#" + _color(ast.literal_eval(node)).hex()
    value = ast.literal_eval(node)  # of other nodes than literals, it makes a ValueError
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return "..." if value is ... else str(value)


def _color(value: Any) -> bytes:
    if len(value) != len("rgb") or not all(isinstance(part, int) for part in value):
        raise ValueError(value)
    return bytes(value)  # a number above 255 is a ValueError
