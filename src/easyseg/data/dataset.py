"""A dataset: its samples, classes and splits, and the one way to get at their pixels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from easyseg.config import CheckSettings, DataSettings
from easyseg.data.class_maps import infer_class_map, read_class_map
from easyseg.data.formats import find_format
from easyseg.data.formats.scanning import existing_folder
from easyseg.data.joining import checked, joined
from easyseg.data.mask_values import load_mask, mask_sources
from easyseg.data.memory import image_array, samples_from_memory
from easyseg.data.sample_files import identity_of, listed, place_of, problems_of, refuse_other_size
from easyseg.data.splitting import assign_splits
from easyseg.data.threads import map_in_threads
from easyseg.errors import ClassMapError, DataError, SampleError, known_arguments, unknown_name
from easyseg.io.images import image_size, read_image
from easyseg.structures import SPLITS, ClassMap, Color, ImageArray, MaskArray, Sample, SizeHW, Task

if TYPE_CHECKING:
    from easyseg.results import Checkup


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images with their classes. Nothing changes in it; what selects or splits returns a new one.

    Attributes:
        samples: the images with their masks.
        class_map: what the values in the masks mean.
        path: the folder it was read from, None for data from memory.
        format: the dataset format, "memory" without files.
        notes: lines for people on how the files were understood.
        validation_fraction: share put aside by `with_splits`.
        seed: decides which images these are.
        validation_is_drawn: the validation split was drawn, not given by the files.
        settings: the arguments of `load_dataset` that read it again, as plain values; empty without files.
    """

    samples: tuple[Sample, ...]
    class_map: ClassMap
    path: Path | None = None
    format: str = "memory"
    notes: tuple[str, ...] = ()
    validation_fraction: float = field(default=0.2, repr=False)
    seed: int = field(default=0, repr=False)
    validation_is_drawn: bool = field(default=False, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

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
    def task(self) -> Task:
        """The task: "binary", "multiclass" or "multilabel"."""
        return self.class_map.task

    @property
    def name(self) -> str:
        """The folder's name, "memory" where there is none."""
        return self.path.name if self.path else "memory"

    def splits(self) -> dict[str, int]:
        """Return how many images each split has; empty where no image has a split."""
        counts = Counter(sample.split for sample in self.samples)
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
        chosen = tuple(sample for sample in self.samples if sample.split == name)
        if not chosen:
            have = ", ".join(f"{split} {count}" for split, count in self.splits().items()) or "no splits at all"
            other = next(iter(self.splits()), "train")
            advice = f"Type split={other!r} (evaluate also takes split='all'), or add images to it."
            if name == "val":
                advice = (
                    "Training needs at least one image to train on and one to validate on: add images, or type "
                    f"validation=...; to evaluate, type split={other!r} or split='all'."
                )
            raise DataError(f"The split {name!r} of {self.path or 'the data'} is empty; there is: {have}. {advice}")
        return replace(self, samples=chosen)

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
        return image_size(image) if isinstance(image, Path) else (image.shape[0], image.shape[1])

    def image(self, index: int, channels: int = 3) -> ImageArray:
        """Return an image as (H, W, channels) uint8, RGB order.

        Raises:
            SampleError: it cannot be read, or has another number of channels.
        """
        sample = self.samples[index]
        if isinstance(sample.image, Path):
            return read_image(sample.image, channels=channels)
        image = image_array(sample.image, name=sample.name)
        found = image.shape[2]
        if found == channels:
            return image
        if found == 1:
            return np.repeat(image, channels, axis=2)
        if (found, channels) == (4, 3):
            return np.ascontiguousarray(image[..., :3])
        raise SampleError(
            sample.name, f"the image has {found} channels, {channels} are needed. Type in_channels={found}."
        )

    def mask(self, index: int) -> MaskArray:
        """Return a mask as (H, W) uint8 class ids; for the multilabel task, as (H, W, classes) of 0 and 1.

        Pixels that do not count are 255.

        Raises:
            SampleError: there is none, it cannot be read, has another size than the image, or holds a value that no
                class has.
        """
        sample = self.samples[index]
        sources = mask_sources(sample)
        if not sources and not any(mask_sources(other) for other in self.samples):
            raise self._no_masks()
        if not sources:
            raise SampleError(
                place_of(sample.image, sample), "this image has no mask. Add one, or choose another split."
            )
        planes = [self._encoded(source, sample) for source in sources]
        size_hw = self.size_hw(index)
        for source, plane in zip(sources, planes, strict=True):
            refuse_other_size(sample, source, plane.shape[:2], size_hw)
        if self.task != "multilabel":
            return planes[0]
        if len(planes) != self.class_map.num_classes:
            raise SampleError(
                place_of(sample.image, sample),
                f"{len(planes)} masks, but {self.class_map.num_classes} classes; give as many.",
            )
        return np.stack(planes, axis=-1)

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
        has_masks = any(sample.mask is not None for sample in samples)
        problems = problems_of(samples)
        if problems and has_masks:
            raise listed(problems)
        if problems:
            raise replace(self, samples=samples)._no_masks()

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
        """Return a sha256 that changes with the files' names, sizes or times, the splits or the classes."""
        digest = hashlib.sha256(repr(self.class_map).encode())
        for sample in self.samples:
            digest.update(f"{sample.split}\n".encode())
            for source in (sample.image, *mask_sources(sample)):
                digest.update(identity_of(source, self.path))
        return digest.hexdigest()

    def describe(self) -> str:
        """Return a few lines for people: where from, images per split, classes, and what the mask values mean."""
        splits = ", ".join(f"{count} {split}" for split, count in self.splits().items())
        source = f"{self.path} (format {self.format})" if self.path else "data from memory"
        noun = "class" if len(self.classes) == 1 else "classes"
        lines = [
            f"{source}: {len(self)} images" + (f", {splits}" if splits else ""),
            f"task {self.task}, {len(self.classes)} {noun}: {', '.join(self.classes)}",
        ]
        lines += [line for line in (self.class_map.note, *self.notes) if line and line not in self.class_map.hints]
        # last and not indented, for they are what a reader may have to act on
        return "\n".join(["\n  ".join(lines), *(hint for hint in self.class_map.hints if hint in self.notes)])

    def _no_masks(self) -> DataError:
        splits = self.splits()
        of_split = f" of the split {next(iter(splits))!r}" if len(splits) == 1 else ""
        other = "train" if "val" in splits else "val"
        return DataError(
            f"No image{of_split} of {self.path or 'the data'} has a mask (of {len(self)}), so nothing can be trained "
            "or measured on them; they can only be predicted. Add masks, or choose a split that has them, "
            f"such as split={other!r}."
        )

    def _encoded(self, source: Path | npt.NDArray[Any], sample: Sample) -> MaskArray:
        raw = load_mask(source)
        try:
            wants_colors = self.class_map.encoding == "colors" and raw.values.dtype == np.uint8
            return self.class_map.encode(raw.as_rgb() if wants_colors else raw.values)
        except ClassMapError as error:
            raise SampleError(place_of(source, sample), str(error)) from error

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
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Iterable[int | Color] | int | None = None,
    split: str | None = None,
    task: Task | Literal["auto"] = "auto",
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Read a dataset from a folder; nothing is written into it.

    Args:
        path: the folder.
        format: "folders" or "txt_splits"; "auto" finds it out.
        images: the folder of the images, where its name does not tell; together with `masks`.
        masks: the folder of the masks.
        classes: class names in the order of their mask values.
        class_map: mask value or RGB colour of each class, as {name: value}, {value: name}, {name: (r, g, b)} or
            {"#rrggbb": name}; or a `ClassMap`, or its `to_dict()`. {name: 0} on 0/255 masks takes the black part for
            the class.
        ignore: mask values or RGB colours of pixels that do not count.
        split: "train", "val" or "test" for that part only.
        task: "binary", "multiclass" or "multilabel"; "auto" chooses by what the masks hold.
        validation_fraction: share of the images put aside for validation where the files have no such split.
        seed: decides which images these are.

    Returns:
        the dataset, each of its images in a split.

    Raises:
        DataError: the folder is missing or no dataset, its masks can be read in several ways, or a file is at fault;
            the message says what was found and what to type.
    """
    if isinstance(path, Dataset):
        raise DataError(
            "load_dataset takes a folder's path, but was given a Dataset, which is read already. Use it as it is; or "
            f"read its folder anew: load_dataset({str(path.path or 'folder')!r}, ...)."
        )
    class_map = read_class_map(class_map)
    plain_map = class_map.to_dict() if isinstance(class_map, ClassMap) else class_map
    given = DataSettings.collect({**locals(), "class_map": plain_map})
    folder = existing_folder(path)
    reader = find_format(folder, format if (images is None and masks is None) or format != "auto" else "folders")
    layout = reader.read(folder, images=Path(images) if images else None, masks=Path(masks) if masks else None)
    found = infer_class_map(
        layout.samples, classes=classes, class_map=class_map, ignore=ignore, task=task, layout=layout
    )
    notes = (*found.hints, *layout.notes)
    of_the_model = {"classes": list(classes) if classes else None, "seed": seed, "split": split}
    chosen = {name: value for name, value in of_the_model.items() if value}
    settings = {"data": str(folder), **given.changed(), **chosen}
    dataset = Dataset(
        layout.samples, found, folder, reader.NAME, notes, validation_fraction, seed, settings=settings
    ).with_splits()
    return dataset.split(split) if split else dataset


def as_dataset(
    data: Any,
    *,
    validation: Any = None,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Iterable[int | Color] | int | None = None,
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
        dataset = Dataset(samples, found, notes=found.hints, seed=seed)
    if validation is None:
        return dataset
    other = as_dataset(validation, class_map=dataset.class_map, seed=seed)
    return joined(dataset, other)
