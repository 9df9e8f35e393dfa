"""Which classes a dataset of objects has, and what the user may say about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.classes.object_classes import (
    ObjectWishes,
    class_map_of_objects,
    names_in_memory,
    read_object_names,
    refuse_contradiction_of_objects,
)
from easyseg.errors import ClassMapError, UnknownNameError
from easyseg.structures import IGNORE_INDEX, BoxShape, ClassMap, LabelledObject, NumberedObjects, Sample

IMAGE = np.zeros((4, 4, 3), np.uint8)
BOX = BoxShape(0, 0, 2, 2)


@pytest.mark.parametrize(
    ("names", "wishes", "task", "classes"),
    [
        (["car"], {}, "binary", ("car",)),
        (["car"], {"task": "multiclass"}, "multiclass", ("background", "car")),
        (["car"], {"uncovered": IGNORE_INDEX}, "multiclass", ("car",)),
        (["_background_", "car", "tree"], {}, "multiclass", ("_background_", "car", "tree")),
        (["car", "__ignore__"], {}, "binary", ("car",)),
        (["car", "tree"], {"uncovered": IGNORE_INDEX}, "multiclass", ("car", "tree")),
        (["object"], {"classes": ("nucleus",)}, "binary", ("nucleus",)),
        (["a", "b"], {"classes": ("b",)}, "binary", ("b",)),
        (["a", "b"], {"renamed": {"x": ("b", "a")}, "classes": ("x",)}, "binary", ("x",)),
    ],
)
def test_classes(names: list[str], wishes: dict[str, Any], task: str, classes: tuple[str, ...]) -> None:
    """Names that mean nothing are no classes; a background is added where pixels outside of objects count."""
    found = class_map_of_objects(names, ObjectWishes(**wishes))
    assert (found.task, found.names) == (task, classes)


@pytest.mark.parametrize(
    ("names", "wishes", "error", "words"),
    [
        ([], {}, ClassMapError, "name no class, so there is nothing to learn"),
        (["background", "__ignore__"], {}, ClassMapError, "name no class but background, __ignore__"),
        (["car"], {"classes": ("cat",)}, UnknownNameError, "No class of objects named 'cat'.*'car'"),
        (["car"], {"ignored": ("cat",)}, UnknownNameError, "No class of objects named 'cat'"),
        (["car"], {"ignored": ("car",)}, ClassMapError, "so there is nothing to learn"),
        (["a", "b"], {"task": "binary", "classes": ("a", "b")}, ClassMapError, "'binary' has one class, but 2"),
        (["a", "b"], {"renamed": {"x": ("c",)}}, UnknownNameError, "No class of objects named 'c'"),
        (["a", "b"], {"renamed": {"x": ("a",), "y": ("a", "b")}}, ClassMapError, "into two classes"),
        (["a", "b"], {"renamed": {"x": ("a",)}, "classes": ("y",)}, ClassMapError, "name different classes"),
    ],
)
def test_wishes_that_cannot_be_met(
    names: list[str], wishes: dict[str, Any], error: type[Exception], words: str
) -> None:
    """A class that is not there is offered the nearest; contradictions are told."""
    with pytest.raises(error, match=words):
        class_map_of_objects(names, ObjectWishes(**wishes))


def test_notes_say_what_was_decided() -> None:
    """The note names what was renamed, what is background and what does not count."""
    wishes = ObjectWishes(renamed={"thing": ("a", "b")}, ignored=("c",))
    found = class_map_of_objects(["a", "b", "c", "d"], wishes)
    for words in ("thing is a, b", "objects of 1 other classes", "do not count: c", "outside of all objects are backg"):
        assert words in found.note
    assert "do not count" in class_map_of_objects(["a", "b"], ObjectWishes(uncovered=IGNORE_INDEX)).note
    assert "outside" not in class_map_of_objects(["a", "b"], ObjectWishes(task="multilabel")).note


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"vehicle": "car"}, {"vehicle": ("car",)}),
        ({"vehicle": ["car", "bus"]}, {"vehicle": ("car", "bus")}),
        ({"vehicle": 1}, None),
        ({"1": "vehicle"}, None),
        ({"#ff0000": "vehicle"}, None),
        ({"vehicle": "#ff0000"}, None),
        ({"vehicle": "12"}, None),
        ({"vehicle": []}, None),
        ({"vehicle": (1, 2, 3)}, None),
        ({1: "vehicle"}, None),
        ({}, None),
        ("car", None),
        (None, None),
    ],
)
def test_maps_of_names_are_told_from_others(given: Any, expected: Any) -> None:
    """Names on both sides are objects; numbers and colours are values of masks."""
    assert read_object_names(given) == expected


def test_objects_in_memory() -> None:
    """The classes of samples made by hand are the sorted names of their objects."""
    samples = [
        Sample(IMAGE, objects=[LabelledObject("b", BOX), LabelledObject("a", BOX)]),
        Sample(IMAGE, objects=NumberedObjects(np.zeros((4, 4), np.uint8), "c")),
        Sample(IMAGE, objects=NumberedObjects(np.zeros((4, 4), np.uint8), None, {5: "d"}, 1000)),
        Sample(IMAGE),
    ]
    assert names_in_memory(samples) == ("a", "b", "c", "d")
    assert infer_class_map(samples).names == ("background", "a", "b", "c", "d")


def test_a_ready_map_must_know_some_object() -> None:
    """A model's classes of which none is in the dataset are refused; some are enough."""
    model = ClassMap("multiclass", ("background", "car", "bus"))
    refuse_contradiction_of_objects(model, ["car", "tree"])
    with pytest.raises(ClassMapError, match=r"None of the dataset's classes \(cat, dog\).*class_map=\{'car': 'cat'"):
        refuse_contradiction_of_objects(model, ["cat", "dog"])
    samples = [Sample(IMAGE, objects=[LabelledObject("car", BOX)])]
    assert infer_class_map(samples, class_map=model) is model
    with pytest.raises(ClassMapError, match="would change it"):
        infer_class_map(samples, class_map=model, ignore=["car"])
