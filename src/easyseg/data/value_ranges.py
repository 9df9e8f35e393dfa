"""Which numbers of image files are black and which white, where they are not bytes.

Cameras put 10, 12 or 14 bits into files of 16, scanners and simulations write floats of any size. Read by what the
type could hold, most of them would be nearly black. So a look at some of the images decides, once per dataset; the
range goes with the model, and prediction scales by the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from easyseg.brightness import Numbers, ValueRange, kind_of_numbers
from easyseg.data.sequences import annotated_places, chosen
from easyseg.data.threads import map_in_threads
from easyseg.errors import DataError, SampleError
from easyseg.io.image_sources import source_number_type, source_numbers
from easyseg.structures import Sample

ResultT = TypeVar("ResultT")

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

    Images that cannot be read are passed over; whoever needs them says so. Bytes stay as they are. Floats that lie in
    0..1 are taken for 0..1, whole numbers that lie in 0..255 for bytes, and 16-bit numbers that use the upper half of
    their range for 0..65535. Of all others, 0.1 % of the values are cut off at either end, together for images of one,
    three or four bands, and band by band for more.

    Args:
        samples: the images; where some are annotated, only these are looked at.
        wanted: "auto"; or a pair of numbers, or one pair for each band, which are taken as they are.

    Raises:
        DataError: some images hold bytes and others do not, or their numbers of bands differ.
    """
    if wanted != "auto":
        pairs = [wanted] if np.ndim(wanted) == 1 else wanted
        given = ValueRange(tuple(float(low) for low, _ in pairs), tuple(float(high) for _, high in pairs))
        return FoundRange(given, f"image values {given} become 0 .. 255, as value_range says")
    candidates = chosen(samples, annotated_places(samples)) or samples  # others may be broken without harm
    if not candidates:
        return FoundRange()
    places = np.unique(np.linspace(0, len(candidates) - 1, MOST_IMAGES).round().astype(int)).tolist()
    types, looked_at = _of_readable(_type_of, [candidates[at] for at in places])
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
    values = _bands(*_of_readable(_some_values, looked_at))
    if not values:
        return FoundRange()
    found = _range_of(values, kinds.pop(), types[0])
    names = " and ".join(sorted({dtype.name for dtype in types}))
    of_all = f" of {len(candidates)}" if len(looked_at) < len(candidates) else ""
    return FoundRange(
        found,
        f"images hold {names}: the values {found} become 0 .. 255 (seen in {len(looked_at)}{of_all} images: "
        f"{_extremes(values)}); for others type value_range=(low, high)",
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


def _of_readable(
    function: Callable[[Sample], ResultT], samples: Sequence[Sample]
) -> tuple[list[ResultT], list[Sample]]:
    """Return `function` of each sample that can be read, and these samples."""

    def attempted(sample: Sample) -> ResultT | None:
        try:
            return function(sample)
        except SampleError:
            return None

    found = zip(map_in_threads(attempted, samples), samples, strict=True)
    pairs = [(result, sample) for result, sample in found if result is not None]
    return [result for result, _ in pairs], [sample for _, sample in pairs]


def _type_of(sample: Sample) -> np.dtype[Any]:
    return sample.image.dtype if isinstance(sample.image, np.ndarray) else source_number_type(sample.image)


def _some_values(sample: Sample) -> npt.NDArray[Any]:
    """Return finite values of an image, from a regular grid over it, (pixels, bands)."""
    image = sample.image if isinstance(sample.image, np.ndarray) else source_numbers(sample.image)
    bands = image.reshape(-1, 1 if image.ndim == 2 else image.shape[2])
    return bands[:: max(1, len(bands) // _PIXELS_PER_IMAGE)]


def _bands(images: list[npt.NDArray[Any]], samples: Sequence[Sample]) -> list[npt.NDArray[Any]]:
    """Return the finite values of each band over all images."""
    if not images:
        return []
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
