"""Samples, images within other files, and long sequences of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easyseg.data.sequences import annotated_places, chosen, splits_of, with_splits
from easyseg.data.splitting import assign_splits
from easyseg.structures import (
    BoxShape,
    EmbeddedImage,
    ImageWindow,
    LabelledObject,
    LazySamples,
    NumberedObjects,
    Sample,
)


def lazy(count: int, *splits: int) -> tuple[LazySamples, list[int]]:
    """Return samples that are built when asked for, and the list that tells which were."""
    built: list[int] = []

    def build(number: int) -> Sample:
        built.append(number)
        return Sample(Path(f"{number}.png"), objects=())

    return LazySamples(build, np.array(splits or [255] * count, np.uint8)), built


def test_what_counts_as_annotated() -> None:
    """A mask, objects, numbered objects, or the fact that there are none; but not nothing."""
    box = LabelledObject("a", BoxShape(0, 0, 1, 1))
    assert not Sample("a.png").is_annotated
    for sample in (
        Sample("a.png", "b.png"),
        Sample("a.png", objects=[box]),
        Sample("a.png", objects=()),
        Sample("a.png", objects=NumberedObjects(Path("b.png"))),
    ):
        assert sample.is_annotated
    assert Sample("a.png", objects=[box]).objects == (box,)


def test_images_within_other_files() -> None:
    """They have a name and the path of the file that they lie in."""
    embedded = Sample(EmbeddedImage(Path("x/a.json")), objects=())
    window = Sample(ImageWindow(Path("x/a.tif"), 10, 20, (5, 5)), objects=())
    assert (embedded.name, embedded.image_path) == ("a.json", Path("x/a.json"))
    assert (window.name, window.image_path) == ("a.tif@10,20", Path("x/a.tif"))
    assert Sample(np.zeros((2, 2), np.uint8)).image_path is None
    assert Sample("x/b.png").image_path == Path("x/b.png")


def test_long_sequences_are_built_late() -> None:
    """Counting, splitting and choosing build no sample; looking at one builds that one."""
    samples, built = lazy(1000, *[0, 1, 2, 255] * 250)
    assert len(samples) == 1000
    assert splits_of(samples)[:4] == ["train", "val", "test", None]
    part = chosen(samples, [3, 1, 5])
    assert isinstance(part, LazySamples)
    assert len(part[1:]) == 2
    moved = with_splits(part, ["val", "train", None])
    assert splits_of(moved) == ["val", "train", None]
    assert splits_of(samples)[:4] == ["train", "val", "test", None]
    assert annotated_places(moved) == [0, 1, 2]
    assert not built
    assert (moved[0].name, moved[0].split) == ("3.png", "val")
    assert (moved[-1].name, moved[-1].split) == ("5.png", None)
    assert built == [3, 3, 5, 5]
    assert [sample.name for sample in moved] == ["3.png", "1.png", "5.png"]
    with pytest.raises(IndexError):
        moved[3]


def test_splits_are_drawn_for_long_sequences_as_for_others() -> None:
    """The same images are put aside from a lazy sequence as from a tuple of the same samples."""
    samples, _ = lazy(50)
    plain = assign_splits(tuple(samples), root=None, fraction=0.2, seed=1)
    late = assign_splits(samples, root=None, fraction=0.2, seed=1)
    assert isinstance(late.samples, LazySamples)
    assert splits_of(late.samples) == splits_of(plain.samples)
    assert late.note == plain.note


def test_windows_and_arrays_are_drawn_apart() -> None:
    """Windows of one raster differ in where they lie, arrays in their number."""
    windows = [Sample(ImageWindow(Path("a.tif"), left, 0, (4, 4)), objects=()) for left in range(0, 400, 4)]
    arrays = [Sample(np.zeros((2, 2), np.uint8), objects=()) for _ in range(100)]
    for samples in (windows, arrays):
        drawn = assign_splits(samples, root=None, fraction=0.5, seed=0)
        assert splits_of(drawn.samples).count("val") == 50
        assert len({tuple(splits_of(drawn.samples)[at : at + 10]) for at in range(0, 100, 10)}) > 5


def test_instances_belong_together() -> None:
    """Arrays of different lengths are refused."""
    from easyseg.errors import DataError
    from easyseg.structures import Instances

    masks, boxes = np.zeros((2, 3, 4), bool), np.zeros((2, 4), np.float32)
    found = Instances(masks, boxes, np.zeros(2, np.int64), np.zeros(2, bool))
    assert len(found) == 2
    for wrong in (
        (masks[0], boxes, found.class_ids, found.is_crowd),
        (masks, boxes[:1], found.class_ids, found.is_crowd),
        (masks, boxes, found.class_ids[:1], found.is_crowd),
        (masks, boxes, found.class_ids, found.is_crowd[:1]),
    ):
        with pytest.raises(DataError, match="do not belong together"):
            Instances(*wrong)


@pytest.mark.parametrize(
    ("sides", "beyond"),
    [
        ((-1, -1, 65, 33), False),
        ((-1.5, 0, 9, 9), True),
        ((0, -1.5, 9, 9), True),
        ((0, 0, 65.5, 9), True),
        ((0, 0, 9, 33.5), True),
        ((70, 0, 80, 9), True),
    ],
)
def test_boxes_that_reach_beyond_an_image(sides: tuple[float, float, float, float], beyond: bool) -> None:
    """Each side counts, from the margin on; of shares, the margin is one where the size is not known."""
    x1, y1, x2, y2 = sides
    shares = BoxShape(x1 / 64, y1 / 32, x2 / 64, y2 / 32, is_relative=True)
    assert BoxShape(*sides).reaches_beyond((32, 64), margin=1.0) is beyond
    assert shares.reaches_beyond((32, 64), margin=1.0) is beyond
    assert shares.reaches_beyond((1, 1), margin=1 / 16) is (x2 > 70)
