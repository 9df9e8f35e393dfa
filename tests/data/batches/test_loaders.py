"""Training batches: the same ones for any number of workers, and errors that keep their names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from easyseg.data.batches import loaders
from easyseg.data.batches.loaders import Preparation, TrainingLoader
from easyseg.data.batches.sampling import Part, epoch_order
from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.data.shapes import SHAPE_CLASSES, write_shapes
from easyseg.data.transforms.augmentation import build_augmentation
from easyseg.errors import DataError, SampleError
from easyseg.preprocessing import PAD_VALUE, Preprocessing
from easyseg.structures import IGNORE_INDEX, Batch, ClassMap, Sample

CANVAS = Preprocessing((32, 32), "pad", 3)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return seven drawn images, all of them for training."""
    folder = write_shapes(tmp_path_factory.mktemp("shapes"), count=9, size=40)
    return load_dataset(folder, classes=SHAPE_CLASSES).split("train")


def in_order(epoch: int) -> npt.NDArray[np.int64]:
    """Return seven images in their own order."""
    return np.arange(7)


def new_loader(dataset: Dataset, **settings: Any) -> TrainingLoader:
    """Return a loader of shuffled and augmented images."""
    preprocessing = settings.pop("preprocessing", CANVAS)
    augment = settings.pop("augment", "standard")
    count = len(dataset)
    names = [name for name in ("workers", "cache_bytes", "cache_file_bytes", "allocate") if name in settings]
    preparation = Preparation(**{name: settings.pop(name) for name in names})
    settings = {"batch_size": 3, "order": lambda epoch: epoch_order(count, seed=0, epoch=epoch)} | settings
    return TrainingLoader(
        dataset,
        preprocessing=preprocessing,
        augmentation=build_augmentation(augment, preprocessing=preprocessing, seed=0),
        preparation=preparation,
        **settings,
    )


def in_memory(*sizes_hw: tuple[int, int], classes: int = 0) -> Dataset:
    """Return images of these sizes filled with their number plus 1; with `classes`, one mask for each."""
    samples = []
    for number, size in enumerate(sizes_hw):
        mask: Any = np.full(size, 1, np.uint8)
        masks = tuple(mask * (number % 2) for _ in range(classes)) if classes else mask
        samples.append(Sample(np.full((*size, 3), number + 1, np.uint8), masks, label=f"image {number}"))
    names = tuple(f"class {number}" for number in range(classes))
    class_map = (
        ClassMap("multilabel", names, values=(1,), background=(0,)) if classes else ClassMap("multiclass", ("a", "b"))
    )
    return Dataset(tuple(samples), class_map)


def same(first: list[Batch], second: list[Batch]) -> bool:
    """Tell whether two lists of batches are equal to the byte."""
    return len(first) == len(second) and all(
        one.indices == other.indices
        and torch.equal(one.images, other.images)
        and torch.equal(one.targets, other.targets)
        for one, other in zip(first, second, strict=True)
    )


def test_batches_hold_bytes_in_channels_last_memory(shapes: Dataset) -> None:
    """Images (N, C, H, W), masks (N, H, W), every image once, the last batch smaller."""
    loader = new_loader(shapes)
    batches = list(loader.epoch(0))
    assert len(loader) == 3
    assert loader.num_images == 7
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert sorted(index for batch in batches for index in batch.indices) == list(range(7))
    for batch in batches:
        assert batch.images.dtype is batch.targets.dtype is torch.uint8
        assert batch.images.shape == (len(batch), 3, 32, 32)
        assert batch.targets.shape == (len(batch), 32, 32)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_images_and_masks_are_those_of_the_dataset_on_the_canvas(shapes: Dataset) -> None:
    """Without augmentation, a batch is what preprocessing makes of files."""
    for batch in new_loader(shapes, augment="none").epoch(0):
        for image, target, index in zip(batch.images, batch.targets, batch.indices, strict=True):
            assert np.array_equal(image.permute(1, 2, 0), CANVAS.image_to_canvas(shapes.image(index)))
            assert np.array_equal(target, CANVAS.mask_to_canvas(shapes.mask(index)))


def test_order_is_the_given_function_of_the_epoch(shapes: Dataset) -> None:
    """Epochs may be asked for in any order and as often as one likes."""
    loader = new_loader(shapes)
    for epoch in (3, 0, 3):
        found = [index for batch in loader.epoch(epoch) for index in batch.indices]
        assert found == epoch_order(7, seed=0, epoch=epoch).tolist()


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_workers_or_cache(shapes: Dataset, workers: int, cache_bytes: int) -> None:
    """Two epochs from worker processes, cached or not, equal those made here without a cache."""
    here = new_loader(shapes, augment="strong")
    there = new_loader(shapes, augment="strong", workers=workers, cache_bytes=cache_bytes)
    assert bool(there.cached_bytes) is bool(cache_bytes)
    for epoch in range(2):
        assert same(list(here.epoch(epoch)), list(there.epoch(epoch)))


def test_epochs_differ_and_repeat(shapes: Dataset) -> None:
    """Augmentation changes from epoch to epoch, but not from run to run."""
    loader = new_loader(shapes, order=in_order)
    first, second, again = (list(loader.epoch(epoch)) for epoch in (0, 1, 0))
    assert same(first, again)
    assert not same(first, second)


def test_abandoned_epoch_leaves_no_trace(shapes: Dataset) -> None:
    """A run that stops in the middle of an epoch can go on with any other."""
    loader = new_loader(shapes, workers=1)
    next(loader.epoch(0))
    assert same(list(loader.epoch(1)), list(new_loader(shapes).epoch(1)))


def test_global_random_numbers_are_left_alone(shapes: Dataset) -> None:
    """Neither torch's nor numpy's generator moves."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    for workers in (0, 1):
        list(new_loader(shapes, workers=workers).epoch(0))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tobytes() == numpy_state


def test_cache_is_used_where_it_fits(shapes: Dataset) -> None:
    """Seven images of 32 x 32 take four bytes per pixel; one byte less, and they are decoded each time."""
    needed = 7 * 32 * 32 * 4
    assert new_loader(shapes, cache_bytes=needed).cached_bytes == needed
    assert not new_loader(shapes, cache_bytes=needed - 1).cached_bytes
    assert not new_loader(shapes, cache_bytes=0).cached_bytes


def test_cached_files_are_read_once(tmp_path: Path) -> None:
    """After the first epoch the files are not needed any more; without a cache they are."""
    dataset = load_dataset(write_shapes(tmp_path, count=4, size=32), classes=SHAPE_CLASSES).split("train")
    cached, fresh = new_loader(dataset, cache_bytes=2**30), new_loader(dataset)
    list(cached.epoch(0))
    for sample in dataset.samples:
        Path(str(sample.image)).unlink()
    assert len(list(cached.epoch(1))) == 1
    with pytest.raises(SampleError):
        list(fresh.epoch(1))


def test_memory_of_the_cache_is_accounted_for(shapes: Dataset) -> None:
    """What is taken, what is left, and what would be needed; without a cache all is left."""
    needed = 7 * 32 * 32 * 4
    cached, fresh = new_loader(shapes, cache_bytes=needed + 5), new_loader(shapes, cache_bytes=needed - 1)
    assert (cached.cached_bytes, cached.spare_bytes) == (needed, 5)
    assert (fresh.cached_bytes, fresh.spare_bytes) == (0, needed - 1)
    assert loaders.cache_bytes_needed(shapes, CANVAS) == needed


def test_file_of_the_cache_is_used_where_memory_is_short(shapes: Dataset) -> None:
    """Memory comes first; the file is of exactly this data and these sizes."""
    needed = 7 * 32 * 32 * 4
    kept = new_loader(shapes, cache_bytes=needed - 1, cache_file_bytes=needed)
    assert (kept.cached_bytes, kept.spare_bytes) == (needed, needed - 1)
    assert kept.cache_file is not None
    assert kept.cache_file.is_relative_to(loaders.decoded_folder())
    assert new_loader(shapes, cache_bytes=needed, cache_file_bytes=needed).cache_file is None
    assert new_loader(shapes, cache_bytes=0, cache_file_bytes=needed - 1).cached_bytes == 0
    assert new_loader(shapes, cache_file_bytes=needed).cache_file == kept.cache_file
    larger = new_loader(shapes, cache_file_bytes=2**30, preprocessing=Preprocessing((48, 48), "pad", 3))
    assert larger.cache_file != kept.cache_file


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_a_file_equal_fresh_ones(shapes: Dataset, workers: int) -> None:
    """When the file is filled, and when it is found."""
    here = new_loader(shapes, augment="strong")
    for _ in range(2):
        there = new_loader(shapes, augment="strong", workers=workers, cache_file_bytes=2**30)
        for epoch in range(2):
            for one, other in zip(here.epoch(epoch), there.epoch(epoch), strict=True):
                assert torch.equal(one.images, other.images)
                assert torch.equal(one.targets, other.targets)


def test_changed_files_get_a_cache_of_their_own(tmp_path: Path) -> None:
    """Even where size and time of a file are as before."""
    folder = write_shapes(tmp_path / "shapes", count=4, size=32)

    def cache_file() -> Path | None:
        dataset = load_dataset(folder, classes=SHAPE_CLASSES).split("train")
        return new_loader(dataset, cache_file_bytes=2**30).cache_file

    before = cache_file()
    assert cache_file() == before
    image = min((folder / "train/images").iterdir())
    times = image.stat()
    image.write_bytes(image.read_bytes())
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache_file() != before


def test_spawned_workers_do_without_the_cache(shapes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only forked processes share this one's memory."""
    monkeypatch.setattr(loaders.sys, "platform", "darwin")
    assert loaders.start_method() == "spawn"
    assert not new_loader(shapes, cache_bytes=2**30, workers=1).cached_bytes
    assert new_loader(shapes, cache_bytes=2**30, workers=0).cached_bytes


def test_images_of_different_sizes_are_filled_up() -> None:
    """With resize=None, smaller images of a batch lie at its top left; the rest is grey and does not count."""
    dataset = in_memory((2, 5), (4, 3))
    keep_sizes = Preprocessing(None, None, 3)
    loader = new_loader(dataset, preprocessing=keep_sizes, augment="none", order=lambda _: np.arange(2), batch_size=2)
    (batch,) = loader.epoch(0)
    assert batch.images.shape == (2, 3, 4, 5)
    assert (batch.images[0, :, :2] == 1).all()
    assert (batch.images[1, :, :, :3] == 2).all()
    assert (batch.images[0, :, 2:] == PAD_VALUE).all()
    assert (batch.targets[0, 2:] == IGNORE_INDEX).all()
    assert (batch.targets[1, :, 3:] == IGNORE_INDEX).all()
    assert (batch.targets[0, :2] == 1).all()


@pytest.mark.parametrize("cache_bytes", [0, 2**30])
def test_multilabel_masks_have_one_plane_per_class(cache_bytes: int) -> None:
    """Targets are (N, classes, H, W)."""
    dataset = in_memory((8, 8), (8, 8), classes=3)
    loader = new_loader(dataset, augment="none", order=lambda _: np.arange(2), cache_bytes=cache_bytes)
    (batch,) = loader.epoch(0)
    assert batch.targets.shape == (2, 3, 32, 32)
    assert [int(plane.max()) for plane in batch.targets] == [0, 1]


def test_empty_split_is_refused() -> None:
    """A run needs at least one image."""
    with pytest.raises(DataError, match=r"training split is empty; a run needs at least one image"):
        new_loader(Dataset((), ClassMap("multiclass", ("a", "b"))))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_broken_file_is_the_same_error_from_any_process(tmp_path: Path, workers: int) -> None:
    """The error is a SampleError with the file's path, without a worker's traceback in its words."""
    dataset = load_dataset(write_shapes(tmp_path, count=6, size=32), classes=SHAPE_CLASSES).split("train")
    broken = Path(str(dataset[2].image))
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 0xFF  # in the middle of the pixels, which no look at the header finds
    broken.write_bytes(bytes(content))
    loader = new_loader(dataset, workers=workers, cache_bytes=2**20, batch_size=1)
    with closing(loader):
        with pytest.raises(SampleError) as caught:
            list(loader.epoch(0))
        with pytest.raises(SampleError, match=broken.name):  # and again in the next epoch
            list(loader.epoch(1))
    assert caught.value.path == str(broken)
    assert str(caught.value).startswith(f"{broken}: ")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_of_ours_keep_their_kind(shapes: Dataset, workers: int) -> None:
    """What the user's own transform does wrong is told in the same words from a worker."""

    def shrink(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> Any:
        return image[:5], mask[:5]

    loader = new_loader(shapes, augment=shrink, workers=workers)
    with closing(loader), pytest.raises(DataError, match=r"shrink"):
        list(loader.epoch(0))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize("fails", [False, True])
def test_workers_are_quiet_and_end_when_closed(shapes: Dataset, capfd: pytest.CaptureFixture[str], fails: bool) -> None:
    """No process is left behind and nothing is written to the screen, even while somebody keeps the error."""

    def shrink(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> Any:
        return image[:5], mask[:5]

    before = set(_children())
    loader = new_loader(shapes, workers=2, augment=shrink if fails else "none")
    begun = time.perf_counter()
    with closing(loader), pytest.raises(DataError) if fails else nullcontext() as kept:
        list(loader.epoch(0))
        assert len(set(_children()) - before) == 2
    assert set(_children()) <= before
    assert time.perf_counter() - begun < 4  # torch waits five seconds for a worker it has lost
    assert capfd.readouterr() == ("", "")
    assert (kept is not None) is fails


def _children() -> Iterator[int]:
    """Yield the ids of this process's child processes that run."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            yield int(entry.name)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_parts_make_up_the_whole_batches(size: int, workers: int) -> None:
    """Each image comes once, changed as it would be for one process; a part may have none in the last batch."""
    dataset = in_memory(*[(40, 30)] * 7)
    whole = list(new_loader(dataset, batch_size=4).epoch(2))
    parts = [
        list(new_loader(dataset, batch_size=4, part=Part(rank, size), workers=workers).epoch(2)) for rank in range(size)
    ]
    assert [len(part) for part in parts] == [len(whole)] * size
    for batch, *shares in zip(whole, *parts, strict=True):
        assert all(share.whole == batch.indices for share in shares)
        assert sum((share.indices for share in shares), ()) == batch.indices
        assert torch.equal(torch.cat([share.images[: len(share)] for share in shares]), batch.images)
        assert torch.equal(torch.cat([share.targets[: len(share)] for share in shares]), batch.targets)
        assert all(len(share.images) == max(1, len(share)) for share in shares)


def test_parts_go_on_within_an_epoch() -> None:
    """A resumed epoch knows the whole batches from there on."""
    loader = new_loader(in_memory(*[(40, 30)] * 7), batch_size=2, part=Part(1, 2))
    assert same(list(loader.epoch(1, start=2)), list(loader.epoch(1))[2:])
    assert [batch.whole for batch in loader.epoch(1, start=2)] == [batch.whole for batch in loader.epoch(1)][2:]


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("size", range(1, 6))
def test_parts_are_even(count: int, size: int) -> None:
    """Neighbours, every place once, none with two more than another, and the first never without any."""
    parts = [Part(rank, size).of(count) for rank in range(size)]
    assert [place for part in parts for place in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert len(parts[0]) >= 1
