"""Objects drawn twice, and outlines in shares of the image instead of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.reading import as_dataset
from easyseg.geometry import RunLengths
from easyseg.results import Checkup
from easyseg.structures import BoxShape, LabelledObject, MaskPart, Polygons, Sample, Shape


def outline(x1: float, y1: float, x2: float, y2: float, *, is_relative: bool = False) -> Polygons:
    """Return a rectangle as a polygon."""
    return Polygons(((np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float),),), is_relative=is_relative)


def runs(x1: int, y1: int, x2: int, y2: int) -> RunLengths:
    """Return a rectangle as run lengths."""
    mask = np.zeros((40, 60), bool)
    mask[y1:y2, x1:x2] = True
    return RunLengths.from_mask(mask)


def checked(*objects: tuple[str, Shape], task: str = "auto", crowd: bool = False) -> Checkup:
    """Examine three images of 40 x 60 pixels, of which the second has these objects."""
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    drawn = tuple(LabelledObject(name, shape, is_crowd=crowd) for name, shape in objects)
    others = (LabelledObject("roof", outline(3, 3, 30, 30)), LabelledObject("door", outline(3, 31, 12, 38)))
    samples = [Sample(image, objects=found) for image, found in zip(images, (others, drawn, others), strict=True)]
    return as_dataset(samples, task=task).check(verbose=False)


TWICE = [
    (outline(5, 5, 30, 30), outline(5, 5.3, 30, 30)),
    (outline(5, 5, 30, 30), outline(5 / 60, 5 / 40, 30 / 60, 30 / 40, is_relative=True)),
    (runs(5, 5, 30, 30), runs(5, 5, 30, 30)),
    (BoxShape(5, 5, 30, 30), outline(5, 5, 30, 30)),
]


@pytest.mark.parametrize(("first", "second"), TWICE)
def test_objects_drawn_twice(first: Shape, second: Shape) -> None:
    """Whatever they are made of, equal objects of one class are a warning, of two an error."""
    checkup = checked(("door", outline(31, 5, 50, 30)), ("roof", first), ("roof", second))
    assert checkup["repeated_objects"].severity == "warning"
    assert [(case.detail, case.samples) for case in checkup["repeated_objects"].cases] == [
        ("objects 2 and 3, roof", (1,))
    ]
    assert "conflicting_objects" not in checkup
    checkup = checked(("door", second), ("roof", first))
    assert checkup["conflicting_objects"].severity == "error"
    assert checkup["conflicting_objects"].cases[0].detail == "objects 1 and 2, door and roof"
    assert "repeated_objects" not in checkup


@pytest.mark.parametrize(
    "second",
    [
        outline(5, 5, 30, 26),  # another box
        outline(11, 5, 36, 30),
        Polygons(((np.array([[5, 5], [30, 5], [5, 30], [30, 30]], float),),)),  # the same box, another shape
        Polygons(()),
        MaskPart(np.eye(40, 60, dtype=np.uint8)),
    ],
)
def test_objects_that_differ(second: Shape) -> None:
    """Objects that only overlap are two."""
    checkup = checked(("roof", outline(5, 5, 30, 30)), ("roof", second))
    assert "repeated_objects" not in checkup


def test_objects_drawn_twice_by_hand() -> None:
    """Two outlines of one thing are never quite the same; two things of other classes may be nearly."""
    first, second = outline(5, 5, 30, 30), outline(6, 5, 31, 30)
    assert "repeated_objects" in checked(("roof", first), ("roof", second))
    assert "conflicting_objects" not in checked(("roof", first), ("door", second))


def test_an_object_drawn_three_times_is_two_too_many() -> None:
    """Each copy is told once, not with each of the others."""
    assert checked(*[("roof", outline(5, 5, 30, 30))] * 3)["repeated_objects"].count == 2


def test_crowds_and_overlapping_classes() -> None:
    """Crowds may lie on each other, and where classes overlap, one object may be of two."""
    pair = (("roof", outline(5, 5, 30, 30)), ("door", outline(5, 5, 30, 30)))
    assert "conflicting_objects" in checked(*pair)
    assert "conflicting_objects" not in checked(*pair, task="multilabel")
    assert "conflicting_objects" not in checked(*pair, crowd=True)


def test_shares_for_pixels() -> None:
    """Outlines within a pixel of the corner are told with their number; those that are said to be shares are not."""
    tiny = outline(0.2, 0.1, 0.9, 0.8)
    finding = checked(("roof", tiny), ("door", outline(5, 5, 30, 30)))["relative_coordinates"]
    assert [(case.detail, case.samples) for case in finding.cases] == [("object 1: 1 of 2", (1,))]
    assert finding.severity == "error"
    assert checked(("roof", tiny), ("door", tiny))["relative_coordinates"].cases[0].detail == "all objects: 2 of 2"
    for sound in (outline(0.2, 0.1, 0.9, 0.8, is_relative=True), outline(0.2, 0.1, 9, 0.8), outline(-9, -9, 1, 1)):
        assert "relative_coordinates" not in checked(("roof", sound), ("door", sound))


def test_shares_in_small_images() -> None:
    """In an image of few pixels, a few pixels are an object."""
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    samples = [Sample(image, objects=(LabelledObject("dot", outline(0, 0, 1, 1)),)) for image in images]
    assert "relative_coordinates" not in as_dataset(samples).check(verbose=False)
