"""Names of classes that are one class, spelt in two ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from easyseg.data.check.class_names import _are_one_letter_apart
from easyseg.data.reading import as_dataset
from easyseg.results import Checkup
from easyseg.structures import LabelledObject, Polygons, Sample

Examine = Callable[..., Checkup]


def checked(names: Sequence[str]) -> Checkup:
    """Examine images with one object each, of these classes."""
    images = np.random.default_rng(0).integers(0, 256, (len(names), 40, 40, 3), dtype=np.uint8)
    square = Polygons(((np.array([[5, 5], [25, 5], [25, 25], [5, 25]], float),),))
    samples = [
        Sample(image, objects=(LabelledObject(name, square),)) for image, name in zip(images, names, strict=True)
    ]
    return as_dataset(samples).check(verbose=False)


def test_capitals_and_spaces() -> None:
    """Names that differ in nothing else are one, however often they occur."""
    finding = checked(["traffic light"] * 5 + ["Traffic_Light "] * 5 + ["car"] * 3)["similar_classes"]
    (case,) = finding.cases
    assert {part.strip("'").strip() for part in case.name.split(" = ")} == {"traffic light", "Traffic_Light"}
    assert case.detail == "in 5 images and in 5 images"
    assert finding.severity == "warning"


def test_slips_are_rare() -> None:
    """One letter less is a slip in one image of many, and another word where both are frequent."""
    assert checked(["person"] * 15 + ["persn"])["similar_classes"].count == 1
    assert "similar_classes" not in checked(["person"] * 6 + ["persn"] * 4)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("person", "persn", True),
        ("persn", "person", True),
        ("person", "persoon", True),
        ("person", "parson", True),
        ("person", "pesron", True),
        ("cars", "car", False),
        ("boat", "goat", False),
        ("class1", "class2", False),
        ("lane", "lane2", False),
        ("person", "pron", False),
        ("person", "prison", False),
        ("front", "floor", False),
    ],
)
def test_one_letter_apart(one: str, other: str, expected: bool) -> None:
    """Left out, put in, replaced, or exchanged; not in short names, and not of digits."""
    assert _are_one_letter_apart(one, other) is expected
