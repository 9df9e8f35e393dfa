"""One mask file per object, masks that number objects, and samples that are left out in any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from easyseg.data.fingerprint import fingerprint
from easyseg.data.reading import load_dataset
from easyseg.errors import ClassMapError, FormatError, SampleError
from easyseg.structures import EmbeddedImage, NumberedObjects, Sample

Write = Callable[..., Path]


def test_masks_in_a_folder_of_the_images_name(writers: ModuleType, tmp_path: Path) -> None:
    """images/ID.png with masks/ID/*.png; an image without such a folder has no annotation."""
    writers.write_images(tmp_path / "train/images", stems=("a", "b", "c"))
    for stem in ("a", "b"):
        (tmp_path / f"train/masks/{stem}").mkdir(parents=True)
        for at, (_, *box) in enumerate(writers.OBJECTS):
            Image.fromarray(writers.object_mask(*box)).save(tmp_path / f"train/masks/{stem}/{at}.png")
    dataset = load_dataset(tmp_path)
    assert (dataset.format, len(dataset)) == ("object_files", 2)
    assert len(dataset.instances(1)) == 3
    assert "Images without annotation: 1, such as c.png; left out" in dataset.describe()
    assert len(load_dataset(tmp_path, unlabelled="background")) == 3


@pytest.mark.parametrize(
    ("images", "masks"),
    [("{split}/images", "{split}/masks"), ("images/{split}", "masks/{split}"), ("{split}/images", "masks/{split}")],
)
def test_one_name_in_two_splits(images: str, masks: str, writers: ModuleType, tmp_path: Path) -> None:
    """Split folders above or below images/ and masks/ keep the objects of images of one name apart."""
    for split, count in (("train", 3), ("val", 1)):
        writers.write_images(tmp_path / images.format(split=split), stems=("a",))
        folder = tmp_path / masks.format(split=split) / "a"
        folder.mkdir(parents=True)
        for at, (_, *box) in enumerate(writers.OBJECTS[:count]):
            Image.fromarray(writers.object_mask(*box)).save(folder / f"{at}.png")
    dataset = load_dataset(tmp_path)
    assert (dataset.format, dataset.splits()) == ("object_files", {"train": 1, "val": 1})
    assert [len(dataset.split(split).instances(0)) for split in ("train", "val")] == [3, 1]
    assert "without annotation" not in dataset.describe()


def test_a_slip_is_no_object(write: Write) -> None:
    """One image with one mask of another name, or with a mask of its own name, are not files of objects."""
    root = write("images/street.png", value=np.zeros((6, 8, 3), np.uint8))
    write("masks/stret.png", value=1)
    with pytest.raises(SampleError, match="this image has no mask"):
        load_dataset(root)
    write("masks/street_mask.png", value=1)
    assert "object" not in load_dataset(root, class_map={"road": 1}).format


def test_folders_are_found_by_themselves(writers: ModuleType, tmp_path: Path) -> None:
    """images= and masks= have no meaning with a folder for each image."""
    writers.write_object_files(tmp_path)
    with pytest.raises(FormatError, match="leave out images= and masks="):
        load_dataset(tmp_path, "object_files", images="a", masks="b")


def test_files_of_another_size(writers: ModuleType, tmp_path: Path) -> None:
    """A mask file that is not as large as its image is found before training."""
    writers.write_object_files(tmp_path)
    file = next(tmp_path.rglob("first_object0a.png"))
    Image.fromarray(np.ones((5, 5), np.uint8)).save(file)
    with pytest.raises(SampleError, match=r"first_object0a\.png: the mask has 5 x 5 pixels, its image .* 40 x 30"):
        load_dataset(tmp_path).verify()
    assert len(load_dataset(tmp_path, on_bad_sample="skip")) == 2


def test_numbers_are_classes_where_they_have_names(writers: ModuleType, tmp_path: Path) -> None:
    """classes= with a name for each number, or a class map of values, makes numbers classes."""
    writers.write_instance_ids(tmp_path)
    named = load_dataset(tmp_path, classes=["background", "one", "two", "three"])
    assert named.task == "multiclass"
    assert not isinstance(named[0].objects, NumberedObjects)
    assert load_dataset(tmp_path, task="binary", classes=["x"])[0].objects is None
    typed = load_dataset(tmp_path, "instance_ids", classes=["thing"])
    assert isinstance(typed[0].objects, NumberedObjects)
    assert "Each number in a mask is one object" in typed.describe()


def test_numbers_in_one_mask_per_class(write: Write) -> None:
    """Several masks for one image cannot number its objects."""
    root = write("images/a.png", "images/b.png", value=np.zeros((6, 8, 3), np.uint8))
    for name in ("masks/x/a.png", "masks/x/b.png", "masks/y/a.png", "masks/y/b.png"):
        write(name, value=1)
    with pytest.raises(FormatError, match="several masks belong to this image"):
        load_dataset(root, "instance_ids")


def test_images_without_masks_can_stay_unannotated(writers: ModuleType, tmp_path: Path) -> None:
    """A test split without masks is for prediction."""
    writers.write_instance_ids(tmp_path / "train")
    writers.write_images(tmp_path / "test/images")
    dataset = load_dataset(tmp_path, "instance_ids")
    assert not dataset.split("test")[0].is_annotated


def test_pairs_that_are_not_complete_can_be_left_out(write: Write) -> None:
    """In folders and lists, too, on_bad_sample='skip' leaves out images without mask, and lines without image."""
    root = write(*(f"images/{name}.png" for name in "abcd"), value=np.zeros((6, 8, 3), np.uint8))
    for name in "abc":
        mask = np.zeros((6, 8), np.uint8)
        mask[:3] = 255
        write(f"masks/{name}.png", value=mask)
    (root / "masks/c.png").write_bytes(b"")
    with pytest.raises(SampleError, match=r"d\.png: this image has no mask"):
        load_dataset(root)
    dataset = load_dataset(root, on_bad_sample="skip")
    assert [sample.name for sample in dataset.samples] == ["a.png", "b.png"]
    assert [Path(each.path).name for each in dataset.skipped] == ["d.png", "c.png"]
    (root / "train.txt").write_text("a\nb\nnothing\nd\n", encoding="utf-8")
    with pytest.raises(SampleError, match="'nothing'"):
        load_dataset(root)
    dataset = load_dataset(root, on_bad_sample="skip")
    assert dataset.format == "txt_splits"
    assert len(dataset) == 2
    assert len(dataset.skipped) == 2


def test_a_bad_sample_without_samples_left(write: Write) -> None:
    """Where nothing is left, the error says so."""
    root = write("images/a.png", value=np.zeros((6, 8, 3), np.uint8))
    write("masks/b.png", value=1)
    with pytest.raises(ClassMapError, match="No image has a mask"):
        load_dataset(root, on_bad_sample="skip")


def test_fingerprints_of_runs_know_objects(writers: ModuleType, tmp_path: Path) -> None:
    """What tells the data of an interrupted run from others looks at objects and at images inside other files."""
    writers.write_labelme(tmp_path)
    dataset = load_dataset(tmp_path)
    before = fingerprint(dataset)
    assert fingerprint(load_dataset(tmp_path)) == before
    from dataclasses import replace

    first = dataset[0]
    for changed in (
        replace(first, objects=first.objects[:1]),
        replace(first, objects=None),
        replace(first, image=EmbeddedImage(tmp_path / "first.json")),
    ):
        other = replace(dataset, samples=(changed, *dataset.samples[1:]))
        assert fingerprint(other) != before
        assert other.fingerprint() != dataset.fingerprint()
    assert isinstance(first, Sample)
