"""labelme: one JSON file beside each image."""

from __future__ import annotations

import base64
import binascii
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from easyseg.data.formats.annotation_files import (
    Fields,
    ellipse_points,
    files_with_keys,
    in_order,
    missing_annotations,
    rectangle_points,
)
from easyseg.data.formats.class_names import read_class_names
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.errors import SampleError
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.structures import EmbeddedImage, LabelledObject, MaskPart, Polygons, Sample

NAME = "labelme"
LOOKS_FOR = 'a JSON file for each image, with "shapes" and "imagePath", as labelme writes it'
OVERRULES = ("folders",)

_OTHER_KEYS = frozenset(["imagePath", "imageData", "imageHeight", "imageWidth", "shape_type"])
"""One of them is near an end of every file, however many points or bytes of the image stand in its middle."""
_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_PARTS = "Shapes without an area (lines, points) left out"
_THIN = "Polygons of fewer than three points cover nothing"
_NOT_ELSEWHERE = "Images taken out of their annotation files, not from a file of that name in another folder"
_APART = "Masks with a group_id count as objects of their own"


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a JSON file with labelme's keys."""
    return path.is_dir() and bool(files_with_keys(path, annotations, _is_labelme))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects, drawn in the order of the file.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: which annotation files, images without any, and what happens to broken samples.

    Raises:
        FormatError: there is no annotation file.
        SampleError: a file or a shape in it is malformed, or an image is missing.
    """
    files = files_with_keys(path, options.annotations, _is_labelme, is_thorough=True)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    listed = list_images(folder)
    named = NamedFiles(folder, listed)
    gathered = Gathered(NAME, folder, options, files)
    for file in files:
        try:
            gathered.add(_sample(file, path, named, gathered), file)
        except SampleError as error:
            options.bad_samples.add(error)
    drawn = "Objects are drawn in the order of the file, later ones on top."
    return gathered.layout(_names(path, gathered.class_names()), images=listed, notes=(drawn,))


def _is_labelme(keys: frozenset[str]) -> bool:
    return "shapes" in keys and bool(keys & _OTHER_KEYS)


def _names(root: Path, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of labels.txt, followed by labels that do not stand there."""
    used = in_order(labels)
    found = read_class_names(root)
    listed = found.names or tuple(found.class_values or ())
    return tuple(dict.fromkeys((*listed, *used)))


def _sample(file: Path, root: Path, named: NamedFiles, gathered: Gathered) -> Sample:
    for path in _beside(file):
        gathered.mention(path)
    content = Fields.of_file(file)
    image = _image(content, named, gathered)
    if isinstance(image, Path):
        gathered.mention(image)
    return Sample(
        image,
        None,
        gathered.split_of(file, root),
        NAME,
        objects=tuple(_objects(content, gathered.counts)),
        size_hw=content.size_hw("imageHeight", "imageWidth"),
    )


def _image(content: Fields, named: NamedFiles, gathered: Gathered) -> Path | EmbeddedImage:
    """Return the image by its name, else one of the annotation's own name beside it, else the embedded one.

    The embedded one is sure, and comes before a file of that name in some other folder, which may be another image.
    """
    name = content.text("imagePath", "")
    file = content.file
    is_embedded = bool(content.values.get("imageData"))
    try:
        found = named.find_if_there(name, source=file) or named.find_by_stem(file.stem, source=file)
    except SampleError:  # several fit
        if not is_embedded:
            raise
        found = None
    if is_embedded and (found is None or not _is_meant(found, name, file)):
        if found is not None:
            gathered.counts[_NOT_ELSEWHERE] += 1
            gathered.mention(found)
        return EmbeddedImage(file)
    return named.find(name or f"{file.stem}.jpg", source=file) if found is None else found


def _is_meant(image: Path, name: str, file: Path) -> bool:
    """Return whether an image lies beside its annotation file, or exactly where that says."""
    named = os.path.normpath(file.parent / name.replace("\\", "/"))
    return image.parent == file.parent or os.path.normpath(image) == named


def _beside(file: Path) -> list[Path]:
    return [file.with_suffix(suffix) for suffix in IMAGE_SUFFIXES]


def _objects(content: Fields, notes: Counter[str]) -> list[LabelledObject]:
    """Return the objects, of which the parts have the same label and group."""
    found: dict[object, LabelledObject] = {}
    for at, record in enumerate(content.records("shapes")):
        kind = record.text("shape_type", "polygon")
        if kind in _WITHOUT_AREA:
            notes[_PARTS] += 1
            continue
        label, group = record.text("label"), record.values.get("group_id")
        item = LabelledObject(label, _mask(record) if kind == "mask" else _outline(record, kind, notes))
        key: object = at
        if isinstance(group, (int, str)):
            notes[_APART] += kind == "mask"
            key = at if kind == "mask" else (label, group)
        found[key] = _joined(found.pop(key, None), item)  # the last part decides what is covered
    return list(found.values())


def _joined(first: LabelledObject | None, second: LabelledObject) -> LabelledObject:
    if first is None or not isinstance(first.shape, Polygons) or not isinstance(second.shape, Polygons):
        return second
    return replace(second, shape=Polygons((*first.shape.parts, *second.shape.parts)))


def _outline(record: Fields, kind: str, notes: Counter[str]) -> Polygons:
    points = record.points(record.values.get("points"), "points")
    if kind == "rectangle" and len(points) != 4:  # X-AnyLabeling writes all four corners
        _expect(record, kind, len(points), 2)
        (x1, y1), (x2, y2) = points.tolist()
        points = rectangle_points(x1, y1, x2, y2)
    elif kind == "circle":
        _expect(record, kind, len(points), 2)
        (x, y), (rim_x, rim_y) = points.tolist()
        radius = math.hypot(rim_x - x, rim_y - y)
        points = ellipse_points((x, y), (radius, radius))
    elif kind not in ("polygon", "rectangle", "oriented_rectangle"):
        raise record.error(
            f"shape_type is {kind!r}; expected polygon, rectangle, oriented_rectangle, circle or mask. Draw it anew."
        )
    notes[_THIN] += len(points) < 3
    return Polygons(((points,),))


def _mask(record: Fields) -> MaskPart:
    points = record.points(record.values.get("points"), "points")
    text = record.values.get("mask")
    if not isinstance(text, str) or not text:
        raise record.error("it is of type mask but holds none. Draw it anew.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise record.error(f"its mask is no base64 text ({error}). Draw it anew.") from error
    left, top = (round(value) for value in points.min(axis=0).tolist())
    return MaskPart(data, offset_xy=(left, top))


def _expect(record: Fields, kind: str, found: int, expected: int) -> None:
    if found != expected:
        raise record.error(f"a {kind} has {expected} points, this one {found}. Draw it anew.")
