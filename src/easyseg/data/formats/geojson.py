"""GeoJSON outlines on GeoTIFF rasters: buildings, fields, roads on satellite pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.data.formats.annotation_files import (
    Fields,
    files_with_keys,
    in_order,
    missing_annotations,
    shown,
    split_of_path,
)
from easyseg.data.formats.folder_names import image_stem_keys, mask_stem_keys
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.scanning import image_folder, list_files
from easyseg.errors import FormatError, SampleError
from easyseg.io.rasters import Raster, read_raster, to_pixels
from easyseg.structures import ImageWindow, LabelledObject, Points, Polygons, Sample
from easyseg.structures.objects import UNNAMED

NAME = "geojson"
LOOKS_FOR = "GeoJSON files with features, and GeoTIFF rasters that they lie on"
OVERRULES = ("folders",)

WINDOW_SIDE = 1024
"""Rasters of more than 2048 x 2048 pixels are read in windows of so many rows and columns."""
_MOST_WHOLE_PIXELS = 2048 * 2048

_SUFFIXES = (".geojson", ".json")
_RASTERS = (".tif", ".tiff")
_USUAL_PROPERTIES = ("class", "label", "category", "name", "type", "class_name", "classification")
_WGS84 = "OGC:CRS84"
_LEFT_OUT = "Features without an area (points, lines, none) left out"


@dataclass(frozen=True, slots=True)
class _Feature:
    """A feature of a GeoJSON file, one object: its class, and its outlines with their holes in the file's system."""

    class_name: str
    parts: tuple[tuple[Points, ...], ...]


@dataclass(frozen=True, slots=True)
class _Collection:
    """The features of a GeoJSON file and the coordinate system they are in; empty: where the file does not say."""

    file: Path
    features: tuple[_Feature, ...]
    crs: str


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are GeoJSON files and TIFF files, judged by names and keys."""
    return path.is_dir() and bool(_files(path, annotations)) and bool(list_files(path, _RASTERS))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the rasters with the objects that lie on them; large ones in windows.

    Where each GeoJSON file has the name of a raster, they belong together; else every feature counts on every raster
    that it lies on. Coordinates are brought from the files' system to the raster's; on a raster without one they are
    taken for pixels.

    Args:
        path: the dataset's folder.
        images: the folder of the rasters, where they are not found below `path`.
        masks: not needed by this format.
        options: which files, which property holds the class, and what happens to broken samples.

    Raises:
        MissingExtraError: rasterio is not installed.
        FormatError: there are no GeoJSON files, no rasters, or no feature lies on one.
        SampleError: a file is malformed.
    """
    files = _files(path, options.annotations)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    rasters = list_files(folder, _RASTERS)
    if not rasters:
        raise FormatError(f"{path}: no GeoTIFF rasters found. Expected {LOOKS_FOR}. Type images='...'.")
    gathered = Gathered(NAME, folder, options)
    contents = {file: Fields.of_file(file) for file in files}
    key, remark = _class_property(contents.values(), options.class_attribute)
    collections = [_collection(content, key, gathered.counts) for content in contents.values()]
    of_raster = _by_raster(rasters, collections)
    for file in rasters:
        try:
            raster = read_raster(file)
            objects = _objects(raster, of_raster[file])
            for sample in _samples(raster, objects, folder, gathered.counts):
                gathered.add_part(sample)
        except SampleError as error:
            options.bad_samples.add(error)
    if not any(sample.objects for sample in gathered.samples):
        raise FormatError(
            f"{path}: none of the {sum(len(each.features) for each in collections)} features lies on one of the "
            f"{len(rasters)} rasters. Check that they show the same place, and the features' coordinate system."
        )
    drawn = "Objects are drawn in the order of the file, later ones on top."
    return gathered.layout(in_order(gathered.class_names()), notes=(drawn, remark))


def _files(root: Path, annotations: str | None) -> list[Path]:
    return [
        file
        for suffix in _SUFFIXES
        for file in files_with_keys(root, annotations, lambda keys: {"features", "geometry"} <= keys, suffix=suffix)
    ]


def _class_property(contents: Iterable[Fields], wanted: str | None) -> tuple[str | None, str]:
    """Return the property that holds the class, None where there is none, and a line for people."""
    used: Counter[str] = Counter()
    for content in contents:
        for record in content.records("features"):
            used.update(name for name, value in record.inner("properties").values.items() if _is_class(value))
    if wanted is not None and wanted not in used:
        raise FormatError(
            f"class_attribute={wanted!r}: no feature has this property. There are: {', '.join(used) or 'none'}."
        )
    usual = [name for word in _USUAL_PROPERTIES for name in used if name.lower() == word]
    chosen = wanted or (usual[0] if usual else None)
    if chosen is not None:
        return chosen, f"The class is the features' property {chosen!r}."
    others = f" Properties are {', '.join(map(repr, list(used)[:8]))}." if used else ""
    return None, f"All features are of one class, {UNNAMED!r}.{others} For another one, type class_attribute='name'."


def _is_class(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= 200


def _collection(content: Fields, key: str | None, counts: Counter[str]) -> _Collection:
    features = []
    for record in content.records("features"):
        parts = _parts(record)
        if not parts:
            counts[_LEFT_OUT] += 1
            continue
        features.append(_Feature(_class(record, key), parts))
    name = content.inner("crs").inner("properties").text("name", "")
    return _Collection(content.file, tuple(features), name)


def _class(record: Fields, key: str | None) -> str:
    if key is None:
        return UNNAMED
    value = record.inner("properties").values.get(key)
    if not _is_class(value):
        raise record.error(f"the property {key!r} is {shown(value)}; expected the class of the feature.")
    return str(value).strip()


def _parts(record: Fields) -> tuple[tuple[Points, ...], ...]:
    """Return a feature's outlines with their holes; none where it has no area."""
    geometry = record.inner("geometry")
    kind = geometry.text("type", "none")
    coordinates = geometry.items("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates if kind == "MultiPolygon" else []
    found = []
    for polygon in polygons:
        if not isinstance(polygon, list):
            raise geometry.error(f"a polygon is {shown(polygon)}; expected a list of rings. Export the file again.")
        rings = [geometry.points(_flat(ring), "a ring of coordinates", most=1e8) for ring in polygon]
        if rings:
            found.append(tuple(_open(ring) for ring in rings))
    return tuple(found)


def _flat(ring: Any) -> Any:
    """Leave out heights: points may be [x, y, z]."""
    if not isinstance(ring, list):
        return ring
    return [point[:2] if isinstance(point, list) else point for point in ring]


def _open(ring: Points) -> Points:
    """Leave out the last point where it repeats the first."""
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _by_raster(rasters: Sequence[Path], collections: Sequence[_Collection]) -> dict[Path, list[_Collection]]:
    """Return the files that belong to each raster: those of its name, or all of them."""
    stems = {file: set(image_stem_keys(file.stem)) for file in rasters}
    own = {
        file: [each for each in collections if stems[file] & set(mask_stem_keys(each.file.stem))] for file in rasters
    }
    if sum(map(len, own.values())) == len(collections):
        return own
    return {file: list(collections) for file in rasters}


def _objects(raster: Raster, collections: Sequence[_Collection]) -> list[LabelledObject]:
    """Return the features that reach into a raster, in its pixels."""
    found = []
    for collection in collections:
        rings = [ring for feature in collection.features for part in feature.parts for ring in part]
        if not rings:
            continue
        pixels = iter(to_pixels(raster, rings, source_crs=collection.crs or _WGS84, file=collection.file))
        for feature in collection.features:
            parts = tuple(tuple(next(pixels) for _ in part) for part in feature.parts)
            if _reaches(parts, 0, 0, raster.size_hw):
                found.append(LabelledObject(feature.class_name, Polygons(parts)))
    return found


def _samples(raster: Raster, objects: Sequence[LabelledObject], root: Path, counts: Counter[str]) -> Iterator[Sample]:
    """Yield the raster's sample; of a large one, one for each window."""
    height, width = raster.size_hw
    split = split_of_path(raster.path, root)
    if height * width <= _MOST_WHOLE_PIXELS:
        image = raster.path if raster.is_plain else ImageWindow(raster.path, 0, 0, raster.size_hw)
        yield Sample(image, None, split, NAME, objects=tuple(objects), size_hw=raster.size_hw)
        return
    counts[f"Large rasters, read in windows of {WINDOW_SIDE} x {WINDOW_SIDE} pixels"] += 1
    for top in range(0, height, WINDOW_SIDE):
        for left in range(0, width, WINDOW_SIDE):
            size_hw = (min(WINDOW_SIDE, height - top), min(WINDOW_SIDE, width - left))
            inside = [_moved(item, left, top) for item in objects if _reaches(_parts_of(item), left, top, size_hw)]
            window = ImageWindow(raster.path, left, top, size_hw)
            yield Sample(window, None, split, NAME, objects=tuple(inside), size_hw=size_hw)


def _parts_of(item: LabelledObject) -> tuple[tuple[Points, ...], ...]:
    return item.shape.parts if isinstance(item.shape, Polygons) else ()


def _reaches(parts: tuple[tuple[Points, ...], ...], left: int, top: int, size_hw: tuple[int, int]) -> bool:
    """Return whether an object's box meets a window."""
    low = np.min([part[0].min(axis=0) for part in parts], axis=0)
    high = np.max([part[0].max(axis=0) for part in parts], axis=0)
    return bool(low[0] < left + size_hw[1] and high[0] > left and low[1] < top + size_hw[0] and high[1] > top)


def _moved(item: LabelledObject, left: int, top: int) -> LabelledObject:
    corner = np.array([left, top], np.float64)
    parts = tuple(tuple(ring - corner for ring in part) for part in _parts_of(item))
    return LabelledObject(item.class_name, Polygons(parts))
