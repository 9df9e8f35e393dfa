"""VGG Image Annotator, versions 1 and 2: one JSON file for the images of a folder, or a project file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.formats.annotation_files import (
    Fields,
    ellipse_points,
    files_with_keys,
    in_order,
    missing_annotations,
    rectangle_points,
    shown,
)
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.errors import FormatError, SampleError
from easyseg.structures import LabelledObject, Points, Polygons, Sample
from easyseg.structures.objects import UNNAMED

NAME = "via"
LOOKS_FOR = 'a JSON file with "regions" and "shape_attributes", as VGG Image Annotator 1 or 2 exports or saves it'
OVERRULES = ("folders",)

_USUAL_ATTRIBUTES = ("class", "label", "category", "name", "type", "object", "kind")
_LEFT_OUT = "Regions without an area (points) left out"
_CLOSED = "Lines taken for the outlines of objects"


@dataclass(frozen=True, slots=True)
class _Image:
    """An image's record with its regions."""

    record: Fields
    regions: tuple[Fields, ...]


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a JSON file with the keys of VGG Image Annotator."""
    return path.is_dir() and bool(files_with_keys(path, annotations, _is_via))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects, drawn in the order of the file.

    The class stands in one of the attributes of the regions, which is found by its name and told.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: which annotation file, which attribute, and what happens to broken samples.

    Raises:
        FormatError: there is no annotation file, two are of the same images, or no attribute holds the class.
        SampleError: a file or a region in it is malformed, or an image is missing.
    """
    files = files_with_keys(path, options.annotations, _is_via, is_thorough=True)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    listed = list_images(folder)
    named = NamedFiles(folder, listed)
    gathered = Gathered(NAME, folder, options, files)
    entries = {file: list(_images(Fields.of_file(file))) for file in files}
    # of one file's regions, so that another file's do not decide; which file counts is told where images are added
    attribute, remark = _class_attribute([each for file in files for each in entries[file]], options.class_attribute)
    for file in files:
        for each in entries[file]:
            try:
                gathered.add(_sample(each, path, named, attribute, gathered), file)
            except SampleError as error:
                options.bad_samples.add(error)
    names = in_order(gathered.class_names())
    return gathered.layout(
        names, images=listed, notes=("Objects are drawn in the order of the file, later ones on top.", remark)
    )


def _is_via(keys: frozenset[str]) -> bool:
    return "_via_img_metadata" in keys or {"filename", "regions"} <= keys


def _images(content: Fields) -> Iterator[_Image]:
    values = content.values
    if "_via_img_metadata" in values:
        content = content.inner("_via_img_metadata")
    for name in content.values:
        record = content.inner(name)
        regions = record.values.get("regions")
        if isinstance(regions, dict):  # version 1
            inner = record.inner("regions")
            yield _Image(record, tuple(inner.inner(key) for key in regions))
        else:
            yield _Image(record, tuple(record.records("regions")))


def _class_attribute(images: Sequence[_Image], wanted: str | None) -> tuple[str | None, str]:
    """Return the attribute that holds the class, None where regions have none, and a line for people."""
    values: dict[str, Counter[str]] = {}
    for image in images:
        for region in image.regions:
            attributes = region.inner("region_attributes").values
            for name, value in attributes.items():
                if _is_class(value):
                    values.setdefault(name, Counter())[_class_in(value)] += 1
    if wanted is not None and wanted not in values:
        raise FormatError(
            f"class_attribute={wanted!r}: no region has this attribute. There are: {', '.join(values) or 'none'}."
        )
    if not values:
        return None, f"The regions have no attributes; all objects are of one class, {UNNAMED!r}."
    most = max(counts.total() for counts in values.values())
    filled = [name for name, counts in values.items() if counts.total() >= 0.9 * most]
    usual = [name for word in _USUAL_ATTRIBUTES for name in filled if name.lower() == word]
    chosen = wanted or (usual or filled)[0]
    others = [name for name in values if name != chosen]
    line = f"The class is the regions' attribute {chosen!r}"
    if others:
        line += f"; others are {', '.join(map(repr, others))}. To use one, type class_attribute={others[0]!r}"
    return chosen, line + "."


def _is_class(value: object) -> bool:
    if isinstance(value, dict):  # checkboxes
        return any(is_set is True for is_set in value.values())
    return isinstance(value, str) and bool(value.strip())


def _class_in(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(str(name) for name, is_set in value.items() if is_set is True)
    return str(value).strip()


def _sample(image: _Image, root: Path, named: NamedFiles, attribute: str | None, gathered: Gathered) -> Sample:
    file = image.record.file
    path = gathered.mention(named.find(image.record.text("filename"), source=file))
    objects = []
    for region in image.regions:
        points = _outline(region.inner("shape_attributes"), gathered.counts)
        if points is not None:
            objects.append(LabelledObject(_class(region, attribute), Polygons(((points,),))))
    split = gathered.split_of(file, root, by_own_name=True)
    return Sample(path, None, split, NAME, objects=tuple(objects))


def _class(region: Fields, attribute: str | None) -> str:
    if attribute is None:
        return UNNAMED
    attributes = region.inner("region_attributes")
    value = attributes.values.get(attribute)
    if not _is_class(value):
        raise attributes.error(f"the attribute {attribute!r} is {shown(value)}; expected the class of the region.")
    if isinstance(value, dict) and sum(is_set is True for is_set in value.values()) > 1:
        raise attributes.error(f"the attribute {attribute!r} has several classes ({_class_in(value)}); give it one.")
    return _class_in(value)


def _outline(shape: Fields, counts: Counter[str]) -> Points | None:
    """Return the region's outline, None where it has no area."""
    kind = shape.text("name")
    if kind in ("polygon", "polyline"):
        counts[_CLOSED] += kind == "polyline"
        x, y = shape.items("all_points_x"), shape.items("all_points_y")
        if len(x) != len(y):
            raise shape.error(f"{len(x)} x but {len(y)} y coordinates; expected as many. Draw the region anew.")
        return shape.points([list(pair) for pair in zip(x, y, strict=True)], "all_points_x, all_points_y")
    if kind == "rect":
        left, top = shape.number("x"), shape.number("y")
        return rectangle_points(left, top, left + shape.number("width"), top + shape.number("height"))
    if kind == "circle":
        radius = shape.number("r")
        return ellipse_points((shape.number("cx"), shape.number("cy")), (radius, radius))
    if kind == "ellipse":
        center, radii = (shape.number("cx"), shape.number("cy")), (shape.number("rx"), shape.number("ry"))
        return ellipse_points(center, radii, shape.number("theta", 0.0))
    if kind == "point":
        counts[_LEFT_OUT] += 1
        return None
    raise shape.error(f"name is {kind!r}; expected polygon, polyline, rect, circle or ellipse. Draw the region anew.")
