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

from easyseg.data import export
from easyseg.data.dataset import Dataset
from easyseg.data.reading import as_dataset, load_dataset
from easyseg.errors import OutputError, SampleError
from easyseg.io.images import read_numbers
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


@pytest.mark.parametrize(("dtype", "bands"), [("uint16", 8), ("uint8", 6), ("float32", 3), ("uint8", 2), ("uint8", 4)])
def test_images_of_many_bands_and_other_numbers(dtype: str, bands: int, tmp_path: Path) -> None:
    """Arrays that no PNG file holds become TIFF files of all their bands and numbers; others stay PNG files."""
    rng = np.random.default_rng(0)
    shape = (12, 14, bands)
    images = [(rng.random(shape) if dtype == "float32" else rng.integers(0, 200, shape) * 20).astype(dtype)] * 2
    mask = np.zeros((12, 14), np.uint8)
    mask[:5] = 1
    samples = [
        Sample(image, mask, split, label=f"{split}.b") for image, split in zip(images, ("train", "val"), strict=True)
    ]
    dataset = as_dataset(samples, classes=["a"])
    for written in (dataset.to_coco(tmp_path / "coco").parent, dataset.to_masks(tmp_path / "masks")):
        again = load_dataset(written)
        assert again.splits() == {"train": 1, "val": 1}
        for at in range(2):
            np.testing.assert_array_equal(again.image(at, channels=bands), dataset.image(at, channels=bands))
            np.testing.assert_array_equal(again.mask(at), mask)
            path = again[at].image_path
            assert path is not None
            assert path.name == f"{again[at].split}.b.{'png' if bands == 4 else 'tif'}"
            if bands != 4:
                np.testing.assert_array_equal(read_numbers(path), images[at])


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_windows_of_rasters(tmp_path: Path) -> None:
    """A raster's bands all come, as they are."""
    rasterio = pytest.importorskip("rasterio")
    numbers = np.random.default_rng(0).integers(0, 4000, (8, 30, 40)).astype(np.uint16)
    ring = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "data").mkdir()
    for stem in "ab":
        kind = {"width": 40, "height": 30, "count": 8, "dtype": "uint16"}
        with rasterio.open(tmp_path / f"data/{stem}.tif", "w", **kind) as file:
            file.write(numbers)
        content = {"type": "FeatureCollection", "features": [feature]}
        (tmp_path / f"data/{stem}.geojson").write_text(json.dumps(content))
    dataset = load_dataset(tmp_path / "data")
    again = load_dataset(dataset.to_coco(tmp_path / "coco").parent)
    for at in range(2):
        found = read_numbers(Path(str(again[at].image_path)))
        np.testing.assert_array_equal(np.moveaxis(found, -1, 0), numbers)


def test_categories_that_other_tools_take_for_classes(writers: ModuleType, tmp_path: Path) -> None:
    """Background and __ignore__ are written where something is of them, and what does not count is a crowd."""
    writers.WRITERS["labelme"](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data")
    content = json.loads(dataset.to_coco(tmp_path / "plain").read_text())
    assert [(each["id"], each["name"]) for each in content["categories"]] == [(1, "car"), (2, "tree")]
    ignoring = load_dataset(tmp_path / "data", ignore=["tree"])
    content = json.loads(ignoring.to_coco(tmp_path / "ignoring").read_text())
    names = {each["id"]: each["name"] for each in content["categories"]}
    assert set(names.values()) == {"car", "__ignore__"}
    for each in content["annotations"]:
        assert each["iscrowd"] == (names[each["category_id"]] == "__ignore__")
    again = load_dataset(tmp_path / "ignoring")
    assert (ignoring.mask(0)[8:12, 9:12] == IGNORE_INDEX).all()  # over a car
    assert_same(ignoring, again, objects=True)


def test_what_a_mask_alone_ignores_is_a_crowd(tmp_path: Path) -> None:
    """The pixels that do not count are one annotation that other tools leave out."""
    mask = np.zeros((6, 8), np.uint8)
    mask[:2], mask[2:4] = 1, 255
    image = np.zeros((6, 8, 3), np.uint8)
    samples = [Sample(image, mask, split, label=split) for split in ("train", "val")]
    dataset = as_dataset(samples, classes=["background", "a"], ignore=[255])
    content = json.loads(dataset.to_coco(tmp_path / "coco").read_text())
    assert [each["iscrowd"] for each in content["annotations"]] == [0, 1, 0, 1]
    assert_same(dataset, load_dataset(tmp_path / "coco"), objects=False)


def test_outlines_stay_outlines_where_coco_draws_the_same(tmp_path: Path) -> None:
    """Of other formats, too, also as shares of the image; with holes, or other pixels there, they are run lengths."""
    square = np.array([[2.0, 3], [12, 3], [12, 9], [2, 9]])
    hole = np.array([[4.0, 4], [6, 4], [6, 6], [4, 6]])
    slanted = np.array([[1.2, 1.3], [15.6, 7.7], [3.3, 16.1]])
    shapes = [
        Polygons(((square,),)),
        Polygons(((square / [40, 30],),), is_relative=True),
        Polygons(((square,), (square + 15,))),
        Polygons(((square, hole),)),
        Polygons(((slanted,),)),
        Polygons(((square,), (square[:2],))),
        Polygons(((slanted,),), rule="coco"),
    ]
    image = np.zeros((30, 40, 3), np.uint8)
    dataset = as_dataset([Sample(image, objects=[LabelledObject("a", shape) for shape in shapes], split="train")] * 2)
    content = json.loads(dataset.to_coco(tmp_path / "coco").read_text())
    kinds = [type(each["segmentation"]) for each in content["annotations"]]
    assert kinds[:7] == [list, list, list, dict, dict, dict, list]
    assert content["annotations"][1]["segmentation"] == [square.ravel().tolist()]
    again = load_dataset(tmp_path / "coco", validation_fraction=0)
    np.testing.assert_array_equal(again.instances(0).masks, dataset.instances(0).masks)


def test_very_many_images_of_one_name(tmp_path: Path) -> None:
    """Their numbers are not sought anew for each: thousands take no longer than their number says."""
    image = np.zeros((1, 1, 3), np.uint8)
    objects = [LabelledObject("a", Polygons(()))]
    samples = [Sample(image, objects=objects, split="train", label=label) for label in ["x", "X_2", *["x"] * 20_000]]
    found = export._flat_names(as_dataset(samples), range(len(samples)))
    assert list(found.values())[:4] == ["x.png", "X_2.png", "x_3.png", "x_4.png"]
    assert len({name.casefold() for name in found.values()}) == len(samples)
