"""Telling masks in which numbers stand for single objects from masks in which they stand for classes."""

from __future__ import annotations

from collections.abc import Sequence, Set

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.classes.mask_values import MaskValues, Scan, evenly_spread, load_mask
from easyseg.errors import ClassMapError


class ObjectNumbersError(ClassMapError):
    """Masks hold numbers of objects where values of classes are expected."""


_MOST_FILES = 40
"""So many masks are looked at for connected regions; evenly spread ones."""
_MOST_NUMBERS = 50
"""So many numbers of each of them; cells come in hundreds."""
_LEAST_COUNTING = 0.97
"""Share of the masks that must count 1, 2, 3, ... without a gap; a few classes sorted by frequency often do in 0.9."""
_LEAST_CONNECTED = 0.75
"""Share of these numbers that must be one region each; objects are, but for those with something in front."""
_MAIN_REGION = 0.9
"""A number is one region where its largest one has this share of its pixels."""


def refuse_object_numbers(scan: Scan, ids: Sequence[int], *, name: str | None = None) -> None:
    """Refuse masks whose numbers look like those of objects, for they can be read in two ways.

    They do where nearly every mask counts 1, 2, 3, ... up to a number of its own, most numbers are one region, and 0
    is around them.

    Args:
        scan: the masks.
        ids: the mask values that count.
        name: the name of the one class wanted, None where none is.

    Raises:
        ObjectNumbersError: they look like it; the message gives the arguments for both readings.
    """
    if 0 not in ids:  # without a background, one class would be everywhere
        return
    numbers = frozenset(ids) - {0}
    objects = [numbers & file.counts.keys() for file in scan.files]
    objects = [values for values in objects if values]
    tops = {len(values) for values in objects}
    if len(tops) < 3:
        return
    counting = sum(values == set(range(1, len(values) + 1)) for values in objects)
    if counting < _LEAST_COUNTING * len(objects) or _connected_share(scan.files, numbers) < _LEAST_CONNECTED:
        return
    problem = (
        f"The masks look like numbers of objects, not of classes: each counts 1, 2, 3, ... up to a number of its own, "
        f"from {min(tops)} to {max(tops)}, and most numbers are one connected region."
    )
    one_class = f"classes=[{name or 'object'!r}] and task='binary'"
    if name is not None:
        raise ObjectNumbersError(f"{problem} If every object is a {name!r}, type {one_class}.")
    names = [f"class_{value}" if value else "background" for value in ids]
    classes = f"classes={names} (or their own names)" if len(names) <= 20 else f"classes=[...] with {len(names)} names"
    raise ObjectNumbersError(
        f"{problem} If all objects are of one class, type {one_class} (or its own name). If the numbers really are "
        f"classes, type {classes}."
    )


def _connected_share(files: Sequence[MaskValues], numbers: Set[int]) -> float:
    """Return the share of some numbers in some of the masks that are one region each."""
    connected: list[bool] = []
    for file in evenly_spread(files, _MOST_FILES):
        mask = load_mask(file.source).values
        chosen = evenly_spread(sorted(numbers & file.counts.keys()), _MOST_NUMBERS)
        connected += [_is_one_region(mask == value) for value in chosen]
    return sum(connected) / max(1, len(connected))


def _is_one_region(where: npt.NDArray[np.bool_]) -> bool:
    marked = where.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(marked)
    around = np.ascontiguousarray(marked[top : top + height, left : left + width])  # most objects are small
    _, _, facts, _ = cv2.connectedComponentsWithStats(around, connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    return bool(areas.max() >= _MAIN_REGION * areas.sum())
