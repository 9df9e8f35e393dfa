"""Which numbers in images are black and which white."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from easyseg.errors import SampleError
from easyseg.structures import ImageArray

Numbers = Literal["bytes", "integers", "floats"]
_KINDS: dict[str, Numbers] = {"b": "integers", "u": "integers", "i": "integers", "f": "floats"}
_LOST = 0.5  # share of an image's values far above the range, from which on it is taken for a wrong one


@dataclass(frozen=True, slots=True)
class ValueRange:
    """Which numbers in image files are black and which are white; between them lie the 256 levels that travel.

    Attributes:
        lows: the number that becomes 0, one for all channels or one for each.
        highs: the number that becomes 255, likewise; above `lows`.
        numbers: the kind of numbers it was measured on, "bytes", "integers" (of more than 8 bits) or "floats", so that
            an image of another kind is refused; None where somebody chose it, for any kind.
    """

    lows: tuple[float, ...]
    highs: tuple[float, ...]
    numbers: Numbers | None = None

    def to_bytes(self, values: npt.NDArray[Any], place: object) -> ImageArray:
        """Bring numbers to 0..255; what lies outside is cut off, and a NaN, which stands for no data, becomes 0.

        Args:
            values: (H, W) or (H, W, C) numbers of any type.
            place: what errors call the image.

        Returns:
            (H, W) or (H, W, C) uint8.

        Raises:
            SampleError: the image has another kind of numbers, another number of channels than ranges, or most of its
                values lie far above the range.
        """
        kind = kind_of_numbers(values.dtype)
        if self.numbers is not None and kind != self.numbers:
            raise SampleError(
                str(place),
                f"the image holds {kind} ({values.dtype}), but the range {self} was measured on {self.numbers}. Save "
                "it as the others are, or read the dataset with load_dataset(..., value_range=(low, high)).",
            )
        channels = 1 if values.ndim == 2 else values.shape[2]
        if len(self.lows) not in (1, channels):
            raise SampleError(
                str(place),
                f"the image has {channels} channels, but there are ranges for {len(self.lows)}: {self}. Give images of "
                "the same channels, or one range, value_range=(low, high).",
            )
        if values.dtype == np.uint16 and self == ValueRange((0.0,), (65535.0,), self.numbers):
            return (values >> 8).astype(np.uint8)  # the same pixels as where no range is known
        lows, highs = np.array(self.lows), np.array(self.highs)
        exact = np.float32 if values.dtype.itemsize <= 2 else np.float64
        shares = (values.astype(exact) - lows.astype(exact)) / (highs - lows).astype(exact)
        if np.count_nonzero(shares > 2) > _LOST * shares.size:
            raise SampleError(
                str(place),
                f"most of its values lie far above the range {self}, up to {values.max()}; it would turn white. Give "
                "images like those of the training, or type load_dataset(..., value_range=(low, high)).",
            )
        levels: ImageArray = np.rint(np.nan_to_num(np.clip(shares, 0, 1), copy=False) * 255).astype(np.uint8)
        return levels

    def __str__(self) -> str:
        pairs = [f"{low:g} .. {high:g}" for low, high in zip(self.lows, self.highs, strict=True)]
        return ", ".join(pairs[:4]) + (", ..." if len(pairs) > 4 else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a checkpoint's header; `from_dict` reads them back."""
        return {"lows": list(self.lows), "highs": list(self.highs), "numbers": self.numbers}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValueRange:
        """Read what `to_dict` wrote."""
        lows, highs = (tuple(float(number) for number in values[name]) for name in ("lows", "highs"))
        if not lows or len(lows) != len(highs) or not all(low < high for low, high in zip(lows, highs, strict=True)):
            raise ValueError(f"no range of values: {dict(values)!r}")
        return cls(lows, highs, values["numbers"])


def kind_of_numbers(dtype: np.dtype[Any]) -> Numbers:
    """Return which kind of numbers a type is, for `ValueRange`."""
    return "bytes" if dtype in (np.uint8, np.bool_) else _KINDS[dtype.kind]
