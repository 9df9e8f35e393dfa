"""Class maps of objects: what their names mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from easyseg.errors import ClassMapError
from easyseg.structures import IGNORE_INDEX, ClassMap

NAMES = ClassMap(
    "multiclass",
    ("background", "vehicle", "tree"),
    "names",
    object_names=((), ("car", "bus"), ("tree",)),
    ignored_names=("sign",),
    background_names=("bird",),
)


@pytest.mark.parametrize(
    ("name", "place", "among_objects"),
    [
        ("car", 1, 0),
        ("bus", 1, 0),
        ("tree", 2, 1),
        ("sign", IGNORE_INDEX, None),
        ("__ignore__", IGNORE_INDEX, None),
        ("Void", IGNORE_INDEX, None),
        ("bird", None, None),
        ("_background_", None, None),
    ],
)
def test_names_of_objects(name: str, place: int | None, among_objects: int | None) -> None:
    """Each name is a class, does not count, or is background."""
    assert NAMES.class_of_object(name) == place
    assert NAMES.place_among_objects(name) == among_objects
    assert NAMES.object_classes == ("vehicle", "tree")


def test_an_unknown_name_is_told() -> None:
    """An object of no class is an error that says how to leave it out."""
    with pytest.raises(ClassMapError, match=r"'cow', which is none of vehicle, tree.*ignore=\['sign', 'cow'\]"):
        NAMES.class_of_object("cow")
    with pytest.raises(ClassMapError, match="'vehicle', which is none"):
        NAMES.class_of_object("vehicle")


def test_a_class_may_have_any_name() -> None:
    """A class that is called void counts where it was asked for."""
    found = ClassMap("binary", ("void",), "names", object_names=(("void",),))
    assert found.class_of_object("void") == 0


def test_objects_without_names_are_the_only_class() -> None:
    """Objects of formats without names are of the one class there is; of several, they are none."""
    assert ClassMap("binary", ("person",)).class_of_object("object") == 0
    assert ClassMap("multiclass", ("background", "person")).class_of_object("object") == 1
    with pytest.raises(ClassMapError, match="'object', which is none"):
        ClassMap("multiclass", ("cat", "dog")).class_of_object("object")


def test_maps_of_values_find_objects_by_their_names() -> None:
    """A map that was made for masks reads objects, too: by the names of its classes."""
    found = ClassMap("multiclass", ("background", "cat", "dog"), values=(0, 5, 9))
    assert found.class_of_object("dog") == 2
    assert found.place_among_objects("dog") == 1
    assert found.class_of_object("background") is None


def test_masks_of_values_are_refused() -> None:
    """Values mean nothing to a map of names; the message says what to type."""
    with pytest.raises(ClassMapError, match=r"known by the names of objects.*class_map=\{'tree': value"):
        NAMES.encode(np.zeros((2, 2), np.uint8))


def test_names_survive_being_written() -> None:
    """to_dict and from_dict keep the names; maps of values have no such keys."""
    assert ClassMap.from_dict(NAMES.to_dict()) == NAMES
    assert "object_names" not in ClassMap("binary", ("a",)).to_dict()
    with pytest.raises(ClassMapError, match="not a class map"):
        ClassMap.from_dict({**NAMES.to_dict(), "extra": 1})


def test_reading_alike_depends_on_the_names() -> None:
    """Maps that put other objects into a class, or other pixels beside them, do not read alike."""
    values = NAMES.to_dict()
    assert NAMES.reads_like(ClassMap.from_dict(values))
    assert not NAMES.reads_like(ClassMap.from_dict({**values, "object_names": [[], ["car"], ["tree"]]}))
    assert not NAMES.reads_like(ClassMap.from_dict({**values, "uncovered": IGNORE_INDEX}))


def test_as_many_names_of_objects_as_classes() -> None:
    """A class without its names of objects is refused."""
    with pytest.raises(ClassMapError, match="2 class names but names of objects for 1"):
        ClassMap("multiclass", ("a", "b"), "names", object_names=(("a",),))


def test_any_word_for_background_is_black() -> None:
    """The background is drawn in black, whatever it is called."""
    assert ClassMap("multiclass", ("_background_", "a")).colors[0] == (0, 0, 0)


@pytest.mark.parametrize("class_map", [NAMES, ClassMap("multiclass", ("background", "vehicle", "tree"))])
def test_stuff_has_no_objects(class_map: ClassMap) -> None:
    """Ground is a class of masks, and none of objects; it survives a file, and older files have none."""
    ground = replace(class_map, stuff=("vehicle",))
    assert ground.object_classes == ("tree",)
    assert ground.names == class_map.names
    assert ground.place_among_objects("tree") == 0
    assert ClassMap.from_dict(ground.to_dict()) == ground
    assert "stuff" not in class_map.to_dict()


GROUPS = ClassMap("multiclass", ("a", "b", "c"), values=(4, 8, 0), more_values=((), (9,), ()), ignored=(5,), rest=2)


def test_several_values_and_a_rest() -> None:
    """Each value becomes its class, all others the rest, and what is ignored stays so."""
    assert GROUPS.encode(np.array([[4, 8, 9, 0, 77, 5]], np.uint8)).tolist() == [[0, 1, 1, 2, 2, 255]]
    assert GROUPS.value_targets() == {4: 0, 8: 1, 9: 1, 0: 2, 5: IGNORE_INDEX}
    assert ClassMap.from_dict(GROUPS.to_dict()) == GROUPS


def test_older_maps_have_no_such_keys() -> None:
    """A map that puts nothing together is written as ever, and read without the keys."""
    written = ClassMap("multiclass", ("a", "b")).to_dict()
    assert not {"more_values", "more_colors", "rest"} & written.keys()
    assert ClassMap.from_dict(written).rest is None


def test_reading_alike_depends_on_the_groups() -> None:
    """Their order does not matter, nor which values the rest was seen to have."""
    values = GROUPS.to_dict()
    assert GROUPS.reads_like(ClassMap.from_dict({**values, "values": [4, 9, 1], "more_values": [[], [8], []]}))
    assert not GROUPS.reads_like(ClassMap.from_dict({**values, "more_values": []}))
    assert not GROUPS.reads_like(ClassMap.from_dict({**values, "rest": None}))
    colors = {**values, "encoding": "colors", "rest": None, "more_colors": [[[1, 2, 3]], [], []]}
    assert not ClassMap.from_dict(colors).reads_like(ClassMap.from_dict({**colors, "more_colors": []}))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"more_values": ((9,),)}, "3 class names but further values of 1 classes"),
        ({"more_values": ((9,), (9,), ())}, "values of two classes: 9"),
        ({"more_colors": ((), ())}, "further colours of 2"),
        ({"rest": 3}, r"rest=3: expected the id of a class, 0\.\.2"),
    ],
)
def test_groups_that_make_no_sense_are_refused(wrong: dict[str, object], words: str) -> None:
    """As many groups as classes, each value in one of them, and a rest that is a class."""
    with pytest.raises(ClassMapError, match=words):
        ClassMap("multiclass", ("a", "b", "c"), **wrong)


def test_leaving_values_out_is_offered_in_full() -> None:
    """With those that are left out already; of very many, not at all."""
    found = ClassMap("multiclass", ("a", "b"), ignored=(9,))
    with pytest.raises(ClassMapError, match=r"ignore=\[2, 3, 4, 5, 6, 7, 9\]\."):
        found.encode(np.arange(2, 8, dtype=np.uint8)[None])
    with pytest.raises(ClassMapError) as caught:
        found.encode(np.arange(60, dtype=np.uint8)[None])
    assert "ignore=" not in str(caught.value)
    colors = ClassMap("multiclass", ("a", "b"), "colors", ignored_colors=((9, 9, 9),))
    with pytest.raises(ClassMapError, match=r"ignore=\[\(1, 1, 1\), \(9, 9, 9\)\]\."):
        colors.encode(np.ones((2, 2, 3), np.uint8))
