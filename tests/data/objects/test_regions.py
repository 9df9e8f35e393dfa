"""Connected regions of masks of classes as objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.dataset import Dataset
from easyseg.data.objects.regions import num_specks
from easyseg.data.reading import load_dataset
from easyseg.errors import ConfigError, DataError, SampleError, UnknownNameError
from easyseg.io.images import write_image
from easyseg.structures import ClassMap, ConnectedRegions, LabelledObject, LazySamples, MaskPart, Sample

IMAGE = np.zeros((20, 30, 3), np.uint8)


def mask_of(*rectangles: tuple[int, int, int, int, int]) -> np.ndarray:
    """Return a mask with rectangles: top, left, height, width, value."""
    mask = np.zeros((20, 30), np.uint8)
    for top, left, height, width, value in rectangles:
        mask[top : top + height, left : left + width] = value
    return mask


def dataset_of(class_map: ClassMap, *masks: np.ndarray) -> Dataset:
    """Return a dataset in memory."""
    return Dataset(tuple(Sample(IMAGE, mask, "train") for mask in masks), class_map)


ROOFS = mask_of((0, 0, 5, 5, 1), (8, 8, 4, 6, 1), (12, 14, 4, 4, 1), (19, 29, 1, 1, 1))


def test_each_region_is_an_object() -> None:
    """Regions are connected across corners too; specks are none; the mask of classes stays."""
    dataset = dataset_of(ClassMap("binary", ("roof",)), ROOFS)
    found = dataset.as_instances().instances(0)
    assert dataset.as_instances().object_classes == ["roof"]
    assert found.boxes.tolist() == [[0, 0, 5, 5], [8, 8, 18, 16]]
    assert found.masks.sum(axis=(1, 2)).tolist() == [25, 40]
    assert found.class_ids.tolist() == [0, 0]
    assert not found.is_crowd.any()
    assert len(dataset.as_instances(smallest_pixels=1).instances(0)) == 3
    assert len(dataset.as_instances(smallest_pixels=26).instances(0)) == 1
    assert np.array_equal(dataset.as_instances().mask(0), dataset.mask(0))
    assert dataset.samples[0].objects is None


def test_background_is_no_object() -> None:
    """Of several classes, all but a background have objects, numbered without it; touching classes are two."""
    class_map = ClassMap("multiclass", ("background", "roof", "pool"))
    dataset = dataset_of(class_map, mask_of((0, 0, 5, 5, 1), (0, 5, 5, 5, 2), (10, 10, 5, 5, 255)))
    dataset = replace(dataset, class_map=replace(class_map, ignored=(255,)))
    found = dataset.as_instances().instances(0)
    assert found.class_ids.tolist() == [0, 1]
    assert found.boxes.tolist() == [[0, 0, 5, 5], [5, 0, 10, 5]]


def test_overlapping_classes() -> None:
    """Each mask of the multilabel task has regions of its own."""
    one, two = mask_of((0, 0, 5, 5, 1)), mask_of((2, 2, 5, 5, 1), (10, 20, 5, 5, 1))
    class_map = ClassMap("multilabel", ("roof", "chimney"), values=(1,))
    found = Dataset((Sample(IMAGE, (one, two)),), class_map).as_instances().instances(0)
    assert found.class_ids.tolist() == [0, 1, 1]


def test_chosen_classes() -> None:
    """Without a background, one has to say which classes have objects; the others are stuff."""
    class_map = ClassMap("multiclass", ("sky", "car", "tree"))
    dataset = dataset_of(class_map, mask_of((0, 0, 5, 5, 1), (10, 10, 5, 5, 2)))
    with pytest.raises(
        DataError,
        match=r"sky, car, tree is called background.*Type object_classes=\[\.\.\.\] with the names of",
    ):
        dataset.as_instances()
    chosen = dataset.as_instances(classes=["tree"])
    assert chosen.object_classes == ["tree"]
    assert chosen.instances(0).boxes.tolist() == [[10, 10, 15, 15]]
    assert chosen.classes == ["sky", "car", "tree"]
    assert ClassMap.from_dict(chosen.class_map.to_dict()) == chosen.class_map
    assert "smallest_pixels" not in class_map.to_dict()
    few = dataset.as_instances(classes=["tree"], smallest_pixels=30).class_map
    assert ClassMap.from_dict(few.to_dict()).smallest_pixels == 30
    with pytest.raises(UnknownNameError, match="tree"):
        dataset.as_instances(classes=["trees"])
    with pytest.raises(ConfigError, match="leaves no objects"):
        dataset.as_instances(classes=[])
    with pytest.raises(ConfigError, match="smallest_pixels=0"):
        dataset.as_instances(classes=["car"], smallest_pixels=0)


def test_objects_that_are_told_apart_already() -> None:
    """A dataset with objects is refused: its own are better."""
    sample = Sample(IMAGE, objects=(LabelledObject("roof", MaskPart(ROOFS)),))
    with pytest.raises(DataError, match="told apart already"):
        Dataset((sample,), ClassMap("binary", ("roof",))).as_instances()


def test_splits_and_images_without_masks() -> None:
    """Splits stay, a changed choice replaces the first, and images without a mask have no objects to ask for."""
    dataset = dataset_of(ClassMap("binary", ("roof",)), ROOFS)
    dataset = replace(dataset, samples=(*dataset.samples, Sample(IMAGE, split="test")))
    again = dataset.as_instances().as_instances(smallest_pixels=1)
    assert len(again.split("train").instances(0)) == 3
    with pytest.raises(SampleError, match="has no objects"):
        again.split("test").instances(0)
    assert dataset.fingerprint() != dataset.as_instances().fingerprint() != again.fingerprint()


def test_long_sequences_stay_lazy() -> None:
    """No sample is built before it is asked for."""
    built = []

    def build(number: int) -> Sample:
        built.append(number)
        return Sample(IMAGE, ROOFS)

    dataset = Dataset(LazySamples(build, np.array([0, 0, 1], np.uint8)), ClassMap("binary", ("roof",)))
    found = dataset.as_instances()
    before = len(built)
    assert before <= 1
    assert found.splits() == {"train": 2, "val": 1}
    assert len(found.split("val").instances(0)) == 2
    assert built[before:].count(2) >= 1
    assert 1 not in built


def test_antialiased_masks_of_files(tmp_path: Path) -> None:
    """Files are read by their class map, whatever greys their edges have; verifying and COCO files work."""
    for number in range(4):
        write_image(tmp_path / f"roofs/images/{number}.png", IMAGE)
        mask = (mask_of((0, 0, 8, 8, 1), (10, 12, 8, 8, 1)) * 255).astype(np.uint8)
        mask[8, :8] = 90
        write_image(tmp_path / f"roofs/masks/{number}.png", mask)
    dataset = load_dataset(tmp_path / "roofs", class_map={"roof": 255}, task="binary").as_instances()
    dataset.verify()
    assert len(dataset.instances(0)) == 2
    assert "Each connected region" in dataset.describe()
    written = load_dataset(dataset.to_coco(tmp_path / "coco").parent)
    assert [len(written.instances(index)) for index in range(len(written))] == [2] * 4


def test_numbers_may_be_what_look_like_classes() -> None:
    """Masks of 1, 2, 3, ... without a background are perhaps numbered objects; all of their values are offered."""
    numbers = ClassMap("multiclass", ("class_1", "class_2", "class_3", "class_4", "class_5"))
    with pytest.raises(
        DataError, match=r"'class_5'\].*If the values number objects instead, type format='instance_ids'"
    ):
        dataset_of(numbers, ROOFS).as_instances()


def test_regions_are_asked_for_where_the_dataset_is_read(tmp_path: Path) -> None:
    """`load_dataset` takes what `as_instances` takes, and a dataset remembers it for `config.yaml`."""
    for number in range(2):
        write_image(tmp_path / "roofs" / "images" / f"{number}.png", IMAGE)
        write_image(tmp_path / "roofs" / "masks" / f"{number}.png", ROOFS * 255)
    read = load_dataset(tmp_path / "roofs", smallest_pixels=26)
    assert len(read.instances(0)) == 1
    plain = load_dataset(tmp_path / "roofs")
    again = plain.as_instances(classes=plain.object_classes, smallest_pixels=26)
    assert again.settings == {**read.settings, "object_classes": plain.object_classes}
    assert load_dataset(tmp_path / "roofs", object_classes=plain.object_classes).class_map.smallest_pixels == 16
    with pytest.raises(UnknownNameError, match="class of objects"):
        load_dataset(tmp_path / "roofs", object_classes=["road"])


def test_specks_are_counted() -> None:
    """By class, whatever their form."""
    class_map = ClassMap("binary", ("roof",))
    assert num_specks(ROOFS, class_map, ConnectedRegions()) == 1
    assert num_specks(ROOFS, class_map, ConnectedRegions(smallest_pixels=26)) == 2
    assert num_specks(ROOFS, class_map, ConnectedRegions(smallest_pixels=1)) == 0
    planes = np.stack([ROOFS, ROOFS], axis=-1)
    assert num_specks(planes, ClassMap("multilabel", ("roof", "tile")), ConnectedRegions()) == 2
