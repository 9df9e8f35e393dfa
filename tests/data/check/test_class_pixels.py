"""Pixels of each class, worked out from values alone, are those of the encoded masks."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.check import class_pixels
from easyseg.data.check.class_pixels import colors_of, count_classes
from easyseg.data.check.digest import digest_masks
from easyseg.structures import IGNORE_INDEX, ClassMap

MAPS = {
    "multiclass": ClassMap("multiclass", ("a", "b", "c"), values=(0, 3, 7), ignored=(9,)),
    "binary": ClassMap("binary", ("a",), values=(3,), background=(0, 7), ignored=(9,)),
    "groups": ClassMap("multiclass", ("a", "b"), values=(3, 0), more_values=((7,), ()), ignored=(9,), rest=1),
    "binary rest": ClassMap("binary", ("a",), values=(3,), more_values=((7,),), background=(), ignored=(9,), rest=0),
    "threshold": ClassMap("binary", ("a",), "threshold", threshold=5, ignored=(9,)),
    "inverted": ClassMap("binary", ("a",), "threshold", threshold=5, inverted=True),
    "colours": ClassMap(
        "multiclass", ("a", "b"), "colors", colors=((0, 0, 0), (3, 3, 3)), ignored_colors=((9, 9, 9), (7, 7, 7))
    ),
    "groups of colours": ClassMap(
        "multiclass", ("a", "b"), "colors", colors=((3, 3, 3), (1, 1, 1)), more_colors=(((7, 7, 7),), ()), rest=1
    ),
    "one colour": ClassMap(
        "binary", ("a",), "colors", colors=((3, 3, 3),), background_colors=((0, 0, 0), (7, 7, 7), (9, 9, 9))
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_pixels_are_those_of_the_encoded_mask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every encoding, counts from values equal counts from pixels, whatever the size of a block."""
    monkeypatch.setattr(class_pixels, "_BLOCK", 3)
    class_map = MAPS[name]
    generator = np.random.default_rng(0)
    masks = [generator.choice([0, 3, 7, 9], (6, 5)).astype(np.uint8) for _ in range(8)]
    if class_map.encoding == "colors":
        masks = [np.repeat(mask[..., None], 3, axis=2) for mask in masks]
    digest = digest_masks(masks)
    pixels = count_classes(digest, np.zeros(len(masks), int), class_map)
    for row, mask in enumerate(masks):
        ids = class_map.encode(mask)
        first = 1 if class_map.task == "binary" else 0
        expected = [int((ids == first + at).sum()) for at in range(class_map.num_classes)]
        assert pixels.of_class[row].tolist() == expected
        assert pixels.ignored[row] == (ids == IGNORE_INDEX).sum()
        assert pixels.background[row] == ((ids == 0).sum() if class_map.task == "binary" else 0)
    assert not pixels.unknown.any()


def test_unknown_values_are_told() -> None:
    """Values that no class has are counted, and marked among the values."""
    digest = digest_masks([np.array([[0, 3, 77]], np.uint8), np.array([[0, 3, 7]], np.uint8)])
    pixels = count_classes(digest, np.zeros(2, int), MAPS["multiclass"])
    assert pixels.unknown.tolist() == [1, 0]
    assert digest.values[pixels.is_unknown].tolist() == [77]


def test_masks_of_one_class_each_count_for_their_class() -> None:
    """For overlapping classes, the number of the mask is the class."""
    class_map = ClassMap("multilabel", ("a", "b"), "threshold")
    digest = digest_masks([np.array([[255, 0]], np.uint8), np.array([[255, 255]], np.uint8)])
    pixels = count_classes(digest, np.array([0, 1]), class_map)
    assert pixels.of_class.tolist() == [[1, 0], [0, 2]]
    assert pixels.background.tolist() == [1, 0]


def test_colours_of_grey_and_palette_values() -> None:
    """Grey values are grey, palette values have the palette's colour, black where it has none."""
    digest = digest_masks([np.array([[5, 6]], np.uint8), np.array([[0, 1]], np.uint8)])
    digest.kind[1] = 1
    digest.palettes[1] = ((1, 2, 3),)
    assert colors_of(digest).tolist() == [0x050505, 0x060606, 0x010203, 0]
