"""Cityscapes: id maps or polygons under gtFine (or gtCoarse), images under leftImg8bit."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from easyseg.data.formats.annotation_files import Fields, annotation_files, split_of_path
from easyseg.data.formats.gathering import Gathered
from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.scanning import image_folder, list_files, list_images
from easyseg.errors import FormatError, SampleError
from easyseg.structures import IGNORE_INDEX, ClassMap, Color, LabelledObject, NumberedObjects, Polygons, Sample

NAME = "cityscapes"
LOOKS_FOR = "*_gtFine_labelIds.png, *_gtFine_labelTrainIds.png or *_gtFine_polygons.json, as Cityscapes has them"
OVERRULES = ("folders",)


class Label(NamedTuple):
    """A label of Cityscapes.

    Attributes:
        name: its name.
        id: its value in labelIds files.
        train_id: its value in labelTrainIds files; 255: it is not evaluated.
        has_instances: whether its objects are told apart.
        color: its RGB colour.
    """

    name: str
    id: int
    train_id: int
    has_instances: bool
    color: Color


LABELS = (
    Label("unlabeled", 0, 255, False, (0, 0, 0)),
    Label("ego vehicle", 1, 255, False, (0, 0, 0)),
    Label("rectification border", 2, 255, False, (0, 0, 0)),
    Label("out of roi", 3, 255, False, (0, 0, 0)),
    Label("static", 4, 255, False, (0, 0, 0)),
    Label("dynamic", 5, 255, False, (111, 74, 0)),
    Label("ground", 6, 255, False, (81, 0, 81)),
    Label("road", 7, 0, False, (128, 64, 128)),
    Label("sidewalk", 8, 1, False, (244, 35, 232)),
    Label("parking", 9, 255, False, (250, 170, 160)),
    Label("rail track", 10, 255, False, (230, 150, 140)),
    Label("building", 11, 2, False, (70, 70, 70)),
    Label("wall", 12, 3, False, (102, 102, 156)),
    Label("fence", 13, 4, False, (190, 153, 153)),
    Label("guard rail", 14, 255, False, (180, 165, 180)),
    Label("bridge", 15, 255, False, (150, 100, 100)),
    Label("tunnel", 16, 255, False, (150, 120, 90)),
    Label("pole", 17, 5, False, (153, 153, 153)),
    Label("polegroup", 18, 255, False, (153, 153, 153)),
    Label("traffic light", 19, 6, False, (250, 170, 30)),
    Label("traffic sign", 20, 7, False, (220, 220, 0)),
    Label("vegetation", 21, 8, False, (107, 142, 35)),
    Label("terrain", 22, 9, False, (152, 251, 152)),
    Label("sky", 23, 10, False, (70, 130, 180)),
    Label("person", 24, 11, True, (220, 20, 60)),
    Label("rider", 25, 12, True, (255, 0, 0)),
    Label("car", 26, 13, True, (0, 0, 142)),
    Label("truck", 27, 14, True, (0, 0, 70)),
    Label("bus", 28, 15, True, (0, 60, 100)),
    Label("caravan", 29, 255, True, (0, 0, 90)),
    Label("trailer", 30, 255, True, (0, 0, 110)),
    Label("train", 31, 16, True, (0, 80, 100)),
    Label("motorcycle", 32, 17, True, (0, 0, 230)),
    Label("bicycle", 33, 18, True, (119, 11, 32)),
    Label("license plate", -1, 255, False, (0, 0, 142)),
)
"""The 35 labels of the dataset's paper (Cordts et al. 2016) in the order of their ids."""

_CLASSES = tuple(label for label in LABELS if label.train_id != IGNORE_INDEX)
_BY_NAME = {label.name: label for label in LABELS}
_NOT_DRAWN = "license plate"  # it lies on a car, which stays
_ANNOTATION = re.compile(r"^(.+)_(gtFine|gtCoarse)_(labelIds|labelTrainIds|instanceIds|polygons)$")
_OF_LABELS = re.compile(r"_(gtFine|gtCoarse)_[A-Za-z]+$")  # also pictures of the labels for people
_LEVELS = ("gtFine", "gtCoarse")
_KINDS = ("labelIds", "labelTrainIds", "polygons")
_IMAGE = "_leftImg8bit"
_NUMBERS_PER_CLASS = 1000
_GROUP = "group"


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there are files of Cityscapes' names."""
    return path.is_dir() and annotations is None and bool(_annotations(path))


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """List the images with their masks, of id maps where there are some, else drawn from polygons.

    The 19 classes that Cityscapes evaluates count; all other pixels do not.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not found below `path`.
        masks: not needed by this format.
        options: what happens to broken samples.

    Raises:
        FormatError: there are no annotation files.
        SampleError: an image is missing, or a file of polygons malformed.
    """
    found = _annotations(path)
    if not found:
        raise FormatError(f"{path}: no annotation files found. Expected {LOOKS_FOR}.")
    listed = list_images(image_folder(path, images))
    pictures = {file.stem.removesuffix(_IMAGE): file for file in listed if _OF_LABELS.search(file.stem) is None}
    # one kind for all images, the most exact of those that every image has
    kind = next((kind for kind in _KINDS if all(kind in files for files in found.values())), None)
    if kind is None:
        raise FormatError(
            f"{path}: neither labelIds nor labelTrainIds nor polygons are there for all {len(found)} annotated images. "
            "Add the missing files of one kind."
        )
    gathered = Gathered(NAME, path, options)
    for key, files in found.items():
        if key in pictures:
            gathered.mention(pictures[key])
        try:
            gathered.add(_sample(key, files, kind, pictures, path), files[kind])
        except SampleError as error:
            options.bad_samples.add(error)
    drawn = kind == "polygons"
    notes = ("Only the 19 classes that Cityscapes evaluates count.",)
    return gathered.layout(
        [label.name for label in LABELS],
        notes=(*notes, "Polygons are drawn in the order of the file, later ones on top.") if drawn else notes,
        labels="objects" if drawn else "masks",
        class_map=_class_map(kind),
        uncovered="ignore",
        images=pictures.values(),
    )


def _annotations(root: Path) -> dict[str, dict[str, Path]]:
    """Return the annotation files of each image by their kind: the fine ones, else the coarse ones."""
    found: dict[str, dict[str, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    for file in (*list_files(root, (".png",)), *annotation_files(root, ".json", None)):
        match = _ANNOTATION.match(file.stem)
        if match is not None:
            found[match[1]][match[2]].setdefault(match[3], file)
    # never some kinds of the one and some of the other: they do not say the same
    chosen = {}
    for key, levels in sorted(found.items()):
        has_mask = [level for level in _LEVELS if not levels[level].keys().isdisjoint(_KINDS)]
        chosen[key] = levels[has_mask[0] if has_mask else _LEVELS[0]]
    return chosen


def _sample(key: str, files: dict[str, Path], kind: str, pictures: dict[str, Path], root: Path) -> Sample:
    if key not in pictures:
        raise SampleError(files[kind], f"its image, {key}{_IMAGE}.png, is missing. Add it, or type images='...'.")
    split = split_of_path(files[kind], root)
    numbers = None
    if "instanceIds" in files:
        things = {label.id: label.name for label in _CLASSES if label.has_instances}
        numbers = NumberedObjects(files["instanceIds"], None, things, _NUMBERS_PER_CLASS)
    if kind != "polygons":
        return Sample(pictures[key], files[kind], split, NAME, objects=numbers)
    content = Fields.of_file(files[kind])
    size_hw = content.size_hw("imgHeight", "imgWidth")
    return Sample(pictures[key], None, split, NAME, objects=tuple(_objects(content)), size_hw=size_hw)


def _objects(content: Fields) -> list[LabelledObject]:
    found = []
    for record in content.records("objects"):
        if record.flag("deleted"):
            continue
        label = record.text("label")
        is_group = label not in _BY_NAME and label.endswith(_GROUP)
        name = label.removesuffix(_GROUP) if is_group else label
        if name not in _BY_NAME:
            raise record.error(f"label is {label!r}, which is none of Cityscapes' 35 labels. Correct or delete it.")
        if name == _NOT_DRAWN:
            continue
        points = record.points(record.values.get("polygon"), "polygon")
        has_instances = _BY_NAME[name].has_instances
        found.append(LabelledObject(name, Polygons(((points,),)), is_group and has_instances, not has_instances))
    return found


def _class_map(kind: str) -> ClassMap:
    names, colors = tuple(label.name for label in _CLASSES), tuple(label.color for label in _CLASSES)
    note = "the 19 classes that Cityscapes evaluates; all others do not count"
    if kind == "polygons":
        others: Sequence[str] = [label.name for label in LABELS if label not in _CLASSES and label.name != _NOT_DRAWN]
        return ClassMap(
            "multiclass",
            names,
            "names",
            colors=colors,
            object_names=tuple((name,) for name in names),
            ignored_names=tuple(others),
            uncovered=IGNORE_INDEX,
            note=note,
        )
    values = tuple(label.id if kind == "labelIds" else label.train_id for label in _CLASSES)
    ignored = tuple(value for value in (*range(max(values) + 1), IGNORE_INDEX) if value not in values)
    return ClassMap("multiclass", names, values=values, ignored=ignored, colors=colors, note=note)
