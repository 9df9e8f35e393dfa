"""VGG Image Annotator: versions, kinds of regions, where the class stands."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError, FormatError, SampleError


@pytest.fixture
def write(writers: ModuleType, tmp_path: Path) -> Any:
    """Return a function that writes one image with regions, and reads the dataset."""
    writers.write_images(tmp_path, stems=("street",))

    def write_regions(*regions: dict[str, Any], **arguments: Any) -> Dataset:
        content = {"street.png1": {"filename": "street.png", "size": 1, "regions": list(regions)}}
        writers.write_json(tmp_path / "via.json", content)
        return load_dataset(tmp_path, **arguments)

    return write_regions


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """Return a region as VIA writes it."""
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = {"name": "rect", "x": 2, "y": 3, "width": 8, "height": 6}


@pytest.mark.parametrize("kind", ["version 1", "version 2", "project"])
def test_all_versions(kind: str, writers: ModuleType, tmp_path: Path) -> None:
    """Exports of both versions and project files say the same."""
    writers.write_images(tmp_path)
    content = writers.via_content(version=1 if kind == "version 1" else 2)
    if kind == "project":
        content = {"_via_settings": {"ui": {}}, "_via_img_metadata": content, "_via_attributes": {"region": {}}}
    writers.write_json(tmp_path / "a.json", content)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["background", "car", "tree"]
    assert [len(dataset.instances(at)) for at in range(3)] == [3, 3, 3]


def test_kinds_of_regions(write: Any) -> None:
    """Rectangles, circles, turned ellipses, polygons and closed lines cover what they should; points are left out."""
    dataset = write(
        region(RECT, name="a"),
        region({"name": "circle", "cx": 20, "cy": 15, "r": 5}, name="b"),
        region({"name": "ellipse", "cx": 20, "cy": 15, "rx": 12, "ry": 4, "theta": 0.5}, name="c"),
        region({"name": "polyline", "all_points_x": [30, 36, 36, 30], "all_points_y": [20, 20, 26, 26]}, name="d"),
        region({"name": "point", "cx": 1, "cy": 1}, name="e"),
    )
    found = dataset.instances(0)
    y, x = np.mgrid[:30, :40] + 0.5
    along = (x - 20) * np.cos(0.5) + (y - 15) * np.sin(0.5)
    across = -(x - 20) * np.sin(0.5) + (y - 15) * np.cos(0.5)
    np.testing.assert_array_equal(found.masks[1], np.hypot(x - 20, y - 15) <= 5)
    assert (found.masks[2] != ((along / 12) ** 2 + (across / 4) ** 2 <= 1)).sum() <= 2
    assert found.boxes[[0, 3]].tolist() == [[2, 3, 10, 9], [30, 20, 36, 26]]
    assert len(found) == 4
    assert "Regions without an area (points) left out: 1" in dataset.describe()
    assert "Lines taken for the outlines of objects: 1" in dataset.describe()


def test_numbers_as_texts_and_an_upright_ellipse(write: Any) -> None:
    """Old files write numbers as texts, and ellipses without a turn."""
    dataset = write(region({"name": "ellipse", "cx": "20", "cy": "15", "rx": "6", "ry": "3"}, name="a"))
    assert dataset.instances(0).boxes.tolist() == [[14, 12, 26, 18]]


@pytest.mark.parametrize(
    ("attributes", "arguments", "classes"),
    [
        ([{}, {}], {}, ["object"]),
        ([{}, {}], {"classes": ["damage"]}, ["damage"]),
        ([{"x": "a"}, {"x": "b"}], {}, ["background", "a", "b"]),
        ([{"x": "a", "Class": "p"}, {"x": "b", "Class": "q"}], {}, ["background", "p", "q"]),
        ([{"x": "a", "Class": "p"}, {"x": "b", "Class": "q"}], {"class_attribute": "x"}, ["background", "a", "b"]),
        ([{"x": {"a": True}}, {"x": {"b": True, "a": False}}], {}, ["background", "a", "b"]),
        ([{"x": " a "}, {"x": "a", "name": ""}], {}, ["a"]),
        ([{"x": "a", "name": "n"}, {"x": "b"}], {}, ["background", "a", "b"]),
        ([{"class": 1}, {"class": 2.0}], {}, ["background", "1", "2"]),
        ([{"track": 1, "kind of": "a"}, {"track": 2, "kind of": "b"}], {}, ["background", "a", "b"]),
        ([{"track": 1}, {"track": 2}], {}, ["object"]),
        ([{"track": 1}, {"track": 2}], {"class_attribute": "track"}, ["background", "1", "2"]),
    ],
)
def test_the_attribute_that_holds_the_class(
    attributes: list[dict[str, Any]], arguments: dict[str, Any], classes: list[str], write: Any
) -> None:
    """The usual word that nearly all regions have, else the only attribute; texts and checkboxes."""
    second = {**RECT, "x": 20}
    dataset = write(region(RECT, **attributes[0]), region(second, **attributes[1]), **arguments)
    assert dataset.classes == classes
    assert len(dataset.instances(0)) == 2


def test_numbers_under_some_other_name_are_told(write: Any) -> None:
    """They may be anything, and so are not taken for classes; the line says how they would be."""
    dataset = write(region(RECT, track=1), region(RECT, track=True))
    assert "To use the attribute 'track', type class_attribute='track'" in dataset.describe()


def test_an_attribute_that_is_not_there(write: Any) -> None:
    """class_attribute= that no region has is an error that lists those there are."""
    with pytest.raises(FormatError, match=r"no region has this attribute\. There are: x"):
        write(region(RECT, x="a"), class_attribute="y")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (region(RECT), "the attribute 'x' is None; expected the class"),
        (region(RECT, x={"a": True, "b": True}), r"several classes \(a, b\)"),
        (region({"name": "spline"}, x="a"), "name is 'spline'; expected polygon"),
        (region({"name": "rect", "x": 1}, x="a"), "y is missing; expected a number"),
        (region({"name": "circle", "cx": 1, "cy": 1, "r": 1e300}, x="a"), "expected a number of pixels"),
        (region({"name": "circle", "cx": 1, "cy": 1, "r": "wide"}, x="a"), "r is 'wide'; expected a number"),
        (region({"name": "polygon", "all_points_x": [1], "all_points_y": []}, x="a"), "1 x but 0 y coordinates"),
        (region({"name": "polygon"}, x="a"), "expected at least 1 points"),
        (5, "expected an object"),
    ],
)
def test_broken_regions(broken: Any, words: str, write: Any) -> None:
    """A region that cannot be read is named by its place in the file."""
    good = [region(RECT, x="a")] * 12
    with pytest.raises(SampleError, match=rf"via\.json: street\.png1\.regions\[12\].*{words}"):
        write(*good, broken)
    with pytest.raises(EasySegError):
        write(*good, broken, on_bad_sample="skip")


def test_missing_images_and_empty_ones(write: Any, writers: ModuleType, tmp_path: Path) -> None:
    """An image that is not there is an error; one without regions is a picture of the background, or left out."""
    writers.write_images(tmp_path, stems=("empty",))
    content = {
        "a": {"filename": "street.png", "regions": [region(RECT, x="a")]},
        "b": {"filename": "empty.png", "regions": []},
        "c": {"filename": "gone.png", "regions": []},
    }
    writers.write_json(tmp_path / "via.json", content)
    with pytest.raises(SampleError, match=r"names the image 'gone\.png'"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, on_bad_sample="skip")) == 2
    dataset = load_dataset(tmp_path, on_bad_sample="skip", unlabelled="skip")
    assert [sample.name for sample in dataset.samples] == ["street.png"]
    assert "Images without objects left out: 1" in dataset.describe()


def test_an_image_twice_in_a_file(writers: ModuleType, tmp_path: Path) -> None:
    """Two entries for one image cannot both count."""
    writers.write_images(tmp_path)
    content = writers.via_content()
    content["again"] = content["first.png1"]
    writers.write_json(tmp_path / "via.json", content)
    with pytest.raises(SampleError, match=r"first\.png stands there twice"):
        load_dataset(tmp_path)


def test_entries_that_are_no_objects_can_be_left_out(writers: ModuleType, tmp_path: Path) -> None:
    """With on_bad_sample='skip' one malformed entry or region does not stop the others."""
    writers.write_images(tmp_path)
    content = writers.via_content()
    content["second.png1"]["regions"][1] = 5
    content["third.png1"]["regions"][1]["region_attributes"] = []
    content["more"] = 7
    writers.write_json(tmp_path / "via.json", content)
    with pytest.raises(SampleError):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_bad_sample="skip", unlabelled="background")
    assert [sample.name for sample in dataset.samples] == ["first.png"]
    assert len(dataset.skipped) == 3


def test_tables(writers: ModuleType, tmp_path: Path) -> None:
    """The CSV export says what the JSON export does; beside it, it does not count."""
    writers.write_images(tmp_path, stems=(*writers.STEMS, "empty"))
    rows = []
    for image in writers.via_content().values():
        for at, each in enumerate(image["regions"]):
            cells = [json.dumps(each[f"{word}_attributes"]) for word in ("shape", "region")]
            rows.append([image["filename"], "1", "{}", "3", str(at), *cells])
    rows.append(["empty.png", "1", "{}", "0", "0", "{}", "{}"])
    write_table(tmp_path / "via.csv", rows)
    dataset = load_dataset(tmp_path)
    assert dataset.format == "via"
    assert dataset.classes == ["background", "car", "tree"]
    assert sorted(len(dataset.instances(at)) for at in range(4)) == [0, 3, 3, 3]
    writers.write_via(tmp_path)
    assert len(load_dataset(tmp_path)) == 3
    assert len(load_dataset(tmp_path, annotations="via.csv")) == 4


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["a.png", "1"], r"row 2 has 2 values"),
        (["street.png", "1", "{}", "1", "0", "{'name'", "{}"], r"shape_attributes is \"\{'name'\"; expected an object"),
        (["street.png", "1", "{}", "1", "0", '{"x": NaN}', "{}"], "shape_attributes is .*expected an object"),
        (["street.png", "1", "{}", "1", "0", "[" * 100_000, "{}"], "shape_attributes is .*expected an object"),
        (["street.png", "1", "{}", "1", "0", " " * 200_000, "{}"], "the table cannot be read"),
    ],
)
def test_broken_tables(row: list[str], words: str, writers: ModuleType, tmp_path: Path) -> None:
    """What is wrong with a row is told as for JSON files."""
    writers.write_images(tmp_path, stems=("street",))
    write_table(tmp_path / "via.csv", [row])
    with pytest.raises(SampleError, match=words):
        load_dataset(tmp_path)


def test_other_tables_are_none(tmp_path: Path) -> None:
    """Tables of other columns, and files that cannot be read, are not of this format."""
    from easyseg.data.formats import via_tables

    (tmp_path / "a.csv").write_text("filename,label\n")
    assert not via_tables.is_via_table(tmp_path / "a.csv")
    assert not via_tables.is_via_table(tmp_path / "none.csv")


def write_table(file: Path, rows: list[list[str]]) -> None:
    """Write a table as VIA does."""
    with file.open("w", newline="") as target:
        target.write("#filename,file_size,file_attributes,region_count,region_id,")
        target.write("region_shape_attributes,region_attributes\n")
        csv.writer(target).writerows(rows)
