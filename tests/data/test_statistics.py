"""Pixels, objects and brightness of datasets, in figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data import statistics
from easyseg.data.dataset import Dataset
from easyseg.data.reading import as_dataset, load_dataset
from easyseg.data.shapes import write_shapes
from easyseg.data.statistics import SIZE_BINS, channel_statistics, class_statistics
from easyseg.errors import ConfigError, SampleError
from easyseg.structures import ClassMap, LabelledObject, Polygons, Sample


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


def _outline(name: str, *points: tuple[int, int], is_crowd: bool = False) -> LabelledObject:
    return LabelledObject(name, Polygons(((np.array(points, np.float64),),)), is_crowd)


def _two_roofs() -> Dataset:
    """Return an image with two roofs side by side, a door upon one of them, and a crowd."""
    objects = (
        _outline("roof", (0, 0), (4, 0), (4, 4), (0, 4)),
        _outline("roof", (4, 0), (8, 0), (8, 2), (6, 2), (6, 4), (4, 4)),
        _outline("door", (1, 1), (3, 1), (3, 3)),
        _outline("roof", (0, 8), (9, 8), (9, 10), is_crowd=True),
    )
    return as_dataset([Sample(np.zeros((12, 12, 3), np.uint8), objects=objects)])


def test_objects_that_touch_are_told_apart() -> None:
    """Where the dataset has objects, these count, each at its own size; crowds do not."""
    found = class_statistics(_two_roofs())
    assert found.names == ("background", "door", "roof")
    assert found.objects.tolist() == [0, 1, 2]
    assert np.flatnonzero(found.object_sizes[2]).tolist() == [3, 4]  # 12 and 16 pixels


def test_points_of_outlines_are_counted() -> None:
    """Every polygon counts with its points; a class without any has no mean."""
    found = _two_roofs().statistics()
    assert found.outlines.tolist() == [0, 1, 3]
    assert found.outline_points.tolist() == [0, 3, 13]
    assert np.isnan(found.mean_outline_points[0])
    assert found.mean_outline_points[1:].tolist() == [3.0, 13 / 3]


def test_outlines_can_be_resampled() -> None:
    """Each gets as many points as asked for, evenly spread, and goes on covering about the same."""
    dataset = _two_roofs()
    even = dataset.resampled(16)
    assert even.statistics().mean_outline_points[1:].tolist() == [16, 16]
    ring = even[0].objects[0].shape.parts[0][0]
    assert np.hypot(*np.diff(ring, axis=0).T) == pytest.approx(1.0)
    assert (even.mask(0) == dataset.mask(0)).mean() > 0.95
    assert len(dataset[0].objects[0].shape.parts[0][0]) == 4
    with pytest.raises(ConfigError, match="count=2"):
        dataset.resampled(2)
    drawn = Dataset((Sample(np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=np.uint8)),), ClassMap("binary", ("a",)))
    assert drawn.resampled(8)[0] is drawn[0]


def test_figures_are_drawn(tmp_path: Path) -> None:
    """A picture as wide as a page, with a bar in the colour of each class."""
    dataset = load_dataset(write_shapes(tmp_path / "shapes", count=6, size=32))
    picture = dataset.statistics().plot()
    assert picture.dtype == np.uint8
    assert picture.shape[1] > picture.shape[0] > 200
    for color in dataset.class_map.colors[1:]:
        assert (picture == color).all(axis=2).sum() > 100


def test_annotations_can_be_looked_at(tmp_path: Path) -> None:
    """As predictions can: with the image, the classes and the mask."""
    dataset = load_dataset(write_shapes(tmp_path / "shapes", count=6, size=32))
    found = dataset.annotation(1)
    np.testing.assert_array_equal(found.mask, dataset.mask(1))
    np.testing.assert_array_equal(found.image, dataset.image(1))
    assert found.name == dataset[1].image.name
    assert found.save(tmp_path / "annotation.png").is_file()
    planes = tuple(np.pad(np.ones((4, 4), np.uint8), ((top, 4 - top), (0, 4))) for top in (0, 2))
    several = Dataset((Sample(np.zeros((8, 8, 3), np.uint8), planes),), ClassMap("multilabel", ("a", "b"), values=(1,)))
    assert several.annotation(0).areas() == {"a": 16, "b": 16}
