"""Images whose pixels say little."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Finding
from easyseg.results.words import counted

_SAME = 2
"""Brightness within so many of 255 levels is one colour."""
_DARK_16_BIT = 1 << 14
"""16-bit images whose highest value stays below this come from a sensor of fewer bits."""


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


@check("dark 16-bit images")
def dark_16_bit_images(survey: Survey) -> Iterator[Finding]:
    """16-bit files that hold values of 8 to 14 bits, which are read nearly black."""
    images = survey.images
    dark = (images.bit_depth == 16) & (images.highest > 0) & (images.highest < _DARK_16_BIT)
    if not dark.any():
        return
    bits = math.ceil(math.log2(float(np.max(images.highest[dark])) + 1))
    cases = [survey.image_case(at, f"highest value {images.highest[at]:.0f} of 65535") for at in dark.nonzero()[0]]
    found = (
        f"{counted(f'{len(cases):,}', '16-bit image')} with values of no more than {bits} bits, which is nearly black."
    )
    advice = f"Save them with the full range, image * {1 << (16 - bits)}, or as 8 bit, image >> {max(0, bits - 8)}."
    yield Finding.of("dark_16_bit", "warning", cases, found, advice)
