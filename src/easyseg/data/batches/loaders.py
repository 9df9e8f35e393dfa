"""Training batches: which images, in which order, changed how.

Order and augmentation are functions of (seed, epoch, index), so any number of worker processes gives the same
batches, and an epoch can be entered at any batch.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Sampler

from easyseg.data.batches.cache import Allocate, DecodedCache, shared_bytes
from easyseg.data.batches.object_batches import ChangeObjects, DecodeObjects, collated_objects
from easyseg.data.batches.sampling import WHOLE, Part
from easyseg.data.batches.stacking import stacked, to_images
from easyseg.data.classes.mask_values import mask_sources
from easyseg.data.dataset import Dataset
from easyseg.data.threads import map_in_threads
from easyseg.data.transforms.augmentation import Augmentation
from easyseg.data.transforms.instance_augmentation import InstanceAugmentation
from easyseg.errors import DataError, EasySegError, SampleError
from easyseg.io.cache_files import remove_unused
from easyseg.io.cache_folder import cache_folder
from easyseg.preprocessing import PAD_VALUE, Preprocessing
from easyseg.structures import IGNORE_INDEX, Batch, ImageArray, MaskArray, SizeHW

Pair = tuple[ImageArray, MaskArray]
Item = tuple[ImageArray, Any, int]
"""An image, its mask or its objects, and its number."""
Read = Callable[[int], Pair]
Change = Callable[..., tuple[ImageArray, Any]]
Order = Callable[[int], npt.NDArray[np.int64]]
Key = tuple[int, int]
"""An epoch and an item's number in the dataset."""

CACHE_SUFFIX = ".pixels"
_CACHE_VERSION = 2
"""Counts on when decoding or scaling changes, so that files of earlier versions are not taken for their own."""

_COUNTS_NOT = -1
"""Stands for the number of an image that only fills a part of a batch that has none."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How batches come about; nothing here changes them.

    Attributes:
        workers: processes that prepare batches; 0 prepares them in this one.
        cache_bytes: memory that decoded images may take.
        cache_file_bytes: what they may take on the disk where that is not enough; with both 0, they are decoded every
            epoch.
        allocate: returns memory for them, which whoever prepares batches shares.
        pin_memory: put batches where a CUDA device can fetch them on its own.
    """

    workers: int = 0
    cache_bytes: int = 0
    cache_file_bytes: int = 0
    allocate: Allocate = shared_bytes
    pin_memory: bool = False


class TrainingLoader:
    """Batches of a dataset, epoch by epoch.

    Args:
        dataset: the training images.
        preprocessing: brings them to the network's canvas.
        augmentation: changes them at random. One for instances makes batches of objects, not of masks of classes:
            their targets are a tuple with an `InstanceTarget` for each image, also for images without objects.
        order: returns which image comes when in an epoch, (len(dataset),) integers; see `sampling.epoch_order`.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        preparation: how they come about.
        part: which part of each batch is wanted here. It may be empty in the last batch of an epoch, see `Batch`.

    Attributes:
        num_images: in the dataset.
        cached_bytes: what decoded images take, or will; 0 where they are decoded every epoch.
        cache_file: the file they are kept in, None where it is memory.
        spare_bytes: what is left of `cache_bytes`.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        preprocessing: Preprocessing,
        augmentation: Augmentation | InstanceAugmentation,
        order: Order,
        batch_size: int,
        preparation: Preparation = Preparation(),
        part: Part = WHOLE,
    ) -> None:
        if not len(dataset):
            raise DataError("The training split is empty; a run needs at least one image.")
        self.num_images = len(dataset)
        self._batches = _EpochBatches(len(dataset), batch_size, order, part)
        change: Change = augmentation
        if isinstance(augmentation, InstanceAugmentation):
            decode = DecodeObjects(dataset, preprocessing)
            read = _reader(decode, dataset, preprocessing, preparation)
            change = ChangeObjects(augmentation, decode, read, len(dataset))
        else:
            read = _reader(_Decode(dataset, preprocessing), dataset, preprocessing, preparation)
        workers = preparation.workers
        self.cached_bytes = read.size_bytes if isinstance(read, DecodedCache) else 0
        self.cache_file = read.file if isinstance(read, DecodedCache) else None
        self.spare_bytes = preparation.cache_bytes - (0 if self.cache_file else self.cached_bytes)
        self._loader = DataLoader(
            _Items(read, change, in_threads=workers == 0),
            batch_sampler=self._batches,
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=workers > 0,
            pin_memory=preparation.pin_memory,
            prefetch_factor=4 if workers else None,
            multiprocessing_context=start_method() if workers else None,
            worker_init_fn=_begin_worker,
            generator=torch.Generator().manual_seed(0),  # else every epoch would draw from the global generator
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self._batches)

    def resize_batches(self, batch_size: int) -> None:
        """Put so many images into a batch from the next epoch on; what is decoded stays so."""
        self._batches.batch_size = batch_size

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, numbered from 0, from batch `start` on.

        Raises:
            SampleError: an image or mask cannot be used; it names the file.
        """
        self._batches.epoch, self._batches.start = number, start
        wholes = self._batches.wholes()
        for batch in self._loader:
            if isinstance(batch, _Failure):
                raise batch.error()
            yield batch if wholes is None else replace(batch, whole=next(wholes))

    def close(self) -> None:
        """End the worker processes; no epoch can be asked for afterwards.

        Left to the garbage collector, a loader that stands in an error's traceback keeps them for as long as somebody
        keeps the error, and torch then waits five seconds for each.
        """
        del self._loader  # torch ends the processes when nobody holds its loader any more


class _EpochBatches(Sampler[list[Key]]):
    """The keys of this part of each batch of the epoch set in `epoch`, from batch `start` on.

    A part without images gets the batch's first one, with a number below 0 to say that it does not count.
    """

    def __init__(self, length: int, batch_size: int, order: Order, part: Part) -> None:
        self.epoch = self.start = 0
        self._length = length
        self.batch_size = batch_size
        self._order = order
        self._part = part

    def __len__(self) -> int:
        return -(-self._length // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for whole in self._wholes():
            places = self._part.of(len(whole))
            own = [whole[place] for place in places] or [_COUNTS_NOT - whole[0]]
            yield [(self.epoch, index) for index in own]

    def wholes(self) -> Iterator[tuple[int, ...]] | None:
        """Return the numbers of all images of each batch; None where they are those of this part."""
        return self._wholes() if self._part.size > 1 else None

    def _wholes(self) -> Iterator[tuple[int, ...]]:
        order = self._order(self.epoch)
        for start in range(self.start * self.batch_size, self._length, self.batch_size):
            yield tuple(order[start : start + self.batch_size].tolist())


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error on its way from a worker process: torch would wrap it in a traceback as text."""

    kind: type[EasySegError]
    path: str | None
    message: str

    @classmethod
    def of(cls, error: EasySegError) -> _Failure:
        if isinstance(error, SampleError):
            return cls(type(error), str(error.path), error.problem)
        return cls(type(error), None, str(error))

    def error(self) -> EasySegError:
        return SampleError(self.path, self.message) if self.path is not None else self.kind(self.message)


class _Items(torch.utils.data.Dataset[Item | _Failure]):
    """Maps keys to augmented images and masks; a pure function, whichever process calls it.

    Args:
        read: returns an item's image and mask on the canvas.
        change: augments them; gets the epoch and the item's number, too.
        in_threads: read the items of a batch side by side; for the main process, whose other processors would wait.
    """

    def __init__(self, read: Read, change: Change, *, in_threads: bool) -> None:
        self._read = read
        self._change = change
        self._in_threads = in_threads

    def __getitem__(self, key: Key) -> Item | _Failure:
        return self._changed(key, self._pair(_number_of(key)))

    def __getitems__(self, keys: list[Key]) -> list[Item | _Failure]:
        indices = [_number_of(key) for key in keys]
        is_read = isinstance(self._read, DecodedCache) and self._read.holds(indices)
        if self._in_threads and not is_read:
            pairs = map_in_threads(self._pair, indices)
        else:
            pairs = [self._pair(index) for index in indices]
        return [self._changed(key, pair) for key, pair in zip(keys, pairs, strict=True)]

    def _pair(self, index: int) -> Pair | _Failure:
        try:
            return self._read(index)
        except EasySegError as error:
            return _Failure.of(error)

    def _changed(self, key: Key, pair: Pair | _Failure) -> Item | _Failure:
        if isinstance(pair, _Failure):
            return pair
        epoch, index = key
        try:
            image, target = self._change(*pair, epoch=epoch, index=_number_of(key))
        except EasySegError as error:
            return _Failure.of(error)
        return image, target, index


def _number_of(key: Key) -> int:
    """Return an item's number in the dataset, whether or not it counts."""
    return key[1] if key[1] >= 0 else _COUNTS_NOT - key[1]


def _reader(
    decode: _Decode | DecodeObjects, dataset: Dataset, preprocessing: Preprocessing, preparation: Preparation
) -> Read:
    # a mapping reaches forked workers only
    most = max(preparation.cache_bytes, preparation.cache_file_bytes)
    if not most or (preparation.workers and start_method() != "fork"):
        return decode
    are_objects = isinstance(decode, DecodeObjects)
    sizes, channels = _canvas_sizes(dataset, preprocessing), preprocessing.in_channels
    mask_channels = 0 if are_objects else _mask_channels(dataset)
    needed = DecodedCache.bytes_needed(sizes, channels=channels, mask_channels=mask_channels)
    if needed > most:
        return decode
    name = "" if needed <= preparation.cache_bytes else _cache_name(dataset, preprocessing, are_objects=are_objects)
    return DecodedCache(
        decode,
        sizes_hw=sizes,
        channels=channels,
        mask_channels=mask_channels,
        allocate=preparation.allocate,
        file=decoded_folder() / name if name else None,
    )


def decoded_folder() -> Path:
    """Return where decoded images are kept that do not fit into memory."""
    return cache_folder("decoded")


def _cache_name(dataset: Dataset, preprocessing: Preprocessing, *, are_objects: bool) -> str:
    """Return the name of the file for exactly these files, classes and sizes, decoded; old files are removed."""
    remove_unused(decoded_folder(), CACHE_SUFFIX)
    digest = hashlib.sha256(f"{_CACHE_VERSION}\n{preprocessing}\n{dataset.path}\n{dataset.fingerprint()}".encode())
    for sample in dataset.samples:
        for source in (sample.image_path, *mask_sources(sample)):
            if isinstance(source, Path):  # sizes and times of modification are kept by many a tool that changes files
                digest.update(f"{source.stat().st_ctime_ns}\n".encode())
    return f"{digest.hexdigest()[:32]}{'.objects' if are_objects else ''}{CACHE_SUFFIX}"


def cache_bytes_needed(dataset: Dataset, preprocessing: Preprocessing, *, instances: bool = False) -> int:
    """Return how much memory a dataset takes, decoded and on the canvas; reads the headers of its images.

    Args:
        dataset: the images.
        preprocessing: brings them to the canvas.
        instances: single objects are kept with them, not masks of classes.
    """
    sizes, mask_channels = _canvas_sizes(dataset, preprocessing), 0 if instances else _mask_channels(dataset)
    return DecodedCache.bytes_needed(sizes, channels=preprocessing.in_channels, mask_channels=mask_channels)


def _canvas_sizes(dataset: Dataset, preprocessing: Preprocessing) -> list[SizeHW]:
    return [preprocessing.place(dataset.size_hw(index)).canvas_hw for index in range(len(dataset))]


def _mask_channels(dataset: Dataset) -> int:
    return dataset.class_map.num_classes if dataset.task == "multilabel" else 0


class _Decode:
    """Reads an image and its mask and brings both to the canvas."""

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing) -> None:
        self._dataset = dataset
        self._preprocessing = preprocessing

    def __call__(self, index: int) -> tuple[ImageArray, MaskArray]:
        image = self._dataset.image(index, channels=self._preprocessing.in_channels)
        mask = self._dataset.mask(index)
        return self._preprocessing.image_to_canvas(image), self._preprocessing.mask_to_canvas(mask)


def _collate(items: list[Item | _Failure]) -> Batch | _Failure:
    """Stack items to a batch whose images lie in channels-last memory; smaller ones are filled up."""
    ready: list[Item] = []
    for item in items:
        if isinstance(item, _Failure):
            return item
        ready.append(item)
    if isinstance(ready[0][1], tuple):
        return collated_objects(ready)
    images = to_images(stacked([image for image, _, _ in ready], PAD_VALUE))
    targets = torch.from_numpy(stacked([mask for _, mask, _ in ready], IGNORE_INDEX))
    if targets.ndim == 4:
        targets = targets.permute(0, 3, 1, 2)
    return Batch(images, targets, tuple(index for _, _, index in ready if index >= 0))


def start_method() -> str:
    """Return how workers start: by fork where it is safe, as they then share the decoded images and are quick."""
    return "fork" if sys.platform == "linux" else "spawn"


def _begin_worker(worker: int) -> None:
    """Prepare a worker process.

    Ctrl-C and schedulers signal whole groups of processes. Only the one that trains may answer: a worker that ended
    first would end the training with an error, before everything is saved. It ends with that process in any case.
    """
    import cv2

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)  # OpenCV would start a thread per processor in every worker, and can hang in forked processes
