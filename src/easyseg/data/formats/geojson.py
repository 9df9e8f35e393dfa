"""GeoJSON outlines on GeoTIFF rasters: buildings, fields, roads on satellite pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from easyseg.data.formats.annotation_files import files_with_keys, in_order, missing_annotations, split_of_path
from easyseg.data.formats.folder_names import folder_meaning, image_stem_keys, mask_stem_keys
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.geojson_features import Boxes, Collection, Placed, meeting, read_collections
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.places import agree, place_of
from easyseg.data.formats.scanning import image_folder, list_files, list_images, normal_form
from easyseg.errors import FormatError, SampleError
from easyseg.io.images import image_size
from easyseg.io.rasters import Raster, bounds, read_raster, to_pixels
from easyseg.structures import ImageWindow, LabelledObject, Points, Polygons, Sample

NAME = "geojson"
LOOKS_FOR = "GeoJSON files with features, and GeoTIFF rasters that they lie on, or pictures of the same names"
OVERRULES = ("folders",)

WINDOW_SIDE = 1024
"""Rasters of more than 2048 x 2048 pixels are read in windows of so many rows and columns."""
_MOST_WHOLE_PIXELS = 2048 * 2048

_SUFFIXES = (".geojson", ".json")
_RASTERS = (".tif", ".tiff")
_BEYOND = "Features that reach to where a raster's coordinate system ends left out"
_Files = Mapping[Path, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class _Matches:
    """Which GeoJSON files belong to which rasters.

    Attributes:
        files_of: the files of each raster that has some of its own; none where no file has a raster's name.
        shared: files that may belong to several rasters: those that their coordinates lie on.
        orphans: files that belong to no raster, where others do.
    """

    files_of: _Files
    shared: frozenset[Path]
    orphans: tuple[Path, ...]


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are GeoJSON files, and TIFF files or images of their names, judged by names and keys."""
    files = _files(path, annotations) if path.is_dir() else []
    return bool(files) and bool(list_files(path, _RASTERS) or _matches(list_images(path), path, files, path).files_of)


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the rasters with the objects that lie on them; large ones in windows.

    A GeoJSON file that has the name of a raster belongs to it. Where none has, every feature counts on every raster
    that it lies on. Coordinates are brought from the files' system to the raster's; on a raster without one they are
    taken for pixels.

    Args:
        path: the dataset's folder.
        images: the folder of the rasters, where they are not found below `path`.
        masks: not needed by this format.
        options: which files, which property holds the class, and what happens to broken samples.

    Raises:
        MissingExtraError: rasterio is not installed.
        FormatError: there are no GeoJSON files, no rasters, no feature lies on one, or it is not clear on which.
        SampleError: a file is malformed.
    """
    files = _files(path, options.annotations)
    if not files:
        raise missing_annotations(path, options.annotations, LOOKS_FOR)
    folder = image_folder(path, images)
    pictures = _pictures(folder)
    if not pictures:
        raise FormatError(f"{path}: no GeoTIFF rasters found. Expected {LOOKS_FOR}. Type images='...'.")
    gathered = Gathered(NAME, folder, options)
    collections, remark = read_collections(files, options.class_attribute, gathered.counts)
    matches = _matches(pictures, folder, files, path)
    others = [picture for picture in pictures if matches.files_of and picture not in matches.files_of]
    is_taken = options.unlabelled == "background"
    wanted = [picture for picture in pictures if is_taken or picture not in others]
    rasters = _readable(wanted, options)
    _refuse_unknown_places(path, rasters, matches)
    placed = _Placing(collections, matches)
    for raster in rasters:
        try:
            objects = placed.objects(raster, gathered.counts)
            for sample in _samples(raster, objects, folder, gathered.counts):
                gathered.add_part(sample)
        except SampleError as error:
            options.bad_samples.add(error)
    if not any(sample.objects for sample in gathered.samples):
        raise FormatError(
            f"{path}: none of the {sum(len(each.class_names) for each in collections)} features lies on one of the "
            f"{len(rasters)} rasters. Check that they show the same place, and the features' coordinate system."
        )
    drawn = "Objects are drawn in the order of the file, later ones on top."
    notes = (drawn, remark, _told(matches.orphans))
    return gathered.layout(in_order(gathered.class_names()), notes=notes, images=() if is_taken else others)


def _files(root: Path, annotations: str | None) -> list[Path]:
    return [
        file
        for suffix in _SUFFIXES
        for file in files_with_keys(root, annotations, lambda keys: {"features", "geometry"} <= keys, suffix=suffix)
    ]


def _pictures(folder: Path) -> list[Path]:
    """Return the rasters, else all images; those in folders of masks only where there are no others."""
    found = list_files(folder, _RASTERS) or list_images(folder)
    return [
        file
        for file in found
        if all(folder_meaning(part).role != "mask" for part in file.relative_to(folder).parts[:-1])
    ] or found


def _matches(pictures: Sequence[Path], folder: Path, files: Sequence[Path], root: Path) -> _Matches:
    """Match files to rasters by their names, and by their folders where several rasters have one name."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for picture in pictures:
        for key in image_stem_keys(normal_form(picture.stem)):
            by_stem[key].append(picture)
    files_of: dict[Path, list[Path]] = defaultdict(list)
    shared, orphans = set(), []
    for file in files:
        namesakes = next((by_stem[key] for key in mask_stem_keys(normal_form(file.stem)) if key in by_stem), [])
        place = place_of(file, root)
        own = (
            [picture for picture in namesakes if picture.parent == file.parent]
            or [picture for picture in namesakes if place_of(picture, folder) == place]
            or [picture for picture in namesakes if agree(place_of(picture, folder), place)]
        )
        for picture in own:
            files_of[picture].append(file)
        if len(own) > 1:
            shared.add(file)
        if not own:
            orphans.append(file)
    return _Matches(files_of, frozenset(shared), tuple(orphans) if files_of else ())


def _readable(pictures: Iterable[Path], options: ReadOptions) -> list[Raster]:
    found = []
    for file in pictures:
        try:
            found.append(read_raster(file) if file.suffix.lower() in _RASTERS else _picture(file))
        except SampleError as error:
            options.bad_samples.add(error)
    return found


def _picture(file: Path) -> Raster:
    """Return an image that lies nowhere on the earth: coordinates on it are pixels."""
    return Raster(file, image_size(file), is_plain=True, crs="", to_crs=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


def _refuse_unknown_places(root: Path, rasters: Sequence[Raster], matches: _Matches) -> None:
    """Refuse files that may belong to several rasters of which one does not say where on the earth it lies."""
    for raster in rasters:
        files = matches.files_of.get(raster.path, ()) if matches.files_of else ()
        is_shared = not matches.files_of and len(rasters) > 1
        if not raster.crs and (is_shared or any(file in matches.shared for file in files)):
            raise FormatError(
                f"{root}: {raster.path.name} has no coordinate system, so it is not known which GeoJSON file belongs "
                "to it. Give each file the name of its raster, in the same folder."
            )


def _told(orphans: Sequence[Path]) -> str:
    if not orphans:
        return ""
    listed = ", ".join(file.name for file in orphans[:4])
    return f"GeoJSON files that have the name of no raster left out: {len(orphans)}, such as {listed}."


class _Placing:
    """The features of all files on one raster after another; those of a file are brought to each system once."""

    def __init__(self, collections: Sequence[Collection], matches: _Matches) -> None:
        self._collections = {collection.file: collection for collection in collections}
        self._matches = matches
        self._placed: dict[tuple[Path, str], Placed] = {}

    def objects(self, raster: Raster, counts: Counter[str]) -> list[LabelledObject]:
        """Return the objects whose boxes reach into a raster, in its pixels."""
        files = self._matches.files_of.get(raster.path, ()) if self._matches.files_of else self._collections
        found = []
        for file in files:
            placed = self._of(file, raster.crs)
            for at in meeting(placed.boxes, *bounds(raster)):
                if not np.isfinite(placed.boxes[at]).all():
                    counts[_BEYOND] += 1
                    continue
                parts = tuple(tuple(to_pixels(raster, ring) for ring in part) for part in placed.outlines(at))
                found.append(LabelledObject(placed.collection.class_names[at], Polygons(parts)))
        return found

    def _of(self, file: Path, crs: str) -> Placed:
        if (file, crs) not in self._placed:
            self._placed[file, crs] = self._collections[file].in_system(crs)
        return self._placed[file, crs]


def _samples(raster: Raster, objects: Sequence[LabelledObject], root: Path, counts: Counter[str]) -> Iterator[Sample]:
    """Yield the raster's sample; of a large one, one for each window."""
    height, width = raster.size_hw
    split = split_of_path(raster.path, root)
    boxes = _boxes(objects)
    if height * width <= _MOST_WHOLE_PIXELS:
        image = raster.path if raster.is_plain else ImageWindow(raster.path, 0, 0, raster.size_hw)
        inside = tuple(objects[at] for at in meeting(boxes, 0, 0, width, height))
        yield Sample(image, None, split, NAME, objects=inside, size_hw=raster.size_hw)
        return
    counts[f"Large rasters, read in windows of {WINDOW_SIDE} x {WINDOW_SIDE} pixels"] += 1
    for top in range(0, height, WINDOW_SIDE):
        for left in range(0, width, WINDOW_SIDE):
            size_hw = (min(WINDOW_SIDE, height - top), min(WINDOW_SIDE, width - left))
            inside = tuple(
                _moved(objects[at], left, top) for at in meeting(boxes, left, top, left + size_hw[1], top + size_hw[0])
            )
            window = ImageWindow(raster.path, left, top, size_hw)
            yield Sample(window, None, split, NAME, objects=inside, size_hw=size_hw)


def _boxes(objects: Sequence[LabelledObject]) -> Boxes:
    """Return the box around each object, (N, 4) float64 pixel x1, y1, x2, y2."""
    found = np.zeros((len(objects), 4))
    for at, item in enumerate(objects):
        points = np.concatenate([ring for part in _parts_of(item) for ring in part])
        found[at, :2], found[at, 2:] = points.min(axis=0), points.max(axis=0)
    return found


def _parts_of(item: LabelledObject) -> tuple[tuple[Points, ...], ...]:
    return item.shape.parts if isinstance(item.shape, Polygons) else ()


def _moved(item: LabelledObject, left: int, top: int) -> LabelledObject:
    corner = np.array([left, top], np.float64)
    parts = tuple(tuple(ring - corner for ring in part) for part in _parts_of(item))
    return LabelledObject(item.class_name, Polygons(parts))
