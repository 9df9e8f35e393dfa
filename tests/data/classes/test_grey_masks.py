"""Classes of several grey or palette values, and one of everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.formats.layout import Layout
from easyseg.data.reading import load_dataset
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Sample

STREET = {"road": 3, "vehicle": [8, 9], "background": "rest"}


def infer(*values: int, **arguments: Any) -> ClassMap:
    """Infer the class map of one mask that holds each of the values once."""
    mask = np.array([values], np.uint8)
    return infer_class_map([Sample(np.zeros((*mask.shape, 3), np.uint8), mask)], **arguments)


def encoded(found: ClassMap, *values: int, dtype: type = np.uint8) -> list[int]:
    """Return the class ids of some mask values."""
    return [int(value) for value in found.encode(np.array([values], dtype))[0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_values_are_put_together_and_the_rest_is_a_class(dtype: type) -> None:
    """Values that no mask looked at holds are of the rest, too; the note says what was put together."""
    found = infer(0, 1, 3, 8, 9, class_map=STREET)
    assert (found.task, found.names) == ("multiclass", ("road", "vehicle", "background"))
    assert encoded(found, 0, 1, 3, 8, 9, 77, 250, dtype=dtype) == [2, 2, 0, 1, 1, 2, 2]
    assert found.note == (
        "3 classes by their mask values; 'vehicle' is 8, 9; 'background' is every other value (0 20.0%, 1 20.0%)"
    )
    assert ClassMap.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_without_a_rest_other_values_are_refused_and_it_is_offered() -> None:
    """The message holds the rest as the other way out, and its words work."""
    with pytest.raises(ClassMapError) as caught:
        infer(0, 3, 8, 9, 12, class_map={"road": 3, "vehicle": [8, 9]}, ignore=[12])
    message = str(caught.value)
    assert "ignore=[12, 0]" in message  # with what is left out already
    assert message.endswith("type class_map={'road': 3, 'vehicle': [8, 9], 'background': 'rest'}.")
    with pytest.raises(ClassMapError, match="'other': 'rest'"):
        infer(0, 3, 8, class_map={"road": 3, "background": 0})


def test_many_values_are_not_listed_for_leaving_them_out() -> None:
    """Half a list would be typed as it stands, so there is none."""
    with pytest.raises(ClassMapError) as caught:
        infer(*range(60), class_map={"road": 3, "vehicle": [8, 9]})
    assert "ignore=" not in str(caught.value)
    assert "'background': 'rest'" in str(caught.value)


def test_one_name_too_few_offers_to_leave_out_what_is_left_over() -> None:
    """Beside what is left out already."""
    with pytest.raises(ClassMapError, match=r"type ignore=\[7, 12\]"):
        infer(0, 1, 2, 7, 12, classes=["a", "b", "c"], ignore=[7])


def test_ignoring_wins_over_the_rest() -> None:
    """What is left out by its value does not count, whatever else it would be."""
    found = infer(0, 3, 8, 9, 11, class_map=STREET, ignore=[0, 11])
    assert encoded(found, 0, 3, 8, 11, 1) == [255, 0, 1, 255, 2]
    assert "(none seen); 0, 11 does not count" in found.note


def test_the_usual_border_is_no_rest_unless_named() -> None:
    """255 among other values does not count, and a line says how to make it count."""
    found = infer(0, 3, 8, 9, 255, class_map=STREET)
    assert encoded(found, 0, 255) == [2, 255]
    (hint,) = found.hints
    assert hint.endswith("type class_map={'road': 3, 'vehicle': [8, 9], 'background': [255, 'rest']}")
    found = infer(0, 3, 8, 9, 255, class_map={**STREET, "background": [255, "rest"]})
    assert encoded(found, 0, 255, 17) == [2, 2, 2]
    assert found.hints == ()
    # alone beside the classes, it is everything else
    assert encoded(infer(1, 2, 255, class_map={"a": 1, "b": 2, "other": "rest"}), 255, 7) == [2, 2]


def test_a_rest_beside_one_class_is_its_background() -> None:
    """One class and a background of everything else are the binary task; with another name, there are two classes."""
    found = infer(0, 3, 8, class_map={"road": 3, "background": "rest"})
    assert (found.task, found.names, found.rest) == ("binary", ("road",), 0)
    assert encoded(found, 0, 3, 8, 1000, dtype=np.uint16) == [0, 1, 0, 0]
    assert infer(0, 3, 8, class_map={"road": 3, "other": "rest"}).names == ("road", "other")
    assert infer(0, 3, 8, class_map={"road": 3, "background": "rest"}, task="multiclass").num_classes == 2
    two = infer(0, 3, 8, class_map={"road": 3, "background": "rest"}, classes=["background", "road"])
    assert (two.names, encoded(two, 0, 3, 8)) == (("background", "road"), [0, 1, 0])
    assert encoded(infer(0, 255, class_map={"cell": 255, "background": "rest"}), 0, 255) == [0, 1]


def test_one_class_may_have_several_values() -> None:
    """Everything beside them is background."""
    found = infer(0, 3, 8, 9, class_map={"vehicle": [8, 9]})
    assert (found.task, found.values, found.more_values) == ("binary", (8,), ((9,),))
    assert encoded(found, 0, 3, 8, 9) == [0, 0, 1, 1]
    assert found.note == "8, 9 is 'vehicle' (50.0% of the pixels), every other value background"
    with pytest.raises(ClassMapError, match="do not hold the value 10, 11 of 'vehicle'"):
        infer(0, 3, 8, class_map={"vehicle": [10, 11]})


def test_three_numbers_are_values_where_the_masks_hold_them() -> None:
    """Alone, a list of three could be a colour; the masks tell."""
    found = infer(0, 3, 8, 9, 10, class_map={"vehicle": [8, 9, 10]})
    assert encoded(found, 0, 3, 8, 9, 10) == [0, 0, 1, 1, 1]
    grey = infer(0, 3, 8, class_map={"road": (3, 3, 3)})
    assert (grey.encoding, grey.colors) == ("colors", ((3, 3, 3),))
    with pytest.raises(ClassMapError, match=r"None of the colours"):
        infer(0, 3, 8, class_map={"vehicle": [20, 21, 22]})
    with pytest.raises(ClassMapError, match=r"None of the colours"):
        infer(0, 3, 8, class_map={"vehicle": [3, 0, 0]})


def test_ignored_values_that_no_mask_holds_are_told() -> None:
    """A void may be rare, so it is no error; but it may be a slip, too. A file's own void is told elsewhere."""
    found = infer(0, 1, 2, ignore=[12, 2])
    assert found.note.endswith("; no mask looked at holds 12, which ignore= names")
    assert "no mask" not in infer(0, 1, 2, ignore=[2]).note
    layout = Layout((), class_values={"sky": 0, "road": 1, "tree": 2, "void": 12}, names_source="labels.json")
    mask = np.array([[0, 1, 2]], np.uint8)
    found = infer_class_map([Sample(np.zeros((1, 3, 3), np.uint8), mask)], layout=layout)
    assert "no mask" not in found.note


def write_masks(folder: Path, palette: list[int] | None = None) -> None:
    """Write images with masks of the values 0, 3, 8 and 9."""
    for number in range(4):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 2), (number * 9, 50, 7)).save(folder / "images" / f"{number}.png")
        mask = Image.fromarray(np.array([[0, 3, 8, 9]] * 2, np.uint8), "L" if palette is None else "P")
        if palette is not None:
            mask.putpalette(palette)
        mask.save(folder / "masks" / f"{number}.png")


def test_a_palette_is_read_by_its_values(tmp_path: Path) -> None:
    """A class of several takes the colour of its first; the map goes through the dataset's settings."""
    write_masks(tmp_path, [channel for value in range(10) for channel in (value * 20, 0, 99)])
    dataset = load_dataset(tmp_path, class_map=STREET)
    assert dataset.mask(0).tolist() == [[2, 0, 1, 1]] * 2
    settings = json.loads(json.dumps(dataset.settings))
    again = load_dataset(tmp_path, class_map=settings["class_map"])
    assert again.class_map == dataset.class_map
    assert "'vehicle' is 8, 9" in dataset.describe()
    assert load_dataset(tmp_path, class_map=dataset.class_map).class_map == dataset.class_map


def test_lists_in_the_datasets_own_file(tmp_path: Path) -> None:
    """label_mapping.json says it as class_map= does."""
    write_masks(tmp_path)
    (tmp_path / "label_mapping.json").write_text(json.dumps(STREET | {"void": [0, 77]}))
    found = load_dataset(tmp_path).class_map
    assert (found.names, found.ignored) == (("road", "vehicle", "background"), (0, 77))
    assert encoded(found, 0, 3, 8, 9, 10) == [255, 0, 1, 1, 2]
    assert "'void' (value 0, 77) in label_mapping.json is no class" in found.note
    (tmp_path / "label_mapping.json").write_text(json.dumps({"road": 3, "vehicle": [8, 9], "void": "rest"}))
    with pytest.raises(ClassMapError, match=r"label_mapping.json puts everything else into 'void'"):
        load_dataset(tmp_path)


def test_the_levels_of_smooth_edges_are_no_rest() -> None:
    """Antialiased masks of one class would put all their edges into the class of everything else."""
    levels = [0] * 400 + [255] * 400 + list(range(1, 255))
    with pytest.raises(ClassMapError, match="antialiased masks of one class"):
        infer(*levels, class_map={"cell": 255, "other": "rest"})
