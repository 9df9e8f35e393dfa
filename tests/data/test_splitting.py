"""Splits are drawn by file name: repeatable, exact, and the same on every machine."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.reading import load_dataset
from easyseg.data.shapes import write_shapes
from easyseg.data.splitting import assign_splits
from easyseg.structures import Sample, Split


def named(count: int, *, split: Split | None = None, root: str = "/data", mask: bool = True) -> list[Sample]:
    """Return samples of numbered files."""
    target = Path("mask.png") if mask else None
    return [Sample(Path(root) / f"images/{at:03}.png", target, split) for at in range(count)]


def validation_names(samples: list[Sample], *, seed: int = 0, root: str = "/data", fraction: float = 0.2) -> set[str]:
    """Return the names put aside for validation."""
    assigned = assign_splits(samples, root=Path(root), fraction=fraction, seed=seed)
    return {sample.name for sample in assigned.samples if sample.split == "val"}


def test_split_is_exact_and_said() -> None:
    """A fifth of 50 images is 10, and the note says how they were chosen."""
    assigned = assign_splits(named(50), root=Path("/data"), fraction=0.2, seed=7)
    assert sum(sample.split == "val" for sample in assigned.samples) == 10
    assert all(sample.split in ("train", "val") for sample in assigned.samples)
    assert assigned.note == "10 of 50 images put aside for validation, drawn from all images by file name with seed 7"


def test_split_depends_on_seed_and_names_only() -> None:
    """The same names give the same split in any order and any folder; another seed gives another."""
    names = validation_names(named(50))
    shuffled = named(50)
    random.Random(0).shuffle(shuffled)
    assert validation_names(shuffled) == names
    assert validation_names(named(50, root="/elsewhere"), root="/elsewhere") == names
    assert validation_names(named(50), seed=1) != names


def test_known_split() -> None:
    """The choice is fixed for ever: a changed one would mix training and validation images of old runs."""
    assert sorted(validation_names(named(10))) == ["003.png", "005.png"]


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (5, 1), (6, 1), (8, 2)])
def test_small_datasets_keep_an_image_for_training(count: int, expected: int) -> None:
    """Two images give one each; a single one is for training."""
    assert len(validation_names(named(count))) == expected


def test_validation_is_drawn_from_training_and_never_from_test() -> None:
    """With train and test given, test stays and validation comes from train."""
    test = [Sample(Path(f"/data/test/{at}.png"), Path("m.png"), "test") for at in range(5)]
    assigned = assign_splits([*named(10, split="train"), *test], root=Path("/data"), fraction=0.2, seed=0)
    splits = [sample.split for sample in assigned.samples]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (8, 2, 5)
    assert "drawn from the training split" in assigned.note


def test_given_splits_stay() -> None:
    """Where the files give validation, nothing is drawn; images without split are for training."""
    samples = [*named(3, split="train"), *named(2, split="val"), *named(1)]
    assigned = assign_splits(samples, root=None, fraction=0.2, seed=0)
    assert [sample.split for sample in assigned.samples] == ["train"] * 3 + ["val"] * 2 + ["train"]
    assert assigned.note == ""
    only_test = assign_splits(named(2, split="test"), root=None, fraction=0.2, seed=0)
    assert [sample.split for sample in only_test.samples] == ["test", "test"]


def test_images_without_mask_are_never_put_aside() -> None:
    """Validation needs masks."""
    samples = [*named(5), *(Sample(Path(f"/data/plain/{at}.png")) for at in range(20))]
    assigned = assign_splits(samples, root=Path("/data"), fraction=0.5, seed=0)
    assert all(sample.mask is not None for sample in assigned.samples if sample.split == "val")
    assert sum(sample.split == "val" for sample in assigned.samples) == 2


def test_nothing_is_drawn_without_a_fraction_or_images() -> None:
    """A fraction of 0 leaves everything for training; no images give no split."""
    assert validation_names(named(5), fraction=0.0) == set()
    assert assign_splits([], root=None, fraction=0.2, seed=0).samples == ()


def test_arrays_are_drawn_by_label_or_number() -> None:
    """Images in memory are told apart, too."""
    image = np.zeros((2, 2, 3), np.uint8)
    samples = [Sample(image, image[..., 0]) for _ in range(10)]
    assigned = assign_splits(samples, root=None, fraction=0.3, seed=0)
    assert sum(sample.split == "val" for sample in assigned.samples) == 3


def test_images_that_no_split_names_are_told(tmp_path: Path) -> None:
    """A test folder of another name becomes training data, but not in silence."""
    write_shapes(tmp_path / "drawn", count=12, size=32)
    folder = tmp_path / "drawn"
    (folder / "test").rename(folder / "holdout")
    dataset = load_dataset(folder)
    (note,) = [note for note in dataset.notes if "called by a split" in note]
    assert note.startswith(
        "Note: 2 images are in no folder or list that is called by a split, such as those in holdout/"
    )
    assert note in dataset.reading
    assert not [note for note in load_dataset(folder / "train").notes if "called by a split" in note]
