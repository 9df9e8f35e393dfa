"""Which numbers of image files are black and which white, where they are not bytes.

Cameras put 10, 12 or 14 bits into files of 16, scanners and simulations write floats of any size. Read by what the
type could hold, most of them would be nearly black. So a look at some of the images decides, once per dataset; the
range goes with the model, and prediction scales by the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.brightness import Numbers, ValueRange, kind_of_numbers
from easyseg.data.threads import map_in_threads
from easyseg.errors import DataError
from easyseg.io.images import number_type, read_numbers
from easyseg.structures import Sample

MOST_IMAGES = 64
"""So many images, evenly spread, decide on the range."""

_PIXELS_PER_IMAGE = 1 << 14
_TAIL = 0.1  # per cent of the values at either end that are cut off: hot pixels, edges without data
_COLORS = (1, 3, 4)  # bands of one brightness; more bands are measurements of their own


@dataclass(frozen=True, slots=True)
class FoundRange:
    """What was found out about a dataset's numbers.

    Attributes:
        value_range: None where the images hold bytes.
        note: one line for people; empty where there is nothing to tell.
    """

    value_range: ValueRange | None = None
    note: str = ""


def find_value_range(samples: Sequence[Sample], wanted: Any = "auto") -> FoundRange:
    """Decide which numbers become 0 and 255.

    Bytes stay as they are. Floats that lie in 0..1 are taken for 0..1, whole numbers that lie in 0..255 for bytes, and
    16-bit numbers that use the upper half of their range for 0..65535. Of all others, 0.1 % of the values are cut off
    at either end, together for images of one, three or four bands, and band by band for more.

    Args:
        samples: the images.
        wanted: "auto"; or a pair of numbers, or one pair for each band, which are taken as they are.

    Raises:
        DataError: some images hold bytes and others do not, or their numbers of bands differ.
        SampleError: one of the images looked at cannot be read.
    """
    if wanted != "auto":
        pairs = [wanted] if np.ndim(wanted) == 1 else wanted
        chosen = ValueRange(tuple(float(low) for low, _ in pairs), tuple(float(high) for _, high in pairs))
        return FoundRange(chosen, f"image values {chosen} become 0 .. 255, as value_range says")
    looked_at = [samples[at] for at in np.unique(np.linspace(0, len(samples) - 1, MOST_IMAGES).round().astype(int))]
    types = map_in_threads(_type_of, looked_at)
    kinds = {kind_of_numbers(dtype) for dtype in types}
    if kinds <= {"bytes"}:
        return FoundRange()
    if len(kinds) > 1:
        of_kind = {kind: looked_at[[kind_of_numbers(dtype) for dtype in types].index(kind)].name for kind in kinds}
        listed = " and ".join(f"{kind} ({name})" for kind, name in sorted(of_kind.items()))
        raise DataError(
            f"The images hold different kinds of numbers: {listed}. Save them alike, or type "
            "load_dataset(..., value_range=(low, high)) for all of them."
        )
    values = _bands(map_in_threads(_some_values, looked_at), looked_at)
    found = _range_of(values, kinds.pop(), types[0])
    names = " and ".join(sorted({dtype.name for dtype in types}))
    seen = f"{len(looked_at)} of {len(samples)} images" if len(looked_at) < len(samples) else f"{len(samples)} images"
    return FoundRange(
        found,
        f"images hold {names}: the values {found} become 0 .. 255 (seen in {seen}: {_extremes(values)}); for others "
        "type value_range=(low, high)",
    )


def _range_of(values: list[npt.NDArray[Any]], kind: Numbers, dtype: np.dtype[Any]) -> ValueRange:
    groups = [np.concatenate(values)] if len(values) in _COLORS else values
    lows, highs = zip(*(_ends(group) for group in groups), strict=True)
    least, most = min(map(np.min, groups)), max(map(np.max, groups))
    is_whole = all((group == np.rint(group)).all() for group in groups)
    if kind == "floats" and least >= 0 and most <= 1:
        lows, highs = (0.0,), (1.0,)
    elif is_whole and least >= 0 and most <= 255:
        lows, highs = (0.0,), (255.0,)
    elif dtype == np.uint16 and max(highs) >= 1 << 15:
        lows, highs = (0.0,), (65535.0,)
    elif kind == "integers":
        lows, highs = tuple(map(np.floor, lows)), tuple(map(np.ceil, highs))
    highs = tuple(high if high > low else low + 1 for low, high in zip(lows, highs, strict=True))
    return ValueRange(tuple(map(float, lows)), tuple(map(float, highs)), kind)


def _ends(values: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(values.astype(np.float64), [_TAIL, 100 - _TAIL])
    return float(low), float(high)


def _extremes(values: list[npt.NDArray[Any]]) -> str:
    return f"{min(map(np.min, values)):g} .. {max(map(np.max, values)):g}"


def _type_of(sample: Sample) -> np.dtype[Any]:
    return number_type(sample.image) if isinstance(sample.image, Path) else sample.image.dtype


def _some_values(sample: Sample) -> npt.NDArray[Any]:
    """Return finite values of an image, from a regular grid over it, (pixels, bands)."""
    image = read_numbers(sample.image) if isinstance(sample.image, Path) else sample.image
    bands = image.reshape(-1, 1 if image.ndim == 2 else image.shape[2])
    return bands[:: max(1, len(bands) // _PIXELS_PER_IMAGE)]


def _bands(images: list[npt.NDArray[Any]], samples: Sequence[Sample]) -> list[npt.NDArray[Any]]:
    """Return the finite values of each band over all images."""
    counts = [image.shape[1] for image in images]
    other = next((at for at, count in enumerate(counts) if count != counts[0]), None)
    if other is not None:
        raise DataError(
            f"{samples[0].name} has {counts[0]} channels, {samples[other].name} {counts[other]}. Give images of the "
            "same channels."
        )
    bands = [np.concatenate([image[:, band] for image in images]) for band in range(counts[0])]
    finite = [band[np.isfinite(band)] for band in bands]
    if not all(band.size for band in finite):
        raise DataError("A band of the images holds no finite number at all. Save the images anew.")
    return finite
