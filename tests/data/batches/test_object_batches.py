"""Batches of objects: the same ones for any number of workers, in bounded memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easyseg.data.batches import loaders
from easyseg.data.batches.loaders import Preparation, TrainingLoader
from easyseg.data.batches.object_batches import DecodeObjects
from easyseg.data.batches.sampling import Part, epoch_order
from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.data.transforms.augmentation import build_augmentation
from easyseg.data.transforms.instance_augmentation import build_instance_augmentation
from easyseg.errors import DataError, SampleError
from easyseg.preprocessing import PAD_VALUE, Preprocessing
from easyseg.structures import Batch, BoxShape, ClassMap, InstanceTarget, LabelledObject, MaskPart, Sample

CANVAS = Preprocessing((32, 32), "pad", 3)
NAMES = ClassMap("multiclass", ("car", "bus"), "names", object_names=(("car",), ("bus",)), ignored_names=("bird",))


def picture(number: int, size: int = 40) -> Sample:
    """Return an image with `number` modulo 4 bright squares, the last one a crowd where they are 3."""
    generator = np.random.default_rng(number)
    image = np.full((size, size, 3), 30 + number, np.uint8)
    objects = []
    for at in range(number % 4):
        x, y = generator.integers(0, size - 12, 2).tolist()
        image[y : y + 12, x : x + 12] = 200
        objects.append(LabelledObject("bus" if at else "car", BoxShape(x, y, x + 12, y + 12), is_crowd=at == 2))
    return Sample(image, objects=tuple(objects), label=f"image {number}")


@pytest.fixture
def pictures() -> Dataset:
    """Seven images with none to three objects."""
    return Dataset(tuple(picture(number) for number in range(7)), NAMES)


def new_loader(dataset: Dataset, augment: Any = "strong", **settings: Any) -> TrainingLoader:
    """Return a loader of shuffled and augmented images."""
    preprocessing = settings.pop("preprocessing", CANVAS)
    most = {"most_objects": settings.pop("most_objects")} if "most_objects" in settings else {}
    names = [name for name in ("workers", "cache_bytes", "cache_file_bytes") if name in settings]
    preparation = Preparation(**{name: settings.pop(name) for name in names})
    count = len(dataset)
    return TrainingLoader(
        dataset,
        preprocessing=preprocessing,
        augmentation=build_instance_augmentation(augment, preprocessing=preprocessing, seed=0, **most),
        preparation=preparation,
        **{"batch_size": 3, "order": lambda epoch: epoch_order(count, seed=0, epoch=epoch)} | settings,
    )


def same(first: list[Batch], second: list[Batch]) -> bool:
    """Tell whether two lists of batches are equal to the byte."""
    return len(first) == len(second) and all(
        one.indices == other.indices
        and torch.equal(one.images, other.images)
        and len(one.targets) == len(other.targets)
        and all(
            torch.equal(getattr(mine, name), getattr(yours, name))
            for mine, yours in zip(one.targets, other.targets, strict=True)
            for name in ("boxes", "class_ids", "masks", "is_crowd")
        )
        for one, other in zip(first, second, strict=True)
    )


def test_targets_are_what_a_detector_takes(pictures: Dataset) -> None:
    """A tuple with a target for each image, of the right types, boxes tight around masks, empty images included."""
    counts = []
    for batch in new_loader(pictures).epoch(0):
        assert isinstance(batch.targets, tuple)
        assert len(batch.targets) == len(batch) == len(batch.images)
        assert batch.images.dtype is torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for target in batch.targets:
            assert isinstance(target, InstanceTarget)
            count = len(target)
            counts.append(count)
            assert (target.boxes.dtype, target.boxes.shape) == (torch.float32, (count, 4))
            assert (target.class_ids.dtype, target.class_ids.shape) == (torch.int64, (count,))
            single = ~target.is_crowd
            assert (target.masks.dtype, target.masks.shape) == (torch.uint8, (int(single.sum()), 32, 32))
            assert (target.is_crowd.dtype, target.is_crowd.shape) == (torch.bool, (count,))
            for mask, (x1, y1, x2, y2) in zip(target.masks, target.boxes[single].int().tolist(), strict=True):
                assert int(mask.max()) == 1
                assert int(mask.sum()) == int(mask[y1:y2, x1:x2].sum())
                assert mask[y1:y2, x1:x2].any(dim=1)[[0, -1]].all()
                assert mask[y1:y2, x1:x2].any(dim=0)[[0, -1]].all()
    assert len(counts) == 7
    assert min(counts) == 0


def test_without_augmentation_objects_are_those_of_the_dataset(pictures: Dataset) -> None:
    """Masks, classes and crowds are those of `instances`, brought to the canvas."""
    for batch in new_loader(pictures, "none").epoch(0):
        for index, target in zip(batch.indices, batch.targets, strict=True):
            expected = pictures.instances(index)
            singles = expected.masks[~expected.is_crowd]
            masks = [CANVAS.mask_to_canvas(mask.astype(np.uint8)) == 1 for mask in singles]
            assert np.array_equal(target.masks.numpy() == 1, np.array(masks).reshape(-1, 32, 32))
            assert target.class_ids.tolist() == expected.class_ids.tolist()
            assert target.is_crowd.tolist() == expected.is_crowd.tolist()


def test_objects_that_do_not_count_are_crowds() -> None:
    """Nothing is learnt about them; for masks and evaluation they are no objects."""
    bird = LabelledObject("bird", BoxShape(5, 5, 20, 20))
    dataset = Dataset((replace(picture(1), objects=(bird, *picture(1).objects)),), NAMES)
    (batch,) = new_loader(dataset, "none").epoch(0)
    assert batch.targets[0].is_crowd.tolist() == [True, False]
    assert len(dataset.instances(0)) == 1


def test_crowds_have_no_masks() -> None:
    """However many objects there are, the masks of a batch take the memory of those that are learnt from."""
    generator = np.random.default_rng(0)
    places = generator.integers(0, 60, (2000, 2)).tolist()
    many = tuple(LabelledObject("car", BoxShape(x, y, x + 3, y + 3)) for x, y in places)
    dataset = Dataset((Sample(np.zeros((64, 64, 3), np.uint8), objects=many), picture(2, 64)), NAMES)
    given = {"preprocessing": Preprocessing((64, 64)), "most_objects": 50, "order": lambda epoch: np.arange(2)}
    ((crowded, other),) = (batch.targets for batch in new_loader(dataset, "none", **given).epoch(0))
    assert (len(crowded), crowded.masks.shape) == (2000, (50, 64, 64))
    assert int(crowded.is_crowd.sum()) == 1950
    assert other.masks.shape == (2, 64, 64)
    for target in (crowded, other):
        for mask, (x1, y1, x2, y2) in zip(target.masks, target.boxes[~target.is_crowd].int().tolist(), strict=True):
            assert int(mask.sum()) == int(mask[y1:y2, x1:x2].sum()) == (x2 - x1) * (y2 - y1)


@pytest.mark.parametrize("cache", [{}, {"cache_bytes": 2**30}, {"cache_file_bytes": 2**30}])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers_or_cache(pictures: Dataset, workers: int, cache: dict[str, int]) -> None:
    """Two epochs with pasted objects of other images, cached or not, equal those made here without a cache."""
    here = new_loader(pictures)
    there = new_loader(pictures, workers=workers, **cache)
    assert bool(there.cached_bytes) is bool(cache)
    assert bool(there.cache_file) is ("cache_file_bytes" in cache)
    for epoch in range(2):
        assert same(list(here.epoch(epoch)), list(there.epoch(epoch)))
    there.close()


def test_epochs_can_be_entered_at_any_batch(pictures: Dataset) -> None:
    """Resuming is a slice of the epoch."""
    loader = new_loader(pictures)
    assert same(list(loader.epoch(1))[1:], list(loader.epoch(1, start=1)))
    assert not same(list(loader.epoch(0)), list(loader.epoch(1)))


def test_parts_of_batches_are_shared_out(pictures: Dataset) -> None:
    """Several processes have each batch between them; one without an image has one that does not count."""
    whole = list(new_loader(pictures).epoch(0))
    parts = [list(new_loader(pictures, part=Part(rank, 2)).epoch(0)) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert first.indices + second.indices == batch.indices == first.whole == second.whole
        targets = first.targets + (second.targets if second.indices else ())
        assert same([batch], [replace(batch, targets=targets)])
    assert parts[1][-1].indices == ()
    assert len(parts[1][-1].targets) == len(parts[1][-1].images) == 1


def test_caches_of_masks_and_objects_are_not_mistaken(tmp_path: Path, pictures: Dataset) -> None:
    """Their files differ, for the same images at the same size."""
    dataset = load_dataset(pictures.to_coco(tmp_path / "coco").parent)
    kept = new_loader(dataset, "none", cache_file_bytes=2**30)
    names = {kept.cache_file}
    masks = TrainingLoader(
        dataset,
        preprocessing=CANVAS,
        augmentation=build_augmentation("none", preprocessing=CANVAS, seed=0),
        order=lambda epoch: np.arange(7),
        batch_size=3,
        preparation=Preparation(cache_file_bytes=2**30),
    )
    assert masks.cache_file not in names
    list(kept.epoch(0))
    assert all(isinstance(batch.targets, torch.Tensor) for batch in masks.epoch(0))


def test_cached_objects_are_not_drawn_again(pictures: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second epoch takes them from the cache."""
    loader = new_loader(pictures, "none", cache_bytes=2**30)
    first = list(loader.epoch(0))
    monkeypatch.setattr(DecodeObjects, "objects", lambda *_: pytest.fail("drawn once more"))
    assert same(sorted(first, key=len), sorted(loader.epoch(0), key=len))
    needed = loaders.cache_bytes_needed(pictures, CANVAS, instances=True)
    assert needed == loader.cached_bytes == 7 * 32 * 32 * 4


def test_objects_that_a_cache_cannot_hold_are_drawn_anew() -> None:
    """Very many objects on a very small canvas: slower, and never wrong."""
    generator = np.random.default_rng(0)
    noise = [LabelledObject("car", MaskPart((generator.random((16, 16)) < 0.5).astype(np.uint8))) for _ in range(40)]
    dataset = Dataset((Sample(np.zeros((16, 16, 3), np.uint8), objects=tuple(noise)),), NAMES)
    small = Preprocessing((16, 16))
    (plain,), (cached,) = (
        list(new_loader(dataset, "none", preprocessing=small, **given).epoch(0))
        for given in ({}, {"cache_bytes": 2**20})
    )
    assert len(cached.targets[0]) == 40
    assert same([plain], [cached])


def test_images_of_their_own_size_are_filled_up() -> None:
    """Smaller images are filled up to the right and below, where there are no objects."""
    dataset = Dataset((picture(1, 40), picture(2, 64)), NAMES)
    own_size = Preprocessing(None, None, 3)
    (batch,) = new_loader(dataset, "none", preprocessing=own_size, order=lambda epoch: np.arange(2)).epoch(0)
    assert batch.images.shape == (2, 3, 64, 64)
    assert [target.masks.shape for target in batch.targets] == [(1, 64, 64), (2, 64, 64)]
    assert (batch.images[0, :, 40:] == PAD_VALUE).all()
    assert not batch.targets[0].masks[:, 40:].any()
    assert not batch.targets[0].masks[:, :, 40:].any()


def test_faults_name_the_file(pictures: Dataset) -> None:
    """A mask of another size is an error of that image, from any process; the other image of copy-paste, too."""
    broken = Sample(
        np.zeros((40, 40, 3), np.uint8),
        objects=(LabelledObject("car", MaskPart(np.ones((9, 9), np.uint8), is_scaled=False, value=None)),),
        label="image 8",
    )
    wrong = replace(broken, size_hw=(50, 50))
    for workers in (0, 1):
        loader = new_loader(replace(pictures, samples=(*pictures.samples, wrong)), workers=workers)
        with pytest.raises(SampleError, match="image 8: the image has 40 x 40 pixels, its annotation is for 50 x 50"):
            list(loader.epoch(0))
        loader.close()
    loader = new_loader(pictures, lambda image, masks: (image, masks[1:]), workers=1)
    with pytest.raises(DataError, match="turned the masks"):
        list(loader.epoch(0))
    loader.close()


def open_files() -> int:
    """Count what this process holds open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files the Linux way")
def test_targets_of_a_batch_share_memory(pictures: Dataset) -> None:
    """A batch from a worker takes a handful of open files, however many images it has."""
    loader = new_loader(pictures, workers=1, batch_size=7)
    before = open_files()
    held = list(loader.epoch(0))
    opened = open_files() - before
    loader.close()
    assert len(held[0].targets) == 7
    assert opened < 7 + 12  # five of the batch, and the worker's own pipes


def on_real_images(folder: Path, **given: Any) -> list[Batch]:
    """Return an epoch of one of the real datasets."""
    dataset = load_dataset(folder, **given)
    dataset = dataset if dataset.format != "folders" or dataset.samples[0].objects else dataset.as_instances()
    preprocessing = Preprocessing((128, 128))
    return list(new_loader(dataset.split("train"), preprocessing=preprocessing, batch_size=8).epoch(0))


@pytest.mark.parametrize(
    ("name", "given"), [("pennfudan", {}), ("car_damage_via", {"annotations": "*_multiclass.json"}), ("rooftops", {})]
)
def test_real_images(shared_data: Path, name: str, given: dict[str, str]) -> None:
    """Every batch of real data can be trained on, and most images keep their objects."""
    targets = [target for batch in on_real_images(shared_data / name, **given) for target in batch.targets]
    assert all(bool((target.boxes[:, :2] < target.boxes[:, 2:]).all()) for target in targets)
    assert np.mean([bool((~target.is_crowd).any()) for target in targets]) > 0.9
