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
from easyseg.config import CheckSettings
from easyseg.data.classes.mask_values import mask_sources
from easyseg.data.describing import description, empty_split, no_masks
from easyseg.data.export import write_coco, write_masks
from easyseg.data.objects.drawing import with_outlines_of
from easyseg.data.objects.regions import with_regions
from easyseg.data.sample_files import identity_of, listed, objects_identity, problems_of
from easyseg.data.sequences import annotated_places, chosen, splits_of
from easyseg.data.splitting import assign_splits
from easyseg.data.statistics import ClassStatistics, class_statistics
from easyseg.data.targets import read_instances, read_picture, read_pixels, read_target, read_truth
from easyseg.data.threads import map_in_threads
from easyseg.errors import unknown_name
from easyseg.io.image_sources import source_size
from easyseg.results.semantic import SemanticResult
from easyseg.results.words import counted
from easyseg.structures import (
    SMALLEST_PIXELS,
    SPLITS,
    ClassMap,
    ImageArray,
    Instances,
    MaskArray,
    Sample,
    SizeHW,
    SkippedSample,
    Task,
)

if TYPE_CHECKING:
    from easyseg.metrics import TruthObjects
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
        without_sample: images that annotations name but no sample is made of, such as those of skipped ones.
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
    without_sample: frozenset[Path] = field(default=frozenset(), repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {counted(len(self), 'image')}, classes={self.classes})"

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

    def truth(self, index: int) -> TruthObjects:
        """Return an image's objects as metrics take them: masks as run lengths, of which many need little memory.

        Objects that cover no pixel are left out. Those that do not count are crowds of every class: what is found there
        is neither right nor wrong.

        Raises:
            SampleError: as `instances` does, but for the number of objects, which has no limit.
        """
        return read_truth(self.samples[index], self.class_map, self.size_hw(index))

    def as_instances(self, *, classes: Sequence[str] | None = None, smallest_pixels: int = SMALLEST_PIXELS) -> Dataset:
        """Return the dataset with each connected region of a class as an object, for masks that tell none apart.

        Objects that touch become one; only single masks, polygons or numbers of them can tell them apart. The regions
        are found when `instances` asks for them, and the masks stay what they are.

        To train on *one* object per image, as a comparison, build such samples: `Sample(image, objects=(
        LabelledObject("roof", MaskPart("masks/1.png")),))`. `check(instances=True)` calls these merged objects.

        Args:
            classes: the classes whose regions are objects; None: all but the background, where one is named so or the
                masks have a single class.
            smallest_pixels: regions of fewer pixels are left out. Models that learn from the dataset remember it, and
                find the objects of other masks the same way.

        Raises:
            DataError: there are no masks of classes; or none of the classes is called a background, so that it is not
                clear what is an object.
            UnknownNameError: a class is unknown.
            ConfigError: `smallest_pixels` is less than 1.
        """
        return with_regions(self, classes=classes, smallest_pixels=smallest_pixels)

    def annotation(self, index: int) -> SemanticResult:
        """Return an image's annotation in the form of a prediction, to look at or save: `dataset.annotation(0).show()`.

        Raises:
            SampleError: as `image` and `mask` do.
        """
        mask = self.mask(index)
        planes = np.ascontiguousarray(np.moveaxis(mask, 2, 0)) if mask.ndim == 3 else mask
        sample = self.samples[index]
        picture = read_picture(sample, self.value_range)
        return SemanticResult(mask=planes, class_map=self.class_map, image=picture, path=sample.image_path)

    def statistics(self) -> ClassStatistics:
        """Count pixels, images, objects by size, and points of outlines of each class; `.plot()` draws them.

        Raises:
            SampleError: a mask cannot be used.
        """
        return class_statistics(self)

    def resampled(self, count: int) -> Dataset:
        """Return the dataset with outlines of objects that have `count` points each, spread evenly along them.

        Raises:
            ConfigError: `count` is less than 3.
        """
        return replace(self, samples=tuple(with_outlines_of(sample, count) for sample in self.samples))

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

    @property
    def reading(self) -> tuple[str, ...]:
        """How the files and their values were understood, a line each; those that may be wrong begin with "Note: "."""
        how = f"Read as {self.format}, {self.task}: {self.class_map.note}"
        return (how, *(note.strip() for note in self.notes))

    def describe(self) -> str:
        """Return a few lines for people: where from, images per split, classes, and what the mask values mean."""
        return description(self)

    def to_coco(self, path: str | os.PathLike[str]) -> Path:
        """Write the annotated images as a COCO dataset, which `load_dataset` reads back without loss.

        Outlines stay outlines where COCO's tools draw the very same pixels of them; they decide by another rule which
        pixels at an edge are inside, and know no holes, so elsewhere run lengths are written. What does not count is a
        crowd of the category `__ignore__`. Image files are copied; arrays and parts of rasters become PNG files, or
        TIFF files of all their bands and numbers where a PNG file cannot hold these.

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
