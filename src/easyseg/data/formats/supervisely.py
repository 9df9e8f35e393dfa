"""Supervisely projects: meta.json, and in each of its datasets img/ and ann/."""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter
from pathlib import Path

import numpy as np

from easyseg.data.formats.annotation_files import (
    Fields,
    annotation_files,
    in_order,
    missing_annotations,
    rectangle_points,
    split_of_path,
)
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.formats.scanning import image_folder, list_images, peeked
from easyseg.errors import DataError, SampleError
from easyseg.io.json_files import keys_of
from easyseg.io.packed import as_bitmap, is_bitmap, unpacked
from easyseg.structures import LabelledObject, MaskPart, Points, Polygons, Sample

NAME = "supervisely"
LOOKS_FOR = (
    "meta.json, and folders of img/ and ann/*.json with classTitle and points or bitmap, as Supervisely has them"
)
OVERRULES = ("folders",)

_FOLDER = "ann"
_META = "meta.json"
_LEFT_OUT = "Objects without an area (points, lines, graphs) left out"
_WITHOUT_AREA = ("point", "line", "polyline", "graph", "any")
_NOT_DRAWN = "Objects that no mask can be drawn of (cuboids, ellipses, volumes) left out"
_WITHOUT_OUTLINE = ("cuboid", "cuboid_2d", "cuboid_3d", "ellipse", "mask_3d", "bitmap_3d", "multichannelBitmap")
_PNG = b"\x89PNG"


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a folder ann/ with Supervisely's files, by a look at a few of them."""
    return path.is_dir() and any(map(_is_annotation, peeked(_files(path, annotations))))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their objects, drawn in the order of the file.

    Args:
        path: the project's folder, or that of one of its datasets.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: which annotation files, images without any, and what happens to broken samples.

    Raises:
        FormatError: there are no annotation files.
        SampleError: a file or an object in it is malformed, or an image is missing.
    """
    files = _files(path, options.annotations)
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
    names = tuple(dict.fromkeys((*_titles(path), *in_order(gathered.class_names()))))
    drawn = "Objects are drawn in the order of the file, later ones on top."
    return gathered.layout(names, images=listed, notes=(drawn,), names_source=_META)


def _files(root: Path, annotations: str | None) -> list[Path]:
    return [file for file in annotation_files(root, ".json", annotations) if file.parent.name == _FOLDER]


def _is_annotation(file: Path) -> bool:
    keys = keys_of(file)
    return "objects" in keys and "size" in keys


def _titles(root: Path) -> list[str]:
    """Return the class names of meta.json, in their order; none where the file is missing."""
    places = (root / _META, root.parent / _META)  # above, where one dataset of a project is read
    file = next((place for place in places if place.is_file()), None)
    return [] if file is None else [record.text("title") for record in Fields.of_file(file).records("classes")]


def _sample(file: Path, root: Path, named: NamedFiles, gathered: Gathered) -> Sample:
    # "street.jpg.json" today, "street.json" in old projects
    image = gathered.mention(_image_beside(file, named))
    content = Fields.of_file(file)
    found = (_object(record, gathered.counts) for record in content.records("objects"))
    objects = [item for item in found if item is not None]
    size_hw = content.inner("size").size_hw("height", "width")
    return Sample(image, None, split_of_path(file, root), NAME, objects=tuple(objects), size_hw=size_hw)


def _image_beside(file: Path, named: NamedFiles) -> Path:
    name = f"{file.parent.parent.name}/img/{file.stem}"
    found = named.find_if_there(name, source=file) or named.find_by_stem(file.stem, source=file)
    return named.find(name, source=file) if found is None else found


def _object(record: Fields, counts: Counter[str]) -> LabelledObject | None:
    title = record.text("classTitle")
    kind = record.text("geometryType", record.text("shape", "bitmap" if record.values.get("bitmap") else "polygon"))
    if kind in _WITHOUT_AREA or kind in _WITHOUT_OUTLINE:
        counts[_LEFT_OUT if kind in _WITHOUT_AREA else _NOT_DRAWN] += 1
        return None
    if kind in ("bitmap", "alpha_mask"):
        return LabelledObject(title, _bitmap(record.inner("bitmap")))
    if kind == "oriented_bbox":
        return LabelledObject(title, Polygons(((_turned_rectangle(record),),)))
    points = record.inner("points")
    exterior = points.points(points.values.get("exterior"), "exterior", least=2)
    if kind == "rectangle":
        return LabelledObject(title, Polygons(((_rectangle(exterior),),)))
    if kind == "polygon":
        holes = [points.points(ring, "interior") for ring in points.items("interior")]
        return LabelledObject(title, Polygons(((exterior, *holes),)))
    raise record.error(f"geometryType is {kind!r}; expected polygon, bitmap or rectangle. Convert or delete it.")


def _rectangle(corners: Points) -> Points:
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return rectangle_points(x1, y1, x2, y2)


def _turned_rectangle(record: Fields) -> Points:
    """Return the corners of a box that is turned about its centre, clockwise as seen on the screen.

    Projects of old have its corners under "exterior" and the angle in degrees, those of today a list of corners and
    radians.
    """
    points, angle = record.values.get("points"), record.number("angle", 0)
    if isinstance(points, dict):
        points, angle = points.get("exterior"), math.radians(angle)
    corners = _rectangle(record.points(points, "points", least=2))
    center = corners.mean(axis=0)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    turned: Points = (corners - center) @ turn + center
    return turned


def _bitmap(record: Fields) -> MaskPart:
    """Return a mask that the file holds as base64 of a PNG file, which is mostly compressed once more."""
    text = record.values.get("data")
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        picture = data if data.startswith(_PNG) else unpacked(data)
        # unpacked only when it is drawn, to save memory, if it says in the usual way what belongs to the object
        is_packed, kept = (picture is not data, data) if is_bitmap(picture) else (False, as_bitmap(picture))
    except (binascii.Error, ValueError) as error:
        raise record.error(f"data is no base64 ({error}). Export the project again.") from error
    except SampleError as error:
        raise record.error(f"data: {error.problem}") from error
    except DataError as error:
        raise record.error(f"data: {error}") from error
    origin = record.points([record.values.get("origin")], "origin")
    left, top = (round(value) for value in origin[0].tolist())
    return MaskPart(kept, offset_xy=(left, top), is_packed=is_packed)
