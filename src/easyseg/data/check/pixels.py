"""Images whose pixels say little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from easyseg.data.check.digest import NUMBERS
from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Finding
from easyseg.results.words import counted

_SAME = 2
"""Brightness within so many of 255 levels is one colour."""


@check("constant images")
def constant_images(survey: Survey) -> Iterator[Finding]:
    """Images of one colour: a lens cap, a failed download, padding."""
    span = survey.images.span.astype(int)
    constant = (survey.readable_images & (span[:, 1] - span[:, 0] <= _SAME)).nonzero()[0]
    if constant.size:
        cases = [survey.image_case(at, f"brightness {span[at, 0]} everywhere") for at in constant]
        found = f"{counted(f'{len(cases):,}', 'image')} of a single colour."
        yield Finding.of(
            "constant_images", "warning", cases, found, "Look at them; most likely remove them with their masks."
        )


@check("mixed numbers")
def mixed_numbers(survey: Survey) -> Iterator[Finding]:
    """Images of 16-bit numbers or floats among images of bytes; what is black and white in them cannot be one thing."""
    images, readable = survey.images, survey.readable_images
    kinds = Counter(images.numbers[readable].tolist())
    if len(kinds) < 2:
        return
    most = kinds.most_common(1)[0][0]
    odd = (readable & (images.numbers != most)).nonzero()[0]
    cases = [survey.image_case(at, _numbers_in(NUMBERS[images.numbers[at]], images.highest[at])) for at in odd]
    found = f"{counted(f'{len(cases):,}', 'image')} of other numbers than most, which hold {NUMBERS[most]}."
    advice = "Save them as the others are; or type value_range=(low, high), which is black and white in all of them."
    yield Finding.of("mixed_numbers", "error", cases, found, advice)


def _numbers_in(kind: str, highest: float) -> str:
    return kind if kind == "bytes" else f"{kind}, the highest {highest:g}"
