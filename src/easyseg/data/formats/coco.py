"""COCO: one JSON file for all images of a split, with polygons and run lengths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from easyseg.data.formats.annotation_files import (
    Fields,
    files_with_keys,
    missing_annotations,
    shown,
)
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import (
    BEYOND,
    DEFAULTS,
    FILLED,
    HOW_TO_FILL_BOXES,
    BadSamples,
    Layout,
    ReadOptions,
)
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.errors import DataError, SampleError
from easyseg.geometry import RunLengths
from easyseg.structures import SPLITS, BoxShape, LabelledObject, Polygons, Sample, SizeHW, Split, Task

NAME = "coco"
LOOKS_FOR = 'a JSON file with "images", "annotations" and "categories", as COCO has it, and its images'
OVERRULES = ("folders", "txt_splits")

_VOID = "__ignore__"
_BEYOND = f"{BEYOND}; a bbox is [x, y, width, height]"
_MARGIN_PIXELS = 1.0
"""Boxes may reach so far beyond the image; annotation tools round."""
_TASKS: tuple[Task | Literal["auto"], ...] = ("auto", "binary", "multiclass", "multilabel")
_BROTHERS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
"""COCO's own files of the same images that lie beside its objects begin so."""


@dataclass(frozen=True, slots=True)
class _File:
    """What is read of one file once for all its images.

    Attributes:
        categories: each category's name by its id.
        containers: names of categories that others have as their supercategory.
        used: names of categories that have annotations.
    """

    categories: dict[str, str]
    containers: frozenset[str]
    used: frozenset[str]


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a JSON file with COCO's keys."""
    return path.is_dir() and bool(files_with_keys(path, annotations, _is_coco))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects.

    Objects are drawn larger first, so that small ones stay visible: COCO files have no order of their own.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: which annotation file, and what happens to broken samples.

    Raises:
        FormatError: there is no annotation file, or two are of the same images.
        SampleError: a file or an object in it is malformed, or an image is missing.
    """
    files = files_with_keys(path, options.annotations, _is_coco, is_thorough=True)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    files, brothers = _apart(files)
    folder = image_folder(path, images)
    listed = list_images(folder)
    named = NamedFiles(folder, listed)
    gathered = Gathered(NAME, folder, options, files)
    parts: list[_File] = []
    orders: set[str] = set()
    uncovered: set[str] = set()
    tasks: set[Task | Literal["auto"]] = set()
    for file in files:
        content = Fields.of_file(file)
        own = _own(content)
        uncovered.add(own.text("uncovered", "background"))
        orders.add(own.text("draw_order", "larger_first"))
        tasks.add(_task(own))
        parts.append(_read_file(content, path, named, gathered, options.bad_samples))
    drawn = (
        "Objects are drawn in the order of the file, later ones on top."
        if orders == {"file"}
        else "Where objects overlap, the smaller one is on top."
    )
    names, remark = _names(parts)
    return gathered.layout(
        names,
        images=listed,
        notes=(drawn, remark, _left_out(brothers)),
        names_source=files[0].name,
        task=tasks.pop() if len(tasks) == 1 else "auto",
        uncovered="ignore" if uncovered == {"ignore"} else "background",
    )


def _is_coco(keys: frozenset[str]) -> bool:
    if {"image_id", "category_id"} <= keys and keys & {"images", "file_name", "categories"}:
        return True  # annotations, and a key of the other two, of which a large file's ends may show any
    return "images" in keys and bool(keys & {"annotations", "image_id"}) and bool(keys & {"categories", "category_id"})


def _apart(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files of objects, and those of key points, captions and the like of the same images."""
    others = [file for file in files if not file.name.startswith(_BROTHERS)]
    if not others:
        return list(files), []
    return others, [file for file in files if file.name.startswith(_BROTHERS)]


def _left_out(files: Sequence[Path]) -> str:
    names = ", ".join(file.name for file in files[:4])
    more = f" and {len(files) - 4} more" if len(files) > 4 else ""
    return f"Files of something else than objects left out: {names}{more}." if files else ""


def _own(content: Fields) -> Fields:
    """Return what `Dataset.to_coco` wrote about the dataset; `info` may hold anything."""
    is_object = isinstance(content.values.get("info"), dict)
    return content.inner("info").inner("easyseg") if is_object else replace(content, values={})


def _names(parts: Sequence[_File]) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes, and a line on those left out.

    What has no annotation in any file, and is the supercategory of others, only puts them together: Roboflow writes the
    project's name so.
    """
    names = dict.fromkeys(name for part in parts for name in part.categories.values())
    containers = frozenset().union(*(part.containers for part in parts))
    used = frozenset().union(*(part.used for part in parts))
    left_out = [name for name in names if name in containers and name not in used] if used else []
    listed = ", ".join(map(repr, left_out))
    remark = f"Categories without annotations that others are kinds of are no classes: {listed}." if left_out else ""
    return tuple(name for name in names if name not in left_out), remark


def _read_file(content: Fields, root: Path, named: NamedFiles, gathered: Gathered, bad: BadSamples) -> _File:
    """Add the samples of a file, and return its categories."""
    categories, containers = _categories(content)
    is_ordered = _own(content).text("draw_order", "") == "file"
    objects: dict[str, list[Fields]] = defaultdict(list)
    used = set()
    for record in content.records("annotations"):
        used.add(_identifier_in(record.values.get("category_id")))
        try:
            objects[_identifier(record, "image_id")].append(record)
        except SampleError as error:
            bad.add(error)
    default_split = gathered.split_of(content.file, root, by_own_name=True)
    for record in content.records("images", bad.add):
        try:
            mine = objects.pop(_identifier_in(record.values.get("id")) or "", [])
            sample = _sample(record, mine, categories, named, gathered, default_split)
            if isinstance(sample.objects, tuple):
                arranged = _in_order(sample.objects) if is_ordered else _larger_first(sample.objects, mine)
                sample = replace(sample, objects=arranged)
            gathered.add(sample, content.file)
        except SampleError as error:
            bad.add(error)
    for orphans in objects.values():
        bad.add(orphans[0].error(f"its image_id, {orphans[0].text('image_id')}, is the id of no image. Delete it."))
    return _File(categories, containers, frozenset(name for at, name in categories.items() if at in used))


def _task(own: Fields) -> Task | Literal["auto"]:
    name = own.text("task", "auto")
    found = next((task for task in _TASKS if task == name), None)
    if found is None:
        raise own.error(f"task is {name!r}; expected binary, multiclass or multilabel. Delete it.")
    return found


def _categories(content: Fields) -> tuple[dict[str, str], frozenset[str]]:
    """Return each category's name by its id, in the order of the ids where these are numbers, and all supercategories.

    A category may be called as its supercategory is, and is then no supercategory of others.
    """
    found = {}
    containers = set()
    for record in content.records("categories"):
        identifier = _identifier(record, "id")
        if identifier in found:
            raise record.error(f"the id {identifier} stands there twice. Give each category its own.")
        name = found[identifier] = record.text("name")
        container = record.values.get("supercategory")
        if isinstance(container, str) and container != name:
            containers.add(container)
    if all(identifier.isdecimal() and len(identifier) < 19 for identifier in found):
        found = dict(sorted(found.items(), key=lambda item: int(item[0])))
    return found, frozenset(containers)


def _identifier(record: Fields, name: str) -> str:
    value = record.values.get(name)
    found = _identifier_in(value)
    if found is None:
        raise record.error(f"{name} is {shown(value)}; expected a whole number or a short text.")
    return found


def _identifier_in(value: Any) -> str | None:
    """Return an id as a text, 1.0 as tables write it like 1; None for what is no id."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    return str(value) if is_number or (isinstance(value, str) and len(value) <= 200) else None


def _sample(
    record: Fields,
    objects: Sequence[Fields],
    categories: dict[str, str],
    named: NamedFiles,
    gathered: Gathered,
    split: Split | None,
) -> Sample:
    image = gathered.mention(named.find(record.text("file_name"), source=record.file))
    _identifier(record, "id")
    size_hw = record.size_hw("height", "width")
    own_split = next((name for name in SPLITS if record.values.get("split") == name), split)
    found = [_object(each, categories, size_hw, gathered) for each in objects]
    return Sample(image, None, own_split, NAME, objects=tuple(found), size_hw=size_hw)


def _object(record: Fields, categories: dict[str, str], size_hw: SizeHW | None, gathered: Gathered) -> LabelledObject:
    identifier = _identifier(record, "category_id")
    if identifier not in categories:
        raise record.error(f"its category_id, {identifier}, is the id of no category. Correct or delete it.")
    is_crowd = record.flag("iscrowd") or record.flag("ignore")
    segmentation = record.values.get("segmentation")
    shape: Polygons | RunLengths | BoxShape
    if isinstance(segmentation, dict):
        shape = _run_lengths(record, record.inner("segmentation"), size_hw)
    elif rings := record.items("segmentation"):
        shape = _polygons(record, rings, gathered.counts)
    else:
        shape = _box(record, size_hw, gathered)
    return LabelledObject(categories[identifier], shape, is_crowd)


def _run_lengths(record: Fields, segmentation: Fields, size_hw: SizeHW | None) -> RunLengths:
    counts, size = segmentation.values.get("counts"), segmentation.values.get("size")
    try:
        read: Any = RunLengths.from_compressed if isinstance(counts, str) else RunLengths
        shape: RunLengths = read(counts, size)
    except DataError as error:
        raise record.error(f"segmentation: {error}") from error
    if size_hw is not None and shape.size_hw != size_hw:
        raise record.error(
            f"its mask is of {shape.size_hw[1]} x {shape.size_hw[0]} pixels, its image of {size_hw[1]} x {size_hw[0]}. "
            "A size is [height, width]; export the annotation again."
        )
    return shape


def _box(record: Fields, size_hw: SizeHW | None, gathered: Gathered) -> BoxShape:
    """Return the box of an object without a segmentation, where the user takes boxes."""
    box = record.items("bbox")
    if not box or gathered.boxes == "refuse":
        way_out = f" {HOW_TO_FILL_BOXES}" if box else ""
        raise record.error(
            f"it has no segmentation{', only a box' if box else ''}; a mask cannot be drawn. Draw its outline, "
            f"delete it, or type on_bad_sample='skip' to leave such images out.{way_out}"
        )
    points = record.points(box, "bbox")
    if len(points) != 2 or (points[1] < 0).any():
        raise record.error(f"bbox is {shown(box)}; expected [x, y, width, height] in pixels. Correct or delete it.")
    gathered.counts[FILLED] += 1
    (left, top), (width, height) = points.tolist()
    shape = BoxShape(left, top, left + width, top + height)
    gathered.counts[_BEYOND] += size_hw is not None and shape.reaches_beyond(size_hw, margin=_MARGIN_PIXELS)
    return shape


def _polygons(record: Fields, rings: list[Any], notes: Counter[str]) -> Polygons:
    if all(isinstance(value, (int, float)) for value in rings):
        rings = [rings]  # a single polygon without its brackets
    points = [record.points(ring, f"segmentation[{at}]") for at, ring in enumerate(rings)]
    notes["Polygons of fewer than three points cover nothing"] += sum(len(ring) < 3 for ring in points)
    return Polygons(tuple((ring,) for ring in points), rule="coco")


def _in_order(objects: tuple[LabelledObject, ...]) -> tuple[LabelledObject, ...]:
    """Return the objects of a file that has an order, in which what does not count covers what is below it.

    Such a file marks it as a crowd, so that other tools leave it out; crowds proper are below everything.
    """
    return tuple(replace(item, is_crowd=item.is_crowd and item.class_name != _VOID) for item in objects)


def _larger_first(objects: tuple[LabelledObject, ...], records: Sequence[Fields]) -> tuple[LabelledObject, ...]:
    areas = [_area(item, record) for item, record in zip(objects, records, strict=True)]
    return tuple(objects[at] for at in sorted(range(len(objects)), key=lambda at: -areas[at]))


def _area(item: LabelledObject, record: Fields) -> float:
    """Return an object's area as its file states it, else by its shape; it only decides what covers what."""
    stated = record.values.get("area")
    if isinstance(stated, (int, float)) and not isinstance(stated, bool) and 0 < stated < float("inf"):
        return float(stated)
    if isinstance(item.shape, RunLengths):
        return float(item.shape.area)
    rings = [ring for part in item.shape.parts for ring in part] if isinstance(item.shape, Polygons) else []
    return sum(_ring_area(ring[:, 0], ring[:, 1]) for ring in rings)


def _ring_area(x: Any, y: Any) -> float:
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
