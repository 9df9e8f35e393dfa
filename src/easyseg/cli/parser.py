"""argparse, with errors that are `EasySegError`s and name the flag that was probably meant."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from easyseg.errors import ConfigError, unknown_name

_SWITCH_WORDS = {"true", "false", "yes", "no", "on", "off", "auto"}

_REWORDED = (
    (re.compile(r"^the following arguments are required: (.*)$"), r"Still to be given: \1"),
    (re.compile(r"^argument (--\S+): expected one argument$"), r"\1 needs a value after it"),
    (re.compile(r"^argument (--\S+): invalid choice: (.*) \(choose from (.*)\)$"), r"\1 is \2; choose one of \3"),
)
"""How argparse complains, and how easyseg does."""


class Parser(argparse.ArgumentParser):
    """A parser for one command; flags are never abbreviated, and `--learning_rate` is `--learning-rate`.

    Args:
        program: the words that start it, such as "easyseg train".
        words: what may follow them, for the first line of the help.
        description: what it does.
        epilog: examples, the end of the help.

    Attributes:
        switches: flags whose value may be left out.
    """

    def __init__(self, program: str, words: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=program,
            usage=f"{program} {words}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.switches: set[str] = set()

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving the process."""
        for argparse_words, own_words in _REWORDED:
            message = argparse_words.sub(own_words, message)
        raise ConfigError(f"{message}. Type: {self.prog} --help")

    def parse(self, words: Iterable[str]) -> argparse.Namespace:
        """Read the words of a command.

        Raises:
            UnknownNameError: a flag does not exist; the message names the nearest one.
            ConfigError: a value is missing, or there is a word too many.
        """
        arguments, strangers = self.parse_known_intermixed_args(self._normalised(list(words)))
        for word in strangers:
            if word.startswith("-"):
                flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
                raise unknown_name("flag", word.partition("=")[0], flags, see=f"{self.prog} --help")
        if strangers:
            hint = " Put a pattern such as 'photos/*.jpg' into quotes." if len(strangers) > 1 else ""
            raise ConfigError(f"Do not know what to do with {strangers[0]!r}.{hint} Type: {self.prog} --help")
        return arguments

    def _normalised(self, words: Sequence[str]) -> list[str]:
        """Spell flags with hyphens, and give switches the value they mean: `--ema` is `--ema=true`."""
        result = []
        for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
            name, equals, value = word.partition("=")
            if not name.startswith("--"):
                result.append(word)
                continue
            name = name.replace("_", "-")
            if not equals and name in self.switches and not _is_switch_value(following):
                equals, value = "=", "true"
            elif name.startswith("--no-") and f"--{name[5:]}" in self.switches:
                name, equals, value = f"--{name[5:]}", "=", "false"
            result.append(f"{name}{equals}{value}")
        return result


def without_flag(words: Sequence[str], flag: str) -> list[str]:
    """Return the words without a flag and its value, however that is joined to it."""
    rest = iter(words)
    kept = []
    for word in rest:
        if word == flag:
            next(rest, None)
        elif not word.startswith(f"{flag}="):
            kept.append(word)
    return kept


def _is_switch_value(word: str) -> bool:
    return word.lower() in _SWITCH_WORDS or word.replace(".", "", 1).isdigit()
