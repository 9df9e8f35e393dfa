"""Several values or colours in one class, and a class of everything else, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from easyseg.data.formats.class_values import as_written, parse_class_values
from easyseg.errors import ClassMapError

BLUE, NAVY = (0, 0, 255), (0, 0, 170)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"road": 3, "vehicle": [8, 9]}, {"road": 3, "vehicle": [8, 9]}),
        ({"road": 3, "vehicle": [8, 9, 10]}, {"road": 3, "vehicle": [8, 9, 10]}),
        ({"road": 3, "vehicle": ["8", 9]}, {"road": 3, "vehicle": [8, 9]}),
        ({"vehicle": [8]}, {"vehicle": 8}),
        ({3: "road", 8: "vehicle", 9: "vehicle"}, {"road": 3, "vehicle": [8, 9]}),
        ({7: "vehicle", 8: "vehicle", 9: "vehicle", 3: "road"}, {"vehicle": [7, 8, 9], "road": 3}),
        ({"water": [BLUE, "#0000aa"]}, {"water": [BLUE, NAVY]}),
        ({"water": [[0, 0, 255], [0, 0, 170]], "land": [1, 2, 3]}, {"water": [BLUE, NAVY], "land": (1, 2, 3)}),
        ([{"name": "vehicle", "id": [8, 9]}, {"name": "road", "id": 3}], {"vehicle": [8, 9], "road": 3}),
        ({"road": 3, "other": "rest"}, {"road": 3, "other": "rest"}),
        ({"road": 3, "other": [255, "rest"]}, {"road": 3, "other": [255, "rest"]}),
        ({"water": BLUE, "land": "rest"}, {"water": BLUE, "land": "rest"}),
        ({0: "rest", 1: "road"}, {"rest": 0, "road": 1}),
        ({3: "road", "rest": "background"}, {"road": 3, "background": "rest"}),
    ],
)
def test_several_values_and_a_rest(given: Any, expected: dict[str, Any]) -> None:
    """All ways to write them mean the same, and what was read is read again as it is."""
    assert parse_class_values(given) == expected
    assert parse_class_values(parse_class_values(given)) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"road": 3, "vehicle": [8, 3]}, r"stands twice in .*: 3; each value belongs to one class"),
        ({"water": [BLUE, BLUE]}, r"stands twice"),
        ({"road": 3, "a": "rest", "b": [9, "rest"]}, "two classes for the rest"),
        ({"background": ("rest",)}, "names a rest only"),
        ({"road": [3, BLUE]}, "mixes mask values and colours"),
        ({"road": [3, "car"]}, "'car' cannot be read"),
        ({"road": []}, r"\[\] cannot be read"),
        ({"road": [1, 2, 300]}, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(given: Any, words: str) -> None:
    """A value in two classes, two rests, a rest of nothing, and what is no value."""
    with pytest.raises(ClassMapError, match=words):
        parse_class_values(given)


def test_messages_write_it_as_it_is_read() -> None:
    """What a message tells to type means what it should."""
    assert as_written({"a": (1,), "b": (2, 3)}) == {"a": 1, "b": [2, 3]}
    assert as_written({"a": (1,), "b": (2,)}, "b") == {"a": 1, "b": [2, "rest"]}
    assert as_written({"a": (1,), "b": ()}, "b") == {"a": 1, "b": "rest"}
    assert as_written({"a": (1,)}, "other") == {"a": 1, "other": "rest"}
