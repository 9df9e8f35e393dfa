"""Making a dataset of a folder, or of whatever else `fit` and `evaluate` take."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from easyseg.config import DataSettings
from easyseg.data.bad_samples import notes_on_skipped, with_left_out, without_bad_samples
from easyseg.data.classes.class_maps import infer_class_map, read_class_map, with_classes
from easyseg.data.classes.object_classes import names_asked_for, names_of_labels
from easyseg.data.dataset import Dataset
from easyseg.data.describing import no_folder, read_already
from easyseg.data.formats import BadSamples, ReadOptions, find_format
from easyseg.data.formats.scanning import existing_folder, listed_once, notes_on_links
from easyseg.data.joining import checked, joined
from easyseg.data.memory import TargetReading, samples_from_memory
from easyseg.data.splitting import note_on_no_split
from easyseg.data.value_ranges import find_value_range
from easyseg.errors import known_arguments
from easyseg.structures import SMALLEST_PIXELS, ClassMap, Ignored, Task

_LOOKED_AT = 10_000
"""So many images tell whether a dataset is made of links."""


@known_arguments()
def load_dataset(  # noqa: PLR0913 - the facade's own arguments
    path: str | os.PathLike[str],
    format: str = "auto",
    *,
    images: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    annotations: str | os.PathLike[str] | None = None,
    class_attribute: str | None = None,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Ignored | None = None,
    split: str | None = None,
    task: Task | Literal["auto"] = "auto",
    unlabelled: Literal["auto", "background", "skip"] = "auto",
    unverified: Literal["background", "ignore"] = "background",
    boxes: Literal["refuse", "fill"] = "refuse",
    object_classes: Sequence[str] | None = None,
    smallest_pixels: int | None = None,
    on_bad_sample: Literal["error", "skip"] = "error",
    validation_fraction: float = 0.2,
    value_range: Sequence[Any] | Literal["auto"] = "auto",
    seed: int = 0,
) -> Dataset:
    """Read a dataset from a folder; nothing is written into it.

    Args:
        path: the folder.
        format: such as "folders", "coco" or "yolo"; "auto" finds it out.
        images: the folder of the images, where its name does not tell; where there are masks, together with `masks`.
        masks: the folder of the masks.
        annotations: the annotation file to use where there are several, as a path in the dataset or a pattern for it.
        class_attribute: the attribute that holds the class, in VGG Image Annotator and GeoJSON files.
        classes: class names in the order of their mask values; of objects, those that count.
        class_map: mask value or RGB colour of each class, as {name: value}, {value: name}, {name: (r, g, b)} or
            {"#rrggbb": name}, a list of several, and {name: "rest"} for every other value; of objects, {name: their
            name in the files} or a list of such; or a `ClassMap`, or its `to_dict()`. {name: 0} on 0/255 masks takes
            the black part for the class.
        ignore: mask values or RGB colours of pixels, or names of objects, that do not count.
        split: "train", "val" or "test" for that part only.
        task: "binary", "multiclass" or "multilabel"; "auto" chooses by what the masks hold.
        unlabelled: whether images without any annotation are pictures of the "background", or left out ("skip");
            "auto" does what is usual in the format.
        unverified: what pixels outside of all masks are in Open Images, where nobody looked for all objects:
            "background", or not counted ("ignore").
        boxes: objects of which only the box is annotated, in COCO and YOLO files: "refuse" calls them an error, as no
            mask can be drawn; "fill" takes them to fill it, which is right for "faster_rcnn" and a guess elsewhere.
        object_classes: of masks of classes, those whose connected regions are objects; see `Dataset.as_instances`.
        smallest_pixels: of masks of classes, connected regions of fewer pixels are specks and no objects; None: 16.
        on_bad_sample: "error" stops at a sample that cannot be used; "skip" leaves it out and lists it in
            `Dataset.skipped`.
        validation_fraction: share of the images put aside for validation where the files have no such split.
        value_range: the numbers in the images that become black and white, (low, high), or one pair for each channel;
            "auto" leaves bytes as they are and looks at some of the images for others.
        seed: decides which images these are.

    Returns:
        the dataset, each of its images in a split.

    Raises:
        DataError: the folder is missing or no dataset, its masks can be read in several ways, a file is at fault, or
            nothing annotated is left of it; the message says what was found and what to type.
    """
    if isinstance(path, Dataset):
        raise read_already(path)
    if not isinstance(path, (str, os.PathLike)):
        raise no_folder(path)
    class_map = read_class_map(class_map)
    plain_map = class_map.to_dict() if isinstance(class_map, ClassMap) else class_map
    given = DataSettings.collect({**locals(), "class_map": plain_map})
    folder = existing_folder(path)
    pattern = None if annotations is None else os.fspath(annotations)
    options = _read_options(given, pattern, names_asked_for(classes, class_map))
    with listed_once():
        reader = find_format(folder, "folders" if masks is not None and format == "auto" else format, pattern)
        layout = reader.read(
            folder, images=Path(images) if images else None, masks=Path(masks) if masks else None, options=options
        )
        some = itertools.islice(layout.samples, _LOOKED_AT)
        links = notes_on_links(folder, [sample.image for sample in some if isinstance(sample.image, Path)])
    if given.on_bad_sample == "skip":
        layout = without_bad_samples(layout)
    wishes = {"classes": classes, "class_map": class_map, "ignore": ignore, "task": task}
    layout, found = with_classes(layout, on_bad_sample=given.on_bad_sample, **wishes)
    scale = find_value_range(layout.samples, given.value_range)
    notes = (
        *found.hints,
        *note_on_no_split(layout.samples, folder),
        *layout.notes,
        *links,
        *filter(None, [scale.note]),
        *notes_on_skipped(layout.skipped),
    )
    of_the_model = {"classes": list(classes) if classes else None, "seed": seed, "split": split}
    settings = {"data": str(folder), **given.changed(), **{key: value for key, value in of_the_model.items() if value}}
    dataset = Dataset(layout.samples, found, folder, reader.NAME, notes, validation_fraction, seed, settings=settings)
    dataset = with_left_out(replace(dataset, value_range=scale.value_range).with_splits(), layout)
    if object_classes is not None or smallest_pixels is not None:
        dataset = dataset.as_instances(classes=object_classes, smallest_pixels=smallest_pixels or SMALLEST_PIXELS)
    return dataset.split(split) if split else dataset


def _read_options(given: DataSettings, pattern: str | None, asked_for: tuple[str, ...] | None) -> ReadOptions:
    bad_samples = BadSamples(given.on_bad_sample)
    return ReadOptions(
        pattern, bad_samples, given.unlabelled, given.class_attribute, asked_for, given.unverified, given.boxes
    )


def as_dataset(
    data: Any,
    *,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Ignored | None = None,
    task: Task | Literal["auto"] = "auto",
    boxes: Literal["refuse", "fill"] = "refuse",
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Return whatever `fit` and `evaluate` take as a dataset.

    Args:
        data: a `Dataset`, a folder's path, a list of `Sample`, a pair of arrays, or any dataset of (image, mask) pairs,
            or of images with single objects; see `samples_from_memory`.
        classes: class names in the order of their mask values.
        class_map: mask value or RGB colour of each class, or a `ClassMap`.
        ignore: mask values or RGB colours of pixels that do not count.
        task: "binary", "multiclass", "multilabel", or "auto".
        boxes: of a folder, what objects are of which only the box is annotated; see `load_dataset`.
        validation_fraction: share put aside for validation where a folder has no such split.
        seed: decides which images are put aside for validation.

    Returns:
        the dataset. Data from memory without splits stays so; see `Dataset.with_splits`.

    Raises:
        DataError: it is none of these, or its classes are not those asked for.
    """
    if isinstance(data, Dataset):
        return checked(data, classes=classes, class_map=class_map, ignore=ignore, task=task)
    if isinstance(data, (str, os.PathLike)):
        return load_dataset(
            data,
            classes=classes,
            class_map=class_map,
            ignore=ignore,
            task=task,
            boxes=boxes,
            validation_fraction=validation_fraction,
            seed=seed,
        )
    samples = samples_from_memory(data, TargetReading(names_of_labels(classes, class_map), boxes))
    found = infer_class_map(samples, classes=classes, class_map=class_map, ignore=ignore, task=task)
    scale = find_value_range(samples)
    notes = (*found.hints, *filter(None, [scale.note]))
    return Dataset(samples, found, notes=notes, seed=seed, value_range=scale.value_range)


def as_joined_dataset(
    data: Any,
    validation: Any,
    *,
    classes: Sequence[str] | None = None,
    class_map: ClassMap | None = None,
    boxes: Literal["refuse", "fill"] = "refuse",
    seed: int = 0,
) -> Dataset:
    """Return the training images of `data`, all of them where it has no split, with validation images from elsewhere.

    Args:
        data: whatever `as_dataset` takes.
        validation: the same, for the validation images; None: they are in `data`, or put aside of it.
        classes: class names in the order of their mask values.
        class_map: what the masks mean, where that is known.
        boxes: of folders, what objects are of which only the box is annotated; see `load_dataset`.
        seed: decides which images are put aside for validation.

    Raises:
        DataError: as `as_dataset` does, or the masks of the two differ in meaning.
    """
    if validation is None:
        return as_dataset(data, classes=classes, class_map=class_map, boxes=boxes, seed=seed)
    first = as_dataset(data, classes=classes, class_map=class_map, boxes=boxes, validation_fraction=0.0, seed=seed)
    return joined(first, as_dataset(validation, class_map=first.class_map, boxes=boxes, seed=seed))
