"""What folders say: splits, and which files may belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyseg.data.formats.places import agree, place_of, split_of_folders, split_of_name

ROOT = Path("data")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("images/train/a.png", "labels/train/a.txt"),
        ("train/images/a.png", "labels/train/a.txt"),
        ("valid/images/a.png", "val/labels/a.txt"),
        ("Town/images/a.png", "town/labels/a.txt"),
        ("train_images/a.png", "train_labels/a.txt"),
        ("a.png", "labels/a.txt"),
    ],
)
def test_places_that_are_the_same(one: str, other: str) -> None:
    """Words for images and labels do not count, nor do the spelling of splits and the order of the folders."""
    assert place_of(ROOT / one, ROOT) == place_of(ROOT / other, ROOT)


@pytest.mark.parametrize(
    ("one", "other", "do_agree"),
    [
        ("images/a.png", "town/labels/a.txt", True),
        ("town/train/a.png", "labels/train/a.txt", True),
        ("images/train/a.png", "labels/val/a.txt", False),
        ("city1_train/images/a.png", "city2_train/labels/a.txt", False),
        ("town/a.png", "city/a.txt", False),
        ("Train/a.png", "my_train/a.txt", False),
    ],
)
def test_places_that_may_be_of_one_file(one: str, other: str, do_agree: bool) -> None:
    """One place may say more than the other, but nothing else."""
    assert agree(place_of(ROOT / one, ROOT), place_of(ROOT / other, ROOT)) is do_agree


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("data/train2017/x", "train"),
        ("data/train/valid", "val"),
        ("data", None),
        ("elsewhere/train", None),
        ("data/trainval", None),
    ],
)
def test_splits_of_folders(folder: str, split: str | None) -> None:
    """The nearest folder below the dataset's own that names a split counts."""
    assert split_of_folders(Path(folder), ROOT) == split


def test_names_for_both() -> None:
    """A name for training and validation together says neither."""
    assert [split_of_name(name) for name in ("train", "train_val", "trainval2012", "stage1_test")] == [
        "train",
        None,
        None,
        "test",
    ]
