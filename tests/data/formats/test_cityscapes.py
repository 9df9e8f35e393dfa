"""Cityscapes: its 35 labels, id maps, instance numbers, polygons."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from easyseg.data.formats.cityscapes import LABELS
from easyseg.data.reading import load_dataset
from easyseg.errors import FormatError, SampleError
from easyseg.structures import IGNORE_INDEX


@pytest.fixture
def root(writers: ModuleType, tmp_path: Path) -> Path:
    """Polygons of three images."""
    writers.write_cityscapes(tmp_path)
    return tmp_path


def write_maps(root: Path, kind: str, values: np.ndarray, *, coarse: bool = False) -> None:
    """Write a map of one kind beside each file of polygons."""
    for file in root.rglob("*_gtFine_polygons.json"):
        name = file.name.replace("polygons.json", f"{kind}.png")
        Image.fromarray(values).save(file.with_name(name.replace("gtFine", "gtCoarse") if coarse else name))


def test_the_table_is_the_official_one() -> None:
    """All 35 labels are as torchvision has them."""
    datasets = pytest.importorskip("torchvision.datasets")
    for ours, official in zip(LABELS, datasets.Cityscapes.classes, strict=True):
        train_id = official.train_id if official.train_id >= 0 else IGNORE_INDEX
        expected = (official.name, official.id, train_id, official.has_instances, official.color)
        assert tuple(ours) == expected


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_id_maps(kind: str, root: Path) -> None:
    """Both kinds of maps say the same; labels that are not evaluated do not count."""
    by_column = [LABELS[at % 34] for at in range(40)]
    values = [label.id if kind == "labelIds" else label.train_id for label in by_column]
    write_maps(root, kind, np.tile(np.array(values, np.uint8), (30, 1)))
    dataset = load_dataset(root)
    assert (dataset.format, len(dataset.classes)) == ("cityscapes", 19)
    np.testing.assert_array_equal(dataset.mask(0)[0], [label.train_id for label in by_column])
    assert dataset.class_map.colors[0] == (128, 64, 128)


def test_fine_files_before_coarse_ones(root: Path) -> None:
    """Where an image has both, the fine annotation counts, of any kind; coarse ones stand in where it is missing."""
    write_maps(root, "labelIds", np.full((30, 40), 8, np.uint8), coarse=True)
    assert len(np.unique(load_dataset(root).mask(0))) > 1  # drawn from the fine polygons
    write_maps(root, "labelTrainIds", np.full((30, 40), 13, np.uint8))
    assert (load_dataset(root).mask(0) == 13).all()
    write_maps(root, "labelIds", np.full((30, 40), 7, np.uint8))
    assert (load_dataset(root).mask(0) == 0).all()
    for file in root.rglob("first_gtFine_*"):
        file.unlink()
    assert (load_dataset(root).mask(0) == 1).all()


def test_only_instance_numbers(root: Path) -> None:
    """Numbers of objects alone are no masks of classes."""
    for file in root.rglob("*_polygons.json"):
        Image.fromarray(np.zeros((30, 40), np.uint16)).save(file.with_name(file.name[:-13] + "instanceIds.png"))
        file.unlink()
    with pytest.raises(FormatError, match="neither labelIds nor labelTrainIds nor polygons"):
        load_dataset(root)


def test_stuff_is_no_object(root: Path) -> None:
    """Road and vegetation count in the mask, and are no objects, which only cars and the like are."""
    dataset = load_dataset(root)
    found = dataset.instances(0)
    assert [dataset.object_classes[class_id] for class_id in found.class_ids] == ["car", "car"]
    assert {dataset.classes[class_id] for class_id in np.unique(dataset.mask(0))} == {"road", "car", "vegetation"}


def test_images_without_annotation(root: Path, writers: ModuleType) -> None:
    """Images that nobody annotated are left out, and told; pictures of the labels are none."""
    writers.write_images(root / "leftImg8bit/test/town", "_leftImg8bit.png", ("fourth",))
    writers.write_images(root / "gtFine/train/town", "_gtFine_color.png", ("first",))
    dataset = load_dataset(root)
    assert len(dataset) == 3
    assert "Images without annotation: 1, such as fourth_leftImg8bit.png; left out" in dataset.describe()


def test_instance_numbers(root: Path) -> None:
    """26003 is the third car; 26 is a group of cars; 7 is road, which has no objects; 29001 is not evaluated."""
    write_maps(root, "labelIds", np.full((30, 40), 26, np.uint8))
    numbers = np.full((30, 40), 7, np.int32)
    numbers[:5], numbers[5:9, :20], numbers[10:12], numbers[20:22] = 26003, 24000, 26, 29001
    write_maps(root, "instanceIds", numbers.astype(np.uint16))
    dataset = load_dataset(root)
    found = dataset.instances(0)
    names = [dataset.object_classes[class_id] for class_id in found.class_ids]
    assert names == ["car", "person", "car"]
    assert found.is_crowd.tolist() == [True, False, False]
    np.testing.assert_array_equal(found.masks[0], numbers == 26)
    np.testing.assert_array_equal(found.masks[2], numbers == 26003)


def test_groups_and_plates_and_void_in_polygons(root: Path, writers: ModuleType) -> None:
    """Groups are crowds, licence plates leave the car under them, and void covers what lies under it."""
    file = next(root.rglob("first_gtFine_polygons.json"))
    content = json.loads(file.read_text(encoding="utf-8"))
    boxes = [("cargroup", 30, 20, 40, 30), ("license plate", 3, 4, 6, 6), ("ego vehicle", 0, 28, 40, 30)]
    content["objects"] = content["objects"][1:]
    content["objects"] += [{"label": name, "polygon": writers.corners(*box)} for name, *box in boxes]
    content["objects"].append({"label": "sky", "polygon": writers.corners(0, 0, 40, 30), "deleted": 1})
    writers.write_json(file, content)
    dataset = load_dataset(root)
    mask, found = dataset.mask(0), dataset.instances(0)
    assert mask[5, 4] == dataset.classes.index("car")
    assert (mask[28:] == IGNORE_INDEX).all()
    assert (mask[20:28, 30:] == IGNORE_INDEX).all()
    assert mask[0, 39] == IGNORE_INDEX  # what no polygon covers does not count
    assert found.is_crowd.sum() == 1


def test_missing_files(root: Path) -> None:
    """A missing image is told; so is a kind of map that only some images have."""
    image = next(root.rglob("first_leftImg8bit.png"))
    image.unlink()
    with pytest.raises(SampleError, match=r"its image, first_leftImg8bit\.png, is missing"):
        load_dataset(root)
    assert len(load_dataset(root, on_bad_sample="skip")) == 2
    write_maps(root, "labelIds", np.full((30, 40), 7, np.uint8))
    next(root.rglob("second_gtFine_polygons.json")).unlink()
    next(root.rglob("third_gtFine_labelIds.png")).unlink()
    with pytest.raises(FormatError, match="neither labelIds nor labelTrainIds nor polygons are there for all 3"):
        load_dataset(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "unicorn"}, r"objects\[0\]: label is 'unicorn', which is none of Cityscapes' 35"),
        ({"label": 5}, "label is '5', which is none"),
        ({"polygon": "x"}, "polygon is 'x'; expected at least 1 points"),
        ({"polygon": [[1, 2], [3]]}, "expected at least 1 points"),
        ({"deleted": 7}, "deleted is 7; expected 0 or 1"),
    ],
)
def test_broken_polygons(change: dict[str, object], words: str, root: Path, writers: ModuleType) -> None:
    """A polygon that cannot be read is named by its number."""
    file = next(root.rglob("first_gtFine_polygons.json"))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["objects"][0] |= change
    writers.write_json(file, content)
    with pytest.raises(SampleError, match=words):
        load_dataset(root)


def test_the_format_fixes_the_classes(root: Path) -> None:
    """With polygons, classes= still chooses among all labels; without, the 19 count."""
    dataset = load_dataset(root, classes=["car"])
    assert dataset.classes == ["car"]
    assert dataset.mask(0).max() in (1, IGNORE_INDEX)
