"""Datasets: reading, splitting, checking, describing, and every kind of broken file."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import easyseg
from easyseg.data.dataset import Dataset
from easyseg.data.reading import as_dataset, as_joined_dataset, load_dataset
from easyseg.errors import ClassMapError, DataError, FormatError, SampleError, UnknownNameError
from easyseg.io.images import write_image
from easyseg.structures import ClassMap, Sample

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Path:
    """A dataset of ten images with ids 0, 1, 2 and a void pixel."""
    rng = np.random.default_rng(0)
    for at in range(10):
        mask = rng.integers(0, 3, (6, 8)).astype(np.uint8)
        mask[0, 0] = 255
        write(f"images/{at}.png", value=rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
        write(f"masks/{at}.png", value=mask)
    return tmp_path


def tree_hash(root: Path) -> str:
    """Return a hash of all names and bytes below a folder."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def test_a_folder_becomes_a_dataset(folder: Path) -> None:
    """Classes, task, splits, images and masks come out of a plain folder."""
    dataset = easyseg.load_dataset(folder)
    assert len(dataset) == 10
    assert dataset.classes == ["class_0", "class_1", "class_2"]
    assert dataset.task == "multiclass"
    assert dataset.splits() == {"train": 8, "val": 2}
    assert dataset.format == "folders"
    assert dataset.name == folder.name
    assert dataset[3].name == "3.png"
    assert dataset.image(0).shape == (6, 8, 3)
    assert dataset.image(0, channels=1).shape == (6, 8, 1)
    assert set(np.unique(dataset.mask(0))) == {0, 1, 2, 255}
    assert dataset.size_hw(0) == (6, 8)
    assert repr(dataset).startswith(f"Dataset({folder.name!r}, 10 images")


def test_reading_writes_nothing(folder: Path) -> None:
    """No file of the dataset is touched, none is added."""
    before = tree_hash(folder)
    dataset = load_dataset(folder)
    dataset.verify()
    dataset.pixel_counts()
    dataset.describe()
    dataset.fingerprint()
    assert tree_hash(folder) == before


def test_description_says_what_was_found(folder: Path) -> None:
    """Folder, format, splits, classes, what the values mean and how the split was drawn."""
    text = load_dataset(folder, seed=3).describe()
    for words in (str(folder), "format folders", "10 images, 8 train, 2 val", "task multiclass", "class_0, class_1"):
        assert words in text
    assert "255 does not count" in text
    assert "2 of 10 images put aside for validation" in text
    assert "seed 3" in text


def test_description_of_memory() -> None:
    """Data without folder and splits is described, too."""
    dataset = as_dataset([(np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=np.uint8))])
    assert dataset.describe().startswith("data from memory: 1 image\n")
    assert repr(dataset).startswith("Dataset('memory', 1 image, ")
    assert dataset.name == "memory"


def test_splits_can_be_chosen(folder: Path) -> None:
    """split= gives that part; the parts do not overlap and keep classes."""
    whole = load_dataset(folder)
    parts = {split: load_dataset(folder, split=split) for split in ("train", "val")}
    names = {split: {sample.name for sample in part.samples} for split, part in parts.items()}
    assert names["train"] | names["val"] == {sample.name for sample in whole.samples}
    assert not names["train"] & names["val"]
    assert parts["val"].classes == whole.classes
    assert load_dataset(folder, validation_fraction=0.5).splits() == {"train": 5, "val": 5}


def test_empty_split_says_what_there_is(folder: Path) -> None:
    """An empty split is an error that counts the others and says what to type."""
    with pytest.raises(DataError, match=r"split 'test' .* is empty; there is: train 8, val 2\. Type split='train'"):
        load_dataset(folder).split("test")
    with pytest.raises(UnknownNameError, match="Did you mean 'val'"):
        load_dataset(folder).split("vall")
    memory = as_dataset([(np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=np.uint8))])
    with pytest.raises(DataError, match="there is: no splits at all"):
        memory.split("train")


def test_datasets_do_not_change(folder: Path) -> None:
    """A dataset is immutable and travels to worker processes."""
    dataset = load_dataset(folder)
    with pytest.raises(FrozenInstanceError):
        dataset.__setattr__("samples", ())
    assert pickle.loads(pickle.dumps(dataset)).fingerprint() == dataset.fingerprint()


def test_pixels_are_counted_per_image_and_class(folder: Path) -> None:
    """Counts agree with the masks, void left out."""
    dataset = load_dataset(folder)
    counts = dataset.pixel_counts()
    assert counts.shape == (10, 3)
    assert counts.dtype == np.int64
    assert counts[4].tolist() == [(dataset.mask(4) == at).sum() for at in range(3)]
    assert (counts.sum(axis=1) == 47).all()


def test_pixels_are_counted_in_binary_and_multilabel_masks() -> None:
    """One column for one class; overlapping classes count on their own."""
    image = np.zeros((1, 4, 3), np.uint8)
    binary = as_dataset([(image, np.array([[0, 255, 255, 0]], np.uint8))])
    assert binary.pixel_counts().tolist() == [[2]]
    planes = (np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 0]]))
    assert as_dataset([Sample(image, planes)]).pixel_counts().tolist() == [[2, 3]]


def test_fingerprint_follows_files_splits_and_classes(folder: Path) -> None:
    """The same data has the same fingerprint; a changed file, split or class map another."""
    prints = {load_dataset(folder).fingerprint()}
    assert load_dataset(folder).fingerprint() in prints
    prints.add(load_dataset(folder, seed=1).fingerprint())
    prints.add(load_dataset(folder, ignore=[2]).fingerprint())
    os.utime(folder / "masks/3.png", (1, 1))
    prints.add(load_dataset(folder).fingerprint())
    (folder / "images/9.png").unlink()
    (folder / "masks/9.png").unlink()
    prints.add(load_dataset(folder).fingerprint())
    assert len(prints) == 5


def test_fingerprint_of_arrays_and_lost_files(folder: Path) -> None:
    """Arrays are told apart by their bytes; a file that vanished is named."""
    image, mask = np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=np.uint8)
    assert as_dataset([(image, mask)]).fingerprint() == as_dataset([(image, mask)]).fingerprint()
    assert as_dataset([(image, mask)]).fingerprint() != as_dataset([(image + 1, mask)]).fingerprint()
    dataset = load_dataset(folder)
    (folder / "images/4.png").unlink()
    with pytest.raises(SampleError, match=r"images/4\.png: the file cannot be found"):
        dataset.fingerprint()


def cut(path: Path) -> None:
    """Cut a file off in its middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("images/5.png", lambda path: path.unlink(), "does not exist"),
        ("images/5.png", lambda path: path.write_bytes(b""), "empty"),
        ("images/5.png", cut, "cut off"),
        ("images/5.png", lambda path: path.write_bytes(b"hello world, this is text"), "no picture of a known format"),
        ("masks/5.png", lambda path: path.unlink(), "does not exist"),
        ("masks/5.png", lambda path: path.write_bytes(b""), "empty"),
        ("masks/5.png", cut, "cut off"),
        ("masks/5.png", lambda path: write_image(path, np.zeros((6, 9), np.uint8)), "9 x 6 pixels, its image .* 8 x 6"),
    ],
)
def test_broken_files_are_named_early_and_late(
    folder: Path, name: str, damage: Callable[[Path], Any], words: str
) -> None:
    """A file that breaks after reading is found by verify() and, at the latest, by its pixels; both name it."""
    dataset = load_dataset(folder, ignore=[7])
    damage(folder / name)
    with pytest.raises(SampleError, match=words) as caught:
        dataset.verify()
    assert str(caught.value).startswith(str(folder / name))
    with pytest.raises(SampleError, match=words) as caught:
        dataset.image(5) if name.startswith("images") else dataset.mask(5)
    assert str(caught.value).startswith(str(folder / name))


@pytest.mark.parametrize("name", ["images/5.jpg", "images/5.tif", "images/5.webp"])
def test_cut_off_images_of_other_formats(folder: Path, name: str) -> None:
    """Half of a JPEG, TIFF or WebP is never an image."""
    (folder / "images/5.png").unlink()
    write_image(folder / name, np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8))
    cut(folder / name)
    with pytest.raises(SampleError) as caught:
        load_dataset(folder).image(5)
    assert str(caught.value).startswith(str(folder / name))


def test_verify_lists_the_problems(folder: Path) -> None:
    """The error is of the first file in the order of the samples; others are named in it, and all are counted."""
    dataset = load_dataset(folder)
    (folder / "images/7.png").unlink()
    (folder / "images/2.png").write_bytes(b"")
    with pytest.raises(SampleError) as caught:
        dataset.verify()
    lines = str(caught.value).splitlines()
    assert caught.value.path == folder / "images/2.png"
    assert lines[0].startswith(f"{folder / 'images/2.png'}: the file is empty")
    assert lines[1] == "2 files have problems; the others:"
    assert lines[2] == f"  {folder / 'images/7.png'}: the file does not exist"
    assert len(lines) == 3
    for at in range(7):
        (folder / f"images/{at}.png").unlink()
    with pytest.raises(SampleError) as caught:
        dataset.verify()
    lines = str(caught.value).splitlines()
    assert lines[1] == "8 files have problems; the others:"
    assert len(lines) == 7
    assert lines[-1] == "  and 3 more"


def test_broken_masks_are_listed_with_broken_images(folder: Path) -> None:
    """Reading a dataset whose masks are broken names them, and other broken files that are easily found."""
    for name in ("masks/1.png", "masks/5.png", "images/3.png"):
        (folder / name).write_bytes(b"")
    with pytest.raises(SampleError) as caught:
        load_dataset(folder)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{folder / 'masks/1.png'}: the file is empty")
    assert lines[1] == "3 files have problems; the others:"
    assert [line.split(": ")[0].strip() for line in lines[2:]] == [
        str(folder / "masks/5.png"),
        str(folder / "images/3.png"),
    ]


def test_hints_stand_out_in_the_description_and_among_the_notes(tmp_path: Path, write: Write) -> None:
    """What a reader may have to act on comes last and unindented; reports take it from the notes."""
    mask = np.full((6, 8), 255, np.uint8)
    mask[0] = 0
    write(*(f"images/{at}.png" for at in range(4)))
    write(*(f"masks/{at}.png" for at in range(4)), value=mask)
    dataset = load_dataset(tmp_path, classes=["membrane"])
    hint = dataset.describe().splitlines()[-1]
    assert hint.startswith("Note: the value 255, 83.3% of the pixels, is taken for 'membrane'")
    assert dataset.describe().count("Note:") == 1
    assert hint in dataset.notes
    from_memory = as_dataset((np.zeros((2, 6, 8, 3), np.uint8), np.stack([mask, mask])))
    assert from_memory.notes == from_memory.class_map.hints != ()
    assert "Note:" not in load_dataset(tmp_path, class_map={"membrane": 0}).describe()


def test_verify_of_a_split(tmp_path: Path, write: Write) -> None:
    """Only the split's files are looked at; missing masks are found there."""
    write("train/images/1.png", "val/images/2.png", "test/images/3.png")
    write("train/masks/1.png", "val/masks/2.png", value=np.eye(6, 8, dtype=np.uint8))
    dataset = load_dataset(tmp_path)
    dataset.verify("train")
    with pytest.raises(DataError, match=r"No image of the split 'test' of .* has a mask"):
        dataset.verify("test")
    for name in ("train", "val"):
        (tmp_path / f"{name}/images/{1 if name == 'train' else 2}.png").unlink()
    with pytest.raises(SampleError, match=r"(?s)train/images/1\.png.*2 files have problems.*val/images/2\.png"):
        dataset.verify("train", "val")
    with pytest.raises(DataError, match=r"No image of the split 'test'.*such as split='val'"):
        dataset.split("test").mask(0)
    empty = replace(dataset, samples=tuple(replace(sample, split="val", mask=None) for sample in dataset))
    with pytest.raises(DataError, match=r"of the split 'val'.*such as split='train'"):
        empty.verify("val")
    at = [sample.split for sample in dataset].index("test")
    with pytest.raises(SampleError, match=r"test/images/3\.png: this image has no mask"):
        dataset.mask(at)


def test_a_misspelt_argument_names_the_nearest() -> None:
    """As with the verbs of `Segmenter`."""
    with pytest.raises(UnknownNameError, match=r"load_dataset named 'ignor'\. Did you mean 'ignore'"):
        load_dataset("data", ignor=[11])


def test_ids_outside_the_classes_name_file_value_and_way_out(folder: Path) -> None:
    """A value no class has is an error with the mask, the value, its pixels, and ignore= to type."""
    dataset = load_dataset(folder)
    write_image(folder / "masks/5.png", np.full((6, 8), 9, np.uint8))
    with pytest.raises(SampleError) as caught:
        dataset.mask(5)
    message = str(caught.value)
    assert message.startswith(str(folder / "masks/5.png"))
    assert "9 (48 px)" in message
    assert "ignore=[9, 255]" in message
    with pytest.raises(SampleError, match=r"masks/5\.png"):
        dataset.pixel_counts()


def test_colour_masks_under_an_id_map_are_refused(folder: Path) -> None:
    """A colour mask among id masks is an error with its path."""
    dataset = load_dataset(folder)
    write_image(folder / "masks/5.png", np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8))
    with pytest.raises(SampleError, match=r"masks/5\.png: the mask has shape \(6, 8, 3\)"):
        dataset.mask(5)


def test_grey_masks_under_a_colour_map_are_colours(tmp_path: Path, write: Write) -> None:
    """An all-black mask that was saved as grey belongs to colour masks."""
    red = np.zeros((6, 8, 3), np.uint8)
    red[:3, :, 0] = 255
    write("images/1.png", "images/2.png")
    write("masks/1.png", value=red)
    write("masks/2.png", value=0)
    dataset = load_dataset(tmp_path)
    assert dataset.task == "binary"
    assert dataset.mask(0).sum() == 24
    assert dataset.mask(1).sum() == 0


def test_multilabel_folders(tmp_path: Path, write: Write) -> None:
    """One mask folder per class gives (H, W, classes)."""
    write("images/1.png", "images/2.png")
    write("masks/car/1.png", "masks/car/2.png", value=255)
    write("masks/road/1.png", "masks/road/2.png", value=0)
    dataset = load_dataset(tmp_path)
    assert (dataset.task, dataset.classes) == ("multilabel", ["car", "road"])
    assert dataset.mask(0).shape == (6, 8, 2)
    assert dataset.mask(0)[0, 0].tolist() == [1, 0]
    three = Dataset(dataset.samples, ClassMap("multilabel", ("a", "b", "c"), "threshold"))
    with pytest.raises(SampleError, match="2 masks, but 3 classes"):
        three.mask(0)


def test_label_mapping_is_used(tmp_path: Path, write: Write) -> None:
    """IMAGES, MASKS and label_mapping.json make a dataset with named classes."""
    (tmp_path / "label_mapping.json").write_text('{"background": 0, "field": 1, "water": 2}')
    write("IMAGES/1.png", "IMAGES/2.png")
    write("MASKS/1.png", value=1)
    write("MASKS/2.png", value=2)
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ["background", "field", "water"]
    assert dataset.mask(1)[0, 0] == 2


def test_test_split_stays_and_validation_is_drawn_from_training(tmp_path: Path, write: Write) -> None:
    """TRAIN_VAL_SET and TEST_SET: validation comes out of the first."""
    names = [f"TRAIN_VAL_SET/%s/{at}.png" for at in range(5)] + ["TEST_SET/%s/9.png"]
    write(*(name % "IMAGES" for name in names))
    write(*(name % "MASKS" for name in names), value=np.eye(6, 8, dtype=np.uint8))
    dataset = load_dataset(tmp_path)
    assert dataset.splits() == {"train": 4, "val": 1, "test": 1}
    assert "drawn from the training split" in dataset.describe()


def test_class_map_of_a_model_is_taken(folder: Path) -> None:
    """With a model's ClassMap no class is inferred, whatever the masks hold."""
    wanted = ClassMap("multiclass", ("sky", "road", "car"), values=(0, 1, 2), ignored=(255,))
    assert load_dataset(folder, class_map=wanted).class_map is wanted
    assert as_dataset(str(folder), class_map=wanted).classes == ["sky", "road", "car"]


def test_paths_that_are_no_folders_are_refused(folder: Path) -> None:
    """A missing folder is answered with the nearest one, a file or archive with what to do."""
    with pytest.raises(DataError, match=r"There is no folder .*image'\. Did you mean .*images'"):
        load_dataset(folder / "image")
    with pytest.raises(DataError, match="There is no folder"):
        load_dataset(folder / "none" / "deep")
    with pytest.raises(DataError, match=r"Did you mean .*images'"):
        load_dataset(folder / "ima")
    with pytest.raises(DataError, match=r"There is no folder '.*managers'\.$"):
        load_dataset(folder / "managers")
    with pytest.raises(FormatError, match=r"is a file; a dataset is a folder. Type the path"):
        load_dataset(folder / "images" / "1.png")
    (folder / "data.zip").write_bytes(b"PK")
    with pytest.raises(FormatError, match="Unpack it first"):
        load_dataset(folder / "data.zip")


def test_folders_can_be_named(tmp_path: Path, write: Write) -> None:
    """images= and masks= read folders of any name, also beside lists."""
    write("x/1.png", "x/2.png")
    write("y/1.png", "y/2.png", value=np.eye(6, 8, dtype=np.uint8))
    assert len(load_dataset(tmp_path, images="x", masks="y")) == 2
    (tmp_path / "train.txt").write_text("1\n")
    assert len(load_dataset(tmp_path, "txt_splits", images="x", masks="y")) == 1


def test_as_dataset_takes_datasets_and_checks_their_classes(folder: Path) -> None:
    """A dataset passes through; other classes than asked for are an error that says how to read it."""
    dataset = load_dataset(folder)
    assert as_dataset(dataset) is dataset
    assert as_dataset(dataset, classes=dataset.classes) is dataset
    assert as_dataset(dataset, class_map=dataset.class_map) is dataset
    with pytest.raises(DataError, match=r"expected a, b\. Type load_dataset\(\.\.\., classes=\['a', 'b'\]\)"):
        as_dataset(dataset, classes=["a", "b"])
    with pytest.raises(DataError, match=r"class_map=segmenter.class_map"):
        as_dataset(dataset, class_map=ClassMap("binary", ("roof",)))
    with pytest.raises(DataError, match="is for load_dataset"):
        as_dataset(dataset, class_map={"roof": 1})


def test_a_dataset_that_is_read_is_not_changed_silently(folder: Path) -> None:
    """ignore= and task= that say what is so are fine; others are refused with how to read the data anew."""
    given: Any = load_dataset(folder, ignore=[255])
    dataset = given
    assert as_dataset(dataset, ignore=255, task="multiclass") is dataset
    words = (
        r"for the task 'multiclass' and ignoring 255; task= and ignore= would change that\. "
        r"Type load_dataset\(\.\.\., task='binary', ignore=\[1\]\)"
    )
    with pytest.raises(DataError, match=words):
        as_dataset(dataset, ignore=[1], task="binary")
    with pytest.raises(DataError, match=r"was given a Dataset, which is read already.*load_dataset\('.*', \.\.\.\)"):
        load_dataset(given, ignore=[1])


def test_validation_data_of_its_own(folder: Path) -> None:
    """With validation given, all images of an unsplit dataset are for training, all of the other for validation."""
    image, mask = np.zeros((6, 8, 3), np.uint8), np.array([[0, 1, 2, 255] * 2] * 6, np.uint8)
    joined = as_joined_dataset(folder, [(image, mask)] * 3)
    assert joined.splits() == {"train": 10, "val": 3}
    assert np.array_equal(joined.split("val").mask(0)[0, :4], [0, 1, 2, 255])
    both = as_joined_dataset(folder, folder)
    assert both.splits() == {"train": 10, "val": 10}
    own = load_dataset(folder)
    assert as_joined_dataset(own.split("train"), own.split("val")).splits() == {"train": 8, "val": 2}


def test_validation_folder_with_other_values_is_refused_before_training(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Masks of 0 and 9 cannot be read with the training's classes; the error names classes and file."""
    other = tmp_path_factory.mktemp("other")
    for name in ("a", "b"):
        write_image(other / "images" / f"{name}.png", np.zeros((6, 8, 3), np.uint8))
        write_image(other / "masks" / f"{name}.png", np.full((6, 8), 9, np.uint8))
    with pytest.raises(DataError, match=r"validation data does not fit the classes.*a\.png.*9 \(48 px\).*class_map="):
        as_joined_dataset(folder, other)


def test_validation_masks_of_another_meaning_are_refused(folder: Path) -> None:
    """Two datasets with equal names but other mask values are not joined; a void value alone does not matter."""
    image = np.zeros((6, 8, 3), np.uint8)
    training = load_dataset(folder, classes=["sky", "road", "car"])
    swapped = [Sample(image, np.array([[5, 6, 7, 5] * 2] * 6, np.uint8))] * 3
    other = as_dataset(swapped, class_map={"sky": 7, "road": 6, "car": 5})
    with pytest.raises(DataError, match=r"masks of the validation data have another meaning \(.*class_map=training"):
        as_joined_dataset(training, other)
    plain = as_dataset([Sample(image, np.array([[0, 1, 2, 0] * 2] * 6, np.uint8))], classes=training.classes)
    assert plain.class_map != training.class_map
    assert as_joined_dataset(training, plain).splits() == {"train": 10, "val": 1}


def test_missing_validation_images_are_named_with_the_ways_out() -> None:
    """A single image leaves none for validation: the advice holds for training and for evaluation."""
    image, mask = np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=np.uint8)
    dataset = as_dataset([(image, mask)]).with_splits()
    words = (
        r"at least one image to train on and one to validate on: add images, or type validation=\.\.\.; to evaluate, "
        "type split='train' or split='all'"
    )
    with pytest.raises(DataError, match=words):
        dataset.split("val")


def test_label_mapping_counts_for_classes_in_any_order(tmp_path: Path, write: Write) -> None:
    """classes= puts the names in order; the ids in the masks still come from the dataset's own file."""
    (tmp_path / "label_mapping.json").write_text('{"background": 0, "field": 1, "water": 2}')
    write("IMAGES/1.png", "IMAGES/2.png")
    write("MASKS/1.png", value=1)
    write("MASKS/2.png", value=2)
    dataset = load_dataset(tmp_path, classes=["water", "field", "background"])
    assert dataset.classes == ["water", "field", "background"]
    assert (dataset.mask(0) == 1).all()
    assert (dataset.mask(1) == 0).all()


def test_validation_split_of_the_files_is_used(tmp_path: Path, write: Write) -> None:
    """Datasets with splits of their own give their training and validation images."""
    mask = np.eye(6, 8, dtype=np.uint8)
    for split, count in (("train", 3), ("val", 2)):
        write(*(f"{split}/images/{at}.png" for at in range(count)))
        write(*(f"{split}/masks/{at}.png" for at in range(count)), value=mask)
    assert as_joined_dataset(tmp_path, tmp_path).splits() == {"train": 3, "val": 2}


def test_contradictions_in_masks_are_found_while_reading(folder: Path) -> None:
    """Too few names are refused by load_dataset, before any training."""
    with pytest.raises(ClassMapError, match=r"ignore=\[2\]"):
        load_dataset(folder, classes=["a", "b"])


def test_reading_a_dataset_needs_no_torch(folder: Path) -> None:
    """Finding format, classes and splits stays fast: torch is not imported."""
    code = (
        "import sys; from easyseg.data.reading import load_dataset; "
        f"d = load_dataset({str(folder)!r}); d.verify(); d.image(0); d.mask(0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "arguments", "task", "splits", "words"),
    [
        ("camvid", {}, "multiclass", {"train": 367, "val": 101}, "'/SegNet/CamVid'"),
        ("camvid", {"ignore": [11]}, "multiclass", {"train": 367, "val": 101}, "11 does not count"),
        ("rooftops", {}, "binary", {"train": 21, "val": 4, "test": 5}, "4.2% in-between values (antialiased)"),
        ("aerial_buildings", {}, "binary", {"train": 25, "val": 9, "test": 7}, "0/255 masks"),
        ("isbi2012_membrane/train", {}, "binary", {"train": 24, "val": 6}, "type class_map={'foreground': 0}"),
        (
            "pennfudan",
            {"task": "binary", "classes": ["person"]},
            "binary",
            {"train": 34, "val": 9},
            "every value but 0",
        ),
        ("icevision_samples/camvid", {}, "multiclass", {"train": 4, "val": 1}, "'Void' (value 30)"),
    ],
)
def test_real_datasets(
    shared_data: Path, name: str, arguments: dict[str, Any], task: str, splits: dict[str, int], words: str
) -> None:
    """Published datasets are understood without help, and described."""
    dataset = load_dataset(shared_data / name, **arguments)
    assert dataset.task == task
    assert dataset.splits() == splits
    assert words in dataset.describe()
    train = dataset.split("train")
    train.verify()
    assert train.mask(0).shape == train.size_hw(0)
    assert train.pixel_counts().sum() > 0


def test_real_inverted_membranes(shared_data: Path) -> None:
    """class_map={'membrane': 0} takes the dark lines for the class: a fifth of the pixels."""
    dataset = load_dataset(shared_data / "isbi2012_membrane/train", class_map={"membrane": 0})
    share = dataset.pixel_counts().sum() / (len(dataset) * 512 * 512)
    assert 0.2 < share < 0.25


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8])
def test_annotations_of_images_with_any_number_of_bands(bands: int) -> None:
    """The picture to look at has three channels, whatever the image has."""
    image = np.random.default_rng(0).integers(0, 256, (9, 8, bands), dtype=np.uint8)
    found = as_dataset([Sample(image, np.eye(9, 8, dtype=np.uint8))]).annotation(0)
    assert found.image.shape == (9, 8, 3)
    np.testing.assert_array_equal(found.image[..., 0], image[..., 0])


def test_what_may_be_why_no_format_fits(tmp_path: Path) -> None:
    """A JSON file that is cut off, and a name that nothing has, are named."""
    (tmp_path / "instances.json").write_text('{"images": [{"id": 1,')
    with pytest.raises(FormatError, match=r"instances\.json is cut off or no JSON"):
        load_dataset(tmp_path)
    (tmp_path / "instances.json").write_text('{"some": "thing"}')
    with pytest.raises(FormatError, match=r"Nothing there is called 'instance\.json'; did you mean 'instances\.json'"):
        load_dataset(tmp_path, annotations="instance.json")
