"""Pixels, objects and brightness of datasets, in figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data import statistics
from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.data.shapes import write_shapes
from easyseg.data.statistics import SIZE_BINS, channel_statistics, class_statistics
from easyseg.errors import SampleError
from easyseg.structures import ClassMap, Sample


def _dataset(masks: list[np.ndarray], class_map: ClassMap, images: list[np.ndarray] | None = None) -> Dataset:
    images = images or [np.zeros((*mask.shape[:2], 3), np.uint8) for mask in masks]
    return Dataset(tuple(Sample(image, mask) for image, mask in zip(images, masks, strict=True)), class_map)


def test_figures_of_channels_are_those_of_all_pixels() -> None:
    """Mean and deviation equal those of all pixels in one array, though the images have different sizes."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (*generator.integers(5, 40, 2), 5)).astype(np.uint8) for _ in range(150)]
    masks = [np.zeros(image.shape[:2], np.uint8) for image in images]
    found = channel_statistics(_dataset(masks, ClassMap("multiclass", ("a",)), images), channels=5)
    pixels = np.concatenate([image.reshape(-1, 5) for image in images]).astype(np.float64)
    assert found.levels.shape == (5, 256)
    assert np.allclose(found.means, pixels.mean(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(found.deviations, pixels.std(axis=0), rtol=1e-12, atol=0)


def test_figures_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are added, so any number of images at once gives the same to the last bit."""
    dataset = load_dataset(write_shapes(tmp_path / "shapes", count=9, size=32))
    first = channel_statistics(dataset)
    monkeypatch.setattr(statistics, "_IMAGES_AT_ONCE", 2)
    second = channel_statistics(dataset)
    assert first.means.tolist() == second.means.tolist()
    assert first.deviations.tolist() == second.deviations.tolist()


def test_constant_channels_have_no_deviation() -> None:
    """Images of one colour have its value as the mean, and deviation 0."""
    image = np.full((4, 5, 3), (0, 77, 255), np.uint8)
    found = channel_statistics(_dataset([np.zeros((4, 5), np.uint8)], ClassMap("multiclass", ("a",)), [image]))
    assert found.means.tolist() == [0, 77, 255]
    assert found.deviations.tolist() == [0, 0, 0]


def test_pixels_images_and_objects_are_counted() -> None:
    """Each class has its pixels, the images it is in, and its objects by size; what is ignored counts apart."""
    first = np.zeros((8, 8), np.uint8)
    first[0, 0] = 1  # an object of one pixel, and one of four that touch at corners, too
    first[3:5, 3] = 1
    first[5, 4] = first[6, 5] = 1
    first[7] = 255
    second = np.full((4, 4), 2, np.uint8)
    class_map = ClassMap("multiclass", ("ground", "thing", "sky"), ignored=(255,))
    found = class_statistics(_dataset([first, second], class_map))
    assert found.names == ("ground", "thing", "sky")
    assert found.num_images == 2
    assert found.pixels.tolist() == [51, 5, 16]
    assert found.images.tolist() == [1, 1, 1]
    assert found.objects.tolist() == [1, 2, 1]
    assert found.ignored_pixels == 8
    assert found.object_sizes.shape == (3, SIZE_BINS)
    assert np.flatnonzero(found.object_sizes[1]).tolist() == [0, 2]  # 1 and 4..7 pixels
    assert np.flatnonzero(found.object_sizes[0]).tolist() == [5]  # 32..63
    assert np.flatnonzero(found.object_sizes[2]).tolist() == [4]  # 16..31


@pytest.mark.parametrize(("size", "place"), [(1, 0), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (1023, 9), (1024, 10)])
def test_objects_fall_into_powers_of_two(size: int, place: int) -> None:
    """An object of 2^k pixels is the first of bin k, one of a pixel less the last of the bin before."""
    mask = np.zeros((40, 40), np.uint8)
    mask.reshape(-1)[:size] = 1
    found = class_statistics(_dataset([mask], ClassMap("binary", ("thing",))))
    assert np.flatnonzero(found.object_sizes[0]).tolist() == [place]


def test_a_single_class_counts_where_it_is() -> None:
    """For the binary task the class is where the mask is 1; the background is no class."""
    mask = np.zeros((6, 6), np.uint8)
    mask[1:3, 1:3] = 1
    found = class_statistics(_dataset([mask], ClassMap("binary", ("thing",))))
    assert (found.pixels.tolist(), found.objects.tolist()) == ([4], [1])


def test_overlapping_classes_count_each_on_its_own() -> None:
    """For the multilabel task a pixel counts for every class it has."""
    masks = tuple(np.pad(np.ones((4, 4), np.uint8), ((top, 4 - top), (0, 4))) for top in (0, 2))
    sample = Sample(np.zeros((8, 8, 3), np.uint8), masks)
    found = class_statistics(Dataset((sample,), ClassMap("multilabel", ("a", "b"), values=(1,))))
    assert (found.pixels.tolist(), found.images.tolist()) == ([16, 16], [1, 1])


def test_broken_images_are_named(tmp_path: Path) -> None:
    """An image that cannot be read is an error that names it."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    dataset = Dataset((Sample(tmp_path / "broken.png", np.zeros((4, 4), np.uint8)),), ClassMap("binary", ("thing",)))
    with pytest.raises(SampleError, match=r"broken\.png"):
        channel_statistics(dataset)
    with pytest.raises(SampleError, match=r"broken\.png"):
        class_statistics(dataset)
