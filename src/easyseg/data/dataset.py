"""A dataset: its samples, classes and splits, and the one way to get at their pixels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from easyseg.brightness import ValueRange
from easyseg.config import DataSettings
from easyseg.data.bad_samples import notes_on_skipped, without_bad_samples
from easyseg.data.class_maps import infer_class_map, read_class_map, with_classes
from easyseg.data.describing import description, empty_split, no_masks, read_already
from easyseg.data.export import write_coco, write_masks
from easyseg.data.formats import BadSamples, ReadOptions, find_format
from easyseg.data.formats.scanning import existing_folder, listed_once
from easyseg.data.joining import checked, joined
from easyseg.data.mask_values import mask_sources
from easyseg.data.memory import samples_from_memory
from easyseg.data.object_classes import names_asked_for
from easyseg.data.sample_files import identity_of, listed, objects_identity, problems_of
from easyseg.data.sequences import annotated_places, chosen, splits_of
from easyseg.data.splitting import assign_splits
from easyseg.data.targets import read_instances, read_pixels, read_target
from easyseg.data.threads import map_in_threads
from easyseg.data.value_ranges import find_value_range
from easyseg.errors import known_arguments, unknown_name
from easyseg.io.image_sources import source_size
from easyseg.structures import (
    SPLITS,
    ClassMap,
    Ignored,
    ImageArray,
    Instances,
    MaskArray,
    Sample,
    SizeHW,
    SkippedSample,
    Task,
)

if TYPE_CHECKING:
    from easyseg.results import Checkup


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images with their classes. Nothing changes in it; what selects or splits returns a new one.

    Attributes:
        samples: the images with their masks or objects.
        class_map: what the values in the masks mean.
        path: the folder it was read from, None for data from memory.
        format: the dataset format, "memory" without files.
        notes: lines for people on how the files were understood.
        validation_fraction: share put aside by `with_splits`.
        seed: decides which images these are.
        validation_is_drawn: the validation split was drawn, not given by the files.
        settings: the arguments of `load_dataset` that read it again, as plain values; empty without files.
        value_range: which numbers of the images are black and white; None where they hold bytes.
        skipped: samples that were left out because they cannot be used.
    """

    samples: Sequence[Sample]
    class_map: ClassMap
    path: Path | None = None
    format: str = "memory"
    notes: tuple[str, ...] = ()
    validation_fraction: float = field(default=0.2, repr=False)
    seed: int = field(default=0, repr=False)
    validation_is_drawn: bool = field(default=False, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    value_range: ValueRange | None = field(default=None, repr=False)
    skipped: tuple[SkippedSample, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} images, classes={self.classes})"

    @property
    def classes(self) -> list[str]:
        """The classes' names in the order of their ids."""
        return list(self.class_map.names)

    @property
    def object_classes(self) -> list[str]:
        """The names that the class ids of `instances` stand for; there is no background among them."""
        return list(self.class_map.object_classes)

    @property
    def task(self) -> Task:
        """The task: "binary", "multiclass" or "multilabel"."""
        return self.class_map.task

    @property
    def name(self) -> str:
        """The folder's name, "memory" where there is none."""
        return self.path.name if self.path else "memory"

    def splits(self) -> dict[str, int]:
        """Return how many images each split has; empty where no image has a split."""
        counts = Counter(splits_of(self.samples))
        return {split: counts[split] for split in SPLITS if counts[split]}

    def split(self, name: str) -> Dataset:
        """Return the images of one split.

        Args:
            name: "train", "val" or "test".

        Raises:
            UnknownNameError: no split is called so.
            DataError: it has no images.
        """
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        places = [at for at, split in enumerate(splits_of(self.samples)) if split == name]
        if not places:
            raise empty_split(self, name)
        return replace(self, samples=chosen(self.samples, places))

    def with_splits(self) -> Dataset:
        """Return the dataset with a training and a validation split, drawn by file name where there is none."""
        assigned = assign_splits(self.samples, root=self.path, fraction=self.validation_fraction, seed=self.seed)
        if not assigned.note:
            return replace(self, samples=assigned.samples)
        return replace(self, samples=assigned.samples, notes=(*self.notes, assigned.note), validation_is_drawn=True)

    def size_hw(self, index: int) -> SizeHW:
        """Return an image's height and width in pixels, reading its header only.

        Raises:
            SampleError: the file is missing or no image.
        """
        image = self.samples[index].image
        return (image.shape[0], image.shape[1]) if isinstance(image, np.ndarray) else source_size(image)

    def image(self, index: int, channels: int = 3) -> ImageArray:
        """Return an image as (H, W, channels) uint8, RGB order.

        Raises:
            SampleError: it cannot be read, or has another number of channels.
        """
        return read_pixels(self.samples[index], channels, self.value_range)

    def mask(self, index: int) -> MaskArray:
        """Return a mask as (H, W) uint8 class ids; for the multilabel task, as (H, W, classes) of 0 and 1.

        Pixels that do not count are 255. Where the annotation consists of objects, they are drawn in their order.

        Raises:
            SampleError: there is none, it cannot be read, has another size than the image, or holds a value or an
                object that no class has.
        """
        sample = self.samples[index]
        if not sample.is_annotated and not annotated_places(self.samples):
            raise no_masks(self)
        return read_target(sample, self.class_map, self.size_hw(index))

    def instances(self, index: int) -> Instances:
        """Return an image's objects as arrays: masks, boxes, class ids by `object_classes`, and which are crowds.

        Objects that do not count, and those that cover no pixel, are left out.

        Raises:
            SampleError: the image has no objects that were told apart, one is malformed or of no class, or the
                annotation was made for an image of another size.
        """
        return read_instances(self.samples[index], self.class_map, self.size_hw(index))

    def verify(self, *splits: str) -> None:
        """Look for broken files before time is spent on them, reading as little of each as possible.

        Checks that every image has a mask, and that files are there, not empty, not cut off, and of the same size.

        Args:
            splits: the splits to check, together; none: all images.

        Raises:
            SampleError: the first problem, in the order of the samples; it lists some of the others and their number.
            DataError: no image has a mask.
        """
        samples = tuple(sample for name in splits for sample in self.split(name).samples) or self.samples
        has_masks = bool(annotated_places(samples))
        problems = problems_of(samples)
        if problems and has_masks:
            raise listed(problems)
        if problems:
            raise no_masks(replace(self, samples=samples))

    def check(
        self,
        *,
        html: str | os.PathLike[str] | None = None,
        image_size: int | SizeHW = (512, 512),
        instances: bool = False,
        near_duplicates: bool = True,
        workers: int | Literal["auto"] = "auto",
        verbose: bool | Literal["auto"] = "auto",
    ) -> Checkup:
        """Look for everything that is wrong with the dataset, which stays as it is; `print` shows what was found.

        Args:
            html: a file for a report with pictures of the worst cases.
            image_size: what the network is to see; objects too small for it are reported.
            instances: the masks are to train instance segmentation, so each object needs a mask of its own.
            near_duplicates: look for copies that were scaled, compressed, cut, mirrored or lightened, too.
            workers: processes that read files; 0: threads only.
            verbose: show a progress bar; "auto": on a terminal.

        Raises:
            ConfigError: a setting is out of range.
            OutputError: the report cannot be written.
        """
        from easyseg.data.check.doctor import examine  # it knows datasets, so a dataset cannot know it earlier

        return examine(self, CheckSettings.collect(locals()), html=None if html is None else Path(html))

    def pixel_counts(self) -> npt.NDArray[np.int64]:
        """Return how many pixels of each class every image has, (len, num_classes) int64.

        Raises:
            SampleError: a mask cannot be used.
        """
        rows = map_in_threads(self._counted, range(len(self)))
        return np.array(rows, np.int64).reshape(len(self), self.class_map.num_classes)

    def fingerprint(self) -> str:
        """Return a sha256 that changes with the files' names, sizes or times, the splits, the classes or the range."""
        digest = hashlib.sha256(repr(self.class_map).encode())
        digest.update(repr(self.value_range).encode() if self.value_range else b"")
        for sample in self.samples:
            digest.update(f"{sample.split}\n".encode())
            for source in (sample.image, *mask_sources(sample)):
                digest.update(identity_of(source, self.path))
            digest.update(objects_identity(sample, lambda source: identity_of(source, self.path)))
        return digest.hexdigest()

    def describe(self) -> str:
        """Return a few lines for people: where from, images per split, classes, and what the mask values mean."""
        return description(self)

    def to_coco(self, path: str | os.PathLike[str]) -> Path:
        """Write the annotated images as a COCO dataset, which `load_dataset` reads back without loss.

        Args:
            path: a new folder, which gets annotations.json and copies of the images; or a .json file, whose image
                names are relative to this dataset's folder: read it with `images=`.

        Returns:
            the JSON file.

        Raises:
            OutputError: there is something already, or it lies in this dataset's folder, or it cannot be written.
            SampleError: an image or its annotation cannot be read.
        """
        return write_coco(self, Path(path))

    def to_masks(self, path: str | os.PathLike[str]) -> Path:
        """Write the annotated images as folders of images and of masks of class ids, which `load_dataset` reads back.

        Objects of one class are no longer told apart in them; `to_coco` keeps them.

        Args:
            path: a new folder, which gets images/<split>, masks/<split> and label_mapping.json.

        Returns:
            the folder.

        Raises:
            OutputError: there is something already, or it lies in this dataset's folder, or it cannot be written; or
                classes overlap, which one mask cannot hold.
            SampleError: an image or its annotation cannot be read.
        """
        return write_masks(self, Path(path))

    def _counted(self, index: int) -> npt.NDArray[np.int64]:
        mask = self.mask(index)
        if self.task == "multiclass":
            return np.bincount(mask.reshape(-1), minlength=256)[: self.class_map.num_classes]
        planes = mask.reshape(-1, self.class_map.num_classes)
        return np.asarray(np.count_nonzero(planes == 1, axis=0), np.int64)


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
            {"#rrggbb": name}; of objects, {name: their name in the files} or a list of such; or a `ClassMap`, or its
            `to_dict()`. {name: 0} on 0/255 masks takes the black part for the class.
        ignore: mask values or RGB colours of pixels, or names of objects, that do not count.
        split: "train", "val" or "test" for that part only.
        task: "binary", "multiclass" or "multilabel"; "auto" chooses by what the masks hold.
        unlabelled: whether images without any annotation are pictures of the "background", or left out ("skip");
            "auto" does what is usual in the format.
        unverified: what pixels outside of all masks are in Open Images, where nobody looked for all objects:
            "background", or not counted ("ignore").
        on_bad_sample: "error" stops at a sample that cannot be used; "skip" leaves it out and lists it in
            `Dataset.skipped`.
        validation_fraction: share of the images put aside for validation where the files have no such split.
        value_range: the numbers in the images that become black and white, (low, high), or one pair for each channel;
            "auto" leaves bytes as they are and looks at some of the images for others.
        seed: decides which images these are.

    Returns:
        the dataset, each of its images in a split.

    Raises:
        DataError: the folder is missing or no dataset, its masks can be read in several ways, or a file is at fault;
            the message says what was found and what to type.
    """
    if isinstance(path, Dataset):
        raise read_already(path)
    class_map = read_class_map(class_map)
    plain_map = class_map.to_dict() if isinstance(class_map, ClassMap) else class_map
    given = DataSettings.collect({**locals(), "class_map": plain_map})
    folder = existing_folder(path)
    pattern = None if annotations is None else os.fspath(annotations)
    options = ReadOptions(pattern, BadSamples(given.on_bad_sample), given.unlabelled, given.class_attribute)
    options = replace(options, classes=names_asked_for(classes, class_map), unverified=given.unverified)
    with listed_once():
        reader = find_format(folder, "folders" if masks is not None and format == "auto" else format, pattern)
        layout = reader.read(
            folder, images=Path(images) if images else None, masks=Path(masks) if masks else None, options=options
        )
    if given.on_bad_sample == "skip":
        layout = without_bad_samples(layout)
    layout, found = with_classes(layout, classes=classes, class_map=class_map, ignore=ignore, task=task)
    scale = find_value_range(layout.samples, given.value_range)
    notes = (*found.hints, *layout.notes, *filter(None, [scale.note]), *notes_on_skipped(layout.skipped))
    of_the_model = {"classes": list(classes) if classes else None, "seed": seed, "split": split}
    settings = {"data": str(folder), **given.changed(), **{key: value for key, value in of_the_model.items() if value}}
    dataset = Dataset(layout.samples, found, folder, reader.NAME, notes, validation_fraction, seed, settings=settings)
    dataset = replace(dataset, value_range=scale.value_range, skipped=layout.skipped).with_splits()
    return dataset.split(split) if split else dataset


def as_dataset(
    data: Any,
    *,
    validation: Any = None,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Ignored | None = None,
    task: Task | Literal["auto"] = "auto",
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Return whatever `fit` and `evaluate` take as a dataset.

    Args:
        data: a `Dataset`, a folder's path, a list of `Sample`, a pair of arrays, or any dataset of (image, mask) pairs;
            see `samples_from_memory`.
        validation: the same for the validation images. The dataset then holds the training images of `data` (all of
            them where it has no split of its own) and the validation images of this.
        classes: class names in the order of their mask values.
        class_map: mask value or RGB colour of each class, or a `ClassMap`.
        ignore: mask values or RGB colours of pixels that do not count.
        task: "binary", "multiclass", "multilabel", or "auto".
        validation_fraction: share put aside for validation where a folder has no such split and `validation` is None.
        seed: decides which images are put aside for validation.

    Returns:
        the dataset. Data from memory without splits stays so; see `Dataset.with_splits`.

    Raises:
        DataError: it is none of these, or its classes are not those asked for.
    """
    fraction = validation_fraction if validation is None else 0.0
    if isinstance(data, Dataset):
        dataset = checked(data, classes=classes, class_map=class_map, ignore=ignore, task=task)
    elif isinstance(data, (str, os.PathLike)):
        dataset = load_dataset(
            data,
            classes=classes,
            class_map=class_map,
            ignore=ignore,
            task=task,
            validation_fraction=fraction,
            seed=seed,
        )
    else:
        samples = samples_from_memory(data)
        found = infer_class_map(samples, classes=classes, class_map=class_map, ignore=ignore, task=task)
        scale = find_value_range(samples)
        notes = (*found.hints, *filter(None, [scale.note]))
        dataset = Dataset(samples, found, notes=notes, seed=seed, value_range=scale.value_range)
    if validation is None:
        return dataset
    other = as_dataset(validation, class_map=dataset.class_map, seed=seed)
    return joined(dataset, other)
