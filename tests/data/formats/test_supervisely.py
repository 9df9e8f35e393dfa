"""Supervisely projects: bitmaps, holes, names, broken files."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.formats import find_format
from easyseg.data.reading import load_dataset
from easyseg.errors import SampleError


@pytest.fixture
def root(writers: ModuleType, tmp_path: Path) -> Path:
    """A project of one dataset and three images."""
    writers.write_supervisely(tmp_path)
    return tmp_path


def rewrite(root: Path, *objects: Any, **fields: Any) -> None:
    """Give the first image other objects."""
    file = root / "ds0/ann/first.png.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "objects": list(objects), **fields}), encoding="utf-8")


def packed(data: bytes) -> str:
    """Return bytes as Supervisely writes a bitmap."""
    return base64.b64encode(zlib.compress(data)).decode()


def test_meta_gives_the_order(root: Path) -> None:
    """Class ids follow meta.json, also where it lies above one dataset; without it, names are sorted."""
    assert load_dataset(root).classes == ["background", "tree", "car"]
    assert load_dataset(root / "ds0").classes == ["background", "tree", "car"]
    (root / "meta.json").unlink()
    assert load_dataset(root).classes == ["background", "car", "tree"]


def test_holes_and_objects_without_area(root: Path, writers: ModuleType) -> None:
    """Interior rings are holes; lines and points are left out, told."""
    ring = {"exterior": writers.corners(2, 2, 20, 20), "interior": [writers.corners(5, 5, 9, 9)]}
    rewrite(
        root,
        {"classTitle": "car", "geometryType": "polygon", "points": ring},
        {"classTitle": "car", "geometryType": "point", "points": {"exterior": [[1, 1]], "interior": []}},
        {"classTitle": "car", "shape": "line", "points": {"exterior": [[1, 1], [5, 5]], "interior": []}},
    )
    dataset = load_dataset(root)
    expected = writers.object_mask(2, 2, 20, 20) & ~writers.object_mask(5, 5, 9, 9)
    np.testing.assert_array_equal(dataset.instances(0).masks, [expected])
    assert "Objects without an area (points, lines, graphs) left out: 2" in dataset.describe()


@pytest.mark.parametrize("kind", ["one bit", "grey", "palette"])
def test_bitmaps_of_any_png(kind: str, root: Path, writers: ModuleType) -> None:
    """Bitmaps are PNG files of one bit, of 0 and 255, or of two colours, at their origin."""
    inside = np.zeros((6, 9), np.uint8)
    inside[1:4, 2:8] = 1
    if kind == "palette":
        from PIL import Image

        picture = Image.fromarray(inside)
        picture.putpalette([0, 0, 0, 255, 255, 255])
        import io

        data = io.BytesIO()
        picture.save(data, "PNG", transparency=0)
        png = data.getvalue()
    else:
        png = writers.png_bytes(inside.astype(bool) if kind == "one bit" else inside * 255)
    rewrite(root, {"classTitle": "car", "bitmap": {"data": packed(png), "origin": [10, 20]}})
    expected = np.zeros((30, 40), bool)
    expected[21:24, 12:18] = True
    np.testing.assert_array_equal(load_dataset(root).instances(0).masks, [expected])


def _rgba(inside: np.ndarray, color: int) -> np.ndarray:
    return np.dstack([np.full((*inside.shape, 3), color, np.uint8), inside * 255])


@pytest.mark.parametrize(
    "pixels",
    [
        lambda inside: _rgba(inside, 0),
        lambda inside: _rgba(inside, 255),
        lambda inside: np.dstack([inside * 0 + 255, inside * 3]),
        lambda inside: np.dstack([inside, inside * 0, inside * 9]),
        lambda inside: inside * 100,
        lambda inside: inside * 2,
    ],
    ids=["black RGBA", "white RGBA", "grey and alpha", "colours", "grey", "small numbers"],
)
@pytest.mark.parametrize("kind", ["bitmap", "alpha_mask"])
@pytest.mark.parametrize("is_packed", [True, False])
def test_bitmaps_of_other_pictures(kind: str, is_packed: bool, pixels: Any, root: Path, writers: ModuleType) -> None:
    """What is not transparent belongs to the object; without transparency, what is not 0."""
    inside = np.zeros((6, 9), np.uint8)
    inside[1:4, 2:8] = 1
    png = writers.png_bytes(pixels(inside))
    data = packed(png) if is_packed else base64.b64encode(png).decode()
    rewrite(root, {"classTitle": "car", "geometryType": kind, "bitmap": {"data": data, "origin": [10, 20]}})
    expected = np.zeros((30, 40), bool)
    expected[21:24, 12:18] = True
    np.testing.assert_array_equal(load_dataset(root).instances(0).masks, [expected])


@pytest.mark.parametrize(
    ("points", "angle"),
    [([[10, 5], [30, 15]], np.pi / 2), ({"exterior": [[30, 15], [10, 5]], "interior": []}, 90)],
)
def test_turned_boxes(points: Any, angle: float, root: Path, writers: ModuleType) -> None:
    """A box is turned about its centre, by radians, in older files by degrees, clockwise."""
    box = {"classTitle": "car", "geometryType": "oriented_bbox", "points": points}
    rewrite(root, {**box, "angle": angle})
    np.testing.assert_array_equal(load_dataset(root).instances(0).masks, [writers.object_mask(15, 0, 25, 20)])
    rewrite(root, {**box, "angle": angle / 3})
    mask = load_dataset(root).instances(0).masks[0]
    assert mask[5].nonzero()[0].mean() < 20 < mask[15].nonzero()[0].mean()


def test_kinds_that_cannot_be_drawn(root: Path) -> None:
    """Cuboids and ellipses do not refuse the project: they are left out, and told."""
    kinds = ("cuboid_2d", "cuboid", "ellipse")
    rewrite(root, *({"classTitle": "car", "geometryType": kind, "vertices": {}} for kind in kinds))
    dataset = load_dataset(root)
    assert len(dataset.instances(0)) == 0
    assert "Objects that no mask can be drawn of (cuboids, ellipses, volumes) left out: 3" in dataset.describe()


def test_empty_files_first(root: Path) -> None:
    """Files that were cut off do not hide what the others are."""
    for number in range(30):
        (root / f"ds0/ann/a{number:02}.png.json").write_text("", encoding="utf-8")
    assert find_format(root).NAME == "supervisely"


def test_old_annotation_names(root: Path) -> None:
    """Old projects leave out the image's suffix."""
    for file in (root / "ds0/ann").iterdir():
        file.rename(file.with_name(file.name.replace(".png", "")))
    assert len(load_dataset(root)) == 3


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"geometryType": "cloud"}, "geometryType is 'cloud'; expected polygon, bitmap"),
        ({"points": {"exterior": []}}, "exterior is .*; expected at least 2 points"),
        ({"points": 3}, "points is 3; expected an object"),
        ({"classTitle": None}, "classTitle is None; expected a text"),
        ({"geometryType": "bitmap"}, "data: it is cut off"),
        ({"geometryType": "bitmap", "bitmap": {"data": "%", "origin": [1, 1]}}, "data is no base64"),
        ({"geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [1, 1]}}, "data: it is no compressed picture"),
        ({"geometryType": "bitmap", "bitmap": {"data": packed(b"x"), "origin": [1]}}, "origin is"),
        (
            {"geometryType": "bitmap", "bitmap": {"data": packed(b"\x89PNG\r\n\x1a\n" + bytes(30)), "origin": [1, 1]}},
            "data: ",
        ),
        ({"geometryType": "oriented_bbox", "points": [[1, 2]]}, "points is .*; expected at least 2 points"),
        (
            {"geometryType": "oriented_bbox", "points": [[1, 2], [3, 4]], "angle": "x"},
            "angle is 'x'; expected a number",
        ),
        ({"geometryType": "bitmap", "bitmap": {"data": packed(b"x")[:-8], "origin": [1, 1]}}, "data: it is cut off"),
        (
            {"geometryType": "bitmap", "bitmap": {"data": packed(bytes(17 << 20)), "origin": [1, 1]}},
            "more than 16,777,216 bytes",
        ),
    ],
)
def test_broken_objects(broken: dict[str, Any], words: str, root: Path) -> None:
    """An object that cannot be read is named by its number; a bitmap that would fill the memory is not unpacked."""
    good = {"classTitle": "car", "geometryType": "polygon", "points": {"exterior": [[1, 1], [5, 1], [5, 5]]}}
    rewrite(root, good, {**good, **broken})
    with pytest.raises(SampleError, match=rf"first\.png\.json: objects\[1\].*{words}"):
        load_dataset(root)
    assert len(load_dataset(root, on_bad_sample="skip", unlabelled="background")) == 2


def test_missing_images(root: Path) -> None:
    """An annotation without its image is an error."""
    (root / "ds0/img/first.png").unlink()
    with pytest.raises(SampleError, match=r"names the image 'ds0/img/first\.png'"):
        load_dataset(root)
