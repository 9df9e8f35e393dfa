"""`easyseg list`: the models and encoders there are."""

from __future__ import annotations

import sys

import easyseg
from easyseg.cli.parser import Parser

_EPILOG = """\
examples:
  easyseg list models
  easyseg list encoders "resnet*"
  easyseg list encoders --model dpt"""


def run(words: list[str]) -> int:
    """Print one name a line."""
    arguments = parser().parse(words)
    if arguments.what == "models":
        names = easyseg.list_models(arguments.pattern)
    else:
        names = easyseg.list_encoders(arguments.pattern, model=arguments.model)
    sys.stdout.write("".join(f"{name}\n" for name in names))
    if not names:
        sys.stderr.write(f"No {arguments.what} match {arguments.pattern!r}; * stands for any letters.\n")
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg list", "models|encoders [PATTERN] [--model NAME]", "Show the models and encoders there are.", _EPILOG
    )
    result.add_argument("what", choices=("models", "encoders"), help="what to show")
    result.add_argument("pattern", nargs="?", default="*", help='part of the names, such as "resnet*" (default: all)')
    result.add_argument("--model", metavar="NAME", help="only encoders that fit this model")
    return result
