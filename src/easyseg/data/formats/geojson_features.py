"""The features of GeoJSON files: their classes, their outlines, and where they lie in another coordinate system."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.annotation_files import Fields, shown
from easyseg.errors import FormatError, SampleError
from easyseg.io.rasters import brought_to
from easyseg.structures import Points
from easyseg.structures.objects import UNNAMED

Boxes = npt.NDArray[np.float64]
"""(N, 4) x1, y1, x2, y2."""

_USUAL_PROPERTIES = ("class", "label", "category", "name", "type", "class_name", "classification")
_LEAST_FILLED = 0.9
"""A property that fewer of the features have is no class: of a town's buildings, some have a name."""
_MOST_RARE_CLASSES = 20
"""More values than this are classes only where most of them stand in several features."""
_LARGEST_CLASS = 1_000_000
_WGS84 = "OGC:CRS84"
_LEFT_OUT = "Features without an area (points, lines, none) left out"


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """The features of a GeoJSON file, each an object.

    Attributes:
        file: the file.
        crs: the coordinate system it says, empty where it says none.
        class_names: the class of each feature.
        rings: of each feature the regions, each an outline and the holes in it, as places in `points`.
        starts: (N,) the first of each feature's points.
        points: (K, 2) float64 x, y of all outlines one after another.
    """

    file: Path
    crs: str
    class_names: tuple[str, ...]
    rings: tuple[tuple[tuple[slice, ...], ...], ...]
    starts: npt.NDArray[np.int64]
    points: Points

    def in_system(self, crs: str) -> Placed:
        """Return the features in the coordinate system of a raster; empty: as they are.

        Raises:
            SampleError: the coordinates are of another system than the file says, or cannot be brought to it.
        """
        if not self.class_names:
            return Placed(self, self.points, np.zeros((0, 4)))
        points = self.points
        if crs:
            self._refuse_other_system()
            points = brought_to(points, self.crs or _WGS84, crs, file=self.file)
        boxes = np.hstack([np.minimum.reduceat(points, self.starts), np.maximum.reduceat(points, self.starts)])
        return Placed(self, points, boxes)

    def _refuse_other_system(self) -> None:
        x, y = np.abs(self.points).max(axis=0).tolist()
        if not self.crs and (x > 360 or y > 90):  # some count longitudes from 0 to 360
            raise SampleError(
                self.file,
                f"its coordinates, up to {x:,.0f} and {y:,.0f}, are not longitude and latitude, and the file does not "
                "say their system. Export it in longitude and latitude (EPSG:4326), or write the system into it, such "
                'as "crs": {"type": "name", "properties": {"name": "EPSG:32633"}}.',
            )


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Features in a coordinate system.

    Attributes:
        collection: the features.
        points: (K, 2) float64, as in the collection.
        boxes: around each feature; infinite where the system has no place for it.
    """

    collection: Collection
    points: Points
    boxes: Boxes

    def outlines(self, at: int) -> list[list[Points]]:
        """Return a feature's regions, each an outline and the holes in it."""
        return [[self.points[ring] for ring in part] for part in self.collection.rings[at]]


def meeting(boxes: Boxes, x1: float, y1: float, x2: float, y2: float) -> list[int]:
    """Return the numbers of the boxes that reach into a rectangle."""
    is_meeting = (boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
    return np.flatnonzero(is_meeting).tolist()


def read_collections(files: Sequence[Path], wanted: str | None, counts: Counter[str]) -> tuple[list[Collection], str]:
    """Read GeoJSON files.

    Args:
        files: the files.
        wanted: the property that holds the class; None: the one that looks like it.
        counts: how many features have no area is added here.

    Returns:
        the files' features, and a line for people on their classes.

    Raises:
        FormatError: no feature has the property wanted.
        SampleError: a file or a feature is malformed.
    """
    contents = [Fields.of_file(file) for file in files]
    features = [_with_area(content, counts) for content in contents]
    key, remark = _class_property([record for found in features for record, _ in found], wanted)
    return [_collection(content, found, key) for content, found in zip(contents, features, strict=True)], remark


def _with_area(content: Fields, counts: Counter[str]) -> list[tuple[Fields, list[list[Points]]]]:
    """Return the features that cover something, each with its regions."""
    found = []
    for record in content.records("features"):
        parts = _parts(record)
        if parts:
            found.append((record, parts))
        else:
            counts[_LEFT_OUT] += 1
    return found


def _collection(content: Fields, found: Iterable[tuple[Fields, list[list[Points]]]], key: str | None) -> Collection:
    names, rings, starts, points, count = [], [], [], [np.zeros((0, 2))], 0
    for record, parts in found:
        names.append(_class(record, key))
        starts.append(count)
        places = []
        for part in parts:
            ends = (count + np.cumsum([len(ring) for ring in part])).tolist()
            places.append(tuple(slice(start, end) for start, end in zip([count, *ends], ends, strict=False)))
            points += part
            count = ends[-1]
        rings.append(tuple(places))
    crs = content.inner("crs").inner("properties").text("name", "")
    place = np.array(starts, np.int64)
    return Collection(content.file, crs, tuple(names), tuple(rings), place, np.concatenate(points))


def _class_property(records: Sequence[Fields], wanted: str | None) -> tuple[str | None, str]:
    """Return the property that holds the class, None where there is none, and a line for people."""
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for name, value in record.inner("properties").values.items():
            text = _class_name(value)
            if text is not None:
                values[name][text] += 1
    if wanted is not None and wanted not in values:
        raise FormatError(
            f"class_attribute={wanted!r}: no feature has this property. There are: {', '.join(values) or 'none'}."
        )
    filled = [name for name, found in values.items() if found.total() >= _LEAST_FILLED * len(records)]
    usual = [name for word in _USUAL_PROPERTIES for name in filled if name.lower() == word and _is_class(values[name])]
    chosen = wanted or (usual[0] if usual else None)
    if chosen is not None:
        return chosen, f"The class is the features' property {chosen!r}."
    return None, _of_one_class({name: values[name] for name in filled}, values)


def _of_one_class(filled: Mapping[str, Counter[str]], values: Mapping[str, Counter[str]]) -> str:
    # a property that differs in every feature is a number or an address
    varying = [name for name, found in filled.items() if 1 < len(found) < found.total()]
    if varying:
        name, found = varying[0], filled[varying[0]]
        some = ", ".join(text[:40] for text, _ in found.most_common(4))
        return (
            f"Note: all features are of one class, {UNNAMED!r}, though the property {name!r} has {len(found)} values, "
            f"such as {some}. If they are classes, type class_attribute={name!r}."
        )
    others = f" Properties are {', '.join(map(repr, list(values)[:8]))}." if values else ""
    return f"All features are of one class, {UNNAMED!r}.{others} For another one, type class_attribute='name'."


def _is_class(found: Counter[str]) -> bool:
    """Return whether values are those of classes, and not the own name of nearly every feature."""
    return len(found) <= max(_MOST_RARE_CLASSES, found.total() // 2)


def _class_name(value: Any) -> str | None:
    """Return a class of a property's value: a text, or a whole number; None where it is no class."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        is_whole = abs(value) <= _LARGEST_CLASS and value == int(value)
        return str(int(value)) if is_whole else None
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= 200 else None


def _class(record: Fields, key: str | None) -> str:
    if key is None:
        return UNNAMED
    value = record.inner("properties").values.get(key)
    name = _class_name(value)
    if name is None:
        raise record.error(
            f"the property {key!r} is {shown(value)}; expected the class of the feature. Correct it, or type "
            "class_attribute='...' with another property."
        )
    return name


def _parts(record: Fields) -> list[list[Points]]:
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
            found.append([_open(ring) for ring in rings])
    return found


def _flat(ring: Any) -> Any:
    """Leave out heights: points may be [x, y, z]."""
    if not isinstance(ring, list):
        return ring
    return [point[:2] if isinstance(point, list) else point for point in ring]


def _open(ring: Points) -> Points:
    """Leave out the last point where it repeats the first."""
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring
