"""Names of classes that are most likely one class, spelt in two ways."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted

_LEAST_LENGTH = 5
"""In shorter names, one letter often makes another word."""
_RARE = 0.1
"""A slip of the pen occurs in fewer images than this share of those that show the right name."""


@check("class names")
def similar_classes(survey: Survey) -> Iterator[Finding]:
    """Names that differ in capitals, spaces or one letter only."""
    if survey.class_map is None or survey.pixels is None or not survey.has_names:
        return
    names = survey.class_map.names
    images = np.count_nonzero(survey.pixels.of_class, axis=0)
    cases = []
    for one, other in combinations(range(len(names)), 2):
        rarer, usual = sorted((int(images[one]), int(images[other])))
        is_slip = 0 < rarer < _RARE * usual and _are_one_letter_apart(_plain(names[one]), _plain(names[other]))
        if _plain(names[one]) == _plain(names[other]) or is_slip:
            words = f"in {counted(str(images[one]), 'image')} and in {counted(str(images[other]), 'image')}"
            cases.append(Case(f"{names[one]!r} = {names[other]!r}", words))
    if cases:
        found = f"{counted(f'{len(cases):,}', 'pair')} of classes whose names are nearly the same."
        advice = "If they are one class, give the objects one name, or join them with class_map={'name': [...]}."
        yield Finding.of("similar_classes", "warning", cases, found, advice)


def _plain(name: str) -> str:
    """Return a name without capitals, spaces, hyphens and underscores."""
    return "".join(letter for letter in name.casefold() if letter not in " _-\t")


def _are_one_letter_apart(one: str, other: str) -> bool:
    """Whether a letter was left out, put in, replaced, or exchanged with the next; digits make other names."""
    short, long = sorted((one, other), key=len)
    start = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if any(part[start : start + 1].isdigit() for part in (short, long)):
        return False
    if len(short) < len(long):
        return short[start:] == long[start + 1 :] and len(long) >= _LEAST_LENGTH
    is_replaced = short[start + 1 :] == long[start + 1 :]
    is_exchanged = short[start : start + 2][::-1] == long[start : start + 2] and short[start + 2 :] == long[start + 2 :]
    return (is_replaced or is_exchanged) and len(short) >= _LEAST_LENGTH
