"""A mask of black and white among masks of class ids is named, never trained on as if white did not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.config import CheckSettings
from easyseg.data.check.doctor import examine_folder
from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.classes.white_masks import WhiteMasksError
from easyseg.data.reading import load_dataset
from easyseg.structures import Sample

IDS = np.array([[0, 1, 2, 3]] * 4, np.uint8)
BORDERED = np.array([[0, 1, 2, 255]] * 4, np.uint8)
WHITE = np.array([[0, 0, 255, 255]] * 4, np.uint8)
THIN = np.array([[0, 0, 0, 255]] * 4, np.uint8)
WORDS = r"holds 0 and 255 only, while the others hold class ids.*on_bad_sample='skip'.*ignore=\[255\]"


def samples(*masks: np.ndarray) -> list[Sample]:
    """Return images in memory with these masks."""
    return [Sample(np.zeros((4, 4, 3), np.uint8), mask, label=f"number {at}") for at, mask in enumerate(masks)]


def write(folder: Path, *masks: np.ndarray) -> Path:
    """Write images and these masks."""
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for at, mask in enumerate(masks):
        Image.fromarray(generator.integers(0, 255, (4, 4, 3), np.uint8)).save(folder / "images" / f"{at:03}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{at:03}.png")
    return folder


def test_it_is_refused_by_name(tmp_path: Path) -> None:
    """Where no mask of ids holds 255, nothing speaks for a border; the doctor names it, too."""
    folder = write(tmp_path / "few", IDS, IDS, WHITE, IDS)
    with pytest.raises(WhiteMasksError, match=rf"002\.png: the mask {WORDS}"):
        load_dataset(folder)
    finding = next(each for each in examine_folder(folder, {}, CheckSettings()) if each.kind == "black_and_white_masks")
    assert [str(case.name) for case in finding.cases] == ["masks/002.png"]
    with pytest.raises(WhiteMasksError, match="number 2"):
        infer_class_map(samples(IDS, IDS, WHITE, IDS))


def test_it_is_left_out_by_name(tmp_path: Path) -> None:
    """With on_bad_sample="skip" it is listed, and 255 means nothing in what is left."""
    dataset = load_dataset(write(tmp_path / "few", IDS, IDS, WHITE, IDS), on_bad_sample="skip")
    assert len(dataset) == 3
    (skipped,) = dataset.skipped
    assert skipped.path.endswith("002.png")
    assert "holds 0 and 255 only" in skipped.problem
    assert dataset.class_map.ignored == ()
    assert any("002.png" in note for note in dataset.notes)


def test_all_masks_are_looked_at_before_some_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a larger dataset, so are those that decided nothing."""
    monkeypatch.setattr("easyseg.data.classes.mask_values.MOST_MASKS", 4)
    folder = write(tmp_path / "many", WHITE, WHITE, *[IDS] * 6)
    dataset = load_dataset(folder, on_bad_sample="skip")
    assert len(dataset) == 6


def test_most_masks_are_not_left_out(tmp_path: Path) -> None:
    """Where most masks are black and white, it is rather the others that are wrong."""
    with pytest.raises(WhiteMasksError, match="3 files have problems"):
        load_dataset(write(tmp_path / "most", IDS, WHITE, WHITE, WHITE), on_bad_sample="skip")


def test_whoever_ignores_white_is_believed() -> None:
    """So is whoever gives 255 a class."""
    found = infer_class_map(samples(IDS, IDS, WHITE), ignore=[255])
    assert found.ignored == (255,)
    assert infer_class_map(samples(IDS, WHITE), class_map={"white": 255, "other": "rest"}).ignored == ()
    assert infer_class_map(samples(IDS, IDS, IDS)).ignored == ()


def test_a_border_like_that_of_other_masks_is_believed_and_told() -> None:
    """Where 255 is a border in masks of ids, a mask may hold nothing but it; with far more white, it may not."""
    found = infer_class_map(samples(BORDERED, *[IDS] * 8, THIN))
    assert found.note.endswith("; 255 does not count; 255 does not count in 1 mask of 0 and 255 only, either")
    found = infer_class_map(samples(BORDERED, *[IDS] * 8, WHITE))  # twice the share
    assert "in 1 mask of 0 and 255 only" in found.note
    narrow = BORDERED.repeat(3, axis=1)
    narrow[:, -2:] = 0
    with pytest.raises(WhiteMasksError, match="number 9"):
        infer_class_map(samples(narrow, *[IDS] * 8, WHITE))


def test_many_such_masks_are_how_a_dataset_leaves_out_much() -> None:
    """As long as others have such a border at all."""
    narrow = BORDERED.repeat(3, axis=1)
    narrow[:, -2:] = 0
    assert "in 2 masks of 0 and 255" in infer_class_map(samples(narrow, *[IDS] * 6, WHITE, WHITE)).note


def test_one_class_among_others_is_asked_for_alike() -> None:
    """class_map={"a": 1} takes everything else for background, but not what 255 may mean."""
    with pytest.raises(WhiteMasksError, match="number 2"):
        infer_class_map(samples(IDS, IDS, WHITE), class_map={"a": 1})
