"""Datasets that cannot be loaded are opened as far as they can be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easyseg import ClassMap
from easyseg.data.check.opening import open_folder
from easyseg.errors import DataError
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


def test_sound_datasets_are_simply_loaded(shapes: Path) -> None:
    """Nothing is wrong, and the classes are known."""
    opened = open_folder(shapes, {})
    assert opened.findings == ()
    assert opened.class_map is not None
    assert len(opened.samples) == 24


def test_several_masks_for_one_image(shapes: Path, examine: Examine) -> None:
    """Both masks are named, and neither is called an orphan."""
    mask = sorted((shapes / "train/masks").iterdir())[0]
    shutil.copy(mask, mask.with_suffix(".bmp"))
    checkup = examine(shapes)
    (case,) = checkup["conflicting_masks"].cases
    assert case.name == f"train/images/{mask.name}"
    assert f"train/masks/{mask.stem}.bmp and train/masks/{mask.name}" in case.detail
    assert str(shapes) not in case.detail
    assert "orphan_masks" not in checkup


def test_two_images_of_one_name(shapes: Path, examine: Examine) -> None:
    """Images that share a mask cannot be told apart."""
    image = sorted((shapes / "train/images").iterdir())[0]
    write_image(image.with_suffix(".bmp"), np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    checkup = examine(shapes)
    assert [case.name for case in checkup["twin_images"].cases] == [
        f"train/images/{image.stem}.bmp = train/images/{image.name}"
    ]
    assert checkup["twin_images"].found.startswith("1 name stands for several images")


def test_lists_that_name_what_is_not_there(shapes: Path, examine: Examine) -> None:
    """A line that leads nowhere is told with its list, and the files are examined all the same."""
    train = shapes / "train"
    (train / "train.txt").write_text("shapes_0000\nshapes_9999\n")
    checkup = examine(train)
    assert checkup["layout"].cases[0].name == "train.txt"
    assert "shapes_9999" in checkup["layout"].found
    assert checkup.num_images == 16


def test_one_folder_per_class(tmp_path: Path, examine: Examine) -> None:
    """Where a class's mask is missing, the image is told to lack it."""
    for number in range(6):
        write_image(
            tmp_path / f"images/{number}.png", np.random.default_rng(number).integers(0, 255, (9, 9, 3), np.uint8)
        )
        for name in ("road", "car"):
            if (number, name) != (4, "car"):
                write_image(tmp_path / f"masks/{name}/{number}.png", np.eye(9, dtype=np.uint8) * 255)
    checkup = examine(tmp_path)
    assert [case.name for case in checkup["missing_masks"].cases] == ["images/4.png"]
    assert checkup.classes == ("car", "road")


def test_a_class_map_that_is_ready_is_used(shapes: Path, examine: Examine) -> None:
    """A given class map needs no masks to be understood."""
    sorted((shapes / "train/masks").iterdir())[0].write_bytes(b"")
    class_map = ClassMap("multiclass", ("ground", "disc", "square", "triangle"), ignored=(255,))
    assert examine(shapes, class_map=class_map).classes == class_map.names
    assert examine(shapes, class_map=class_map.to_dict()).classes == class_map.names


def test_named_folders_of_images_and_masks(shapes: Path, examine: Examine) -> None:
    """The arguments of `load_dataset` say where files are, also in a broken dataset."""
    (shapes / "train").rename(shapes / "one")
    (shapes / "one/masks").rename(shapes / "one/two")
    sorted((shapes / "one/two").iterdir())[0].unlink()
    checkup = examine(shapes / "one", images="images", masks="two")
    assert checkup["missing_masks"].count == 1
    assert checkup.num_images == 16


def test_wrong_arguments_are_refused(shapes: Path, examine: Examine) -> None:
    """A folder that is not there is refused; names that do not fit are told, for the rest is examined all the same."""
    with pytest.raises(DataError, match="nowhere"):
        open_folder(shapes / "train", {"images": "nowhere", "masks": "masks"})
    checkup = examine(shapes, classes=["one", "two"])
    assert "4 mask values" in checkup["masks_not_understood"].found
    assert checkup.num_masks == 24


def test_folders_without_masks_are_refused(shapes: Path) -> None:
    """With images alone there is nothing to examine."""
    shutil.rmtree(shapes / "train/masks")
    with pytest.raises(DataError):
        open_folder(shapes / "train", {})
