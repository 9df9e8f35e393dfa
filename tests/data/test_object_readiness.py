"""Faults of objects by name, before the first step."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from easyseg.data.object_readiness import (
    note_on_size,
    notes_on_objects,
    notes_on_unseen,
    refuse_unlearnable,
    refuse_unmeasurable,
)
from easyseg.data.object_sizes import ObjectSizes
from easyseg.errors import DataError
from easyseg.preprocessing import Preprocessing


def sizes(*counts: int, side: float = 20, class_id: int = 0, **given: Any) -> ObjectSizes:
    """Return so many objects in each image, all of one size and class."""
    boxes = np.tile(np.array([[0, 0, side, side]], np.float32), (sum(counts), 1))
    known = {"num_crowds": 0, "num_vanished": 0, "names": tuple(f"{at}.png" for at in range(len(counts)))} | given
    return ObjectSizes(boxes, np.full(sum(counts), class_id, np.int64), np.array(counts, np.int64), **known)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"None of the 2 images of the training split has an object, so"),
        ({"num_vanished": 3}, r"has an object \(3 objects cover no pixels: outside of"),
        ({"num_specks": 9}, r"The 2 images of the training split hold only specks: 9 regions.*smallest_pixels=1"),
        ({"num_vanished": 1}, r"1 object covers no pixel:"),
        ({"num_crowds": 4, "num_vanished": 3}, r"4 crowds or regions that do not count, and not a single object"),
    ],
)
def test_nothing_to_learn(given: dict[str, int], message: str) -> None:
    """No objects, and only crowds, are refused with what was found instead."""
    with pytest.raises(DataError, match=message):
        refuse_unlearnable(sizes(0, 0, **given), num_classes=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"The only image of the training split has no object, so"),
        ({"num_specks": 9}, r"The only image of the training split holds only specks: 9 regions"),
        ({"num_crowds": 1}, r"The only image of the training split holds 1 crowd or regions"),
    ],
)
def test_nothing_to_learn_from_one_image(given: dict[str, int], message: str) -> None:
    """One image is not spoken of as many."""
    with pytest.raises(DataError, match=message):
        refuse_unlearnable(sizes(0, **given), num_classes=1)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((0,), r"^The only validation image has no object, so nothing tells"),
        ((0, 0), r"^None of the 2 validation images has an object, so nothing tells"),
    ],
)
def test_nothing_to_measure(counts: tuple[int, ...], message: str) -> None:
    """Validation images without objects are refused, one or many."""
    refuse_unmeasurable(sizes(1, 0))
    with pytest.raises(DataError, match=message):
        refuse_unmeasurable(sizes(*counts))


def test_classes_that_the_model_has_not() -> None:
    """The first image with an object of an unknown class is named."""
    refuse_unlearnable(sizes(0, 2, 1, class_id=2), num_classes=3)
    with pytest.raises(DataError, match=r"Image 1\.png has an object of class 2; the model has 2 classes"):
        refuse_unlearnable(sizes(0, 2, 1, class_id=2), num_classes=2)
    with pytest.raises(DataError, match=r"class -1"):
        refuse_unlearnable(sizes(1, class_id=-1), num_classes=2)


def test_notes() -> None:
    """Each fact that matters has a line, and those that do not have none."""
    assert notes_on_objects(sizes(3, 1, 2), detections_per_image=100, most_objects=300) == (
        "6 objects in 3 images, 2 in the middle, 3 at the most.",
    )
    found = sizes(0, 120, 400, side=3, num_crowds=1, num_vanished=2, num_specks=7)
    lines = notes_on_objects(found, detections_per_image=100, most_objects=300)
    assert lines[1:] == (
        "1 image without objects: examples of what is none.",
        "1 crowd or void region: found or not, nothing is learnt there.",
        "7 connected regions too small to be an object left out as specks; if they are objects, type "
        "load_dataset(path, smallest_pixels=1).",
        "Note: 2 objects without any pixel left out, drawn without area or too small for the canvas; dataset.check() "
        "names those drawn so.",
        "Note: 2 images with more than 100 objects, the most that the model finds in one. Cut "
        "images into tiles; a new Segmenter takes its limit from the data, up to 1000.",
        "Note: 1 image with more than 300 objects. So many of each, others in every epoch, are learnt from; where the "
        "others are, nothing is learnt meanwhile. Crops of such images hold fewer: resize='crop'.",
    )
    assert notes_on_objects(sizes(2, num_specks=3), detections_per_image=10, most_objects=300)[-1].startswith(
        "Note: 3 "
    )
    assert "with more than 10 objects" in notes_on_objects(sizes(20), detections_per_image=10, most_objects=300)[-1]


@pytest.mark.parametrize(
    ("side", "preprocessing", "line"),
    [
        (
            20,
            {},
            r"^The shorter side of the objects: 20 pixels \(median\), nine in ten at least 20, on the canvas of 51",
        ),
        (
            4,
            {},
            r"Note: the shorter side of the objects: 4 pixels .* under 8 pixels are hardly found; type image_size=1024",
        ),
        (3, {"image_size": (320, 480)}, r"type image_size=\(896, 1280\), or resize='crop'\.$"),
        (2, {}, r"hardly found; type resize='crop', which"),
        (5, {"resize": "crop"}, r"in the images\. Those under 8 pixels are hardly found; type resize='pad' and an i"),
        (600, {"resize": "crop"}, r"^Note: .*in the images\. Most do not fit into a crop; type resize='pad', or"),
    ],
)
def test_note_on_size(side: float, preprocessing: dict[str, Any], line: str) -> None:
    """Where objects are small for the network, the canvas is named on which they are not."""
    assert re.search(line, note_on_size(sizes(3, side=side), Preprocessing(**preprocessing)))


def test_classes_that_are_measured_and_never_learnt() -> None:
    """They are named before the first step; classes that are learnt and not measured are no harm."""
    names = [f"kind {number}" for number in range(9)]
    assert notes_on_unseen(sizes(3, class_id=2), sizes(1, class_id=2), names) == ()
    (note,) = notes_on_unseen(sizes(3, class_id=2), sizes(1, class_id=4), names)
    assert note.startswith("Note: no training image shows kind 4, and validation images do")
    many = sizes(8)
    several = ObjectSizes(many.boxes, np.arange(8), many.counts, num_crowds=0, num_vanished=0, names=many.names)
    assert "kind 0, kind 1, kind 3, kind 4, kind 5, ..." in notes_on_unseen(sizes(3, class_id=2), several, names)[0]
