"""Open Images is read as it is published and as people prepare it, with the right pixels and classes."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easyseg import load_dataset
from easyseg.data.formats import find_format, open_images
from easyseg.data.formats.open_images import reader
from easyseg.errors import DataError, EasySegError, FormatError, SampleError, UnknownNameError

CAT, DOG, TREE = "/m/01yrx", "/m/0bt9lr", "/m/07j7r"
LEFT, SMALL, ALL = (0.0, 0.0, 0.5, 1.0), (0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 1.0, 1.0)


@pytest.fixture
def pets(published: Any) -> Path:
    """Four images: cats with a dog over them, in folders and in an archive."""
    for number in range(4):
        image = published.image(number)
        # the smaller one stands first in the table
        published.mask(image, DOG, SMALL, archive=number % 2 == 1)
        published.mask(image, CAT, LEFT, archive=number % 2 == 1)
    root: Path = published.write_tables()
    return root


def expected_pixels(height: int = 30, width: int = 40) -> np.ndarray:
    """Return the mask of each image of `pets`, drawn by hand: 1 is Cat, 2 is Dog."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 1
    mask[height // 2 :, width // 4 : 3 * width // 4] = 2
    return mask


def test_the_published_form(pets: Path) -> None:
    """Masks in folders and archives, of twice the image's size, are one map, the smaller over the larger."""
    assert find_format(pets).NAME == "open_images"
    dataset = load_dataset(pets)
    assert dataset.format == "open_images"
    assert dataset.classes == ["background", "Cat", "Dog"]
    assert len(dataset) == 4
    for index in range(4):
        np.testing.assert_array_equal(dataset.mask(index), expected_pixels())
    dataset.verify()
    assert "the smaller over the larger, by their boxes" in dataset.describe()


def test_instances(pets: Path) -> None:
    """Each mask is an object of its own, whole under the others."""
    dataset = load_dataset(pets)
    found = dataset.instances(1)
    assert [dataset.object_classes[place] for place in found.class_ids] == ["Cat", "Dog"]
    np.testing.assert_array_equal(found.boxes, [[0, 0, 20, 30], [10, 15, 30, 30]])
    assert found.masks.sum(axis=(1, 2)).tolist() == [600, 300]


@pytest.mark.parametrize("size", [(80, 60), (40, 30), (53, 40), (27, 20), (1600, 1199), (41, 31)])
def test_masks_of_other_sizes_are_brought_to_the_images(published: Any, size: tuple[int, int]) -> None:
    """Every pixel has the value of the mask's pixel that its centre lies in, whatever the rounding of the sides."""
    image = published.image(1)
    published.mask(image, CAT, LEFT, size=size)
    published.mask(image, DOG, SMALL, size=size)
    found = load_dataset(published.write_tables()).mask(0)
    width, height = size
    rows = np.minimum(((np.arange(30) + 0.5) * height / 30).astype(int), height - 1)
    columns = np.minimum(((np.arange(40) + 0.5) * width / 40).astype(int), width - 1)
    np.testing.assert_array_equal(found, expected_pixels_at(size)[rows[:, None], columns[None, :]])


def expected_pixels_at(size: tuple[int, int]) -> np.ndarray:
    """Return what the masks hold at their own size."""
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[:, : round(0.5 * width)] = 1
    mask[round(0.5 * height) :, round(0.25 * width) : round(0.75 * width)] = 2
    return mask


def test_a_mask_of_another_shape_is_refused(published: Any) -> None:
    """A mask for the image before it was turned does not fit by stretching it."""
    image = published.image(1, size=(400, 300))
    published.mask(image, CAT, LEFT, size=(600, 800))
    dataset = load_dataset(published.write_tables(), task="multiclass")
    with pytest.raises(SampleError, match=r"600 x 800 pixels, the image 400 x 300.*may be turned"):
        dataset.mask(0)


def test_classes_by_name_and_by_machine_name(pets: Path, published: Any) -> None:
    """A class is called as it was asked for, in the order of the asking; the others are background."""
    assert load_dataset(pets, classes=["Dog", "Cat"]).classes == ["background", "Dog", "Cat"]
    dataset = load_dataset(pets, classes=[DOG])
    assert dataset.classes == [DOG]
    assert dataset.task == "binary"
    np.testing.assert_array_equal(dataset.mask(0), expected_pixels() == 2)
    with pytest.raises(UnknownNameError, match="Did you mean 'Dog'"):
        load_dataset(pets, classes=["Dgo"])
    with pytest.raises(UnknownNameError, match="Did you mean 'Dog'"):
        load_dataset(pets, classes=["Cat", "Dgo"])


def test_classes_put_together(pets: Path) -> None:
    """`class_map` names the objects of a class, as in every format with objects."""
    dataset = load_dataset(pets, class_map={"pet": ["Cat", DOG]})
    assert dataset.classes == ["pet"]
    np.testing.assert_array_equal(dataset.mask(0), expected_pixels() > 0)


def test_without_class_names_machine_names_count(published: Any) -> None:
    """They are what the table has."""
    image = published.image(1)
    published.mask(image, CAT, LEFT)
    published.mask(image, DOG, SMALL)
    assert load_dataset(published.write_tables(titles=[])).classes == ["background", CAT, DOG]


def test_images_without_the_classes_are_left_out(published: Any) -> None:
    """Nobody looked for the class in them; `unlabelled="background"` takes them for pictures of the background."""
    first, second = published.image(1), published.image(2)
    published.mask(first, CAT, LEFT)
    published.mask(second, DOG, LEFT)
    root = published.write_tables()
    dataset = load_dataset(root, classes=["Cat"])
    assert [sample.name for sample in dataset.samples] == [f"{first}.jpg"]
    assert "without any mask of the classes are left out: 1" in dataset.describe()
    both = load_dataset(root, classes=["Cat"], unlabelled="background")
    assert len(both) == 2
    assert not both.mask([sample.name for sample in both.samples].index(f"{second}.jpg")).any()


def test_pixels_that_nobody_verified_need_not_count(pets: Path) -> None:
    """With `unverified="ignore"` what no mask covers is 255."""
    dataset = load_dataset(pets, unverified="ignore")
    mask = expected_pixels()
    np.testing.assert_array_equal(dataset.mask(2), np.where(mask == 0, 255, mask))
    assert len(dataset.instances(2)) == 2
    alone = load_dataset(pets, unverified="ignore", classes=["Cat"])
    assert set(np.unique(alone.mask(0))) == {1, 255}


def test_splits_are_those_of_the_tables(published: Any) -> None:
    """Each table is a split; images that are in none of them are left out."""
    for split, count in {"train": 3, "validation": 2, "test": 1}.items():
        for number in range(count):
            image = published.image(100 * len(split) + number, split=split)
            published.mask(image, CAT, LEFT, split=split)
    published.image(7)
    assert load_dataset(published.write_tables()).splits() == {"train": 3, "val": 2, "test": 1}


def test_the_split_of_a_folder(published: Any) -> None:
    """A table whose name says nothing has the split of the folder it lies in."""
    image = published.image(1, folder="validation/data")
    published.mask(image, CAT, LEFT)
    root = published.write_tables()
    (root / "validation/labels").mkdir()
    (root / "train-annotations-object-segmentation.csv").rename(root / "validation/labels/segmentations.csv")
    assert load_dataset(root).splits() == {"val": 1}


def test_a_table_of_more_images_than_are_here(pets: Path) -> None:
    """Most people have a part of the images; the others are left out, and counted."""
    table = pets / "train-annotations-object-segmentation.csv"
    rows = "".join(f"{at:016x}_m01yrx_00000001.png,{at:016x},{CAT},1,0,1,0,1,0.9,\n" for at in range(50, 60))
    table.write_text(table.read_text() + rows)
    dataset = load_dataset(pets)
    assert len(dataset) == 4
    assert "not in the folder are left out: 10" in dataset.describe()


def test_a_missing_mask_is_an_error_or_skips_its_image(pets: Path) -> None:
    """Its object would be background; the message offers the classes that are whole."""
    cats = sorted((pets / "train-masks").glob("*_m01yrx_*"))
    cats[0].unlink()
    with pytest.raises(SampleError, match=r"1 masks of 1 images.*classes=\['Dog'\].*on_bad_sample='skip'"):
        load_dataset(pets)
    dataset = load_dataset(pets, on_bad_sample="skip")
    assert len(dataset) == 3
    assert len(dataset.skipped) == 1
    assert len(load_dataset(pets, classes=["Dog"])) == 4
    next((pets / "train-masks").glob(f"{cats[0].name[:16]}_m0bt9lr_*")).unlink()
    assert len(load_dataset(pets, on_bad_sample="skip").skipped) == 1
    with pytest.raises(SampleError, match=r"2 masks of 1 images\. Add the masks"):
        load_dataset(pets)


def test_a_folder_without_its_images_or_masks(pets: Path) -> None:
    """Both say what was looked for."""
    for mask in (*(pets / "train-masks").iterdir(), *pets.glob("*.zip")):
        mask.unlink()
    with pytest.raises(FormatError, match=r"none of the masks in train-annotations.*_m0bt9lr_00000001\.png"):
        load_dataset(pets)
    for image in (pets / "train").iterdir():
        image.unlink()
    with pytest.raises(FormatError, match=r"none of the images in train-annotations.*0000000000000000\.jpg"):
        load_dataset(pets)


def test_the_prepared_form(tmp_path: Path) -> None:
    """Images and masks by split, one table with display names; without boxes, rows are drawn in their order."""
    rows = ["MaskPath,ImageID,DisplayName,data_split"]
    for number, split in enumerate(["train", "train", "validation", "test"]):
        for folder, name, value in (("images", f"i{number}.jpg", 9), ("masks", f"i{number}_1.png", 255)):
            path = tmp_path / folder / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 8), value, np.uint8)).save(path)
        half = np.zeros((12, 16), np.uint8)
        half[:, :8] = 255
        Image.fromarray(half).save(tmp_path / "masks" / split / f"i{number}_2.png")
        rows += [f"i{number}_1.png,i{number},Tree,{split}", f"i{number}_2.png,i{number},House,{split}"]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    dataset = load_dataset(tmp_path)
    assert dataset.format == "open_images"
    assert dataset.classes == ["background", "House", "Tree"]
    assert dataset.splits() == {"train": 2, "val": 1, "test": 1}
    np.testing.assert_array_equal(dataset.mask(0), np.repeat([[1] * 4 + [2] * 4], 6, axis=0))
    assert "in the order of the table's rows" in dataset.describe()


def test_masks_named_as_their_images(tmp_path: Path) -> None:
    """In the prepared form a mask may have the image's own name, in the folder of masks."""
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((6, 8), 255, np.uint8)).save(tmp_path / folder / f"a1.{suffix}")
    (tmp_path / "data.csv").write_text("MaskPath,ImageID,DisplayName,data_split\na1.png,a1,Tree,train\n")
    dataset = load_dataset(tmp_path)
    assert dataset.samples[0].image == tmp_path / "images/a1.jpg"
    assert dataset.mask(0).all()


def test_folders_of_the_users(pets: Path) -> None:
    """`images` and `masks` may be named, with the format."""
    (pets / "train").rename(pets / "here")
    dataset = load_dataset(pets, format="open_images", images="here", masks=".")
    assert len(dataset) == 4


def test_one_of_several_tables(pets: Path) -> None:
    """`annotations` names it, also by a pattern; a table in a hidden folder, or too deep, does not count."""
    table = pets / "train-annotations-object-segmentation.csv"
    first = "\n".join(table.read_text().split("\n")[:3])
    (pets / "few.csv").write_text(first)
    (pets / ".hidden").mkdir()
    (pets / ".hidden/more.csv").write_text(first)
    (pets / "a/b/c").mkdir(parents=True)
    (pets / "a/b/c/more.csv").write_text(first)
    assert len(load_dataset(pets, annotations="few.csv")) == 1
    assert len(load_dataset(pets, annotations="train-*.csv")) == 4
    with pytest.raises(FormatError, match=r"masks of 1 images .*annotations='few\.csv' or annotations='train-anno"):
        load_dataset(pets)
    assert not open_images.recognises(pets, "none.csv")
    assert not open_images.recognises(pets / "train")
    assert not open_images.recognises(pets / "few.csv")
    with pytest.raises(FormatError, match="no table of masks found"):
        open_images.read(pets / "train")


def test_too_many_tables(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of hundreds of them is a mistake."""
    monkeypatch.setattr(reader, "_MOST_TABLES", 0)
    with pytest.raises(FormatError, match="1 tables of masks"):
        load_dataset(pets)


def test_samples_are_built_when_they_are_asked_for(pets: Path) -> None:
    """Selecting builds none, and a dataset can be sent to a worker process."""
    dataset = load_dataset(pets)
    sent = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(sent.mask(3), expected_pixels())
    assert len(dataset.split("train")) == 3
    assert dataset.fingerprint() == load_dataset(pets).fingerprint()


def test_a_changed_archive_is_a_plain_error(pets: Path) -> None:
    """Masks that were there when the dataset was opened, and are no more."""
    dataset = load_dataset(pets)
    before = dataset.fingerprint()
    (pets / "train-masks-0.zip").write_bytes(b"PK\5\6" + bytes(18))
    with pytest.raises(SampleError, match="the archive has changed"):
        dataset.mask(1)
    with pytest.raises(SampleError):
        dataset.verify()
    assert dataset.fingerprint() == before


def test_a_broken_mask_is_found_before_training(pets: Path) -> None:
    """`verify` looks at masks that are scaled, too; with "skip" their images are left out."""
    broken = next((pets / "train-masks").iterdir())
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(SampleError, match=broken.name):
        load_dataset(pets).verify()
    assert len(load_dataset(pets, on_bad_sample="skip")) == 3


def test_links_out_are_left_out_with_a_note(pets: Path, tmp_path: Path) -> None:
    """Images elsewhere are not read through a link."""
    image = next((pets / "train").iterdir())
    image.rename(tmp_path / image.name)
    image.symlink_to(tmp_path / image.name)
    dataset = load_dataset(pets)
    assert len(dataset) == 3
    assert "Links that lead out of the folder are left out: 1" in dataset.describe()


HOSTILE = ["../secret.png", "/etc/passwd", "..\\..\\secret.png", "a\0b.png", "train-masks", "", ".", "..", "x" * 5000]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("column", [0, 1])
def test_hostile_names_read_nothing_outside(pets: Path, tmp_path: Path, name: str, column: int) -> None:
    """Names are looked up among the files of the folder, and never made into paths."""
    Image.new("1", (8, 6), 1).save(tmp_path / "secret.png")
    Image.new("RGB", (8, 6)).save(tmp_path / "secret.jpg")
    table = pets / "train-annotations-object-segmentation.csv"
    row = ["0000000000000000_m01yrx_9.png", "0000000000000000", CAT, "9", "0", "1", "0", "1", "0.5", ""]
    row[column] = name
    table.write_text(table.read_text() + ",".join(row) + "\n")
    try:
        dataset = load_dataset(pets, on_bad_sample="skip")
    except DataError:
        return
    root = pets.resolve()
    for sample in dataset.samples:
        assert sample.image_path is not None
        assert sample.image_path.resolve().is_relative_to(root)
        for item in sample.objects or ():  # type: ignore[union-attr]
            source = item.shape.mask
            assert (source if isinstance(source, Path) else source.archive).resolve().is_relative_to(root)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Return bytes with some of them changed, taken out or doubled."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(changed) + 1)
        changed[at : at + dice.randrange(4)] = dice.choice([b"", b",", b"\n", b'"', b"\0", dice.randbytes(3), b"9" * 9])
    return bytes(changed)


def try_mutations(root: Path, count: int) -> int:
    """Read mutated tables, class names, masks and archives, and return how many were refused."""
    dice, refused = random.Random(2), 0
    victims = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".jpg")
    for _ in range(count):
        victim = dice.choice(victims)
        whole = victim.read_bytes()
        victim.write_bytes(mutate(whole, dice))
        try:
            dataset = load_dataset(root)
            for index in range(len(dataset)):
                dataset.mask(index)
                dataset.instances(index)
        except EasySegError:
            refused += 1
        finally:
            victim.write_bytes(whole)
    return refused


def test_mutated_files_are_plain_errors(pets: Path) -> None:
    """Whatever is damaged, nothing but an error of our own comes out."""
    assert try_mutations(pets, 120) > 40


@pytest.mark.slow
def test_many_mutated_files_are_plain_errors(pets: Path) -> None:
    """The same, 2,000 times."""
    assert try_mutations(pets, 2000) > 600
