"""Images that an EXIF block turns, with masks that it does not, where no size tells which is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Finding
from easyseg.results.words import counted

_UPRIGHT = 1
_EXCHANGES_SIDES = 5
"""EXIF orientations from this on exchange height and width, so that sizes tell, but not of squares."""
_TURNS = {
    2: "mirrored left to right",
    3: "turned by 180°",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90°",
    6: "turned by 90°",
    7: "mirrored and turned by 90°",
    8: "turned by 90°",
}


@check("EXIF turns")
def exif_turns(survey: Survey) -> Iterator[Finding]:
    """Images turned by EXIF whose masks have the same size either way, so that they may lie the wrong way round."""
    of_image = survey.images.orientation[survey.mask_samples]
    size_hw = survey.images.size_hw[survey.mask_samples]
    is_file = np.array([isinstance(source, Path) for source in survey.mask_sources], bool)
    fits_both = (of_image < _EXCHANGES_SIDES) | (size_hw[:, 0] == size_hw[:, 1])
    same_size = (survey.masks.size_hw == size_hw).all(axis=1)
    turned = (of_image > _UPRIGHT) & (survey.masks.orientation == _UPRIGHT) & is_file & fits_both & same_size
    if turned.any():
        rows = turned.nonzero()[0].tolist()
        cases = [survey.mask_case(row, f"the image is {_TURNS[int(of_image[row])]} by EXIF") for row in rows]
        found = f"{counted(f'{len(cases):,}', 'image')} turned by an EXIF block, but not their masks."
        advice = "Look at image and mask together; then save the images upright, without EXIF orientation."
        yield Finding.of("exif_turns", "warning", cases, found, advice)
