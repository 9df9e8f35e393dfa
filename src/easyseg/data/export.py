"""Writing a dataset in formats that other tools read, without losing anything."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from easyseg.brightness import ValueRange
from easyseg.data.objects.drawing import single_objects
from easyseg.data.objects.shape_pixels import pixel_parts, shape_mask
from easyseg.data.sequences import annotated_places
from easyseg.data.targets import read_pixels
from easyseg.errors import DataError, OutputError, SampleError
from easyseg.geometry import BoolMask, RunLengths
from easyseg.io import atomic
from easyseg.io.decoding import opened
from easyseg.io.image_sources import source_numbers
from easyseg.io.images import write_image
from easyseg.io.palette_png import write_ids
from easyseg.io.tiff import write_tiff
from easyseg.structures import IGNORE_INDEX, ClassMap, LabelledObject, MaskArray, Polygons, Sample

if TYPE_CHECKING:
    from easyseg.data.dataset import Dataset

_VOID = "__ignore__"
_BACKGROUND = "background"
_ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True)
class _Piece:
    """An annotation to write: category, pixels, whether it is a crowd, and its polygons where these say the same."""

    category: str
    mask: BoolMask
    is_crowd: bool = False
    rings: tuple[Sequence[float], ...] = ()


def write_coco(dataset: Dataset, path: Path) -> Path:
    """Write a dataset as COCO; see `Dataset.to_coco`."""
    is_file = path.suffix.lower() == ".json"
    _refuse_place(dataset, path)
    file = path if is_file else path / _ANNOTATIONS
    places = annotated_places(dataset.samples)
    names = _relative_names(dataset, places) if is_file else _flat_names(dataset, places)
    numbers = {name: at for at, name in enumerate(_category_names(dataset.class_map))}
    used: set[str] = set()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, at in enumerate(places, start=1):
        sample = dataset.samples[at]
        height, width = dataset.size_hw(at)
        if is_file:
            file_name = names[at]
        else:
            file_name = f"images/{_copy_image(sample, path / 'images' / names[at], dataset.value_range).name}"
        images.append({"id": number, "file_name": file_name, "width": width, "height": height, "split": sample.split})
        for piece in _pieces(dataset, at):
            annotations.append(_annotation(piece, len(annotations) + 1, number, numbers[piece.category]))
            used.add(piece.category)
    own = {"draw_order": "file", "uncovered": _uncovered(dataset.class_map), "task": dataset.task}
    optional = {_BACKGROUND, _VOID} - used  # other tools would take them for classes of objects
    content = {
        "info": {"description": dataset.name, "easyseg": own},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items() if name not in optional],
    }
    atomic.write_text(file, json.dumps(content))
    return file


def write_masks(dataset: Dataset, path: Path) -> Path:
    """Write a dataset as folders of images and of masks; see `Dataset.to_masks`."""
    if dataset.task == "multilabel":
        raise OutputError(
            f"{path}: classes that overlap do not fit into one mask per image. Type dataset.to_coco(...)."
        )
    _refuse_place(dataset, path)
    places = annotated_places(dataset.samples)
    names = _flat_names(dataset, places)
    first = 1 if dataset.task == "binary" else 0
    colors = [(0, 0, 0)] * first + list(dataset.class_map.colors)
    for at in places:
        split = dataset.samples[at].split or ""
        _copy_image(dataset.samples[at], path / "images" / split / names[at], dataset.value_range)
        mask_file = (path / "masks" / split / names[at]).with_suffix(".png")
        write_ids(mask_file, dataset.mask(at), colors)
    mapping = {name: at + first for at, name in enumerate(dataset.classes)}
    atomic.write_text(path / "label_mapping.json", json.dumps(mapping, indent=1))
    return path


def _pieces(dataset: Dataset, at: int) -> Iterator[_Piece]:
    """Yield annotations that, drawn one after the other, give exactly the sample's mask and its objects."""
    sample = dataset.samples[at]
    target = dataset.mask(at)
    if dataset.task == "multilabel" and sample.mask is not None:
        yield from _planes(target, dataset.class_map)
        return
    drawn = np.full(target.shape, _uncovered_value(dataset.class_map), np.uint8)
    for piece in _object_pieces(dataset, sample, target):
        yield piece
        if sample.mask is not None:
            drawn[piece.mask] = _value(piece, dataset.class_map)
    if sample.mask is not None:  # what no object covers, or more than the objects say
        for value in np.unique(target[drawn != target]).tolist():
            mask = (target == value) & (drawn != target)
            yield _Piece(_category(value, dataset.class_map), mask, is_crowd=value == IGNORE_INDEX)


def _object_pieces(dataset: Dataset, sample: Sample, target: MaskArray) -> Iterator[_Piece]:
    class_map = dataset.class_map
    class_mask = target if sample.mask is not None else None
    for number, item in enumerate(single_objects(sample, class_map, class_mask)):
        try:
            place = class_map.class_of_object(item.class_name)
            mask = shape_mask(item.shape, target.shape[:2])
        except DataError as error:
            raise SampleError(sample.name, f"object {number}: {error}") from error
        if class_mask is not None:
            mask = mask & (target != _uncovered_value(class_map))
        if place is not None:
            is_void = place == IGNORE_INDEX
            name = _VOID if is_void else class_map.names[place]
            rings = () if class_mask is not None else _rings(item, mask)
            yield _Piece(name, mask, item.is_crowd or is_void, rings)


def _planes(target: MaskArray, class_map: ClassMap) -> Iterator[_Piece]:
    for place, name in enumerate(class_map.names):
        for value, is_crowd in ((IGNORE_INDEX, True), (1, False)):
            mask = target[..., place] == value
            if mask.any():
                yield _Piece(name, mask, is_crowd)


def _rings(item: LabelledObject, mask: BoolMask) -> tuple[Sequence[float], ...]:
    """Return an object's polygons as COCO has them, none where they do not say exactly the same there.

    COCO's tools decide by another rule which pixels at an edge are inside, and know no holes: outlines of other formats
    stay outlines where COCO draws the very same pixels of them, and become run lengths elsewhere.
    """
    shape = item.shape
    if not isinstance(shape, Polygons):
        return ()
    size_hw = (mask.shape[0], mask.shape[1])
    parts = pixel_parts(shape, size_hw)
    if shape.rule != "coco":
        outlines = tuple((part[0],) for part in parts if len(part) == 1 and len(part[0]) >= 3)
        is_same = len(outlines) == len(parts) and np.array_equal(
            shape_mask(Polygons(outlines, rule="coco"), size_hw), mask
        )
        parts = outlines if is_same else ()
    return tuple(ring.ravel().tolist() for part in parts for ring in part)


def _annotation(piece: _Piece, number: int, image: int, category: int) -> dict[str, Any]:
    runs = RunLengths.from_mask(piece.mask)
    x1, y1, x2, y2 = runs.box or (0.0, 0.0, 0.0, 0.0)
    run_lengths = {"size": list(runs.size_hw), "counts": runs.to_compressed()}
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": list(piece.rings) or run_lengths,
        "area": runs.area,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "iscrowd": int(piece.is_crowd),
    }


def _category_names(class_map: ClassMap) -> tuple[str, ...]:
    """Return the categories from 0 on: a background, which has no annotations, the classes, and what does not count."""
    if class_map.task == "multilabel":
        return ("background", *class_map.names, _VOID)
    backgrounds = [name for name in class_map.names if name not in class_map.object_classes]
    return (*(backgrounds or ["background"]), *class_map.object_classes, _VOID)


def _uncovered(class_map: ClassMap) -> str:
    return "ignore" if _uncovered_value(class_map) == IGNORE_INDEX else "background"


def _uncovered_value(class_map: ClassMap) -> int:
    """Return what pixels of no annotation are: where every class is one of objects, there is no background."""
    if class_map.task != "multiclass":
        return 0
    backgrounds = [at for at, name in enumerate(class_map.names) if name not in class_map.object_classes]
    return backgrounds[0] if backgrounds else IGNORE_INDEX


def _category(value: int, class_map: ClassMap) -> str:
    if value == IGNORE_INDEX:
        return _VOID
    return class_map.names[value - 1 if class_map.task == "binary" else value]


def _value(piece: _Piece, class_map: ClassMap) -> int:
    if piece.is_crowd or piece.category == _VOID:
        return IGNORE_INDEX
    return 1 if class_map.task == "binary" else class_map.names.index(piece.category)


def _relative_names(dataset: Dataset, places: Sequence[int]) -> dict[int, str]:
    """Return each image's path below the dataset's folder."""
    root = dataset.path
    names = {}
    for at in places:
        image = dataset.samples[at].image
        if root is None or not isinstance(image, Path) or not image.is_relative_to(root):
            raise OutputError(
                f"{dataset.samples[at].name}: this image is no file in the dataset's folder, so a file of annotations "
                "alone cannot name it. Type the path of a new folder, which gets the images, too."
            )
        names[at] = image.relative_to(root).as_posix()
    return names


def _flat_names(dataset: Dataset, places: Sequence[int]) -> dict[int, str]:
    """Return a file name for each image, no two of which have the same stem."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    last_number: Counter[str] = Counter()
    for at in places:
        sample = dataset.samples[at]
        image = sample.image
        plain = "_".join(part for part in sample.name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        stem, suffix = (Path(plain).stem, image.suffix) if isinstance(image, Path) else (plain, ".png")
        unique = stem
        while unique.casefold() in taken:
            # from where the last image of this name left off: there may be as many as there are images
            last_number[stem.casefold()] += 1
            unique = f"{stem}_{last_number[stem.casefold()] + 1}"
        taken.add(unique.casefold())
        names[at] = unique + suffix
    return names


def _copy_image(sample: Sample, target: Path, value_range: ValueRange | None) -> Path:
    """Write a sample's image, and return the file: the one given, or a .tif where other formats cannot hold it."""
    image = sample.image
    if isinstance(image, Path):
        with opened(image) as source, atomic.atomic_path(target) as temporary, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        return target
    numbers = image if isinstance(image, np.ndarray) else source_numbers(image)
    channels = numbers.shape[2] if numbers.ndim == 3 else 1
    if channels not in (1, 3, 4) or (value_range is not None and numbers.dtype != np.uint8):
        # not by its name alone: "a.b" has no suffix
        target = target.with_name(target.name.removesuffix(".png") + ".tif")
        write_tiff(target, numbers)
    else:
        write_image(target, read_pixels(sample, channels, value_range))
    return target


def _refuse_place(dataset: Dataset, path: Path) -> None:
    if dataset.path is not None and path.resolve().is_relative_to(dataset.path.resolve()):
        raise OutputError(f"{path} lies in the dataset's own folder, where nothing is written. Choose another place.")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise OutputError(f"{path} exists already. Choose another place, or remove it first.")
