"""labelme files: kinds of shapes, groups, names, images inside them."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.dataset import Dataset
from easyseg.data.formats import labelme
from easyseg.data.reading import load_dataset
from easyseg.errors import FormatError, SampleError
from easyseg.structures import IGNORE_INDEX, EmbeddedImage


@pytest.fixture
def write(writers: ModuleType, tmp_path: Path) -> Any:
    """Return a function that writes one image with shapes, and reads the dataset."""
    (image,) = writers.write_images(tmp_path, stems=("street",))

    def write_shapes(*shapes: dict[str, Any], arguments: dict[str, Any] | None = None, **fields: Any) -> Dataset:
        content = {"version": "5", "shapes": list(shapes), "imagePath": image.name, "imageData": None, **fields}
        writers.write_json(tmp_path / "street.json", content)
        return load_dataset(tmp_path, **(arguments or {}))

    return write_shapes


def shape(label: str, points: Any, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    """Return a shape as labelme writes it."""
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, **more}


def test_kinds_of_shapes(write: Any, writers: ModuleType) -> None:
    """Polygons, rectangles from any corner, circles and turned rectangles cover what they should."""
    dataset = write(
        shape("a", writers.corners(1, 1, 4, 5), None),
        shape("b", [[10, 9], [6, 2]], "rectangle"),
        shape("c", [[20, 15], [20, 20]], "circle"),
        shape("d", writers.corners(30, 20, 36, 26), "oriented_rectangle"),
    )
    found = dataset.instances(0)
    y, x = np.mgrid[:30, :40] + 0.5
    expected = [
        writers.object_mask(1, 1, 4, 5),
        writers.object_mask(6, 2, 10, 9),
        np.hypot(x - 20, y - 15) <= 5,
        writers.object_mask(30, 20, 36, 26),
    ]
    np.testing.assert_array_equal(found.masks, expected)
    assert dataset.classes == ["background", "a", "b", "c", "d"]


def test_circles_have_their_area(write: Any) -> None:
    """A large circle has the area of a circle to a thousandth."""
    dataset = write(shape("c", [[20, 15], [32, 15]], "circle"))
    assert dataset.instances(0).masks.sum() == pytest.approx(math.pi * 144, rel=0.01)


def test_shapes_without_area_are_left_out(write: Any) -> None:
    """Lines and points are no objects, and thin polygons cover nothing; both are told."""
    dataset = write(
        shape("a", [[1, 1], [9, 1], [9, 9]]),
        shape("a", [[1, 1], [9, 9]], "line"),
        shape("a", [[1, 1]], "point"),
        shape("a", [[1, 1], [9, 9]], "linestrip"),
        shape("a", [[1, 1], [9, 9]], "polygon"),
    )
    assert len(dataset.instances(0)) == 1
    assert "Shapes without an area (lines, points) left out: 3" in dataset.describe()
    assert "Polygons of fewer than three points cover nothing: 1" in dataset.describe()


def test_groups_join_parts(write: Any, writers: ModuleType) -> None:
    """Shapes of one label and group_id are one object; of another label, or without group, they are not."""
    parts = [writers.corners(1, 1, 4, 4), writers.corners(10, 10, 14, 14), writers.corners(20, 20, 25, 25)]
    dataset = write(
        shape("a", parts[0], group_id=0),
        shape("a", parts[1], group_id=0),
        shape("b", parts[2], group_id=0),
        shape("a", writers.corners(30, 1, 33, 4), group_id=None),
        shape("a", [[35, 1], [38, 4]], "rectangle", group_id=None),
    )
    found = dataset.instances(0)
    joined = writers.object_mask(1, 1, 4, 4) | writers.object_mask(10, 10, 14, 14)
    assert len(found) == 4
    np.testing.assert_array_equal(found.masks[0], joined)


def test_masks_keep_to_themselves(write: Any, writers: ModuleType) -> None:
    """A mask lies at its points, may reach beyond the image, and in a group stays an object of its own, told."""
    inside = base64.b64encode(writers.png_bytes(np.ones((6, 8), np.uint8) * 255)).decode()
    dataset = write(
        shape("a", [[35, 27], [42, 32]], "mask", mask=inside, group_id=1),
        shape("a", [[-3.2, -2], [4, 3]], "mask", mask=inside, group_id=1),
        shape("a", [[60, 60], [67, 65]], "mask", mask=inside),
    )
    found = dataset.instances(0)
    np.testing.assert_array_equal(found.masks[0], writers.object_mask(35, 27, 40, 30))
    np.testing.assert_array_equal(found.masks[1], writers.object_mask(0, 0, 5, 4))
    assert len(found) == 2
    assert "Masks with a group_id count as objects of their own: 2" in dataset.describe()


def test_ignored_regions(write: Any, writers: ModuleType) -> None:
    """__ignore__ is no class; its pixels do not count, as the order of the file has them."""
    dataset = write(
        shape("a", writers.corners(0, 0, 10, 10)),
        shape("__ignore__", writers.corners(5, 0, 20, 10)),
        shape("b", writers.corners(15, 0, 25, 10)),
    )
    assert dataset.classes == ["background", "a", "b"]
    expected = np.zeros((30, 40), np.uint8)
    expected[:10, :5], expected[:10, 5:15], expected[:10, 15:25] = 1, IGNORE_INDEX, 2
    np.testing.assert_array_equal(dataset.mask(0), expected)
    assert len(dataset.instances(0)) == 2


def test_labels_txt_gives_the_order(write: Any, writers: ModuleType, tmp_path: Path) -> None:
    """Names in labels.txt come first, in their order, used or not; other labels follow."""
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nzebra\nape\n", encoding="utf-8")
    dataset = write(shape("ape", writers.corners(0, 0, 9, 9)), shape("bee", writers.corners(10, 0, 19, 9)))
    assert dataset.classes == ["_background_", "zebra", "ape", "bee"]
    assert set(np.unique(dataset.mask(0))) == {0, 2, 3}


@pytest.mark.parametrize("name", ["..\\pictures\\street.png", "/home/x/street.png", "other.png", "", "street"])
def test_image_paths_of_other_machines(name: str, write: Any, writers: ModuleType) -> None:
    """The image is found by the tail of its path, else by the annotation's own name."""
    dataset = write(shape("a", writers.corners(0, 0, 9, 9)), imagePath=name)
    assert dataset[0].name == "street.png"


def test_an_image_inside_the_file(write: Any, writers: ModuleType, tmp_path: Path) -> None:
    """Where the image file is missing, the embedded one is read; it may be damaged in the usual ways."""
    image = tmp_path / "street.png"
    data = image.read_bytes()
    expected = write(shape("a", writers.corners(0, 0, 9, 9))).image(0)
    image.unlink()
    dataset = write(shape("a", writers.corners(0, 0, 9, 9)), imageData=base64.b64encode(data).decode())
    assert isinstance(dataset[0].image, EmbeddedImage)
    assert dataset[0].name == "street.json"
    assert dataset.size_hw(0) == (30, 40)
    np.testing.assert_array_equal(dataset.image(0), expected)
    dataset.verify()
    assert dataset.with_splits().fingerprint() == dataset.fingerprint()
    for text, words in (
        ("%%%", "is no base64"),
        ("", "there is no image in the field"),
        ("AAAA", "no picture of a known"),
    ):
        content = json.loads((tmp_path / "street.json").read_text(encoding="utf-8"))
        writers.write_json(tmp_path / "street.json", {**content, "imageData": text})
        for use in (dataset.image, dataset.size_hw):
            with pytest.raises(SampleError, match=words):
                use(0)


def test_two_files_for_one_image(write: Any, writers: ModuleType, tmp_path: Path) -> None:
    """A second annotation of an image is an error that names both."""
    write(shape("a", writers.corners(0, 0, 9, 9)))
    (tmp_path / "copy.json").write_bytes((tmp_path / "street.json").read_bytes())
    with pytest.raises(Exception, match=r"copy\.json and street\.json both annotate this image"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"points": [[1, 1], [2, 2], [3, 3]], "shape_type": "rectangle"}, "a rectangle has 2 points, this one 3"),
        ({"points": [[1, 1]], "shape_type": "circle"}, "a circle has 2 points, this one 1"),
        ({"points": [[1, 1]], "shape_type": "star"}, "shape_type is 'star'; expected polygon"),
        ({"points": None}, "points is None; expected at least 1 points"),
        ({"points": [[1, True]]}, "expected at least 1 points"),
        ({"label": None}, "label is None; expected a text"),
        ({"label": True}, "label is True; expected a text"),
        ({"points": [[1, 1], [2, 2]], "shape_type": "mask"}, "it is of type mask but holds none"),
        ({"points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "%"}, "its mask is no base64"),
    ],
)
def test_broken_shapes(broken: dict[str, Any], words: str, write: Any, writers: ModuleType) -> None:
    """A shape that cannot be drawn is named by its number; on_bad_sample='skip' leaves the image out."""
    good = shape("a", writers.corners(0, 0, 9, 9))
    with pytest.raises(SampleError, match=rf"street\.json: shapes\[1\].*{words}"):
        write(good, {**good, **broken})
    with pytest.raises(Exception, match="so there is nothing to learn"):
        write(good, {**good, **broken}, arguments={"on_bad_sample": "skip", "unlabelled": "background"})


def test_a_damaged_mask_is_told_when_it_is_drawn(write: Any) -> None:
    """The bytes of a mask are decoded late; the message names the object."""
    data = base64.b64encode(b"no picture").decode()
    dataset = write(shape("a", [[1, 1], [2, 2]], "mask", mask=data))
    for use in (dataset.mask, dataset.instances):
        with pytest.raises(SampleError, match=r"no picture of a known format.*object 0 of street.png"):
            use(0)


def test_numbers_as_labels(write: Any, writers: ModuleType) -> None:
    """A label that is a number is its text."""
    assert write(shape(5, writers.corners(0, 0, 9, 9))).classes == ["5"]


@pytest.mark.parametrize("share", [0, 0.3, 0.8])
def test_a_file_cut_off_is_told(writers: ModuleType, tmp_path: Path, share: float) -> None:
    """Its keys are gone with its end, but its objects must not be lost in silence."""
    square = shape("roof", writers.corners(2, 2, 12, 12))
    for image in writers.write_images(tmp_path, stems=("a", "b", "c")):
        content = {"version": "5", "shapes": [square], "imagePath": image.name, "imageData": None}
        writers.write_json(image.with_suffix(".json"), content)
    text = (tmp_path / "b.json").read_text()
    (tmp_path / "b.json").write_text(text[: int(share * text.index("imagePath"))])
    with pytest.raises(SampleError, match=r"b\.json.*not valid JSON"):
        load_dataset(tmp_path)
    assert [Path(skipped.path).name for skipped in load_dataset(tmp_path, on_bad_sample="skip").skipped] == ["b.json"]


def test_splits_come_from_folders_only(writers: ModuleType, tmp_path: Path) -> None:
    """What an image is called is no split, nor is a folder whose name says more; both are told."""
    stems = ("test1", "val_disere3", "train_station")
    for folder in ("train2", "city1_val", "valid"):
        for file in writers.write_images(tmp_path / folder, stems=stems):
            content = {"shapes": [shape("a", writers.corners(1, 1, 9, 9))], "imagePath": file.name}
            writers.write_json(file.with_suffix(".json"), content)
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == {"train": 6, "val": 3}
    assert "Splits are told by names: train by 'train2'; val by 'valid'." in dataset.describe()
    assert "names say more than a split are none: 'city1_val'" in dataset.describe()


def test_images_whose_names_sound_like_splits(writers: ModuleType, tmp_path: Path) -> None:
    """Without folders of splits, validation is drawn."""
    for file in writers.write_images(tmp_path, stems=("test1", "test2", "val3", "house1")):
        content = {"shapes": [shape("a", writers.corners(1, 1, 9, 9))], "imagePath": file.name}
        writers.write_json(file.with_suffix(".json"), content)
    dataset = load_dataset(tmp_path)
    assert dataset.validation_is_drawn
    assert "Splits are told by names" not in dataset.describe()


def test_files_with_very_many_points_or_bytes_count(writers: ModuleType, tmp_path: Path) -> None:
    """However far the keys are from the ends of a file, and in whatever order."""
    images = writers.write_images(tmp_path, stems=("a", "b", "c"))
    many = [[1 + at / 1e4, 1.0] for at in range(40_000)] + [[30, 1], [30, 20]]
    for number, (file, points) in enumerate(zip(images, (writers.corners(1, 1, 9, 9), many, many), strict=True)):
        shapes = [{**shape("car", points), "shape_type": "polygon"}]
        content = {"version": "5", "shapes": shapes, "imagePath": file.name, "imageData": "A" * (300_000 * number)}
        content["imageHeight"] = 30
        if number == 2:
            content = {"imageData": "A" * 600_000, "imagePath": file.name, "shapes": shapes, "more": "B" * 600_000}
        writers.write_json(file.with_suffix(".json"), content)
    dataset = load_dataset(tmp_path)
    assert [len(dataset.instances(at)) for at in range(3)] == [1, 1, 1]
    assert labelme.recognises(tmp_path, "b.json")  # its imagePath is in the middle, near neither end


def test_other_files_before_those_of_the_format(writers: ModuleType, tmp_path: Path) -> None:
    """Files of a folder are looked into from all over it, not the first ones only."""
    for file in writers.write_images(tmp_path, stems=[f"img_{at:02}" for at in range(25)]):
        writers.write_json(file.with_name(f"cam_{file.stem}.json"), {"exposure": 1})
        content = {"shapes": [shape("a", writers.corners(1, 1, 9, 9))], "imagePath": file.name}
        writers.write_json(file.with_suffix(".json"), content)
    assert len(load_dataset(tmp_path)) == 25


def test_the_embedded_image_comes_before_another_folders(writers: ModuleType, tmp_path: Path) -> None:
    """A file of the image's name elsewhere may be another image; one at the named path is meant."""
    (tmp_path / "A").mkdir()
    data = base64.b64encode(writers.png_bytes(np.full((30, 40, 3), 9, np.uint8))).decode()
    content = {"shapes": [shape("a", writers.corners(1, 1, 9, 9))], "imagePath": "0001.png", "imageData": data}
    writers.write_json(tmp_path / "A/0001.json", content)
    writers.write_images(tmp_path / "B", stems=("0001",))
    dataset = load_dataset(tmp_path, unlabelled="background")
    assert dataset[0].image == EmbeddedImage(tmp_path / "A/0001.json")
    assert len(dataset) == 1
    assert "not from a file of that name in another folder: 1" in dataset.describe()
    writers.write_images(tmp_path / "C", stems=("0001",))  # now two files fit
    assert load_dataset(tmp_path)[0].image == EmbeddedImage(tmp_path / "A/0001.json")
    writers.write_json(tmp_path / "A/0001.json", {**content, "imagePath": "..\\B\\0001.png"})
    assert load_dataset(tmp_path)[0].image == tmp_path / "B/0001.png"
    writers.write_json(tmp_path / "A/0001.json", {**content, "imageData": None})
    with pytest.raises(SampleError, match="several files fit"):
        load_dataset(tmp_path)


def test_rectangles_of_four_corners(write: Any, writers: ModuleType) -> None:
    """Some tools write all corners of a rectangle; three points are none."""
    dataset = write(shape("a", writers.corners(3, 4, 9, 12), "rectangle"))
    np.testing.assert_array_equal(dataset.instances(0).masks[0], writers.object_mask(3, 4, 9, 12))
    with pytest.raises(SampleError, match="a rectangle has 2 points, this one 3"):
        write(shape("a", writers.corners(3, 4, 9, 12)[:3], "rectangle"))


def test_two_annotations_of_one_name(writers: ModuleType, tmp_path: Path) -> None:
    """They are told apart by their folders, and so is what to type."""
    (image,) = writers.write_images(tmp_path / "images", stems=("0001",))
    for folder in ("first", "second"):
        content = {"shapes": [shape("a", writers.corners(1, 1, 9, 9))], "imagePath": image.name}
        writers.write_json(tmp_path / folder / "0001.json", content)
    words = (
        r"images/0001\.png: first/0001\.json and second/0001\.json both .*annotations='first/\*\.json' or annotations="
    )
    with pytest.raises(FormatError, match=words):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, annotations="second/*.json")) == 1
