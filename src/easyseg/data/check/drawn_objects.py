"""Objects that are drawn twice, and outlines whose numbers are no pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from easyseg.data.check.survey import Survey, check
from easyseg.data.objects.shape_pixels import pixel_parts, shape_mask
from easyseg.errors import DataError
from easyseg.geometry import RunLengths
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted
from easyseg.structures import BoxShape, LabelledObject, Polygons, Shape, SizeHW

_SAME_BOX = 0.85
_SAME_MASK = {True: 0.85, False: 0.95}
"""Least intersection over union of two masks of the same object: of one class, and of two, as coat and person are."""
_SHARES_ONLY = 1.5
"""Outlines that end here, in both directions, hold shares of the image's sides, 0 to 1."""
_LARGE = 32
"""In an image of so many pixels on each side, no one draws within one pixel of the corner."""

Box = tuple[float, float, float, float]


@check("repeated objects")
def repeated_objects(survey: Survey) -> Iterator[Finding]:
    """Two objects of an image that are the same, of one class or of two."""
    twice: list[Case] = []
    conflicts: list[Case] = []
    overlap = survey.class_map is not None and survey.class_map.task == "multilabel"
    for at, sample in enumerate(survey.samples):
        objects = sample.objects if isinstance(sample.objects, tuple) else ()
        if len(objects) < 2:
            continue
        for first, second in _equal_pairs(objects, survey.images.size_hw[at].tolist()):
            names = objects[first].class_name, objects[second].class_name
            words = f"objects {first + 1} and {second + 1}, {' and '.join(dict.fromkeys(names))}"
            if names[0] == names[1]:
                twice.append(survey.image_case(at, words))
            elif not overlap:
                conflicts.append(survey.image_case(at, words))
    if conflicts:
        found = f"{counted(f'{len(conflicts):,}', 'pair')} of equal objects that are of different classes."
        advice = "Find out which class is right, and keep that object alone."
        yield Finding.of("conflicting_objects", "error", conflicts, found, advice)
    if twice:
        found = f"{counted(f'{len(twice):,}', 'object')} drawn twice."
        yield Finding.of("repeated_objects", "warning", twice, found, "Remove one of each pair; it counts twice.")


@check("coordinates")
def relative_coordinates(survey: Survey) -> Iterator[Finding]:
    """Outlines that should be in pixels, but hold shares of the image's sides."""
    cases = []
    for at, sample in enumerate(survey.samples):
        objects = sample.objects if isinstance(sample.objects, tuple) else ()
        if not objects or survey.images.size_hw[at].min() < _LARGE:
            continue
        small = [number for number, item in enumerate(objects, start=1) if _holds_shares(item.shape)]
        if small:
            which = "all objects" if len(small) == len(objects) else f"object {', '.join(map(str, small[:4]))}"
            cases.append(survey.image_case(at, f"{which}: {len(small)} of {len(objects)}"))
    if cases:
        found = f"In {counted(f'{len(cases):,}', 'image')}, all points of outlines lie within one pixel of the corner."
        advice = "Their numbers seem to be shares of width and height, not pixels: multiply them by these."
        yield Finding.of("relative_coordinates", "error", cases, found, advice)


def _equal_pairs(objects: Sequence[LabelledObject], size: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of objects that cover the same pixels, each with the first it is equal to."""
    size_hw = (size[0], size[1])
    boxes = {at: box for at, item in enumerate(objects) if not item.is_crowd and (box := _box(item.shape, size_hw))}
    order = sorted(boxes, key=lambda at: (boxes[at][0], at))
    is_copy: set[int] = set()
    for place, first in enumerate(order):
        left, _, right, _ = boxes[first]
        for second in order[place + 1 :]:
            if boxes[second][0] - left > (1 - _SAME_BOX) * (right - left):
                break  # boxes further right cannot be the same
            if first in is_copy or second in is_copy or _box_iou(boxes[first], boxes[second]) < _SAME_BOX:
                continue
            least = _SAME_MASK[objects[first].class_name == objects[second].class_name]
            if _mask_iou(objects[first].shape, objects[second].shape, size_hw) > least:
                is_copy.add(second)
                yield min(first, second), max(first, second)


def _box(shape: Shape, size_hw: SizeHW) -> Box | None:
    """Return a shape's box, x1, y1, x2, y2; None of masks in files, which would have to be read, and of nothing."""
    if isinstance(shape, BoxShape):
        return shape.sides(size_hw)
    if isinstance(shape, RunLengths):
        return shape.box
    if not isinstance(shape, Polygons):
        return None
    rings = [part[0] for part in pixel_parts(shape, size_hw) if part and len(part[0])]
    if not rings:
        return None
    points = np.concatenate(rings)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


def _box_iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common
    return common / total if total > 0 else 0.0


def _mask_iou(one: Shape, other: Shape, size_hw: SizeHW) -> float:
    try:
        first, second = shape_mask(one, size_hw), shape_mask(other, size_hw)
    except DataError:  # malformed shapes are told where they are drawn
        return 0.0
    either = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / either if either else 0.0


def _holds_shares(shape: Shape) -> bool:
    if not isinstance(shape, Polygons) or shape.is_relative:
        return False
    rings = [ring for part in shape.parts for ring in part if len(ring) > 2]
    return bool(rings) and all(ring.min() >= -0.5 and ring.max() <= _SHARES_ONLY for ring in rings)
