"""Datasets written as COCO and as masks are read back without loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg.data.dataset import Dataset
from easyseg.data.reading import as_dataset, load_dataset
from easyseg.errors import OutputError, SampleError
from easyseg.structures import IGNORE_INDEX, BoxShape, ClassMap, LabelledObject, Polygons, Sample

FORMATS = (
    "coco", "labelme", "via", "voc", "yolo", "cityscapes", "supervisely", "geojson", "object_files", "instance_ids",
)  # fmt: skip


def assert_same(written: Dataset, read: Dataset, *, objects: bool) -> None:
    """Compare classes, splits, pixels and, with `objects`, every object."""
    assert read.classes == written.classes
    assert read.task == written.task
    assert read.splits() == written.splits()
    places = {sample.image_path.stem: at for at, sample in enumerate(read.samples)}
    for at, sample in enumerate(written.samples):
        other = places[sample.name.replace("/", "_").rsplit(".", 1)[0]]
        np.testing.assert_array_equal(read.mask(other), written.mask(at))
        np.testing.assert_array_equal(read.image(other), written.image(at))
        assert read[other].split == sample.split
        if objects and sample.objects is not None:
            one, two = written.instances(at), read.instances(other)
            np.testing.assert_array_equal(two.masks, one.masks)
            np.testing.assert_array_equal(two.boxes, one.boxes)
            np.testing.assert_array_equal(two.is_crowd, one.is_crowd)
            np.testing.assert_array_equal(two.class_ids, one.class_ids)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_there_and_back(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """Pixels, objects, classes, splits and images survive COCO; all but the objects survive masks."""
    writers.WRITERS[name](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    file = dataset.to_coco(tmp_path / "coco")
    assert file == tmp_path / "coco/annotations.json"
    # COCO's files do not tell road and sky, which are no objects in Cityscapes, from objects
    assert_same(dataset, load_dataset(tmp_path / "coco"), objects=name != "cityscapes")
    assert dataset.to_masks(tmp_path / "masks") == tmp_path / "masks"
    assert_same(dataset, load_dataset(tmp_path / "masks"), objects=False)


@pytest.mark.parametrize(
    "arguments",
    [{"classes": ["tree"]}, {"ignore": ["car"]}, {"class_map": {"x": ["car", "tree"]}}, {"task": "multilabel"}],
)
def test_chosen_classes_there_and_back(arguments: dict[str, Any], writers: ModuleType, tmp_path: Path) -> None:
    """What was chosen, merged or left out stays so; overlapping classes keep their task."""
    writers.WRITERS["labelme"](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data", **arguments)
    dataset.to_coco(tmp_path / "coco")
    assert_same(dataset, load_dataset(tmp_path / "coco"), objects=True)


def test_masks_there_and_back(tmp_path: Path) -> None:
    """Masks of classes, with and without background and void, one or several per image, survive both ways."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    ids = rng.integers(0, 3, (6, 8)).astype(np.uint8)
    ids[0, :3] = IGNORE_INDEX
    for at, (mask, arguments) in enumerate(
        [
            (ids, {"classes": ["sky", "road", "car"], "ignore": [255]}),
            (ids, {"classes": ["background", "road", "car"], "ignore": [255]}),
            (ids, {"class_map": {"road": 1, "background": 0, "car": 2}, "ignore": [255]}),
            ((ids == 1).astype(np.uint8) * 255, {"classes": ["road"]}),
            ((ids == 1) + (ids == 255) * np.uint8(255), {"class_map": {"road": 1}, "ignore": [255]}),
        ]
    ):
        dataset = as_dataset(
            [Sample(image, mask, "train", label="a"), Sample(image, mask, "val", label="b")], **arguments
        )
        dataset.to_coco(tmp_path / f"coco{at}")
        again = load_dataset(tmp_path / f"coco{at}")
        names = np.array([*dataset.classes, *["?"] * 256], object), np.array([*again.classes, *["?"] * 256], object)
        np.testing.assert_array_equal(names[1][again.mask(0)], names[0][dataset.mask(0)])
        dataset.to_masks(tmp_path / f"masks{at}")
        assert_same(dataset, load_dataset(tmp_path / f"masks{at}"), objects=False)


def test_overlapping_masks_there_and_back(tmp_path: Path) -> None:
    """One mask per class survives COCO, void included; one mask per image could not hold them."""
    image = np.zeros((6, 8, 3), np.uint8)
    planes = np.random.default_rng(0).integers(0, 2, (2, 6, 8)).astype(np.uint8)
    planes[0, 0] = IGNORE_INDEX
    samples = [Sample(image, tuple(planes), split, label=split) for split in ("train", "val")]
    dataset = as_dataset(samples, classes=["wet", "red"], ignore=[255])
    assert dataset.task == "multilabel"
    dataset.to_coco(tmp_path / "coco")
    assert_same(dataset, load_dataset(tmp_path / "coco"), objects=False)
    with pytest.raises(OutputError, match=r"classes that overlap do not fit.*to_coco"):
        dataset.to_masks(tmp_path / "masks")


def test_objects_and_masks_that_differ(writers: ModuleType, tmp_path: Path) -> None:
    """Where a mask says more than its objects, the rest is written, too: pixels stay what they were."""
    writers.WRITERS["voc"](tmp_path / "data")
    for folder, value in (("SegmentationClass", 255), ("SegmentationClass", 2), ("SegmentationObject", 255)):
        file = tmp_path / f"data/{folder}/first.png"
        values = np.array(Image.open(file))
        values[value % 7 : value % 7 + 2] = value
        Image.fromarray(values).save(file)
    dataset = load_dataset(tmp_path / "data")
    dataset.to_coco(tmp_path / "coco")
    again = load_dataset(tmp_path / "coco")
    for at in range(3):
        np.testing.assert_array_equal(again.mask(at), dataset.mask(at))


def test_crowds_and_polygons_stay_what_they_are(writers: ModuleType, tmp_path: Path) -> None:
    """Crowds stay crowds; COCO's polygons are written as they were, other shapes as run lengths."""
    content = writers.coco_content()
    content["annotations"][2]["iscrowd"] = 1
    writers.write_images(tmp_path / "data")
    writers.write_json(tmp_path / "data/a.json", content)
    dataset = load_dataset(tmp_path / "data")
    written = json.loads(dataset.to_coco(tmp_path / "coco").read_text(encoding="utf-8"))
    assert_same(dataset, load_dataset(tmp_path / "coco"), objects=True)
    kinds = [type(each["segmentation"]) for each in written["annotations"][:3]]
    assert sorted(kinds, key=str) == [dict, list, list]
    assert sum(each["iscrowd"] for each in written["annotations"]) == 1
    area = writers.object_mask(*writers.OBJECTS[0][1:]).sum()
    assert {"bbox": [2, 3, 10, 6], "area": area}.items() <= next(
        each for each in written["annotations"] if each["area"] == area
    ).items()


def test_a_file_alone(writers: ModuleType, tmp_path: Path) -> None:
    """A .json file names images below the dataset's folder; no image is copied."""
    writers.WRITERS["labelme"](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    file = dataset.to_coco(tmp_path / "out/annotations.json")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["annotations.json"]
    again = load_dataset(file.parent, images=tmp_path / "data")
    assert_same(dataset, again, objects=True)
    memory = as_dataset([Sample(np.zeros((4, 4, 3), np.uint8), objects=[LabelledObject("a", BoxShape(0, 0, 1, 1))])])
    with pytest.raises(OutputError, match="this image is no file in the dataset's folder"):
        memory.to_coco(tmp_path / "b.json")


def test_images_of_equal_names(tmp_path: Path) -> None:
    """Images that would get the same name get different ones; arrays are written as PNG files."""
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "a.bmp")
    objects = [LabelledObject("x", Polygons(((np.array([[0, 0], [3, 0], [3, 3.0]]),),)))]
    samples = [Sample(source, split="train", objects=objects) for source in (tmp_path / "a.png", tmp_path / "a.bmp")]
    samples += [Sample(image[..., at], split="val", objects=objects, label="../A") for at in range(2)]
    dataset = as_dataset([*samples, Sample(tmp_path / "a.png", split="test")])
    dataset.to_coco(tmp_path / "coco")
    names = sorted(path.name for path in (tmp_path / "coco/images").iterdir())
    assert names == ["A_3.png", "A_4.png", "a.png", "a_2.bmp"]
    again = load_dataset(tmp_path / "coco")
    assert again.splits() == {"train": 2, "val": 2}  # the image without annotation is left out


@pytest.mark.parametrize("verb", ["to_coco", "to_masks"])
def test_nothing_is_overwritten(verb: str, writers: ModuleType, tmp_path: Path) -> None:
    """A folder with something in it, a file, and the dataset's own folder are refused."""
    writers.WRITERS["labelme"](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    write = getattr(dataset, verb)
    with pytest.raises(OutputError, match="the dataset's own folder"):
        write(tmp_path / "data/out")
    with pytest.raises(OutputError, match="the dataset's own folder"):
        write(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file.json").touch()
    for place in ("full", "full/file.json"):
        with pytest.raises(OutputError, match="exists already"):
            write(tmp_path / place)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")


def test_files_that_vanish_or_are_broken(writers: ModuleType, tmp_path: Path) -> None:
    """A file that is gone, or an object of no class, is told as ever."""
    writers.WRITERS["voc"](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    (tmp_path / "data/JPEGImages/second.jpg").unlink()
    with pytest.raises(SampleError, match=r"second\.jpg: the file does not exist"):
        dataset.to_coco(tmp_path / "coco")
    image = np.zeros((4, 4, 3), np.uint8)
    wrong = as_dataset([Sample(image, objects=[LabelledObject("a", BoxShape(0, 0, 1, 1))])])
    both = replace(wrong, samples=(replace(wrong[0], mask=np.ones((4, 4), np.uint8)),))
    both = replace(both, class_map=ClassMap("binary", ("b",)))
    with pytest.raises(SampleError, match="object 0: there is an object of class 'a'"):
        both.to_coco(tmp_path / "both")
    broken = replace(wrong, samples=(Sample(image, objects=[LabelledObject("b", BoxShape(0, 0, 1, 1))]),))
    with pytest.raises(SampleError, match="object of class 'b'"):
        broken.to_coco(tmp_path / "other")
