"""VGG Image Annotator, versions 1 and 2: one JSON or CSV file for the images of a folder, or a project file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from easyseg.data.formats.annotation_files import (
    Fields,
    annotation_files,
    ellipse_points,
    files_with_keys,
    in_order,
    missing_annotations,
    rectangle_points,
    shown,
)
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, BadSamples, Layout, ReadOptions
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images
from easyseg.data.formats.via_tables import is_via_table, read_via_table
from easyseg.errors import FormatError, SampleError
from easyseg.structures import LabelledObject, Points, Polygons, Sample
from easyseg.structures.objects import UNNAMED

NAME = "via"
LOOKS_FOR = 'a JSON or CSV file with regions and their "shape_attributes", as VGG Image Annotator 1 or 2 exports them'
OVERRULES = ("folders",)

_USUAL_ATTRIBUTES = ("class", "label", "category", "name", "type", "object", "kind")
_LEFT_OUT = "Regions without an area (points) left out"
_CLOSED = "Lines taken for the outlines of objects"


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a JSON file with the keys of VGG Image Annotator, or a table with its columns."""
    return path.is_dir() and bool(_files(path, annotations))


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
    files = _files(path, options.annotations, is_thorough=True)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    listed = list_images(folder)
    named = NamedFiles(folder, listed)
    gathered = Gathered(NAME, folder, options, files)
    entries = {file: list(_images(_content(file), options.bad_samples)) for file in files}
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


def _files(root: Path, annotations: str | None, *, is_thorough: bool = False) -> list[Path]:
    """Return the JSON files, else the tables: who exported both has the same regions in both."""
    files = files_with_keys(root, annotations, _is_via, is_thorough=is_thorough)
    return files or [file for file in annotation_files(root, ".csv", annotations) if is_via_table(file)]


def _is_via(keys: frozenset[str]) -> bool:
    return "_via_img_metadata" in keys or {"filename", "regions"} <= keys


def _content(file: Path) -> Fields:
    return Fields(file, "", read_via_table(file)) if is_via_table(file) else Fields.of_file(file)


def _images(content: Fields, bad: BadSamples) -> Iterator[Fields]:
    """Yield the images' records."""
    if "_via_img_metadata" in content.values:
        content = content.inner("_via_img_metadata")
    for name in content.values:
        try:
            record = content.inner(name)
        except SampleError as error:
            bad.add(error)
            continue
        yield record


def _regions(image: Fields) -> Iterator[Fields]:
    regions = image.values.get("regions")
    if isinstance(regions, dict):  # version 1
        inner = image.inner("regions")
        return (inner.inner(key) for key in regions)
    return image.records("regions")


def _class_attribute(images: Sequence[Fields], wanted: str | None) -> tuple[str | None, str]:
    """Return the attribute that holds the class, None where regions have none, and a line for people."""
    values: dict[str, Counter[str]] = {}
    with_texts: set[str] = set()
    for image in images:
        for name, value in _attributes(image):
            if _is_class(value):
                values.setdefault(name, Counter())[_class_in(value)] += 1
                if isinstance(value, (str, dict)):
                    with_texts.add(name)
    if wanted is not None and wanted not in values:
        raise FormatError(
            f"class_attribute={wanted!r}: no region has this attribute. There are: {', '.join(values) or 'none'}."
        )
    most = max((counts.total() for counts in values.values()), default=0)
    filled = [name for name, counts in values.items() if counts.total() >= 0.9 * most]
    usual = [name for word in _USUAL_ATTRIBUTES for name in filled if name.lower() == word]
    # numbers under some other name may be anything: scores, tracks, ages
    likely = usual or [name for name in filled if name in with_texts]
    if wanted is None and not likely:
        line = f"The regions have no attribute for a class; all objects are of one class, {UNNAMED!r}"
        first = next(iter(values), None)
        return None, line + (f". To use the attribute {first!r}, type class_attribute={first!r}." if first else ".")
    chosen = wanted or likely[0]
    others = [name for name in values if name != chosen]
    line = f"The class is the regions' attribute {chosen!r}"
    if others:
        line += f"; others are {', '.join(map(repr, others))}. To use one, type class_attribute={others[0]!r}"
    return chosen, line + "."


def _attributes(image: Fields) -> Iterator[tuple[str, object]]:
    """Yield the attributes of an image's regions; what is malformed is told where the sample is made."""
    regions = image.values.get("regions")
    for region in regions.values() if isinstance(regions, dict) else regions if isinstance(regions, list) else ():
        attributes = region.get("region_attributes") if isinstance(region, dict) else None
        if isinstance(attributes, dict):
            yield from attributes.items()


def _is_class(value: object) -> bool:
    """Return whether this is a class: a text, a whole number, or checkboxes of which some are set."""
    if isinstance(value, dict):
        return any(is_set is True for is_set in value.values())
    if isinstance(value, float):
        return value.is_integer()
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and bool(value.strip()))


def _class_in(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(str(name) for name, is_set in value.items() if is_set is True)
    return str(int(value) if isinstance(value, float) else value).strip()


def _sample(image: Fields, root: Path, named: NamedFiles, attribute: str | None, gathered: Gathered) -> Sample:
    path = gathered.mention(named.find(image.text("filename"), source=image.file))
    objects = []
    for region in _regions(image):
        points = _outline(region.inner("shape_attributes"), gathered.counts)
        if points is not None:
            objects.append(LabelledObject(_class(region, attribute), Polygons(((points,),))))
    split = gathered.split_of(image.file, root, by_own_name=True)
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
