"""Masks that number objects are told from masks that number classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from easyseg.data.classes import object_numbers
from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.reading import load_dataset
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, NumberedObjects, Sample

IMAGE = np.zeros((12, 40, 3), np.uint8)


def mask_of(*numbers: int, is_scattered: bool = False) -> Sample:
    """Return a sample whose mask holds a bar of each number, or two of half its width at both ends of the mask."""
    mask = np.zeros((12, 40), np.uint8)
    for at, number in enumerate(numbers):
        if is_scattered:
            mask[2:10, 2 * at + 1] = mask[2:10, 2 * at + 21] = number
        else:
            mask[2:10, 4 * at + 1 : 4 * at + 3] = number
    return Sample(IMAGE, mask)


def infer(*samples: Sample, **arguments: Any) -> ClassMap:
    """Infer the class map of some samples."""
    return infer_class_map(samples, **arguments)


def test_numbers_of_objects_are_refused_with_both_readings() -> None:
    """Masks that each count upwards to another number can be read in two ways; both arguments work."""
    samples = [mask_of(1, 2, 3), mask_of(1), mask_of(1, 2), mask_of()]
    with pytest.raises(ClassMapError) as caught:
        infer(*samples)
    message = str(caught.value)
    assert "numbers of objects" in message
    assert "from 1 to 3" in message
    assert "type classes=['object'] and task='binary'" in message
    classes = ["background", "class_1", "class_2", "class_3"]
    assert f"type classes={classes}" in message
    one = infer(*samples, classes=["person"], task="binary")
    assert one.encode(np.array([[0, 1, 3, 9]], np.uint8)).tolist() == [[0, 1, 1, 1]]
    assert infer(*samples, classes=classes).names == tuple(classes)
    assert infer(*samples, task="multiclass").num_classes == 4


def test_one_name_for_numbers_of_objects_lacks_the_task() -> None:
    """classes=['person'] alone is refused with the argument that takes all objects for persons."""
    with pytest.raises(ClassMapError, match=r"If every object is a 'person', type classes=\['person'\] and task='bin"):
        infer(mask_of(1, 2, 3), mask_of(1), mask_of(1, 2), classes=["person"])


def test_borders_of_objects_are_left_out() -> None:
    """255, the usual border, is none of the numbers."""
    with pytest.raises(ClassMapError, match="numbers of objects"):
        infer(mask_of(1, 2, 3, 255), mask_of(1, 255), mask_of(1, 2, 255))


def test_many_objects_are_not_all_listed() -> None:
    """Beyond twenty numbers the message says how many names it takes."""
    mask = np.zeros((2, 100), np.uint8)
    for number in range(1, 31):
        mask[0, 3 * number] = number
    with pytest.raises(ClassMapError, match=r"type classes=\[\.\.\.\] with 31 names"):
        infer(Sample(IMAGE, mask), mask_of(1), mask_of(1, 2))


def test_a_gap_in_a_small_dataset_means_classes() -> None:
    """One mask of ten with a gap is more than objects leave; one of forty is not."""
    counting = [mask_of(1), mask_of(1, 2), mask_of(1, 2, 3)] * 13
    assert infer(*counting[:9], mask_of(1, 3)).num_classes == 4
    with pytest.raises(ClassMapError, match="numbers of objects"):
        infer(*counting, mask_of(1, 3))


def test_without_a_background_numbers_are_classes() -> None:
    """Where 0 is missing, taking all numbers for one class would leave nothing beside it."""
    filled = []
    for sample in (mask_of(1, 2, 3), mask_of(1, 2), mask_of(1, 2, 3, 4)):
        mask = np.asarray(sample.mask)
        filled.append(Sample(IMAGE, np.where(mask == 0, 1, mask).astype(np.uint8)))
    assert infer(*filled).values == (1, 2, 3, 4)


def test_hundreds_of_objects_are_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each mask, some numbers are enough; regions are looked for around each one only."""
    looked_at = []
    find = cv2.connectedComponentsWithStats

    def counted(around: np.ndarray, connectivity: int) -> Any:
        looked_at.append(around.shape)
        return find(around, connectivity=connectivity)

    monkeypatch.setattr(object_numbers, "_MOST_NUMBERS", 2)
    monkeypatch.setattr(cv2, "connectedComponentsWithStats", counted)
    with pytest.raises(ClassMapError, match="numbers of objects"):
        infer(mask_of(1, 2, 3, 4), mask_of(1, 2, 3), mask_of(1))
    assert looked_at == [(8, 2)] * 5


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([mask_of(1, 3), mask_of(2), mask_of(1, 2)], id="gaps"),
        pytest.param([mask_of(1, 2, 3), mask_of(1, 2, 3), mask_of(1, 2)], id="two highest numbers"),
        pytest.param(
            [mask_of(1, 2, 3, is_scattered=True), mask_of(1, is_scattered=True), mask_of(1, 2, is_scattered=True)],
            id="several regions",
        ),
    ],
)
def test_class_ids_are_no_numbers_of_objects(samples: list[Sample]) -> None:
    """Ids with gaps, alike in most masks, or in several places each, are classes."""
    assert infer(*samples).names == ("class_0", "class_1", "class_2", "class_3")


def test_real_numbers_of_objects(shared_data: Path) -> None:
    """Pedestrians numbered in each photo are recognised, and read as objects."""
    dataset = load_dataset(shared_data / "pennfudan")
    assert dataset.object_classes == ["object"]
    assert all(isinstance(sample.objects, NumberedObjects) for sample in dataset.samples)
    with pytest.raises(ClassMapError, match=r"from 1 to 7.*classes=\['object'\] and task='binary'"):
        infer(*(Sample(sample.image, sample.objects.mask) for sample in dataset.samples))
