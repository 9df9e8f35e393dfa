"""From the values or colours in a mask to targets: class ids, and `IGNORE_INDEX` where nothing counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.errors import ClassMapError
from easyseg.structures.kinds import IGNORE_INDEX, Color, MaskArray

_MOST_TYPED = 32


def encode_values(mask: npt.NDArray[Any], targets: Mapping[int, int], rest: int | None) -> MaskArray:
    """Translate values by a table.

    Args:
        mask: (H, W) integers.
        targets: the target of each value.
        rest: the target of all other values; None: they are an error.

    Returns:
        (H, W) uint8 targets.

    Raises:
        ClassMapError: a value has no target.
    """
    if mask.dtype in (np.uint8, np.uint16):
        table, known = _lookup_table(targets, rest, np.iinfo(mask.dtype).max + 1)
        translated: MaskArray = table[mask]
        # cheap test first: only a mask that may hold an unknown value is looked at again
        if not known.all() and not known[mask].all():
            raise _unknown_values(mask[~known[mask]], targets)
        return translated
    values, places = np.unique(mask, return_inverse=True)
    strange = [value for value in values.tolist() if value not in targets]
    if strange and rest is None:
        raise _unknown_values(mask[np.isin(mask, strange)], targets)
    table = np.array([targets.get(value, rest) for value in values.tolist()], np.uint8)
    return np.asarray(table[places.reshape(mask.shape)])


def encode_colors(mask: npt.NDArray[Any], targets: Mapping[Color, int], rest: int | None) -> MaskArray:
    """Translate colours by a table.

    Args:
        mask: (H, W, 3) uint8 RGB.
        targets: the target of each colour.
        rest: the target of all other colours; None: they are an error.

    Returns:
        (H, W) uint8 targets.

    Raises:
        ClassMapError: the mask has another shape, or a colour has no target.
    """
    if mask.ndim != 3 or mask.shape[2] != 3:
        raise ClassMapError(f"the mask has shape {mask.shape}; an (H, W, 3) mask of RGB colours is expected.")
    codes, inverse = np.unique(_packed(mask), return_inverse=True)
    colors = [_unpacked(code) for code in codes.tolist()]
    strange = [color for color in colors if color not in targets]
    if strange and rest is None:
        listed = ", ".join(str(color) for color in strange[:5])
        raise ClassMapError(
            f"the mask has colours that no class has ({len(strange)}), such as {listed}. Give each a name, as in "
            f"class_map={{'name': {strange[0]}}}{_or_leave_out(strange, targets)}."
        )
    table = np.array([targets.get(color, rest) for color in colors], np.uint8)
    target: MaskArray = table[inverse].reshape(mask.shape[:2])
    return target


def encode_threshold(
    mask: npt.NDArray[Any], threshold: int, *, inverted: bool, ignored: tuple[int, ...] = ()
) -> MaskArray:
    """Return 1 where a mask reaches the threshold (inverted: where it does not), (H, W) uint8."""
    reaches = mask < threshold if inverted else mask >= threshold
    target = reaches.astype(np.uint8)
    for value in ignored:
        target[mask == value] = IGNORE_INDEX
    return target


def _lookup_table(targets: Mapping[int, int], rest: int | None, length: int) -> tuple[MaskArray, npt.NDArray[np.bool_]]:
    table = np.full(length, IGNORE_INDEX if rest is None else rest, np.uint8)
    known = np.full(length, rest is not None)
    for value, target in targets.items():
        if 0 <= value < length:
            table[value] = target
            known[value] = True
    return table, known


def _unknown_values(strange: npt.NDArray[Any], targets: Mapping[int, int]) -> ClassMapError:
    values, counts = np.unique(strange, return_counts=True)
    listed = ", ".join(f"{value} ({count} px)" for value, count in zip(values[:5], counts[:5], strict=True))
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    expected = ", ".join(str(value) for value in list(targets)[:20])
    return ClassMapError(
        f"the mask holds values that no class has: {listed}{more}; expected {expected}. "
        f"Give each a name, as in class_map={{'name': {values[0]}}}{_or_leave_out(values.tolist(), targets)}."
    )


def _or_leave_out(strange: list[Any], targets: Mapping[Any, int]) -> str:
    """Return how to leave values out, those included that are left out already; of too many, nothing.

    Half a list would be typed as it stands, and the next mask would be refused for the rest.
    """
    ignored = [value for value, target in targets.items() if target == IGNORE_INDEX]
    every = sorted({*ignored, *strange})
    return f"; to leave such pixels out, type ignore={every}" if len(every) <= _MOST_TYPED else ""


def _packed(rgb: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    wide = rgb.astype(np.int64)
    packed: npt.NDArray[np.int64] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def _unpacked(code: int) -> Color:
    return (code >> 16, (code >> 8) & 255, code & 255)
