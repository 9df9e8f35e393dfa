"""COCO: one JSON file for all images of a split, with polygons and run lengths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.data.formats.annotation_files import (
    Fields,
    files_with_keys,
    missing_annotations,
    shown,
    split_of_path,
)
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, BadSamples, Layout, ReadOptions
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.errors import DataError, SampleError
from easyseg.geometry import RunLengths
from easyseg.structures import SPLITS, LabelledObject, Polygons, Sample, SizeHW, Split

NAME = "coco"
LOOKS_FOR = 'a JSON file with "images", "annotations" and "categories", as COCO has it, and its images'
OVERRULES = ("folders", "txt_splits")

_OBJECT_FILES = "instances"
"""COCO's own files of objects begin so; beside them lie key points and captions of the same images."""


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
    files = _object_files(files_with_keys(path, options.annotations, _is_coco))
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    listed = list_images(folder)
    named = NamedFiles(folder, listed)
    gathered = Gathered(NAME, folder, options, files)
    names: dict[str, None] = {}
    orders: set[str] = set()
    uncovered: set[str] = set()
    tasks: set[str] = set()
    for file in files:
        content = Fields.of_file(file)
        own = content.inner("info").inner("easyseg")
        uncovered.add(own.text("uncovered", "background"))
        orders.add(own.text("draw_order", "larger_first"))
        tasks.add(_task(own))
        names.update(_read_file(content, path, named, gathered, options.bad_samples))
    drawn = (
        "Objects are drawn in the order of the file, later ones on top."
        if orders == {"file"}
        else "Where objects overlap, the smaller one is on top."
    )
    return gathered.layout(
        tuple(names),
        images=listed,
        notes=(drawn,),
        names_source=files[0].name,
        task=tasks.pop() if len(tasks) == 1 else "auto",
        uncovered="ignore" if uncovered == {"ignore"} else "background",
    )


def _is_coco(keys: frozenset[str]) -> bool:
    return "images" in keys and bool(keys & {"annotations", "image_id"}) and bool(keys & {"categories", "category_id"})


def _object_files(files: Sequence[Path]) -> list[Path]:
    of_objects = [file for file in files if file.name.startswith(_OBJECT_FILES)]
    return of_objects or list(files)


def _read_file(content: Fields, root: Path, named: NamedFiles, gathered: Gathered, bad: BadSamples) -> dict[str, None]:
    """Add the samples of a file, and return the names of its categories."""
    categories = _categories(content)
    is_ordered = content.inner("info").inner("easyseg").text("draw_order", "") == "file"
    objects: dict[str, list[Fields]] = defaultdict(list)
    for record in content.records("annotations"):
        objects[_identifier(record, "image_id")].append(record)
    default_split = split_of_path(content.file, root)
    for record in content.records("images"):
        mine = objects.pop(_identifier(record, "id"), [])
        try:
            sample = _sample(record, mine, categories, named, gathered, default_split)
            if not is_ordered and isinstance(sample.objects, tuple):
                sample = replace(sample, objects=_larger_first(sample.objects, mine))
            gathered.add(sample, content.file)
        except SampleError as error:
            bad.add(error)
    for orphans in objects.values():
        bad.add(orphans[0].error(f"its image_id, {orphans[0].text('image_id')}, is the id of no image. Delete it."))
    return dict.fromkeys(categories.values())


def _task(own: Fields) -> str:
    task = own.text("task", "auto")
    if task not in ("auto", "binary", "multiclass", "multilabel"):
        raise own.error(f"task is {task!r}; expected binary, multiclass or multilabel. Delete it.")
    return task


def _categories(content: Fields) -> dict[str, str]:
    """Return each category's name by its id, in the order of the ids where these are numbers."""
    found = {}
    for record in content.records("categories"):
        identifier = _identifier(record, "id")
        if identifier in found:
            raise record.error(f"the id {identifier} stands there twice. Give each category its own.")
        found[identifier] = record.text("name")
    if all(identifier.isdecimal() and len(identifier) < 19 for identifier in found):
        return dict(sorted(found.items(), key=lambda item: int(item[0])))
    return found


def _identifier(record: Fields, name: str) -> str:
    value = record.values.get(name)
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if not is_number and not (isinstance(value, str) and len(value) <= 200):
        raise record.error(f"{name} is {shown(value)}; expected a whole number or a short text.")
    return str(value)


def _sample(
    record: Fields,
    objects: Sequence[Fields],
    categories: dict[str, str],
    named: NamedFiles,
    gathered: Gathered,
    split: Split | None,
) -> Sample:
    image = gathered.mention(named.find(record.text("file_name"), source=record.file))
    size_hw = record.size_hw("height", "width")
    own_split = next((name for name in SPLITS if record.values.get("split") == name), split)
    found = [item for each in objects if (item := _object(each, categories, size_hw, gathered.counts)) is not None]
    return Sample(image, None, own_split, NAME, objects=tuple(found), size_hw=size_hw)


def _object(record: Fields, categories: dict[str, str], size_hw: SizeHW | None, notes: Counter[str]) -> LabelledObject:
    identifier = _identifier(record, "category_id")
    if identifier not in categories:
        raise record.error(f"its category_id, {identifier}, is the id of no category. Correct or delete it.")
    is_crowd = record.flag("iscrowd") or record.flag("ignore")
    segmentation = record.values.get("segmentation")
    shape: Polygons | RunLengths
    if isinstance(segmentation, dict):
        shape = _run_lengths(record, record.inner("segmentation"), size_hw)
    else:
        shape = _polygons(record, record.items("segmentation"), notes)
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


def _polygons(record: Fields, rings: list[Any], notes: Counter[str]) -> Polygons:
    if not rings:
        has_box = bool(record.values.get("bbox"))
        raise record.error(
            f"it has no segmentation{', only a box' if has_box else ''}; a mask cannot be drawn. Draw its outline, "
            "delete it, or type on_bad_sample='skip' to leave such images out."
        )
    if all(isinstance(value, (int, float)) for value in rings):
        rings = [rings]  # a single polygon without its brackets
    points = [record.points(ring, f"segmentation[{at}]") for at, ring in enumerate(rings)]
    notes["Polygons of fewer than three points cover nothing"] += sum(len(ring) < 3 for ring in points)
    return Polygons(tuple((ring,) for ring in points), rule="coco")


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
