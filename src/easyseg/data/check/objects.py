"""Objects: outlines that enclose nothing, cross themselves or leave the image; several drawn as one; too small ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.check.sources import read_any_mask
from easyseg.data.check.survey import Survey, check, is_ground
from easyseg.data.classes.mask_values import evenly_spread
from easyseg.data.objects.shape_pixels import pixel_parts, shape_mask
from easyseg.data.threads import map_in_threads
from easyseg.errors import DataError, EasySegError, SampleError
from easyseg.geometry import RunLengths, polygon_faults
from easyseg.results.checkup import Case, Finding, Severity
from easyseg.results.words import counted
from easyseg.structures import (
    IGNORE_INDEX,
    BoxShape,
    MaskPart,
    NumberedObjects,
    Points,
    Polygons,
    Sample,
    Shape,
    SizeHW,
)

MOST_MASKS = 200
"""Of so many evenly spread masks the single shapes are looked at."""
_LEAST_SHAPE = 16
"""Smaller shapes, in pixels, are specks that no one drew as an object."""
_LARGE_PART = 0.1
"""Of one object, less than this share is cut off by what stands before it."""
_TINY_SIDE = 4.0
"""An object that is less than so many pixels wide at the training size leaves hardly a trace in the network."""
_MOST_TINY = 0.5
_KINDS = {
    "no_pixels": "degenerate_polygons",
    "too_few_points": "degenerate_polygons",
    "zero_area": "degenerate_polygons",
    "self_crossing": "crossing_polygons",
    "outside": "outside_polygons",
    "partly_outside": "outside_polygons",
}
_POLYGON_WORDS = {
    "degenerate_polygons": (
        ("polygon or box that encloses no pixels", "polygons or boxes that enclose no pixels"),
        "They draw nothing; remove them, or draw them anew.",
    ),
    "crossing_polygons": (
        ("polygon whose outline crosses itself", "polygons whose outline crosses itself"),
        "What lies inside of such an outline is a matter of taste; draw them anew.",
    ),
    "outside_polygons": (
        ("polygon or box that leaves the image", "polygons or boxes that leave the image"),
        "They are cut at its edge; check that image and annotation belong together, and the order of a box's numbers.",
    ),
}


@dataclass(frozen=True, slots=True)
class Shapes:
    """The separate shapes of one class in one mask.

    Attributes:
        row: the mask.
        class_id: the class; of the binary task 0.
        areas: pixels of each shape.
        scale: what a side is multiplied by to come to the training size.
    """

    row: int
    class_id: int
    areas: tuple[int, ...]
    scale: float


@check("polygons")
def polygons(survey: Survey) -> Iterator[Finding]:
    """Outlines that are no outlines, cross themselves, or reach out of the image."""
    cases: dict[str, list[Case]] = defaultdict(list)
    for at, sample in enumerate(survey.samples):
        height, width = survey.images.size_hw[at].tolist()
        if height == width == 0:
            continue
        objects = sample.objects if isinstance(sample.objects, tuple) else ()
        for number, labelled in enumerate(objects, start=1):
            for kind, detail in _faults(labelled.shape, (height, width)):
                words = f"object {number}, {labelled.class_name}: {detail[:1].lower()}{detail[1:].rstrip('.')}"
                cases[kind].append(replace(survey.image_case(at, words), objects=(number - 1,)))
    for kind, found in cases.items():
        what, advice = _POLYGON_WORDS[kind]
        severity: Severity = "note" if kind == "crossing_polygons" else "warning"  # hand-drawn outlines often do
        yield Finding.of(kind, severity, found, f"{counted(f'{len(found):,}', *what)}.", advice)


@check("merged objects")
def merged_objects(survey: Survey) -> Iterator[Finding]:
    """Several objects drawn as one, where each should have a mask of its own."""
    if not survey.settings.instances:
        return
    if any(sample.objects is not None for sample in survey.samples[:100]):
        yield from _merged_numbers(survey)
        yield from _merged_masks(survey)
        return
    names = survey.class_map.names if survey.class_map else ()
    grounds = {at for at, name in enumerate(names) if is_ground(name, is_drawn=survey.is_drawn)}
    several = [shapes for shapes in _shapes(survey) if _num_objects(shapes) > 1 and shapes.class_id not in grounds]
    if several:
        several.sort(key=lambda shapes: -_num_objects(shapes))
        cases = [
            survey.mask_case(shapes.row, f"{_num_objects(shapes)} separate shapes of {names[shapes.class_id]!r}")
            for shapes in several
        ]
        total = sum(_num_objects(shapes) for shapes in several)
        found = (
            f"In masks, one value covers several separate shapes {counted(f'{len(cases):,}', 'time')}, {total:,} "
            "shapes in all. A detector takes each connected region for an object, and objects that touch for one."
        )
        advice = (
            "Where objects touch, connected regions do not part them: give the polygons or the masks of single objects "
            "instead, or number the objects 1, 2, 3, ..."
        )
        yield Finding.of("merged_objects", "warning", cases, found, advice)


def _merged_numbers(survey: Survey) -> Iterator[Finding]:
    """Masks with one number for all their objects, among masks that number them."""
    samples = [at for at, sample in enumerate(survey.samples) if isinstance(sample.objects, NumberedObjects)]
    chosen = evenly_spread(samples, MOST_MASKS)
    regions = map_in_threads(lambda at: _regions_of_numbers(survey, at), chosen)
    merged = [(at, found[0]) for at, found in zip(chosen, regions, strict=True) if len(found) == 1 and found[0] > 1]
    are_single = all(len(found) <= 1 for found in regions)  # one object in each image, perhaps in parts
    if not merged or (are_single and 2 * len(merged) <= len(chosen)):
        return
    merged.sort(key=lambda entry: -entry[1])
    cases = [survey.image_case(at, f"one number covers {count} separate regions") for at, count in merged]
    found = (
        f"{counted(f'{len(cases):,}', 'mask')} of {len(chosen):,} looked at have one number for several separate "
        "regions: for instance segmentation, they would be one object."
    )
    advice = "Number the objects in them, too: 1, 2, 3, ...; where they never touch, by connected regions."
    yield Finding.of("merged_objects", "error", cases, found, advice)


def _merged_masks(survey: Survey) -> Iterator[Finding]:
    """Images with a single object whose mask has several separate regions, where most images are so.

    A few such images are objects with something in front of them.
    """
    samples = [at for at, sample in enumerate(survey.samples) if _lone_mask(sample) is not None]
    chosen = evenly_spread(samples, MOST_MASKS)
    regions = map_in_threads(lambda at: _regions_of_mask(survey, at), chosen)
    merged = [(at, count) for at, count in zip(chosen, regions, strict=True) if count > 1]
    annotated = sum(bool(sample.objects) for sample in survey.samples)
    if not merged or 2 * len(merged) <= len(chosen) or 2 * len(samples) <= annotated:
        return
    merged.sort(key=lambda entry: -entry[1])
    cases = [survey.image_case(at, f"one object of {count} separate regions") for at, count in merged]
    found = (
        f"In {counted(f'{len(cases):,}', 'image')} of {len(chosen):,} looked at, the only object has several separate "
        "regions: each mask seems to hold all objects of its image."
    )
    advice = (
        "Give each object a mask of its own; where they never touch, type dataset.to_masks('new_folder') and train on "
        "that folder: of masks of classes, each connected region is taken for an object."
    )
    yield Finding.of("merged_objects", "error", cases, found, advice)


def _lone_mask(sample: Sample) -> MaskPart | RunLengths | None:
    """Return the mask of a sample's only object; None where it has more, or something else than a mask."""
    objects = sample.objects if isinstance(sample.objects, tuple) else ()
    shape = objects[0].shape if len(objects) == 1 and not objects[0].is_crowd else None
    return shape if isinstance(shape, (MaskPart, RunLengths)) else None


def _regions_of_mask(survey: Survey, at: int) -> int:
    """Return how many large separate regions the only object of an image has, 0 where it cannot be read."""
    height, width = survey.images.size_hw[at].tolist()
    shape = _lone_mask(survey.samples[at])
    try:
        areas = _areas(shape_mask(shape, (height, width))) if shape is not None else ()
    except DataError:  # told where it is drawn
        return 0
    least = max(_LEAST_SHAPE, _LARGE_PART * max(areas, default=0))
    return sum(area >= least for area in areas)


def _regions_of_numbers(survey: Survey, at: int) -> list[int]:
    """Return for each number in the mask of an image how many large separate regions it covers."""
    objects = survey.samples[at].objects
    if not isinstance(objects, NumberedObjects):
        return []
    try:
        numbers = read_any_mask(objects.mask).values
    except SampleError:
        return []
    found = []
    for number in np.unique(numbers).tolist():
        if number and number not in objects.void:
            areas = _areas(numbers == number)
            least = max(_LEAST_SHAPE, _LARGE_PART * sum(areas))
            found.append(sum(area >= least for area in areas))
    return found


@check("tiny objects")
def tiny_objects(survey: Survey) -> Iterator[Finding]:
    """Classes whose shapes all but vanish when images are scaled to the size the network sees."""
    if survey.class_map is None:
        return
    by_class: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for shapes in _shapes(survey):
        by_class[shapes.class_id] += [(area, math.sqrt(area) * shapes.scale) for area in shapes.areas]
    cases = []
    for class_id, found in sorted(by_class.items()):
        pixels = sum(area for area, _ in found)
        # what is tiny in the image itself is not the training size's fault
        tiny = [(area, side) for area, side in found if side < _TINY_SIDE <= math.sqrt(area)]
        share = sum(area for area, _ in tiny) / max(1, pixels)
        if share > _MOST_TINY:
            sides = sorted(side for _, side in found)
            name = survey.class_map.names[class_id]
            cases.append(Case(name, f"{sides[len(sides) // 2]:.1f} pixels wide in the middle, {share:.0%} below 4"))
    if cases:
        height, width = survey.settings.image_size
        found_words = (
            f"{counted(len(cases), 'kind')} of objects nearly vanish at the training size of {height} x {width}."
        )
        advice = (
            f"Type an image_size above {max(height, width)}; or resize='crop', to train on parts at full resolution."
        )
        yield Finding.of("tiny_objects", "warning", cases, found_words, advice)


def outlines_of(shape: Shape | None, size_hw: SizeHW) -> list[Points]:
    """Return the outlines of polygons and boxes, (K, 2) pixel x, y each, as far as they reach; none of masks.

    Args:
        shape: of an object.
        size_hw: height and width of its image.
    """
    if isinstance(shape, BoxShape):
        x1, y1, x2, y2 = shape.sides(size_hw)
        return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])]
    if not isinstance(shape, Polygons):
        return []
    return [ring for rings in pixel_parts(shape, size_hw) for ring in rings]


def _faults(shape: Shape, size_hw: SizeHW) -> Iterator[tuple[str, str]]:
    """Yield the kind of finding and the details of each fault of an object's outlines."""
    for outline in outlines_of(shape, size_hw):
        for fault in polygon_faults(outline, size_hw):
            if fault.kind in _KINDS:
                yield _KINDS[fault.kind], fault.detail


def _shapes(survey: Survey) -> list[Shapes]:
    """Return the separate shapes in some of the masks."""
    rows = survey.readable_masks.nonzero()[0].tolist()

    def shapes_in(row: int) -> list[Shapes]:
        return list(_shapes_in(survey, row))

    return [shapes for found in map_in_threads(shapes_in, evenly_spread(rows, MOST_MASKS)) for shapes in found]


def _shapes_in(survey: Survey, row: int) -> Iterator[Shapes]:
    class_map, pixels = survey.class_map, survey.pixels
    if class_map is None or pixels is None or pixels.unknown[row]:
        return
    try:
        raw = read_any_mask(survey.mask_sources[row])
        ids = class_map.encode(raw.as_rgb() if class_map.encoding == "colors" else raw.values)
    except EasySegError:
        return
    height, width = survey.settings.image_size
    scale = min(1.0, height / ids.shape[0], width / ids.shape[1])
    is_multiclass = class_map.task == "multiclass"
    present = [value for value in np.unique(ids).tolist() if value != IGNORE_INDEX and (is_multiclass or value)]
    for value in present:
        class_id = value if is_multiclass else 0 if class_map.task == "binary" else int(survey.mask_planes[row])
        yield Shapes(row, class_id, _areas(ids == value), scale)


def _areas(where: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    marked = np.ascontiguousarray(where).view(np.uint8)
    left, top, width, height = cv2.boundingRect(marked)
    around = np.ascontiguousarray(marked[top : top + height, left : left + width])
    _, _, facts, _ = cv2.connectedComponentsWithStats(around, connectivity=8)
    return tuple(facts[1:, cv2.CC_STAT_AREA].tolist())


def _num_objects(shapes: Shapes) -> int:
    return sum(area >= _LEAST_SHAPE for area in shapes.areas)
