"""YOLO segmentation: layouts, names, splits, and lines that are wrong."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError, FormatError, SampleError

ROW = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


@pytest.fixture
def write(writers: ModuleType, tmp_path: Path) -> Any:
    """Return a function that writes images and label files by their paths."""

    def write_files(**files: str) -> Path:
        for image, rows in files.items():
            place, name = image.rsplit("__", 1) if "__" in image else ("images", image)
            place = place.replace("__", "/")
            writers.write_images(tmp_path / place, stems=(name,))
            labels = tmp_path / place.replace("images", "labels")
            labels.mkdir(parents=True, exist_ok=True)
            (labels / f"{name}.txt").write_text(rows, encoding="utf-8")
        return tmp_path

    return write_files


@pytest.mark.parametrize(
    "files",
    [
        {"train__images__a": ROW, "valid__images__b": ROW, "test__images__a": ROW},
        {"images__train__a": ROW, "images__val__b": ROW, "images__test__a": ROW},
        {"set__images__train__a": ROW, "set__images__val__b": ROW, "set__images__test__a": ROW},
    ],
)
def test_layouts_with_splits(files: dict[str, str], write: Any) -> None:
    """Split folders stand above or below images/ and labels/; equal names in two splits stay apart."""
    dataset = load_dataset(write(**files))
    assert dataset.format == "yolo"
    assert dataset.splits() == {"train": 1, "val": 1, "test": 1}
    assert dataset.classes == ["class_0"]
    assert all(dataset.mask(at).any() for at in range(3))


def test_labels_beside_images(writers: ModuleType, tmp_path: Path) -> None:
    """Text files beside the images, as darknet has them, with names in classes.txt."""
    writers.write_images(tmp_path / "obj_train_data", stems=("a", "b"))
    for stem in ("a", "b"):
        (tmp_path / f"obj_train_data/{stem}.txt").write_text(ROW, encoding="utf-8")
    (tmp_path / "classes.txt").write_text("roof\ntree\n", encoding="utf-8")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["background", "roof", "tree"]


@pytest.mark.parametrize(
    ("yaml", "classes"),
    [
        ("names: [roof]", ["roof"]),
        ("names: [roof, tree]\nnc: 2", ["background", "roof", "tree"]),
        ("names:\n  0: roof\n  5: tree\npath: /x", ["background", "roof", "tree"]),
        ("names: {'0': roof}", ["roof"]),
        ("names: [7, 8]", ["background", "7", "8"]),
        ("train: images", ["class_0"]),
    ],
)
def test_names_in_data_yaml(yaml: str, classes: list[str], write: Any) -> None:
    """Names are a list or a mapping, perhaps of numbers as texts."""
    root = write(a=ROW, b=ROW)
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    assert load_dataset(root).classes == classes


@pytest.mark.parametrize(
    ("yaml", "splits"),
    [
        ("names: [a]\ntrain: one/images\nval: two/images", {"train": 1, "val": 1}),
        ("names: [a]\ntrain: ../one/images\nval: ../two/images\ntest:", {"train": 1, "val": 1}),
        ("names: [a]\ntrain: [/home/x/data/one/images, /home/x/data/two/images]", {"train": 2}),
        ("names: [a]\ntrain: first.txt\nval: C:\\data\\second.txt", {"train": 1, "val": 1}),
        ("names: [a]\ntrain: ONE/images\nval: [two]", {"train": 1, "val": 1}),
        ("names: [a]\ntrain: .", {"train": 2}),
        ("names: [a]\npath: /x/two\nval: images\ntrain: ''", {"val": 1}),
        ("names: [a]", {"train": 2}),
        ("names: [a]\ntrain: first.txt\nval: lists/third.txt", {"train": 1, "val": 1}),
    ],
)
def test_splits_in_data_yaml(yaml: str, splits: dict[str, int], write: Any) -> None:
    """Splits are folders, of this machine or another, or lists of images; else the folders' own names count."""
    root = write(one__images__a=ROW, two__images__b=ROW)
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    (root / "first.txt").write_text("one/images/a.png\n", encoding="utf-8")
    (root / "second.txt").write_text("/data/two/images/b.png\n", encoding="utf-8")
    (root / "lists").mkdir()
    (root / "lists/third.txt").write_text("two/images/b.png\n", encoding="utf-8")
    assert load_dataset(root, validation_fraction=0).splits() == splits


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (
            "train: train/images\nval: ../valid/images",
            r"'val: .*' leads to no image.*: train/images, val/images\.",
        ),
        ("train: nowhere", "'train: nowhere' leads to no image. Folders of images are"),
        ("train: missing.txt", r"'train: missing\.txt' is a list that is not below"),
    ],
)
def test_entries_that_lead_nowhere(yaml: str, words: str, write: Any) -> None:
    """An entry without images is an error that names the folders there are: a whole split would be lost."""
    root = write(train__images__a=ROW, val__images__b=ROW)
    (root / "data.yaml").write_text(f"names: [a]\n{yaml}", encoding="utf-8")
    with pytest.raises(FormatError, match=words):
        load_dataset(root)


def test_a_test_split_that_is_not_there(write: Any) -> None:
    """Exports name a test split that they do not have; this is told, and so are images that no entry reaches."""
    root = write(train__images__a=ROW, train__images__c=ROW, val__images__b=ROW, extra__images__d=ROW)
    yaml = "names: [a]\ntrain: [train/images, val/images]\nval: val/images\ntest: ../test/images"
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    text = load_dataset(root).describe()
    assert "data.yaml has 'test: ../test/images', where no image is" in text
    assert "Images in no split of data.yaml left out: 1, such as d.png" in text
    assert "Images in two splits count in the first only: 1" in text
    assert "belong to no image" not in text


def test_a_folder_of_splits_is_not_all_of_one(write: Any) -> None:
    """../train/images where images/train is meant does not take the images of all splits for training."""
    root = write(images__train__a=ROW, images__val__b=ROW)
    yaml = "names: [a]\ntrain: ../train/images\nval: ../valid/images"
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    found = {sample.image_path.stem: sample.split for sample in load_dataset(root, validation_fraction=0).samples}
    assert found == {"a": "train", "b": "val"}
    (root / "data.yaml").write_text("names: [a]\npath: /data/train_set\nval: images/train", encoding="utf-8")
    assert [sample.split for sample in load_dataset(root, validation_fraction=0).samples] == ["val"]


def test_lists_beside_the_labels(write: Any) -> None:
    """train.txt and val.txt name the images that count; others are left out."""
    root = write(a=ROW, b=ROW, c=ROW)
    (root / "train.txt").write_text("./images/a.png\n", encoding="utf-8")
    (root / "val.txt").write_text("/x/images/b.png\n", encoding="utf-8")
    dataset = load_dataset(root)
    assert dataset.format == "yolo"
    assert dataset.splits() == {"train": 1, "val": 1}
    assert "Images in none of the lists left out: 1, such as c.png" in dataset.describe()
    assert "belong to no image" not in dataset.describe()
    (root / "val.txt").write_text("images/d.png\nimages/b.png", encoding="utf-8")
    with pytest.raises(SampleError, match=r"names the image 'images/d\.png'"):
        load_dataset(root)
    assert load_dataset(root, on_bad_sample="skip").splits() == {"train": 1, "val": 1}


def test_images_without_label_keep_the_split_of_their_list(write: Any, writers: ModuleType) -> None:
    """An image of background is in the split that a list says, whatever its name looks like."""
    root = write(a=ROW, b=ROW)
    writers.write_images(root / "images", stems=("test_1",))
    (root / "train.txt").write_text("a.png\n", encoding="utf-8")
    (root / "val.txt").write_text("b.png\ntest_1.png\n", encoding="utf-8")
    assert load_dataset(root).splits() == {"train": 1, "val": 2}
    for name in ("train.txt", "val.txt"):
        (root / name).unlink()
    assert "test" not in load_dataset(root).splits()


def test_no_label_of_another_split(write: Any, writers: ModuleType) -> None:
    """An image without a label shows background; it does not take the label of its namesake elsewhere."""
    root = write(train__images__b=ROW, val__images__a=ROW, town__images__d=ROW, e=ROW)
    writers.write_images(root / "train/images", stems=("a",))
    writers.write_images(root / "more", stems=("e",))
    writers.write_images(root / "city/images", stems=("d",))

    def without_objects() -> list[str]:
        dataset = load_dataset(root)
        return [
            sample.image_path.relative_to(root).as_posix()
            for at, sample in enumerate(dataset.samples)
            if not dataset.mask(at).any()
        ]

    assert without_objects() == ["city/images/d.png", "more/e.png", "train/images/a.png"]
    (root / "val/images/a.png").unlink()
    assert without_objects() == ["city/images/d.png", "more/e.png", "train/images/a.png"]
    assert "Label files that belong to no image left out: 1" in load_dataset(root).describe()


def test_folders_whose_names_hold_a_split(write: Any) -> None:
    """city1_train and city2_train are two places: labels of one name in them stay apart."""
    root = write(city1_train__images__a=ROW, city2_train__images__a=f"1{ROW[1:]}")
    dataset = load_dataset(root)
    assert dataset.classes == ["background", "class_0", "class_1"]
    assert sorted(int(dataset.mask(at).max()) for at in range(2)) == [1, 2]


def test_a_label_in_a_place_that_does_not_contradict(write: Any) -> None:
    """A label whose folders say less or more than those of its image is found by its name."""
    root = write(town__images__a=ROW, images__b=ROW)
    (root / "labels/a.txt").write_text(ROW, encoding="utf-8")
    (root / "town/labels/a.txt").unlink()
    (root / "labels/more").mkdir()
    (root / "labels/b.txt").rename(root / "labels/more/b.txt")
    dataset = load_dataset(root)
    assert all(dataset.mask(at).any() for at in range(2))


@pytest.mark.parametrize(
    ("image", "label", "words", "left"),
    [
        ("a.jpg", "labels/b.txt", r"its label file, .*labels/a\.txt, fits .*a\.(png|jpg) as well", ["c.png"]),
        ("b.png", "labels/seg/a.txt", r"several label files fit this image: .*a\.txt and ", ["b.png", "c.png"]),
    ],
)
def test_labels_that_fit_twice(
    image: str, label: str, words: str, left: list[str], write: Any, writers: ModuleType
) -> None:
    """Two images of one label file, and two label files of one image, are errors."""
    root = write(a=ROW, c=ROW)
    writers.write_images(root / "images", Path(image).suffix, (Path(image).stem,))
    (root / label).parent.mkdir(exist_ok=True)
    (root / label).write_text(ROW, encoding="utf-8")
    with pytest.raises(SampleError, match=words):
        load_dataset(root)
    assert [sample.name for sample in load_dataset(root, on_bad_sample="skip").samples] == left


def test_labels_of_other_images(write: Any) -> None:
    """Where no label belongs to an image, the images do not all pass for background."""
    root = write(a=ROW, b=ROW)
    for name in "ab":
        (root / f"labels/{name}.txt").rename(root / f"labels/frame_{name}.txt")
    with pytest.raises(FormatError, match=r"none of the 2 label files, such as labels/frame_a\.txt, belongs to one"):
        load_dataset(root)


def test_many_empty_labels_first(write: Any) -> None:
    """A dataset that begins with images of background is one of labels, too."""
    root = write(**{f"a{at:02}": "\n" for at in range(30)}, b=ROW)
    assert load_dataset(root).format == "yolo"


def test_names_in_a_file_of_another_name(write: Any) -> None:
    """The only YAML file with names and splits counts, whatever it is called; of two, none is guessed."""
    root = write(a=ROW, b=ROW)
    (root / "roofs.yaml").write_text("names: [roof]\ntrain: images", encoding="utf-8")
    (root / "other.yaml").write_text("names: [tree]", encoding="utf-8")
    (root / "broken.yml").write_text("names: [tree", encoding="utf-8")
    (root / "more").mkdir()
    (root / "more/below.yaml").write_text("names: [tree]\ntrain: images", encoding="utf-8")
    assert load_dataset(root).classes == ["roof"]
    (root / "other.yaml").write_text("names: [tree]\nval: images", encoding="utf-8")
    with pytest.raises(FormatError, match=r"other\.yaml and roofs\.yaml could each name the classes"):
        load_dataset(root)


def test_names_beside_the_labels(write: Any) -> None:
    """classes.txt lies beside the labels where labelImg writes it, a copy for each split; it is no label file."""
    root = write(train__images__a=ROW, val__images__b=ROW)
    for split in ("train", "val"):
        (root / split / "labels/classes.txt").write_text("roof\n", encoding="utf-8")
    dataset = load_dataset(root)
    assert dataset.classes == ["roof"]
    assert "belong to no image" not in dataset.describe()
    (root / "val/labels/classes.txt").write_text("tree\n", encoding="utf-8")
    with pytest.raises(FormatError, match=r"classes\.txt name different classes"):
        load_dataset(root)
    (root / "classes.txt").write_text("house\n", encoding="utf-8")
    assert load_dataset(root).classes == ["house"]


def test_images_without_objects(write: Any, writers: ModuleType) -> None:
    """An empty text file and a missing one both mean background; one without image is left out, told."""
    root = write(a=ROW, b="\n")
    writers.write_images(root / "images", stems=("c",))
    (root / "labels/d.txt").write_text(ROW, encoding="utf-8")
    dataset = load_dataset(root)
    assert [bool(dataset.mask(at).any()) for at in range(3)] == [True, False, False]
    assert "Label files that belong to no image left out: 1" in dataset.describe()


def test_outlines_are_shares_of_the_image(write: Any) -> None:
    """Coordinates scale with each image's own size, and may reach a little beyond it."""
    root = write(a="0 0.5 -0.1 1.2 -0.1 1.2 0.5 0.5 0.5")
    found = load_dataset(root).instances(0)
    assert found.boxes.tolist() == [[20, 0, 40, 15]]
    assert found.masks.sum() == 20 * 15


BROKEN = [
    ("0 0.1 0.1 0.5 0.5 0.4", "it has 6 numbers; expected 'class x1 y1"),
    ("0 0.1", "it has 2 numbers"),
    ("car 0.1 0.1 0.5 0.1 0.5 0.5", "it does not consist of numbers"),
    ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "the class is -1; expected a whole number"),
    ("0.5 0.1 0.1 0.5 0.1 0.5 0.5", "the class is 0.5"),
    ("nan 0.1 0.1 0.5 0.1 0.5 0.5", "the class is nan"),
    ("9e99 0.1 0.1 0.5 0.1 0.5 0.5", "the class is 9e99"),
    ("0 10 10 50 10 50 50", "coordinates are not in 0..1"),
    ("0 0.1 nan 0.5 0.1 0.5 0.5", "coordinates are not in 0..1"),
    ("3 0.1 0.1 0.5 0.1 0.5 0.5", r"class 3 is not among the names in data\.yaml"),
    ("0 0.5 0.5 0.2 0.2", r"it is a box \(5 numbers\), and no mask can be drawn"),
]


@pytest.mark.parametrize(("line", "words"), BROKEN)
def test_broken_lines(line: str, words: str, write: Any) -> None:
    """A line that cannot be read is named by file and number; the image is left out where that was typed."""
    root = write(a=ROW, b=f"{ROW}\n\n{line}")
    (root / "data.yaml").write_text("names: [roof]", encoding="utf-8")
    with pytest.raises(SampleError, match=rf"b\.txt: line 3: {words}"):
        load_dataset(root)
    dataset = load_dataset(root, on_bad_sample="skip")
    assert [sample.name for sample in dataset.samples] == ["a.png"]
    assert len(dataset.skipped) == 1


def test_boxes_only(write: Any) -> None:
    """A dataset of boxes is refused as a whole: no mask can be drawn from a box."""
    root = write(a="0 0.5 0.5 0.2 0.2", b="1 0.5 0.5 0.2 0.2")
    with pytest.raises(FormatError, match=r"the labels hold boxes .*no mask can be drawn from a box"):
        load_dataset(root)


def test_boxes_as_objects(write: Any) -> None:
    """Those who ask for it get objects that fill their boxes, also beside outlines, and are told how many."""
    root = write(a="0 0.5 0.5 0.2 0.2", b=f"1 0.25 0.5 0.5 1.0\n{ROW}")
    dataset = load_dataset(root, boxes="fill")
    assert dataset.instances(0).boxes.tolist() == [[16, 12, 24, 18]]
    assert dataset.instances(0).masks.sum() == 8 * 6
    assert dataset.instances(1).boxes[0].tolist() == [0, 0, 20, 30]
    assert len(dataset.instances(1)) == 2
    assert "Objects of which only the box is annotated, taken to fill it: 2" in dataset.describe()
    with pytest.raises(FormatError, match=r"type load_dataset\(path, boxes='fill'\)"):
        load_dataset(write(b="1 0.5 0.5 0.2 0.2"))


def test_boxes_beyond_their_image(write: Any) -> None:
    """A corner in place of the middle is told where the box leaves the image by more than rounding does."""
    line = "Boxes that reach beyond their image, cut off there; x and y of a line are the middle of its box"
    sound = "0 0.5 0.5 1.01 1.01\n0 0.1 0.1 0.2 0.2"
    assert line not in load_dataset(write(a=sound), boxes="fill").describe()
    notes = load_dataset(write(a=f"{sound}\n0 0.1 0.5 0.4 0.2\n0 0.9 0.5 0.1 1.2"), boxes="fill").notes
    assert f"{line}, as shares of the image: 2." in notes


def test_thin_polygons(write: Any) -> None:
    """A line of two and a half points is refused; a flat outline covers nothing."""
    dataset = load_dataset(write(a=f"{ROW}\n0 0.1 0.1 0.5 0.1 0.9 0.1"))
    assert len(dataset.instances(0)) == 1


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: 5", "names is 5; expected a list of names"),
        ("names: {a: b}", "expected a list of names"),
        ("names: []", "expected a list of names"),
        ("names: [[a]]", "expected a list of names"),
        (f"names: {{{'9' * 50}: a}}", "expected a list of names"),
        ("names: [a", "is not valid YAML"),
        ("a: &a [x]\nnames: *a", "aliases"),
    ],
)
def test_broken_data_yaml(yaml: str, words: str, write: Any) -> None:
    """data.yaml that cannot be read is an error that names it."""
    root = write(a=ROW)
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    with pytest.raises(FormatError, match=words):
        load_dataset(root)


def test_what_is_no_label_file(write: Any) -> None:
    """Texts in a folder of labels that hold no rows of numbers are no YOLO labels."""
    root = write(a="hello world this is text", b="5 apples and 6 pears")
    with pytest.raises(EasySegError, match="no dataset format fits"):
        load_dataset(root)
    (root / "labels/b.txt").unlink()
    (root / "labels/a.txt").write_bytes(b"\xff\xfe0 1 1 1 1")
    with pytest.raises(EasySegError, match="no dataset format fits"):
        load_dataset(root)
    with pytest.raises(SampleError, match="expected UTF-8 text"):
        load_dataset(root, "yolo")


def test_files_that_are_too_large(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label file beyond the limit is not read."""
    from easyseg.io import text_files

    root = write(a=ROW)
    monkeypatch.setattr(text_files, "MAX_BYTES", 5)
    with pytest.raises(SampleError, match="at most 5 are read"):
        load_dataset(root, "yolo")


def test_many_points(write: Any) -> None:
    """A finely drawn circle has the area of a circle."""
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    points = np.stack([0.5 + 0.25 * np.cos(turn), 0.5 + np.sin(turn) / 3], axis=1).ravel()
    found = load_dataset(write(a="0 " + " ".join(map(str, points)))).instances(0)
    assert found.masks.sum() == pytest.approx(np.pi * 100, rel=0.02)
