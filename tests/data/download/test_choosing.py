"""Images are chosen fairly, the same ones every time, and names that could do harm are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from easyseg.data.download.choosing import (
    checked_image_id,
    checked_mask_name,
    choose_images,
    choose_masks,
    machine_names,
)
from easyseg.data.formats.open_images.mask_index import MaskIndex
from easyseg.errors import DownloadError, UnknownNameError


def index_of(*images: str) -> MaskIndex:
    """Return an index of images whose masks have the classes of these letters."""
    letters = "".join(images)
    labels = tuple(sorted(set(letters)))
    return MaskIndex(
        image_ids=np.array([f"{at:016x}".encode() for at in range(len(images))]),
        starts=np.cumsum([0, *map(len, images)]).astype(np.int64),
        splits=np.zeros(len(images), np.uint8),
        labels=labels,
        label_ids=np.array([labels.index(letter) for letter in letters], np.uint16),
        names=np.array([f"{at}.png".encode() for at in range(len(letters))]),
        boxes=np.zeros((len(letters), 4), np.float32),
        predicted_ious=np.zeros(len(letters), np.float32),
    )


def test_each_class_gets_its_share() -> None:
    """A rare class is not lost among a frequent one; images of several classes count for each."""
    index = index_of("A", "A", "AA", "A", "B", "A", "B", "AB", "C")
    assert choose_images(index, None, None).tolist() == list(range(9))
    assert choose_images(index, ["A", "B"], 4).tolist() == [0, 1, 4, 6]
    assert choose_images(index, ["A", "B", "C"], 3).tolist() == [0, 4, 8]
    assert choose_images(index, ["B"], 10).tolist() == [4, 6, 7]
    assert choose_images(index, ["none"], 10).tolist() == []


def test_a_larger_limit_only_adds_images() -> None:
    """What was fetched for a smaller one stays in use."""
    dice = np.random.default_rng(0)
    index = index_of(*("".join(dice.choice(list("ABCD"), dice.integers(1, 4))) for _ in range(60)))
    chosen = [set(choose_images(index, ["A", "C"], limit).tolist()) for limit in range(1, 50)]
    assert all(smaller <= larger for smaller, larger in itertools.pairwise(chosen))
    assert [len(images) for images in chosen[:20]] == list(range(1, 21))


def test_masks_of_the_classes_alone() -> None:
    """Other objects of the images are none that was asked for."""
    index = index_of("AB", "B", "BAA")
    assert choose_masks(index, np.array([0, 2]), ["A"]).tolist() == [0, 4, 5]
    assert choose_masks(index, np.array([0, 2]), None).tolist() == [0, 1, 3, 4, 5]


def test_names_of_classes() -> None:
    """By name in any case, or by machine name; each once."""
    titles = {"/m/1": "Cat", "/m/2": "Dog"}
    assert machine_names(["dog", "Cat", "/m/2"], titles) == ("/m/1", "/m/2")
    with pytest.raises(UnknownNameError, match=r"No class of Open Images named 'Dogg'\. Did you mean 'Dog'"):
        machine_names(["Dogg"], titles)


@pytest.mark.parametrize("name", ["../../etc/passwd00", "0123456789ABCDEF", "0123", "", "0123456789abcdef/", "a\0" * 8])
def test_an_id_that_is_none(name: str) -> None:
    """It would become a file's name."""
    assert checked_image_id("0123456789abcdef") == "0123456789abcdef"
    with pytest.raises(DownloadError, match="16 hexadecimal digits"):
        checked_image_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "../0123456789abcdef_m01_1.png",
        "0123456789abcdef_m01_1.jpg",
        "0123456789abcdef_m01_../1.png",
        "0123456789abcdef.png",
        "fedcba9876543210_m01_1.png",
        "0123456789abcdef_m01_1.png\n",
    ],
)
def test_a_mask_that_is_none(name: str) -> None:
    """Neither is one of another image."""
    good = "0123456789abcdef_m01yrx_0a1b2c3d.png"
    assert checked_mask_name(good, "0123456789abcdef") == good
    with pytest.raises(DownloadError, match="expected a name such as 0123456789abcdef_m01yrx"):
        checked_mask_name(name, "0123456789abcdef")
