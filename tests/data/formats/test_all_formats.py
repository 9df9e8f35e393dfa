"""What every format of objects has in common: one scene, written in each, is read as the same classes and objects."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from easyseg.data.dataset import Dataset
from easyseg.data.formats import FORMATS, find_format
from easyseg.data.reading import load_dataset
from easyseg.errors import FormatError
from easyseg.structures import IGNORE_INDEX, Sample

NAMED = ("coco", "labelme", "via", "voc", "yolo", "supervisely", "geojson")
"""Formats in which the scene has its two classes by name."""
ALL = (*NAMED, "cityscapes", "object_files", "instance_ids")


def class_names(dataset: Dataset, index: int) -> np.ndarray:
    """Return the class name of each pixel."""
    mask = dataset.mask(index)
    names = np.array([*dataset.classes, *["?"] * (256 - len(dataset.classes))], object)
    if dataset.task == "binary":
        names = np.array(["background", dataset.classes[0]], object)
    names = names[np.minimum(mask, len(names) - 1)]
    names[mask == IGNORE_INDEX] = "ignored"
    return names


def image_named(dataset: Dataset, stem: str) -> int:
    """Return the number of the image whose name begins so."""
    return next(at for at, sample in enumerate(dataset.samples) if sample.image_path.stem.startswith(stem))


@pytest.mark.parametrize("name", ALL)
def test_a_format_is_recognised(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """Each format is found out by looking at the folder, and reads the same when typed."""
    writers.WRITERS[name](tmp_path)
    found = load_dataset(tmp_path)
    assert found.format == ("folders" if name == "instance_ids" else name)
    typed = load_dataset(tmp_path, name)
    assert typed.format == name
    assert len(found) == len(typed) == 3
    assert found.classes == typed.classes
    for at in range(3):
        np.testing.assert_array_equal(found.mask(at), typed.mask(at))


@pytest.mark.parametrize("name", NAMED)
def test_classes_and_pixels(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """Objects cover each other in the file's order; in COCO, which has none, the smaller is on top."""
    writers.WRITERS[name](tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "multiclass"
    assert sorted(dataset.classes) == ["background", "car", "tree"]
    assert dataset.classes[0] == "background"
    expected = writers.expected_names((2, 1, 0) if name == "coco" else (0, 1, 2))
    for at in range(3):
        np.testing.assert_array_equal(class_names(dataset, at), expected)


@pytest.mark.parametrize("name", NAMED)
def test_objects_one_by_one(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """Each object has its whole mask, box and class, whatever covers it; in VOC's masks, what is left of it."""
    writers.WRITERS[name](tmp_path)
    dataset = load_dataset(tmp_path)
    assert sorted(dataset.object_classes) == ["car", "tree"]
    found = dataset.instances(0)
    assert found.masks.dtype == bool
    assert found.boxes.dtype == np.float32
    assert found.class_ids.dtype == np.int64
    assert not found.is_crowd.any()
    by_box = {tuple(box): at for at, box in enumerate(found.boxes.astype(int).tolist())}
    tree = writers.object_mask(*writers.OBJECTS[2][1:])
    for class_name, *box in writers.OBJECTS:
        expected = writers.object_mask(*box)
        if name == "voc" and class_name != "tree":
            expected &= ~tree
        rows, columns = np.nonzero(expected)
        at = by_box.pop((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        np.testing.assert_array_equal(found.masks[at], expected)
        assert dataset.object_classes[found.class_ids[at]] == class_name
    assert not by_box


@pytest.mark.parametrize("name", ALL)
def test_samples_are_whole(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """Files are in order, annotations count, and what is stated of the size is that of the image."""
    writers.WRITERS[name](tmp_path)
    dataset = load_dataset(tmp_path)
    dataset.verify()
    assert all(sample.is_annotated for sample in dataset.samples)
    assert dataset.size_hw(0) == (writers.HEIGHT, writers.WIDTH)
    assert dataset.image(0).shape == (writers.HEIGHT, writers.WIDTH, 3)
    assert dataset.pixel_counts().sum() > 0
    before = dataset.fingerprint()
    assert load_dataset(tmp_path).fingerprint() == before


def test_numbers_and_files_of_objects_are_one_class(writers: ModuleType, tmp_path: Path) -> None:
    """Objects without class names are called object, or as the user says; the mask is all of them together."""
    for name in ("object_files", "instance_ids"):
        folder = tmp_path / name
        writers.WRITERS[name](folder)
        dataset = load_dataset(folder)
        assert dataset.classes == dataset.object_classes == ["object"]
        assert "type classes=['name']" in dataset.describe()
        named = load_dataset(folder, classes=["thing"])
        assert (named.task, named.classes) == ("binary", ["thing"])
        at = image_named(named, "third")
        np.testing.assert_array_equal(named.mask(at) == 1, writers.expected_names() != "background")
        assert len(named.instances(at)) == 3


def test_cityscapes_in_order(writers: ModuleType, tmp_path: Path) -> None:
    """Polygons are drawn in the order of the file; the 19 classes count, and splits are those of the folders."""
    writers.WRITERS["cityscapes"](tmp_path)
    dataset = load_dataset(tmp_path)
    assert len(dataset.classes) == 19
    assert dataset.splits() == {"train": 2, "val": 1}
    words = {"background": "road", "car": "car", "tree": "vegetation"}
    expected = np.vectorize(words.get, otypes=[object])(writers.expected_names())
    np.testing.assert_array_equal(class_names(dataset, 0), expected)


def test_several_formats_in_one_folder(writers: ModuleType, tmp_path: Path) -> None:
    """Where several formats fit, the message lists them with what each looked for; format= chooses."""
    writers.WRITERS["coco"](tmp_path / "one")
    writers.WRITERS["via"](tmp_path / "two")
    with pytest.raises(FormatError, match=r"several dataset formats fit. Type format='coco'.*\n  coco: .*\n  via: "):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, "via").format == "via"
    assert load_dataset(tmp_path, annotations="via_*.json").format == "via"


def test_no_format_lists_them_all(tmp_path: Path) -> None:
    """Where none fits, the message says what each was looking for."""
    (tmp_path / "note.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(FormatError) as caught:
        find_format(tmp_path)
    for module in FORMATS.values():
        assert f"  {module.NAME}: {module.LOOKS_FOR}" in str(caught.value)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_typed_format_that_does_not_fit(name: str, tmp_path: Path) -> None:
    """A format that was typed says what it misses."""
    (tmp_path / "images").mkdir()
    with pytest.raises(FormatError, match="Expected"):
        load_dataset(tmp_path, name)


@pytest.mark.parametrize("name", ["coco", "labelme", "via", "supervisely", "geojson"])
def test_annotations_that_are_not_there(name: str, writers: ModuleType, tmp_path: Path) -> None:
    """annotations= that fits no file is an error that offers the nearest."""
    writers.WRITERS[name](tmp_path)
    suffix = ".geojson" if name == "geojson" else ".json"
    file = next(tmp_path.rglob(f"*{suffix}"))
    with pytest.raises(FormatError, match=r"no file fits annotations=.*Did you mean"):
        load_dataset(tmp_path, name, annotations=file.name.replace(suffix, f"s{suffix}"))


@pytest.mark.parametrize(
    ("arguments", "task", "classes", "objects"),
    [
        ({"classes": ["tree"]}, "binary", ["tree"], ["tree"]),
        ({"classes": ["tree", "car"]}, "multiclass", ["background", "tree", "car"], ["tree", "car"]),
        ({"classes": ["background", "tree"]}, "multiclass", ["background", "tree"], ["tree"]),
        ({"ignore": ["car"]}, "binary", ["tree"], ["tree"]),
        ({"ignore": "car"}, "binary", ["tree"], ["tree"]),
        ({"class_map": {"thing": ["car", "tree"]}}, "binary", ["thing"], ["thing"]),
        ({"class_map": {"vehicle": "car", "plant": "tree"}}, "multiclass", ["background", "vehicle", "plant"], None),
        ({"task": "binary"}, "binary", ["foreground"], ["foreground"]),
        ({"task": "binary", "classes": ["thing"]}, "binary", ["thing"], ["thing"]),
        ({"task": "multilabel"}, "multilabel", ["car", "tree"], ["car", "tree"]),
    ],
)
def test_classes_can_be_chosen(
    arguments: dict[str, Any],
    task: str,
    classes: list[str],
    objects: list[str] | None,
    writers: ModuleType,
    tmp_path: Path,
) -> None:
    """classes=, class_map=, ignore= and task= choose and rename the classes of objects."""
    writers.WRITERS["coco"](tmp_path)
    dataset = load_dataset(tmp_path, **arguments)
    assert (dataset.task, dataset.classes) == (task, classes)
    assert dataset.object_classes == (objects or classes[1:])
    mask = dataset.mask(0)
    car = sum(writers.object_mask(*box) for name, *box in writers.OBJECTS if name == "car").astype(bool)
    tree = writers.object_mask(*writers.OBJECTS[2][1:])
    if task == "multilabel":
        np.testing.assert_array_equal(mask[..., 0] == 1, car)
        np.testing.assert_array_equal(mask[..., 1] == 1, tree)
    elif classes in (["thing"], ["foreground"]):
        np.testing.assert_array_equal(mask == 1, car | tree)
    elif "ignore" in arguments:
        np.testing.assert_array_equal(mask == IGNORE_INDEX, car)
        np.testing.assert_array_equal(mask == 1, tree & ~car)
        assert len(dataset.instances(0)) == 1
    elif "car" not in classes and "vehicle" not in classes:
        np.testing.assert_array_equal(mask == 1, tree & ~car)  # cars lie on top, whether or not they count
    else:
        np.testing.assert_array_equal(mask == classes.index(classes[1]), tree & ~car if classes[1] == "tree" else car)


@pytest.mark.parametrize("unlabelled", ["auto", "background", "skip"])
@pytest.mark.parametrize("name", ["coco", "labelme", "via", "yolo", "supervisely"])
def test_images_without_annotation(name: str, unlabelled: Any, writers: ModuleType, tmp_path: Path) -> None:
    """They are left out, or pictures of the background; YOLO's usual meaning is the background; it is told."""
    writers.WRITERS[name](tmp_path)
    beside = next(path for path in tmp_path.rglob("first.png"))
    beside.with_name("extra.png").write_bytes(beside.read_bytes())
    dataset = load_dataset(tmp_path, unlabelled=unlabelled)
    is_added = unlabelled == "background" or (unlabelled == "auto" and name == "yolo")
    assert len(dataset) == 3 + is_added
    assert ("taken for pictures of the background" if is_added else "left out") in dataset.describe()
    if is_added:
        at = image_named(dataset, "extra")
        assert not dataset.mask(at).any()
        assert len(dataset.instances(at)) == 0


def test_a_changed_object_changes_the_fingerprint(writers: ModuleType, tmp_path: Path) -> None:
    """Resuming and caches notice an edited annotation, by its shape, class, or crowd."""
    seen = set()
    for name in ALL:
        folder = tmp_path / name
        writers.WRITERS[name](folder)
        seen.add(load_dataset(folder).fingerprint())
    assert len(seen) == len(ALL)
    content = writers.coco_content()
    for change in ({"iscrowd": 1}, {"category_id": 90}, {"segmentation": [[0, 0, 5, 0, 5, 5]]}):
        edited = {**content, "annotations": [{**content["annotations"][0], **change}, *content["annotations"][1:]]}
        writers.write_json(tmp_path / "coco/annotations/instances_all.json", edited)
        seen.add(load_dataset(tmp_path / "coco").fingerprint())
    assert len(seen) == len(ALL) + 3


def test_samples_of_objects_in_memory(writers: ModuleType) -> None:
    """Samples made by hand may have objects, too; their classes are those of the objects."""
    from easyseg.data.reading import as_dataset
    from easyseg.structures import BoxShape, LabelledObject, MaskPart

    image = np.zeros((30, 40, 3), np.uint8)
    objects = [
        LabelledObject("car", BoxShape(*writers.OBJECTS[0][1:])),
        LabelledObject("tree", MaskPart(writers.object_mask(*writers.OBJECTS[2][1:]))),
    ]
    dataset = as_dataset([Sample(image, objects=objects), Sample(image, objects=())])
    np.testing.assert_array_equal(class_names(dataset, 0), writers.expected_names((0, 2)))
    assert dataset.classes == ["background", "car", "tree"]
    assert not dataset.mask(1).any()
