"""Pascal VOC: lists, names, objects, missing files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from easyseg.data.formats.voc import OFFICIAL_NAMES
from easyseg.data.reading import load_dataset
from easyseg.errors import SampleError
from easyseg.structures import IGNORE_INDEX

XML = "<annotation><object>\n<name>{}</name><bndbox/></object></annotation>"


@pytest.fixture
def root(writers: ModuleType, tmp_path: Path) -> Path:
    """A folder of three images with masks."""
    writers.write_voc(tmp_path)
    return tmp_path


def write_lists(root: Path, **lists: str) -> None:
    """Write lists of stems."""
    folder = root / "ImageSets/Segmentation"
    folder.mkdir(parents=True)
    for name, stems in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(stems.split()) + "\n", encoding="utf-8")


def test_lists_give_the_splits(root: Path) -> None:
    """ImageSets/Segmentation says which images count; trainval only repeats the others."""
    write_lists(root, train="first", val="third", trainval="first third")
    dataset = load_dataset(root)
    assert dataset.splits() == {"train": 1, "val": 1}
    assert [sample.name for sample in dataset.samples] == ["first.jpg", "third.jpg"]


def test_trainval_alone_counts(root: Path) -> None:
    """Where trainval is the only list, its images are there to train with, and some are put aside."""
    write_lists(root, trainval="first second third")
    dataset = load_dataset(root)
    assert dataset.splits() == {"train": 2, "val": 1}
    assert dataset.validation_is_drawn


@pytest.mark.parametrize(("missing", "splits"), [("val", {"train": 1, "val": 2}), ("train", {"train": 2, "val": 1})])
def test_trainval_stands_for_the_list_that_is_missing(missing: str, splits: dict[str, int], root: Path) -> None:
    """Trainval without train is val, and the other way round."""
    write_lists(root, train="first", val="first", trainval="first second third")
    (root / f"ImageSets/Segmentation/{missing}.txt").unlink()
    assert load_dataset(root).splits() == splits


def test_what_no_list_names(root: Path) -> None:
    """Images with masks that stand in no list are left out, and told."""
    write_lists(root, train="first", val="second")
    assert "Images with a mask that no list names left out: 1" in load_dataset(root).describe()
    (root / "ImageSets/Segmentation/val.txt").write_text("second third", encoding="utf-8")
    assert "no list names left out: 1" in load_dataset(root).describe()


@pytest.mark.parametrize("line", ["first.jpg", "JPEGImages/first.jpg", "first -1", "first.jpg SegmentationClass/x.png"])
def test_lines_of_other_programs(line: str, root: Path) -> None:
    """A line may be a file's name or path, or hold a second word."""
    write_lists(root, train="second", val="third")
    (root / "ImageSets/Segmentation/val.txt").write_text(f"{line}\n", encoding="utf-8")
    assert [sample.name for sample in load_dataset(root).samples] == ["first.jpg", "second.jpg"]


def test_names_with_spaces_and_dots(root: Path) -> None:
    """A name may hold spaces and dots: the whole line comes before its first word."""
    for file in root.rglob("first.*"):
        file.rename(file.with_stem("first of all v1.2"))
    write_lists(root, train="second", val="third")
    (root / "ImageSets/Segmentation/train.txt").write_text("first of all v1.2\nsecond\n", encoding="utf-8")
    assert load_dataset(root).splits() == {"train": 2, "val": 1}


def test_split_folders(writers: ModuleType, tmp_path: Path) -> None:
    """Without lists, the folders above say the splits."""
    for split in ("train2012", "valid"):
        writers.write_voc(tmp_path / split)
    assert load_dataset(tmp_path).splits() == {"train": 3, "val": 3}
    write_lists(tmp_path / "valid", test="first")
    assert load_dataset(tmp_path).splits() == {"train": 2, "val": 1, "test": 1}


def test_the_test_list_may_have_no_masks(root: Path) -> None:
    """Images of the test list are for prediction where they have no mask; others need one."""
    (root / "SegmentationClass/third.png").unlink()
    write_lists(root, train="first", val="second", test="third")
    dataset = load_dataset(root)
    assert dataset.splits() == {"train": 1, "val": 1, "test": 1}
    assert not dataset.split("test")[0].is_annotated
    (root / "ImageSets/Segmentation/test.txt").rename(root / "ImageSets/Segmentation/val.txt")
    with pytest.raises(SampleError, match="stands in a list but has no mask in SegmentationClass"):
        load_dataset(root)
    assert len(load_dataset(root, on_bad_sample="skip").skipped) == 1


def test_missing_images(root: Path) -> None:
    """A mask without its image is an error, or left out."""
    (root / "JPEGImages/first.jpg").unlink()
    with pytest.raises(SampleError, match=r"first: the image is missing.*type images='...'"):
        load_dataset(root)
    assert len(load_dataset(root, on_bad_sample="skip")) == 2


def test_images_elsewhere(root: Path, tmp_path: Path) -> None:
    """images= names the folder of the images."""
    (root / "JPEGImages").rename(root / "Pictures of mine")
    assert len(load_dataset(root, images="Pictures of mine", format="voc")) == 3


def test_names_by_the_boxes(root: Path) -> None:
    """Without a file of names, VOC's own count where the boxes beside the masks use only them."""
    (root / "class_names.txt").unlink()
    assert load_dataset(root).classes == ["class_0", "class_1", "class_2"]
    (root / "Annotations").mkdir()
    (root / "Annotations/first.xml").write_text(XML.format("dog"), encoding="utf-8")
    dataset = load_dataset(root)
    assert tuple(dataset.classes) == OFFICIAL_NAMES
    assert dataset.object_classes[dataset.instances(0).class_ids[0]] == "aeroplane"
    (root / "Annotations/second.xml").write_text(XML.format("unicorn"), encoding="utf-8")
    assert load_dataset(root).classes == ["class_0", "class_1", "class_2"]


def test_entities_in_xml_are_not_read(root: Path) -> None:
    """The boxes' files are looked at for names only: nothing in them is expanded."""
    (root / "class_names.txt").unlink()
    (root / "Annotations").mkdir()
    laughs = "".join(f'<!ENTITY a{at} "{f"&a{at - 1};" * 10}">' for at in range(1, 10))
    text = f"<!DOCTYPE x [{laughs}]><annotation><object><name>&a9;</name></object></annotation>"
    (root / "Annotations/first.xml").write_text(text, encoding="utf-8")
    assert load_dataset(root).classes == ["class_0", "class_1", "class_2"]


def test_void_borders(root: Path) -> None:
    """255 in the masks does not count, in the objects' masks is no object, and a void object is none."""
    for folder in ("SegmentationClass", "SegmentationObject"):
        file = root / folder / "first.png"
        picture = Image.open(file)
        values = np.array(picture)
        values[3:9, 2:12] = 255 if folder == "SegmentationClass" else values[3:9, 2:12]
        values[0] = 255
        changed = Image.fromarray(values)
        changed.putpalette(picture.getpalette())
        changed.save(file)
    dataset = load_dataset(root)
    assert (dataset.mask(0)[0] == IGNORE_INDEX).all()
    assert len(dataset.instances(0)) == 2  # the first car lies under void only
    assert len(dataset.instances(1)) == 3


def test_without_objects(root: Path) -> None:
    """Where SegmentationObject is missing, the objects are not told apart, which instances says."""
    for file in (root / "SegmentationObject").iterdir():
        file.unlink()
    dataset = load_dataset(root)
    assert dataset.mask(0).any()
    with pytest.raises(SampleError, match="a mask of classes, in which objects are not told apart"):
        dataset.instances(0)


def test_object_masks_of_another_size(root: Path) -> None:
    """A mask of objects that is not as large as its image is an error of both ways to look."""
    Image.fromarray(np.ones((9, 9), np.uint8)).save(root / "SegmentationObject/first.png")
    dataset = load_dataset(root)
    with pytest.raises(SampleError, match="9 x 9 pixels, its mask of classes 40 x 30"):
        dataset.instances(0)
    with pytest.raises(SampleError, match=r"first\.png: the mask has 9 x 9 pixels"):
        dataset.verify()


def test_a_colour_mask_of_objects(root: Path) -> None:
    """A mask of objects has one channel."""
    colors = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(colors).save(root / "SegmentationObject/first.png")
    with pytest.raises(SampleError, match="has one channel, not RGB"):
        load_dataset(root).instances(0)


def test_a_kit_of_two_years(writers: ModuleType, tmp_path: Path) -> None:
    """Several years below one folder are read together."""
    for year in ("VOC2007", "VOC2012"):
        writers.write_voc(tmp_path / year)
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 6
    assert dataset[0].name == "VOC2007/JPEGImages/first.jpg"
