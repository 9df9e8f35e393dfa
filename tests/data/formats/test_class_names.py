"""Class names are found in the files that carry them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from easyseg.data.formats.class_names import FoundNames, parse_class_values, read_class_names
from easyseg.errors import ClassMapError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sky": 0, "road": 1}, {"sky": 0, "road": 1}),
        ({0: "sky", 1: "road"}, {"sky": 0, "road": 1}),
        ({"0": "sky", "1": "road"}, {"sky": 0, "road": 1}),
        ({"sky": "0", "road": "1"}, {"sky": 0, "road": 1}),
        ({"sky": [1, 2, 3]}, {"sky": (1, 2, 3)}),
        ({"sky": (1, 2, 3)}, {"sky": (1, 2, 3)}),
        ({(1, 2, 3): "sky"}, {"sky": (1, 2, 3)}),
        ({"#0102ff": "sky"}, {"sky": (1, 2, 255)}),
        ({"sky": "#0102ff"}, {"sky": (1, 2, 255)}),
        ([{"name": "sky", "id": 4}, {"name": "road", "id": 7}], {"sky": 4, "road": 7}),
        ([{"name": "sky", "color": [1, 2, 3]}], {"sky": (1, 2, 3)}),
    ],
)
def test_all_ways_to_write_a_class_map(given: Any, expected: dict[str, Any]) -> None:
    """Names, ids and colours are understood whichever way round they stand."""
    assert parse_class_values(given) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "cannot be read"),
        ("road", "cannot be read"),
        ([1, 2], "cannot be read"),
        ({"sky": [1, 2, 300]}, "cannot be read"),
        ({"sky": None}, "cannot be read"),
        ({"sky": True}, "cannot be read"),
        ({"sky": "blue"}, "cannot be read"),
        ({"sky": 1, "road": 1}, "stands twice"),
        ([{"name": "sky", "id": 1}, {"name": "sky", "id": 2}], "stands twice"),
        ({"sky": 1, "road": (1, 2, 3)}, "mixes"),
    ],
)
def test_class_maps_that_make_no_sense_are_refused(given: Any, words: str) -> None:
    """What cannot be read is an error that shows it."""
    with pytest.raises(ClassMapError, match=words):
        parse_class_values(given)


@pytest.mark.parametrize(
    ("name", "text", "names", "values"),
    [
        ("classes.txt", "sky\nroad\n", ("sky", "road"), None),
        ("codes.txt", "\ufeffsky\n\nroad", ("sky", "road"), None),
        ("labels.txt", "__ignore__\n_background_\ncat\n", ("_background_", "cat"), None),
        ("classes.txt", "0 sky\n5 road\n", None, {"sky": 0, "road": 5}),
        ("labelmap.txt", "# label:color\nsky:1,2,3::\nroad:4,5,6::\n", None, {"sky": (1, 2, 3), "road": (4, 5, 6)}),
        ("label_mapping.json", json.dumps({"sky": 0}), None, {"sky": 0}),
        ("label_mapping.json", json.dumps({"classes": {"sky": 3}}), None, {"sky": 3}),
        ("classes.json", json.dumps(["sky", "road"]), ("sky", "road"), None),
        ("Classes.JSON", json.dumps({"classes": [{"name": "sky", "id": 2}]}), None, {"sky": 2}),
        ("data.yaml", "names: [sky, road]\n", ("sky", "road"), None),
        ("data.yaml", "names: {0: sky, 1: road}\n", None, {"sky": 0, "road": 1}),
        ("data.yaml", "train: x\n", None, None),
        ("classes.txt", "", None, None),
        ("notes.txt", "sky\n", None, None),
    ],
)
def test_files_of_names(
    tmp_path: Path, name: str, text: str, names: tuple[str, ...] | None, values: dict[str, Any] | None
) -> None:
    """Every usual file gives names or values, with its own name as the source; others are not looked at."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    expected = FoundNames(names, values, name if names or values else "")
    assert read_class_names(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("classes.json", b"{"),
        ("classes.json", b'{"sky": null}'),
        ("classes.txt", b"\xff\xfe\xfa"),
        ("data.yaml", b"a: *b"),
        ("classes.txt", b"x\n" * 600_000),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, data: bytes) -> None:
    """A file of names that cannot be read is an error with its path."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ClassMapError) as caught:
        read_class_names(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def write_csv(folder: Path, text: str) -> None:
    """Write _classes.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_classes.csv").write_text(text, encoding="utf-8")


def test_values_in_the_folders_of_the_splits(tmp_path: Path) -> None:
    """A file of values lies in each split's folder; where they differ, nobody knows which is right."""
    for split in ("train", "valid"):
        write_csv(tmp_path / split, "Pixel Value, Class\n0, background\n1, road, paved\n\n2, car\n")
    expected = FoundNames(None, {"background": 0, "road, paved": 1, "car": 2}, "_classes.csv")
    assert read_class_names(tmp_path) == read_class_names(tmp_path / "train") == expected
    write_csv(tmp_path / "valid", "Pixel Value, Class\n0, background\n1, car\n")
    with pytest.raises(ClassMapError, match=r"train/_classes\.csv and .*valid/_classes\.csv give other values"):
        read_class_names(tmp_path)
    write_csv(tmp_path / "valid", "filename, car, road\na.jpg, 1, 0\n")
    assert read_class_names(tmp_path) == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("one, road", "expected lines of 'value, name'"),
        ("1", "expected lines of 'value, name'"),
        ("1, road\n2, road", "a class name stands there twice"),
        ("1, road\n1, car", "a mask value stands twice"),
    ],
)
def test_broken_files_of_values(rows: str, words: str, tmp_path: Path) -> None:
    """A file of values that makes no sense is named."""
    write_csv(tmp_path, f"Pixel Value, Class\n{rows}\n")
    with pytest.raises(ClassMapError, match=rf"_classes\.csv: .*{words}"):
        read_class_names(tmp_path)
