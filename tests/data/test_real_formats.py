"""Published datasets in every label format, against masks drawn by other means; needs EASYSEG_DATA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.path import Path as PathOfPoints
from PIL import Image, ImageDraw

from easyseg.data.dataset import Dataset
from easyseg.data.reading import load_dataset
from easyseg.errors import FormatError
from easyseg.structures import IGNORE_INDEX

LEAST_ALIKE = 0.995


def names_of(dataset: Dataset, index: int) -> np.ndarray:
    """Return the class name of each pixel; "ignored" where nothing counts."""
    names = np.full(256, "ignored", object)
    listed = ["background", *dataset.classes] if dataset.task == "binary" else dataset.classes
    names[: len(listed)] = ["background" if name == "_background_" else name for name in listed]
    return names[dataset.mask(index)]


def of_image(dataset: Dataset, name: str) -> int:
    """Return the number of an image by its file's name."""
    return next(at for at, sample in enumerate(dataset.samples) if sample.image_path.name == name)


def filled(points: list[Any], size_hw: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie in a polygon, as matplotlib finds them."""
    outline = np.array(points, np.float64).reshape(-1, 2)
    mask = np.zeros(size_hw, bool)
    left, top = np.maximum(np.floor(outline.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)), size_hw[::-1]).astype(int)
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    inside = PathOfPoints(outline).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    mask[top:bottom, left:right] = inside.reshape(x.shape)
    return mask


def outlined(points: list[Any], size_hw: tuple[int, int]) -> np.ndarray:
    """Fill a polygon as labelme does for its own exports: with Pillow, its outline included."""
    picture = Image.new("1", (size_hw[1], size_hw[0]))
    ImageDraw.Draw(picture).polygon([tuple(point) for point in points], outline=1, fill=1)
    return np.asarray(picture, bool)


def matched(one: np.ndarray, other: np.ndarray, least: float) -> int:
    """Return how many masks (N, H, W) have a partner of at least this IoU; each has one at the most."""
    ious = [[(a & b).sum() / max(1, (a | b).sum()) for b in other] for a in one]
    table = np.array(ious).reshape(len(one), len(other)) >= least
    assert (table.sum(axis=0) <= 1).all()
    assert (table.sum(axis=1) <= 1).all()
    return int(table.sum())


@pytest.fixture(scope="module")
def three(shared_data: Path) -> dict[str, Dataset]:
    """The same labelme images, read from labelme, COCO and VOC."""
    folder = shared_data / "labelme/instance"
    return {
        "labelme": load_dataset(folder, "labelme"),
        "coco": load_dataset(folder / "data_dataset_coco"),
        "voc": load_dataset(folder / "data_dataset_voc"),
    }


@pytest.mark.parametrize(("first", "second"), [("labelme", "coco"), ("labelme", "voc"), ("coco", "voc")])
def test_three_formats_agree(first: str, second: str, three: dict[str, Dataset]) -> None:
    """Classes agree on 99.5 % of the pixels that count in both, and objects match one to one."""
    equal = total = 0
    for sample in three[first].samples:
        ats = [of_image(three[name], sample.image_path.name) for name in (first, second)]
        one, other = (names_of(three[name], at) for name, at in zip((first, second), ats, strict=True))
        counts = (one != "ignored") & (other != "ignored")
        equal += int((one == other)[counts].sum())
        total += int(counts.sum())
        objects = [three[name].instances(at) for name, at in zip((first, second), ats, strict=True)]
        assert len(objects[0]) == len(objects[1]) == matched(objects[0].masks, objects[1].masks, 0.5)
        for class_name in set(three[first].object_classes) & set(three[second].object_classes):
            parts = [
                found.masks[found.class_ids == three[name].object_classes.index(class_name)]
                for name, found in zip((first, second), objects, strict=True)
            ]
            assert len(parts[0]) == len(parts[1]) == matched(parts[0], parts[1], 0.5)
    print(f"{first} against {second}: {equal / total:.5f} of {total} pixels")
    assert equal / total >= LEAST_ALIKE


@pytest.mark.parametrize("folder", ["instance/data_annotated", "semantic", "tutorial"])
def test_labelme_against_other_drawings(folder: str, shared_data: Path) -> None:
    """Polygons cover the pixels whose centres they hold, in the order of the file; __ignore__ does not count."""
    root = shared_data / "labelme" / folder
    dataset = load_dataset(root)
    for file in sorted(root.rglob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        at = of_image(dataset, f"{file.stem}.jpg")
        found = names_of(dataset, at)
        drawn = {rule: np.full(found.shape, "background", object) for rule in (filled, outlined)}
        for shape in content["shapes"]:
            for rule, names in drawn.items():
                names[rule(shape["points"], found.shape)] = shape["label"].replace("__ignore__", "ignored")
        assert (found == drawn[filled]).mean() >= 0.9999
        assert (found == drawn[outlined]).mean() >= 0.99


def test_an_embedded_image(shared_data: Path, tmp_path: Path) -> None:
    """An image that lies inside its JSON file only is read from there, the same pixels."""
    source = shared_data / "labelme/tutorial"
    (tmp_path / "apc2016_obj3.json").write_bytes((source / "apc2016_obj3.json").read_bytes())
    dataset, beside = load_dataset(tmp_path), load_dataset(source)
    assert dataset.size_hw(0) == beside.size_hw(0)
    np.testing.assert_array_equal(dataset.image(0), beside.image(0))
    np.testing.assert_array_equal(dataset.mask(0), beside.mask(0))
    dataset.verify()


@pytest.mark.parametrize(
    ("annotations", "classes", "objects"),
    [
        ("via_region_data.json", ["damage"], None),
        ("*_multiclass.json", ["background", "door", "front_bumper", "headlamp", "hood", "rear_bumper"], None),
        ("car-damage-*.json", ["damage"], None),
    ],
)
def test_car_damage_in_via(annotations: str, classes: list[str], objects: Any, shared_data: Path) -> None:
    """Each of three sets of annotations is read with one argument, and all polygons cover their pixels."""
    root = shared_data / "car_damage_via"
    dataset = load_dataset(root, annotations=annotations)
    assert dataset.classes == classes
    assert dataset.splits() == {"train": 62, "val": 8}
    dataset.verify()
    checked = 0
    for split in ("train", "val"):
        (file,) = [path for path in (root / split).glob(annotations) if "attributes" not in path.name]
        content = json.loads(file.read_text(encoding="utf-8"))
        part = dataset.split(split)
        for entry in list(content.get("_via_img_metadata", content).values())[::6]:
            at = of_image(part, entry["filename"])
            size = part.size_hw(at)
            found = part.instances(at)
            regions = entry["regions"]
            assert len(found) == len(regions)
            for mask, region in zip(found.masks, regions, strict=True):
                shape = region["shape_attributes"]
                points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
                expected = filled(points, size)
                assert (mask != expected).mean() <= 1e-4  # centres that lie exactly on an edge
                checked += 1
    assert checked > 20


def test_via_with_several_files(shared_data: Path) -> None:
    """Several annotations of the same images are an error that lists the arguments for each."""
    with pytest.raises(FormatError) as caught:
        load_dataset(shared_data / "car_damage_via")
    for pattern in ("'car-damage-*.json'", "'*_multiclass.json'", "'via_region_data.json'"):
        assert f"annotations={pattern}" in str(caught.value)


def test_via_says_where_the_class_stands(shared_data: Path) -> None:
    """The attribute that holds the class is found, told, and can be chosen."""
    root = shared_data / "icevision_samples/via"
    dataset = load_dataset(root)
    assert dataset.object_classes == ["###", "c", "n", "o", "z"]
    assert "attribute 'label'; others are 'object', 'qualities'" in dataset.describe()
    assert load_dataset(root, class_attribute="object").object_classes == ["c", "n", "o", "z"]
    assert len(dataset.instances(0)) == 5


def test_coco_against_the_reference(shared_data: Path) -> None:
    """Polygons and a crowd of run lengths are what the reference evaluator decodes, bit for bit."""
    reference = pytest.importorskip("faster_coco_eval.core.mask")
    root = shared_data / "icevision_samples"
    content = json.loads((root / "annotations.json").read_text(encoding="utf-8"))
    dataset = load_dataset(root, "coco")
    assert dataset.object_classes == [entry["name"] for entry in sorted(content["categories"], key=lambda e: e["id"])]
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    for image in content["images"]:
        at = of_image(dataset, image["file_name"])
        found = dataset.instances(at)
        expected = []
        for annotation in (each for each in content["annotations"] if each["image_id"] == image["id"]):
            runs = annotation["segmentation"]
            size = (image["height"], image["width"])
            runs = reference.frPyObjects(runs, *size)
            mask = reference.decode(runs)
            mask = (mask.any(axis=2) if mask.ndim == 3 else mask).astype(bool)
            place = dataset.object_classes.index(names[annotation["category_id"]])
            expected.append((mask, place, bool(annotation["iscrowd"])))
        assert len(found) == len(expected)
        for mask, place, is_crowd in expected:
            same = (found.masks == mask).all(axis=(1, 2)) & (found.class_ids == place) & (found.is_crowd == is_crowd)
            assert same.sum() == 1


def test_voc_against_its_own_pixels(shared_data: Path) -> None:
    """Palette indices are class ids, 255 does not count, and each number in SegmentationObject is one object."""
    for folder in ("icevision_samples/voc", "labelme/instance/data_dataset_voc"):
        root = shared_data / folder
        dataset = load_dataset(root)
        assert len(dataset.classes) == 21
        for at, sample in enumerate(dataset.samples):
            values = np.asarray(Image.open(root / f"SegmentationClass/{sample.image_path.stem}.png"))
            np.testing.assert_array_equal(dataset.mask(at), values)
            numbers = np.asarray(Image.open(root / f"SegmentationObject/{sample.image_path.stem}.png"))
            found = dataset.instances(at)
            assert len(found) == len(set(np.unique(numbers)) - {0, 255})
            for mask, class_id in zip(found.masks, found.class_ids, strict=True):
                number = numbers[mask][0]
                np.testing.assert_array_equal(mask, numbers == number)
                values_inside, counts = np.unique(values[mask], return_counts=True)
                assert dataset.object_classes[class_id] == dataset.classes[values_inside[counts.argmax()]]


def test_voc_names_come_from_the_boxes_beside(shared_data: Path) -> None:
    """Without a file of names, VOC's own are taken where the XML files use them."""
    dataset = load_dataset(shared_data / "icevision_samples/voc")
    assert dataset.classes[12] == "dog"
    assert "Images without a mask left out: 1" in dataset.describe()


def test_nuclei_against_their_files(shared_data: Path) -> None:
    """Each mask file is one nucleus; together they are the class."""
    root = shared_data / "dsb2018_nuclei"
    dataset = load_dataset(root, classes=["nucleus"])
    assert (len(dataset), dataset.task, dataset.format) == (35, "binary", "object_files")
    dataset.verify()
    for at in range(0, 35, 5):
        folder = dataset[at].image_path.parent.parent
        masks = np.array([np.asarray(Image.open(file)) > 127 for file in sorted((folder / "masks").glob("*.png"))])
        found = dataset.instances(at)
        assert len(found) == len(masks)
        assert {mask.tobytes() for mask in found.masks} == {mask.tobytes() for mask in masks}
        np.testing.assert_array_equal(dataset.mask(at) == 1, masks.any(axis=0))


def test_pedestrians_against_their_numbers(shared_data: Path) -> None:
    """Each number in a mask is one person; together they are the class."""
    dataset = load_dataset(shared_data / "pennfudan", classes=["person"])
    assert (len(dataset), dataset.task, dataset.classes) == (43, "binary", ["person"])
    for at in range(0, 43, 6):
        file = dataset[at].image_path
        numbers = np.asarray(Image.open(file.parent.parent / f"PedMasks/{file.stem}_mask.png"))
        np.testing.assert_array_equal(dataset.mask(at) == 1, numbers > 0)
        found = dataset.instances(at)
        assert len(found) == numbers.max()
        for number, mask in enumerate(found.masks, start=1):
            np.testing.assert_array_equal(mask, numbers == number)


@pytest.mark.parametrize(
    ("folder", "arguments", "masks", "classes"),
    [
        ("camvid", {"ignore": [11]}, "{parent}annot/{name}", 11),
        ("rooftops", {"split": "train"}, "labels/{name}", 1),
        ("aerial_buildings", {"split": "val"}, "gt/{name}", 1),
        ("isbi2012_membrane/train", {"class_map": {"membrane": 0}}, "label/{name}", 1),
        ("icevision_samples/camvid", {}, "labels/{stem}_P.png", 31),
    ],
)
def test_masks_against_pillow(
    folder: str, arguments: dict[str, Any], masks: str, classes: int, shared_data: Path
) -> None:
    """Mask files are their values, read by another decoder."""
    dataset = load_dataset(shared_data / folder, **arguments)
    assert len(dataset.classes) == classes
    for at in range(0, len(dataset), max(1, len(dataset) // 5)):
        image = dataset[at].image_path
        names = {"name": image.name, "stem": image.stem, "parent": image.parent.name}
        values = np.asarray(Image.open(image.parent.parent / masks.format(**names)))
        values = values[..., 0] if values.ndim == 3 else values
        found = dataset.mask(at)
        if folder == "isbi2012_membrane/train":
            expected = (values < 128).astype(np.uint8)
        elif dataset.task == "binary":
            expected = (values >= 128).astype(np.uint8)
        else:
            void = {"camvid": 11}.get(folder, 30)
            kept = [value for value in range(32) if value != void][:classes]
            expected = np.full(values.shape, IGNORE_INDEX, np.uint8)
            for class_id, value in enumerate(kept):
                expected[values == value] = class_id
        np.testing.assert_array_equal(found, expected)
