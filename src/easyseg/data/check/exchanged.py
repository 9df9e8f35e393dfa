"""Folders of images and masks that were taken for each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from easyseg.data.check.sources import read_any_mask
from easyseg.data.check.survey import Survey, check
from easyseg.data.classes.mask_values import evenly_spread
from easyseg.errors import EasySegError
from easyseg.results.checkup import Finding
from easyseg.structures import ImageArray

_FEW_COLORS = 64
"""Masks hold fewer values than this, photos far more."""
_LOOKED_AT = 5


@check("exchanged folders")
def exchanged_folders(survey: Survey) -> Iterator[Finding]:
    """Images that look like masks, with masks that look like photos."""
    rows = survey.readable_masks.nonzero()[0]
    if not rows.size or np.median(survey.masks.num_values[rows]) <= _FEW_COLORS:
        return
    chosen = evenly_spread(rows.tolist(), _LOOKED_AT)
    pairs = [(survey.samples[int(survey.mask_samples[row])].image, survey.mask_sources[row]) for row in chosen]
    paths = [(image, mask) for image, mask in pairs if isinstance(image, Path) and isinstance(mask, Path)]
    if not paths or not all(_holds_few_colors(image) for image, _ in paths):
        return
    image, mask = (_folder(path, survey.root) for path in paths[0])
    found = f"The images in {image} hold few values, as masks do, and the masks in {mask} very many, as photos do."
    yield Finding.of("exchanged_folders", "error", [], found, f"Exchange them: type images={mask!r}, masks={image!r}.")


def _holds_few_colors(path: Path) -> bool:
    try:
        values: ImageArray = read_any_mask(path).values
    except EasySegError:  # such as a JPEG file, which no mask is
        return False
    flat = values.reshape(len(values), values.shape[1], -1)
    return len(np.unique(flat.reshape(-1, flat.shape[2]), axis=0)) <= _FEW_COLORS


def _folder(path: Path, root: Path | None) -> str:
    folder = path.parent
    return folder.relative_to(root).as_posix() if root is not None and folder.is_relative_to(root) else str(folder)
