"""From the values that masks hold to pixels of each class, for all masks at a time and without opening them again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.data.check.digest import KINDS, MaskDigest, Numbers
from easyseg.structures import IGNORE_INDEX, ClassMap, Color

_BLOCK = 16_384
"""Masks that are counted together, so that many classes need little memory."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassPixels:
    """How many pixels of M masks are of which class.

    Attributes:
        of_class: (M, classes) int64; of a mask of one class alone (multilabel), the others are 0.
        background: (M,) pixels of no class, which only tasks of single classes have.
        ignored: (M,) pixels that do not count.
        unknown: (M,) pixels whose value no class has.
        is_unknown: (V,) bool, which of the digest's values no class has.
    """

    of_class: npt.NDArray[np.int64]
    background: npt.NDArray[np.int64]
    ignored: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.int64]
    is_unknown: npt.NDArray[np.bool_]


def count_classes(masks: MaskDigest, planes: Numbers, class_map: ClassMap) -> ClassPixels:
    """Count the pixels of each class.

    Args:
        masks: the digest.
        planes: (M,) the number of each mask among those of its sample; for the multilabel task its class.
        class_map: what the values mean.
    """
    num_classes = class_map.num_classes
    background, ignored, unknown = num_classes, num_classes + 1, num_classes + 2
    targets = _targets(masks, planes, class_map)
    table = np.zeros((len(masks), num_classes + 3), np.int64)
    for start in range(0, len(masks), _BLOCK):
        count = min(_BLOCK, len(masks) - start)
        first, last = np.searchsorted(masks.rows, [start, start + count])
        cells = (masks.rows[first:last].astype(np.int64) - start) * (num_classes + 3) + targets[first:last]
        # sums of whole numbers are exact in float64 up to 2^53
        sums = np.bincount(cells, masks.counts[first:last], minlength=count * (num_classes + 3))
        table[start : start + count] = sums.reshape(count, -1).astype(np.int64)
    return ClassPixels(
        table[:, :num_classes], table[:, background], table[:, ignored], table[:, unknown], targets == unknown
    )


def colors_of(masks: MaskDigest) -> npt.NDArray[np.int64]:
    """Return the colour of each value of each mask as 0xRRGGBB, (V,); grey values as grey."""
    values = masks.values.astype(np.int64)
    kinds = masks.kind[masks.rows]
    grey = np.clip(values, 0, 255) * 0x010101
    colors = np.where(kinds == KINDS.index("grey"), grey, values)
    for row, palette in masks.palettes.items():
        first, last = np.searchsorted(masks.rows, [row, row + 1])
        colors[first:last] = [_packed(palette[value]) if value < len(palette) else 0 for value in values[first:last]]
    return colors


def _targets(masks: MaskDigest, planes: Numbers, class_map: ClassMap) -> npt.NDArray[np.int64]:
    """Return the class of each value of each mask, (V,): its id, or background, ignored, unknown after the last id."""
    count = class_map.num_classes
    background, ignored, unknown = count, count + 1, count + 2
    if class_map.encoding == "threshold":
        inside = (masks.values < class_map.threshold) == class_map.inverted
        targets = np.where(inside, 0, background).astype(np.int64)
        targets[np.isin(masks.values, class_map.ignored)] = ignored
    else:
        is_colored = class_map.encoding == "colors"
        ids: dict[int, int] = (
            {_packed(color): target for color, target in class_map.color_targets().items()}
            if is_colored
            else class_map.value_targets()
        )
        # for one class, 0 is beside it and 1 is the class
        meanings = {IGNORE_INDEX: ignored} | ({} if class_map.task == "multiclass" else {0: background, 1: 0})
        rest = unknown if class_map.rest is None else meanings.get(class_map.rest, class_map.rest)
        table = {value: meanings.get(target, target) for value, target in ids.items()}
        targets = _looked_up(colors_of(masks) if is_colored else masks.values, table, rest)
    if class_map.task == "multilabel":
        targets = np.where(targets == 0, planes[masks.rows], targets)
    return targets


def _looked_up(values: Numbers, table: dict[int, int], otherwise: int) -> npt.NDArray[np.int64]:
    known = np.array(sorted(table), np.int64)
    targets = np.array([table[value] for value in known.tolist()], np.int64)
    places = np.searchsorted(known, values).clip(0, len(known) - 1)
    return np.where(known[places] == values, targets[places], otherwise)


def _packed(color: Color) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]
