"""`easyseg list`: the models and encoders there are."""

from __future__ import annotations

import re
import shlex
import sys

import easyseg
from easyseg.cli.parser import Parser
from easyseg.errors import ConfigError, EasySegError, UnknownNameError, closest, unknown_name

_EPILOG = """\
examples:
  easyseg list models
  easyseg list encoders "resnet*"
  easyseg list encoders --model dpt"""


_KINDS = ("models", "encoders")


def run(words: list[str]) -> int:
    """Print one name a line."""
    arguments = parser().parse(words)
    if arguments.what not in _KINDS:
        raise _no_such_kind(arguments.what)
    names = _names(arguments.what, arguments.pattern, arguments.model)
    if not names:
        raise _no_match(arguments.what, arguments.pattern, _names(arguments.what, "*", arguments.model))
    sys.stdout.write("".join(f"{name}\n" for name in names))
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg list", "models|encoders [PATTERN] [--model NAME]", "Show the models and encoders there are.", _EPILOG
    )
    result.add_argument("what", nargs="?", metavar="models|encoders", help="what to show")
    result.add_argument("pattern", nargs="?", default="*", help='part of the names, such as "resnet*" (default: all)')
    result.add_argument("--model", metavar="NAME", help="only encoders that fit this model")
    return result


def _names(what: str, pattern: str, model: str | None) -> list[str]:
    return easyseg.list_models(pattern) if what == "models" else easyseg.list_encoders(pattern, model=model)


def _no_such_kind(what: str | None) -> EasySegError:
    if what is None:
        return ConfigError('What is to be listed? Type: easyseg list models, or: easyseg list encoders "resnet*"')
    near = closest(what, _KINDS)
    if near is None:  # a pattern alone, most likely
        pattern = shlex.quote(what)
        return ConfigError(f"Which list? Type: easyseg list encoders {pattern}, or: easyseg list models {pattern}")
    return unknown_name("list", what, _KINDS)


def _no_match(what: str, pattern: str, names: list[str]) -> UnknownNameError:
    """Say that nothing matches, with the nearest name or, for a pattern such as "resnt*", the nearest family."""
    families = {re.split(r"[^a-z]", name)[0] for name in names}
    part = pattern.strip("*")
    near = closest(part, families if part != pattern and part.isalpha() else names)
    suggestion = f" Did you mean {pattern.replace(part, near)!r}?" if near else ""
    return UnknownNameError(f"No {what} match {pattern!r}; * stands for any letters.{suggestion}")
