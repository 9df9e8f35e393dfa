"""Colours without names: how messages tell a person to name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from easyseg.data.classes.class_maps import infer_class_map
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Sample

RED, BLUE, SAND = (255, 0, 0), (0, 0, 255), (200, 180, 120)


def picture() -> Sample:
    """Return a mask of sand with a red and a blue bar, none at its edges."""
    mask = np.full((10, 10, 3), SAND, np.uint8)
    mask[2:8, 2:4] = RED
    mask[2:8, 6:7] = BLUE
    return Sample(np.zeros((10, 10, 3), np.uint8), mask)


def infer(*samples: Sample, **arguments: Any) -> ClassMap:
    """Infer the class map of some samples."""
    return infer_class_map(samples, **arguments)


def test_nameless_colours_are_classes_with_a_hint_on_naming() -> None:
    """The hint gives class_map= with the colours, most frequent first, and the likely background; it works."""
    found = infer(picture())
    assert (found.task, found.num_classes) == ("multiclass", 3)
    assert "(200, 180, 120) 82.0%" in found.note
    (hint,) = found.hints
    named = {"name_1": SAND, "name_2": RED, "name_3": BLUE}
    assert f"type class_map={named}." in hint
    assert f"{SAND} covers 82.0% of the pixels and 100.0% of the masks' edges; it may be the background" in hint
    assert "ignore" not in hint
    assert infer(picture(), class_map=named).names == tuple(named)


def test_colours_that_class_map_leaves_out_are_to_be_named_first() -> None:
    """The message completes class_map=, with the background where a colour looks like one, before ignore=."""
    with pytest.raises(ClassMapError) as caught:
        infer(picture(), class_map={"roof": RED, "sea": BLUE})
    message = str(caught.value)
    wanted = {"roof": RED, "sea": BLUE, "background": SAND}
    assert f"type class_map={wanted}. Or leave such pixels out: type ignore=[{SAND}]." in message
    assert "it may be the background" in message
    assert infer(picture(), class_map=wanted).names == tuple(wanted)
    with pytest.raises(ClassMapError) as caught:
        infer(picture(), class_map={"sand": SAND, "sea": BLUE})
    message = str(caught.value)
    assert f"class_map={ {'sand': SAND, 'sea': BLUE, 'name_1': RED} }" in message
    assert "the background" not in message
    assert message.endswith(f"type class_map={ {'sand': SAND, 'sea': BLUE, 'background': 'rest'} }.")


def test_a_background_at_the_edges_is_found_where_no_colour_covers_most() -> None:
    """The colour of the edges is offered, too; none is where all are alike."""
    mask = np.full((10, 10, 3), SAND, np.uint8)
    mask[1:9, 1:5] = RED
    mask[1:9, 5:9] = BLUE
    image = np.zeros((10, 10, 3), np.uint8)
    (hint,) = infer(Sample(image, mask)).hints
    assert f"{SAND} covers 36.0% of the pixels and 100.0% of the masks' edges" in hint
    (hint,) = infer(Sample(image, mask), ignore=[SAND]).hints
    assert "background" not in hint


def test_names_for_one_colour_less_get_a_background() -> None:
    """classes= for one colour less than there are is answered with a background of the most frequent one."""
    with pytest.raises(ClassMapError) as caught:
        infer(picture(), classes=["roof", "sea"])
    assert f"class_map={ {'background': SAND, 'roof': RED, 'sea': BLUE} }" in str(caught.value)


def test_many_colours_that_class_map_leaves_out_are_not_all_listed() -> None:
    """Eight are given names, the rest is left to the reader."""
    colors = np.array([[(at, 9, 9) for at in range(12)]], np.uint8)
    sample = Sample(np.zeros((1, 12, 3), np.uint8), colors)
    with pytest.raises(ClassMapError, match=r"'name_8': \(\d+, 9, 9\)} and so on\. Or leave"):
        infer(sample, class_map={"a": (0, 9, 9), "b": (1, 9, 9)})


def test_colours_are_put_together_and_the_rest_is_a_class() -> None:
    """Colours that no mask looked at shows are of the rest, too; it is drawn in a colour that no class has."""
    wanted = {"roof": [RED, "#0000ff"], "background": "rest", "sea": (9, 9, 9)}
    found = infer(picture(), class_map=wanted)
    assert found.names == ("roof", "background", "sea")
    assert found.encode(np.array([[RED, BLUE, SAND, (1, 2, 3), (9, 9, 9)]], np.uint8)).tolist() == [[0, 0, 1, 1, 2]]
    assert found.colors[1] == (0, 0, 0)
    assert (
        "'roof' is (255, 0, 0), (0, 0, 255); 'background' is every other colour ((200, 180, 120) 82.0%)" in found.note
    )
    assert found.note.endswith("; not found: sea")
    assert ClassMap.from_dict(found.to_dict()) == found
    land = infer(picture(), class_map={"black": (0, 0, 0), "roof": RED, "background": [SAND, "rest"]})
    assert (land.colors[2], land.rest) == (SAND, 2)
    dark = infer(picture(), class_map={"black": (0, 0, 0), "roof": RED, "background": "rest"})
    assert dark.colors[2] not in ((0, 0, 0), RED)


def test_ignored_colours_win_over_the_rest() -> None:
    """They do not count; a colour that no mask shows is told."""
    found = infer(picture(), class_map={"roof": RED, "other": "rest"}, ignore=[BLUE, (7, 7, 7)])
    assert found.encode(np.array([[RED, BLUE, SAND]], np.uint8)).tolist() == [[0, 255, 1]]
    assert found.note.endswith("; no mask looked at holds (7, 7, 7), which ignore= names")


def test_one_class_may_have_several_colours() -> None:
    """Everything beside them is background; with a rest, so are colours never seen."""
    found = infer(picture(), class_map={"roof": [RED, BLUE]})
    assert (found.task, found.more_colors) == ("binary", ((BLUE,),))
    assert found.encode(np.array([[RED, BLUE, SAND]], np.uint8)).tolist() == [[1, 1, 0]]
    assert "the colours (255, 0, 0), (0, 0, 255) are 'roof'" in found.note
    with pytest.raises(ClassMapError, match="no class has"):
        found.encode(np.array([[(1, 2, 3)]], np.uint8))
    found = infer(picture(), class_map={"roof": [RED, BLUE], "background": "rest"})
    assert found.encode(np.array([[RED, (1, 2, 3)]], np.uint8)).tolist() == [[1, 0]]
