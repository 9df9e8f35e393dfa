"""Words for the parts of a model, as people write them: `head`, `encoder[-1]`, `encoder[1:]`, `*.bn1.*`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from easyseg.errors import ConfigError, unknown_name

WORDS = ("all", "backbone", "decoder", "encoder", "fpn", "head", "heads", "roi_heads", "rpn")
"""Names of parts: those of a model, all of them, `heads` for all but the encoder, `backbone` for the encoder."""

EXAMPLES = ("encoder[0]", "encoder[-1]", "encoder[-2:]")

_INDEXED = re.compile(r"(encoder|backbone)\[\s*(?:(-?\d+)|(-?\d+)?\s*:\s*(-?\d+)?)\s*\]")
_BETWEEN_WORDS = re.compile(r",(?![^\[]*\])")


@dataclass(frozen=True, slots=True)
class Selector:
    """One word for parts of a model, taken apart.

    Attributes:
        text: as it was written, without "not".
        removes: whether it takes parts away from those named before: "not encoder[0]".
        word: one of `WORDS`; empty for a pattern.
        index: the one stage of the encoder that is meant, or the stages; None: all of the word.
        pattern: a pattern over names of parameters, in which * stands for any letters; empty for a word.
    """

    text: str
    removes: bool = False
    word: str = ""
    index: int | slice | None = None
    pattern: str = ""

    def __str__(self) -> str:
        return f"not {self.text}" if self.removes else self.text


def read_selector(text: str) -> Selector:
    """Take a word for parts apart.

    Raises:
        UnknownNameError: it is none; the message names the nearest.
    """
    words = text.split()
    removes = len(words) > 1 and words[0] == "not"
    plain = " ".join(words[1:] if removes else words)
    if plain in WORDS:
        return Selector(plain, removes, "encoder" if plain == "backbone" else plain)
    if indexed := _INDEXED.fullmatch(plain):
        _, number, start, stop = indexed.groups()
        index = int(number) if number is not None else slice(_number(start), _number(stop))
        return Selector(plain, removes, "encoder", index)
    if any(sign in plain for sign in "*?.") and " " not in plain and not _is_index(plain):
        return Selector(plain, removes, pattern=plain)
    raise unknown_name("part of a model", plain, (*WORDS, *EXAMPLES))


def read_selectors(given: object) -> tuple[str, ...]:
    """Return words for parts as a tuple, checked: of one text, of several with commas between, or of a list.

    Raises:
        ConfigError: it is none of these, or empty.
        UnknownNameError: a word is no part; the message names the nearest.
    """
    texts = _BETWEEN_WORDS.split(given) if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{given!r} names no parts of a model; type such as 'head', or ['head', 'encoder[-1]'].")
    return tuple(str(read_selector(text)) for text in texts)


def _is_index(text: str) -> bool:
    return text.startswith(("encoder[", "backbone["))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
