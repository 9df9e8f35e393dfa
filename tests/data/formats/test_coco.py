"""COCO files: ids, crowds, order, splits, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError, FormatError, SampleError
from easyseg.structures import IGNORE_INDEX

FILE = "annotations/instances_all.json"


@pytest.fixture
def content(writers: ModuleType, tmp_path: Path) -> dict[str, Any]:
    """The content of a COCO file, whose images lie in tmp_path."""
    writers.write_images(tmp_path / "images")
    return writers.coco_content()


def test_ids_are_of_any_kind(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Ids of images and categories may be texts, sparse, in any order, and mixed with numbers."""
    words = {7: "9", 90: "k"}
    for image in content["images"]:
        image["id"] = str(image["id"])
    content["categories"] = [{"id": words[each["id"]], "name": each["name"]} for each in content["categories"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = words[annotation["category_id"]]
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["background", "car", "tree"]
    assert len(dataset.instances(0)) == 3


def test_categories_keep_the_order_of_their_ids(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Class ids follow the categories' numbers, and categories without annotations are classes, too."""
    content["categories"] = [{"id": 90, "name": "tree"}, {"id": 1000, "name": "bird"}, {"id": 7, "name": "car"}]
    writers.write_json(tmp_path / FILE, content)
    assert load_dataset(tmp_path).classes == ["background", "car", "tree", "bird"]


def test_a_crowd_does_not_count(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Crowds, and what other tools mark by ignore, are 255 where nothing else is, and marked among the objects."""
    content["annotations"][2]["iscrowd"] = 1
    content["annotations"][5]["ignore"] = 1
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path)
    for at in range(2):
        mask, found = dataset.mask(at), dataset.instances(at)
        assert found.is_crowd.sum() == 1
        crowd = found.masks[found.is_crowd][0]
        cars = found.masks[~found.is_crowd].any(axis=0)
        np.testing.assert_array_equal(mask == IGNORE_INDEX, crowd & ~cars)
        np.testing.assert_array_equal(mask == 1, cars)
    several = load_dataset(tmp_path, task="multilabel").mask(0)
    np.testing.assert_array_equal(several[..., 1] == IGNORE_INDEX, crowd)
    assert set(np.unique(several[..., 0])) == {0, 1}


def test_smaller_objects_are_on_top(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """By the area that is stated, else that of the shape; the order in the file does not matter."""
    masks = []
    for order in (1, -1):
        for with_area in (False, True):
            changed = [dict(each) for each in content["annotations"][::order]]
            if with_area:
                for annotation in changed:
                    annotation["area"] = {7: 50.5, 90: 400}[annotation["category_id"]]
            writers.write_json(tmp_path / FILE, {**content, "annotations": changed})
            masks.append(load_dataset(tmp_path).mask(0))
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    assert "the smaller one is on top" in load_dataset(tmp_path).describe()


def test_compressed_run_lengths(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """The compressed spelling reads as the uncompressed one."""
    from easyseg.geometry import RunLengths

    writers.write_json(tmp_path / FILE, content)
    before = load_dataset(tmp_path).instances(0)
    runs = content["annotations"][1]["segmentation"]
    runs["counts"] = RunLengths(runs["counts"], (30, 40)).to_compressed()
    writers.write_json(tmp_path / FILE, content)
    np.testing.assert_array_equal(load_dataset(tmp_path).instances(0).masks, before.masks)


def test_polygons_without_inner_brackets_and_thin_ones(
    content: dict[str, Any], writers: ModuleType, tmp_path: Path
) -> None:
    """A single polygon may lack its brackets; one of two points covers nothing, which is told."""
    first, second = content["annotations"][0], content["annotations"][3]
    first["segmentation"] = first["segmentation"][0]
    second["segmentation"] = [[1, 1, 5, 5]]
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path)
    assert [len(dataset.instances(at)) for at in range(3)] == [3, 2, 3]
    assert "Polygons of fewer than three points cover nothing: 1" in dataset.describe()


def test_splits_come_from_names(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """instances_train2017.json and instances_val2017.json are splits; key points beside them are left alone."""
    for split, at in (("train", slice(2)), ("val", slice(2, 3))):
        ids = range(100, 103)[at]
        annotations = [each for each in content["annotations"] if each["image_id"] in ids]
        part = {**content, "images": content["images"][at], "annotations": annotations}
        writers.write_json(tmp_path / f"annotations/instances_{split}2017.json", part)
        writers.write_json(tmp_path / f"annotations/person_keypoints_{split}2017.json", content)
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == {"train": 2, "val": 1}
    assert not dataset.validation_is_drawn


def test_other_files_of_the_same_images_are_told(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Files of key points and captions are left out and named; a file of any other name counts as ever."""
    parts = [{**content, "images": [image], "annotations": []} for image in content["images"]]
    for at, name in enumerate(("instances_train", "val", "test")):
        mine = [each for each in content["annotations"] if each["image_id"] == 100 + at]
        writers.write_json(tmp_path / f"annotations/{name}.json", {**parts[at], "annotations": mine})
    for name in ("person_keypoints_train", "stuff_val", "panoptic_val"):
        writers.write_json(tmp_path / f"annotations/{name}.json", content)
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == {"train": 1, "val": 1, "test": 1}
    assert "left out: panoptic_val.json, person_keypoints_train.json, stuff_val.json." in dataset.describe()
    assert "train by 'instances_train'; val by 'val'; test by 'test'" in dataset.describe()
    assert len(load_dataset(tmp_path, annotations="stuff_val.json")) == 3


def test_a_file_of_all_images_beside_those_of_the_splits(writers: ModuleType, tmp_path: Path) -> None:
    """An entry with a split counts, and one without does not, whichever comes first; it is told."""
    content = writers.coco_content()
    writers.write_images(tmp_path / "images")
    for name, ids in (("train", (100, 101)), ("val", (102,))):
        part = {key: [each for each in content[key] if each[word] in ids] for key, word in
                (("images", "id"), ("annotations", "image_id"))}  # fmt: skip
        writers.write_json(tmp_path / f"{name}.json", {**content, **part})
    for name in ("all.json", "whole.json"):
        writers.write_json(tmp_path / name, content)
        dataset = load_dataset(tmp_path)
        assert not dataset.validation_is_drawn
        assert [sample.split for sample in dataset.samples] == ["train", "train", "val"]
        assert "a file of no split annotates, too, count as in the file of their split: 3" in dataset.describe()
        (tmp_path / name).unlink()


def test_one_file_for_each_split_folder(writers: ModuleType, tmp_path: Path) -> None:
    """train/_annotations.coco.json and valid/_annotations.coco.json beside their images, with equal file names."""
    for split in ("train", "valid"):
        writers.write_images(tmp_path / split)
        writers.write_json(tmp_path / split / "_annotations.coco.json", writers.coco_content())
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == {"train": 3, "val": 3}
    assert [sample.name for sample in dataset.samples][:2] == ["train/first.png", "train/second.png"]


def test_an_image_in_two_splits_counts_once(writers: ModuleType, tmp_path: Path) -> None:
    """An image that two splits name belongs to the first, which is told."""
    writers.write_images(tmp_path / "images")
    for split in ("train", "val"):
        writers.write_json(tmp_path / f"{split}.json", writers.coco_content())
    dataset = load_dataset(tmp_path, validation_fraction=0)
    assert dataset.splits() == {"train": 3}
    assert "Images in two splits count in the first only: 3" in dataset.describe()


def test_two_files_of_the_same_images(writers: ModuleType, tmp_path: Path) -> None:
    """Two annotations of an image are an error that says how to choose."""
    writers.write_images(tmp_path / "images")
    for name in ("one.json", "two.json"):
        writers.write_json(tmp_path / name, writers.coco_content())
    with pytest.raises(FormatError, match=r"both annotate this image.*annotations='one.json' or annotations='two"):
        load_dataset(tmp_path)
    assert len(load_dataset(tmp_path, annotations="two.json")) == 3
    assert len(load_dataset(tmp_path, annotations=tmp_path / "one.json")) == 3


def test_images_elsewhere(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """images= names the folder where it is not below the annotations; absolute or relative."""
    writers.write_json(tmp_path / "labels" / FILE, content)
    with pytest.raises(SampleError, match=r"'first.png', which is not below .*type images='...'"):
        load_dataset(tmp_path / "labels")
    assert len(load_dataset(tmp_path / "labels", images=tmp_path / "images")) == 3
    assert len(load_dataset(tmp_path / "labels", images="../images")) == 3


def test_missing_images_can_be_left_out(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """With on_bad_sample='skip', a missing image is left out, counted and listed."""
    (tmp_path / "images/second.png").rename(tmp_path / "images/sacond.png")
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match=r"The nearest name is 'sacond\.png'"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_bad_sample="skip")
    assert len(dataset) == 2
    assert len(dataset.skipped) == 1
    assert "second.png" in dataset.skipped[0].problem
    assert "Samples left out because they cannot be used: 1" in dataset.describe()
    assert dataset.settings["on_bad_sample"] == "skip"


def test_broken_image_files_can_be_left_out(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """With on_bad_sample='skip', images that are cut off or of another size are left out, too."""
    image = tmp_path / "images/first.png"
    image.write_bytes(image.read_bytes()[:-30])
    content["images"][1]["width"] = 41
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] == 102]
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match=r"first\.png: the PNG file is cut off"):
        load_dataset(tmp_path).verify()
    dataset = load_dataset(tmp_path, on_bad_sample="skip")
    assert [sample.name for sample in dataset.samples] == ["third.png"]
    assert "40 x 30 pixels, its annotation is for 41 x 30" in dataset.skipped[1].problem


def test_turned_images_are_told(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """An annotation made for the image before EXIF turned it is refused with this reason."""
    for image in content["images"]:
        image["height"], image["width"] = image["width"], image["height"]
    content["annotations"] = [each for each in content["annotations"] if isinstance(each["segmentation"], list)]
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path)
    for use in (dataset.mask, dataset.instances):
        with pytest.raises(SampleError, match="turned by its EXIF block"):
            use(0)


CHANGES: list[tuple[str, Any, str]] = [
    ("annotations.0.category_id", 8, r"annotations\[0\]: its category_id, 8, is the id of no category"),
    ("annotations.0.category_id", None, r"annotations\[0\]: category_id is None; expected a whole number"),
    ("annotations.0.image_id", 5, r"annotations\[0\]: its image_id, 5, is the id of no image"),
    ("annotations.0.image_id", True, "image_id is True"),
    ("annotations.0.image_id", 10**60, "image_id is a number that is far too large"),
    ("annotations.0.segmentation", [], "it has no segmentation; a mask cannot be drawn"),
    ("annotations.0.segmentation", None, "it has no segmentation"),
    ("annotations.0.segmentation", "abc", "segmentation is 'abc'; expected a list"),
    ("annotations.0.segmentation", [[1, 2, 3]], r"segmentation\[0\] is a list of 3 items; expected at least 1 points"),
    ("annotations.0.segmentation", [[1, 2, 3, "4"]], "expected at least 1 points"),
    ("annotations.0.segmentation", [[1, 2, 3, None]], "expected at least 1 points"),
    ("annotations.0.segmentation", [[1, 2, 3, 4e9]], "infinite or beyond 1,000,000"),
    ("annotations.0.iscrowd", 2, "iscrowd is 2; expected 0 or 1"),
    ("annotations.1.segmentation", {"size": [30, 40], "counts": [5]}, "segmentation: .*add up to 5"),
    ("annotations.1.segmentation", {"size": [30, 40], "counts": "~"}, "segmentation: .*'~'"),
    ("annotations.1.segmentation", {"size": [30], "counts": []}, "is no size of a mask"),
    ("annotations.1.segmentation", {"size": [40, 30], "counts": [1200]}, "its mask is of 30 x 40 pixels, its image of"),
    ("annotations", {}, "annotations is {}; expected a list"),
    ("annotations.0", 3, r"annotations\[0\] is 3; expected an object"),
    ("images.0.file_name", None, r"images\[0\]: file_name is None; expected a text"),
    ("images.0.file_name", 5, "names the image '5'"),
    ("images.0.file_name", "a\0b", "expected a text"),
    ("images.0.file_name", "second.png", "second.png stands there twice"),
    ("images.0.height", 30.5, "expected whole numbers of pixels"),
    ("images.0.height", 10**9, "expected whole numbers of pixels"),
    ("images.0.height", "x", "height is 'x'; expected a number"),
    ("categories.0.id", 90, "the id 90 stands there twice"),
    ("categories.0.name", [], r"categories\[0\]: name is \[\]; expected a text"),
    ("info", {"easyseg": {"task": "both"}}, "task is 'both'"),
]


@pytest.mark.parametrize(("place", "value", "words"), CHANGES)
def test_malformed_files_are_refused(
    place: str, value: Any, words: str, content: dict[str, Any], writers: ModuleType, tmp_path: Path
) -> None:
    """Each mistake is told with file and object; what can be left out is, where that was typed."""
    holder: Any = content
    *path, last = place.split(".")
    for part in path:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    holder[int(last) if isinstance(holder, list) else last] = value
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match=words) as caught:
        load_dataset(tmp_path)
    assert "instances_all.json" in str(caught.value)
    try:
        dataset = load_dataset(tmp_path, on_bad_sample="skip", unlabelled="background")
    except EasySegError:
        return  # the whole file is at fault
    assert dataset.skipped
    broken = {sample.name for sample in dataset.samples} & {"first.png"} if place.startswith("annotations.") else set()
    assert not broken or "image_id" in place  # never taken for a picture of the background


def test_ids_and_info_as_other_tools_write_them(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Ids may be whole floats, `info` anything, and a size of 0 x 0 is none."""
    for annotation in content["annotations"]:
        annotation["image_id"] = float(annotation["image_id"])
    for image in content["images"]:
        image["width"] = image["height"] = 0
    writers.write_json(tmp_path / FILE, {**content, "info": []})
    dataset = load_dataset(tmp_path)
    assert [len(dataset.instances(at)) for at in range(3)] == [3, 3, 3]
    content["annotations"][0]["image_id"] = 100.5
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match=r"image_id is 100\.5; expected a whole number"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("image_id", None), ("id", None), ("", 7)])
def test_records_that_say_nothing_can_be_left_out(
    key: str, value: Any, content: dict[str, Any], writers: ModuleType, tmp_path: Path
) -> None:
    """An annotation of no image, an image of no id, and an entry that is no object stop nothing with 'skip'."""
    if key == "image_id":
        content["annotations"][0][key] = value
    elif key:
        content["images"][0][key] = value
    else:
        content["images"].append(value)
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_bad_sample="skip", unlabelled="background")
    assert len(dataset) == (2 if key == "id" else 3)
    assert dataset.skipped


def test_supercategories_are_no_classes(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """A category without annotations that only puts others together is left out, and told; with one, it counts."""
    content["categories"] += [{"id": 0, "name": "things", "supercategory": "none"}, {"id": 5, "name": "bird"}]
    for category in content["categories"][:2]:
        category["supercategory"] = "things"
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["background", "bird", "car", "tree"]
    assert "Categories without annotations that others are kinds of are no classes: 'things'." in dataset.describe()
    content["annotations"][0]["category_id"] = 0
    writers.write_json(tmp_path / FILE, content)
    assert load_dataset(tmp_path).classes == ["background", "things", "bird", "car", "tree"]


def test_a_category_called_as_its_supercategory(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """It is a class, also without annotations."""
    content["categories"].append({"id": 1000, "name": "bird", "supercategory": "bird"})
    writers.write_json(tmp_path / FILE, content)
    assert load_dataset(tmp_path).classes == ["background", "car", "tree", "bird"]


def test_images_without_objects_are_told(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """An entry without objects is a picture of the background, which may be a slip."""
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] == 100]
    writers.write_json(tmp_path / FILE, content)
    assert "an entry but no objects: 2; taken for pictures of the background. To leave them out" in " ".join(
        load_dataset(tmp_path).describe().split()
    )
    kept = load_dataset(tmp_path, unlabelled="background")
    assert len(kept) == 3
    assert "To leave them out" not in kept.describe()
    assert len(load_dataset(tmp_path, unlabelled="skip")) == 1


def test_annotations_in_another_folder(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """The folder of the images in place of the annotations' is told, with what to type."""
    file = writers.write_json(tmp_path / "elsewhere/x.json", content)
    words = rf"load_dataset\('{file.parent}', annotations='x\.json', images='{tmp_path / 'images'}'\)"
    for name in ("auto", "coco"):
        with pytest.raises(FormatError, match=words):
            load_dataset(tmp_path / "images", name, annotations=file)
    assert len(load_dataset(file.parent, annotations="x.json", images=tmp_path / "images")) == 3


def test_boxes_only_are_told(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """An annotation of a box alone says so."""
    content["annotations"][0] |= {"segmentation": [], "bbox": [1, 2, 3, 4]}
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match="no segmentation, only a box; a mask cannot be drawn") as caught:
        load_dataset(tmp_path)
    assert "Segmenter('faster_rcnn', ...) learns boxes as they are" in str(caught.value)


def test_boxes_as_objects(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Those who ask for it get objects that fill their boxes; outlines are preferred where there are some."""
    before = load_dataset(writers.write_json(tmp_path / FILE, content).parents[1]).instances(0)
    for annotation in content["annotations"]:
        annotation["bbox"] = [1.0, 2, 3, 4]
    del content["annotations"][0]["segmentation"]
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path, boxes="fill")
    found = dataset.instances(0)
    assert [1, 2, 4, 6] in found.boxes.tolist()
    assert len(found) == len(before)
    assert "Objects of which only the box is annotated, taken to fill it: 1" in dataset.describe()


@pytest.mark.parametrize(
    ("box", "has_size", "is_told"),
    [
        ([30, 20, 40, 30], True, True),
        ([30, 20, 10, 10], True, False),
        ([30, 20, 11, 11], True, False),  # as tools round
        ([30, 20, 40, 30], False, False),
    ],
)
def test_boxes_beyond_their_image(
    box: Any, has_size: bool, is_told: bool, content: dict[str, Any], writers: ModuleType, tmp_path: Path
) -> None:
    """Two corners in place of a corner and a size are told where the image's size is known; they are cut off."""
    content["annotations"][0] |= {"segmentation": [], "bbox": box}
    if not has_size:
        content["images"] = [
            {k: v for k, v in each.items() if k not in ("height", "width")} for each in content["images"]
        ]
    writers.write_json(tmp_path / FILE, content)
    dataset = load_dataset(tmp_path, boxes="fill")
    told = "Boxes that reach beyond their image, cut off there; a bbox is [x, y, width, height]: 1."
    assert (told in dataset.notes) is is_told


@pytest.mark.parametrize("box", [[1, 2, 3], [1, 2, -3, 4], ["a", 1, 2, 3], [1, 2, 3, 4, 5, 6], "box"])
def test_broken_boxes(box: Any, content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """They are named."""
    content["annotations"][0] |= {"segmentation": [], "bbox": box}
    writers.write_json(tmp_path / FILE, content)
    with pytest.raises(SampleError, match="bbox"):
        load_dataset(tmp_path, boxes="fill")


def test_a_class_map_of_values_is_refused(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """Classes of objects have names; values and colours for them are refused with the right words."""
    writers.write_json(tmp_path / FILE, content)
    for arguments in ({"class_map": {"car": 7}}, {"ignore": [255]}, {"ignore": [(0, 0, 0)]}):
        with pytest.raises(EasySegError, match="The classes of objects have names: car, tree"):
            load_dataset(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not valid JSON"),
        (b'{"images": NaN, "annotations": [], "categories": []}', "NaN is no number"),
        (b'{"images": ' + b"[" * 100_000, "not valid JSON"),
        (b'\xff\xfe{"images": [], "annotations": [], "categories": []}', "not valid JSON"),
        (b'{"images": ' + b"9" * 5000 + b', "annotations": [], "categories": []}', "not valid JSON"),
        (b'["images", "annotations", "categories"]', "expected an object"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_files_that_are_no_json(data: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no JSON, nested too deep, or of numbers too large is refused with its reason."""
    from easyseg.data.formats import annotation_files

    monkeypatch.setattr(annotation_files, "keys_of", lambda _: frozenset(["images", "annotations", "categories"]))
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(SampleError, match=words):
        load_dataset(tmp_path, "coco")


def test_larger_files_than_the_limit(writers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit is not read at all; one that vanished says so."""
    from easyseg.io import json_files

    writers.write_coco(tmp_path)
    monkeypatch.setattr(json_files, "MAX_BYTES", 10)
    with pytest.raises(SampleError, match="at most 10 are read"):
        load_dataset(tmp_path)
    with pytest.raises(SampleError, match="cannot be read"):
        json_files.read_json(tmp_path / "no.json")
    assert json_files.keys_of(tmp_path / "no.json") == frozenset()


def test_large_files_are_known_by_their_ends(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """A file is recognised by its first and last bytes, however much lies between."""
    content["images"] += [{"id": f"x{at}", "file_name": "first.png", "note": "n" * 100} for at in range(4000)]  # 600 kB
    writers.write_json(tmp_path / FILE, content)
    from easyseg.data.formats import coco

    assert coco.recognises(tmp_path)


def test_large_files_of_sorted_keys(content: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """The key of the images may stand anywhere in a large file; where no end tells, `format` has it looked through."""
    padding = [{"id": f"x{at}", "file_name": "first.png", "note": "n" * 100} for at in range(6000)]
    notes = [{**content["annotations"][0], "note": "n" * 300_000} for _ in range(3)]
    by_name = dict(sorted({**content, "images": [*content["images"], *padding]}.items()))
    by_name["annotations"] += notes
    writers.write_json(tmp_path / FILE, by_name)
    from easyseg.data.formats import coco

    assert coco.recognises(tmp_path)
    hidden = {"a": "n" * 300_000, **content, "z": "n" * 300_000}
    writers.write_json(tmp_path / FILE, hidden)
    assert not coco.recognises(tmp_path)
    assert len(load_dataset(tmp_path, "coco")) == 3
