"""What becomes of objects when their image is cut, zoomed, flipped, turned, or covered."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.objects.canvas_objects import CanvasObject, CanvasObjects, boxes_of, to_masks
from easyseg.data.transforms.lattice import Lattice
from easyseg.data.transforms.object_moves import aimed, moved, pasted, settled, still_counts, taken_as_whole

ANY_MOVE = Lattice(flip_horizontal=0.5, flip_vertical=0.5, quarter_turns=True, zoom=(0.3, 3.0))


def block(top: int, left: int, height: int, width: int, **given: float) -> CanvasObject:
    """Return a rectangle; it is whole unless `whole_area` says otherwise."""
    mask = np.ones((height, width), np.uint8)
    known = {"class_id": 0, "is_crowd": False, "whole_area": height * width, **given}
    return CanvasObject(mask, top, left, **known)  # type: ignore[arg-type]


def specks(generator: np.random.Generator, hw: tuple[int, int], count: int = 5) -> CanvasObjects:
    """Return objects with holes, their numbers as classes."""
    found = []
    for number in range(count):
        top, left = int(generator.integers(0, hw[0])), int(generator.integers(0, hw[1]))
        height, width = int(generator.integers(1, hw[0] - top + 1)), int(generator.integers(1, hw[1] - left + 1))
        mask = (generator.random((height, width)) < 0.7).astype(np.uint8)
        mask[0, 0] = mask[-1, -1] = mask[0, -1] = mask[-1, 0] = 1
        found.append(CanvasObject(mask, top, left, number, is_crowd=False, whole_area=int(mask.sum())))
    return tuple(found)


def test_objects_move_as_their_masks_would() -> None:
    """Any cut, zoom, flip and turn gives the very pixels that it makes of each whole mask, with tight boxes."""
    generator = np.random.default_rng(0)
    gone = 0
    for _ in range(150):
        hw, size = (tuple(generator.integers(1, 50, 2).tolist()) for _ in range(2))
        objects = specks(generator, hw)
        move = ANY_MOVE.draw(hw, size, generator)
        found = moved(objects, move)
        masks = {item.class_id: mask for item, mask in zip(found, to_masks(found, size), strict=True)}
        for item, whole in zip(objects, to_masks(objects, hw), strict=True):
            expected = move.mask(whole) == 1
            gone += not expected.any()
            assert np.array_equal(masks.get(item.class_id, np.zeros(size, np.uint8)), expected)
        for item in found:
            assert item.mask.any(axis=1)[[0, -1]].all()
            assert item.mask.any(axis=0)[[0, -1]].all()
    assert gone > 30


def test_whole_areas_follow_the_zoom() -> None:
    """An object that is zoomed but not cut stays whole; half of one is half."""
    objects = (block(8, 8, 16, 16),)
    for factor in (0.5, 2.0):
        move = Lattice(zoom=(factor, factor)).draw((32, 32), (64, 64), np.random.default_rng(0))
        (item,) = moved(objects, move)
        assert item.whole_area == pytest.approx(item.area, rel=0.05)
    half = Lattice().draw((32, 32), (32, 16), np.random.default_rng(1))
    item = moved((block(8, 0, 16, 32),), half)[0]
    assert (item.area, item.whole_area) == (256, 512)


@pytest.mark.parametrize(
    ("item", "counts"),
    [
        (block(0, 0, 1, 1), True),  # small, but all of it
        (block(0, 0, 1, 2, whole_area=2.2), True),
        (block(0, 0, 2, 2, whole_area=8), False),  # a sliver
        (block(0, 0, 3, 3, whole_area=20), True),
        (block(0, 0, 3, 3, whole_area=31), False),
        (block(0, 0, 10, 10, whole_area=330), True),
        (block(0, 0, 10, 10, whole_area=340), False),
        (block(0, 0, 31, 33, whole_area=10**6), False),
        (block(0, 0, 32, 32, whole_area=10**6), True),  # a door of a car is enough
    ],
)
def test_fair_share(item: CanvasObject, counts: bool) -> None:
    """An object counts where it is whole, or a fair share or many pixels of it are left; what is left is a crowd."""
    assert still_counts(item) is counts
    (left,) = settled([item])
    assert left.is_crowd is not counts
    assert left.area == item.area


def test_crowds_stay_crowds() -> None:
    """Nothing makes an object of a crowd."""
    assert settled([block(0, 0, 9, 9, is_crowd=True)])[0].is_crowd


def test_aimed_windows_show_an_object() -> None:
    """Wherever an object lies, the aimed window shows it; where it fits, all of it, at many places."""
    generator = np.random.default_rng(0)
    lattice = Lattice(zoom=(1.5, 1.5), flip_horizontal=0.5, quarter_turns=True)
    places = set()
    for _ in range(100):
        top, left = generator.integers(0, 90, 2).tolist()
        objects = (block(0, 0, 100, 100, is_crowd=True), block(top, left, 10, 8))
        move = aimed(lattice.draw((100, 100), (30, 30), generator), objects, (100, 100), generator)
        assert 0 <= move.rows.taken.start < move.rows.taken.stop <= 100
        _, item = moved(objects, move)
        assert item.area == pytest.approx(item.whole_area, rel=0.25)
        places.add(tuple(boxes_of((item,))[0].tolist()))
    assert len(places) > 60


def test_aimed_at_an_object_larger_than_the_window() -> None:
    """The window falls on some pixel of it, also where its middle is empty."""
    mask = np.zeros((90, 90), np.uint8)
    mask[:3] = mask[-3:] = mask[:, :3] = mask[:, -3:] = 1
    ring = CanvasObject(mask, 5, 5, 0, is_crowd=False, whole_area=int(mask.sum()))
    for seed in range(50):
        generator = np.random.default_rng(seed)
        move = aimed(Lattice().draw((100, 100), (20, 20), generator), (ring,), (100, 100), generator)
        assert moved((ring,), move)


def test_zoomed_out_images_show_everything() -> None:
    """A window larger than the image stays where it is."""
    generator = np.random.default_rng(0)
    move = Lattice(zoom=(0.5, 0.5)).draw((40, 40), (40, 40), generator)
    assert aimed(move, (block(0, 0, 5, 5),), (40, 40), generator).rows.taken == slice(0, 40)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pasted_objects_cover_others(channels: int) -> None:
    """Pixels under the object come from the other image, and objects there lose them; the given image stays."""
    below = np.full((20, 20, channels), 10, np.uint8)
    below.setflags(write=False)
    other = np.full((20, 20, channels), 200, np.uint8)
    under, half, aside = block(4, 4, 4, 4), block(2, 2, 4, 4), block(15, 15, 3, 3)
    new = block(4, 4, 6, 6, class_id=7)
    image, objects = pasted((below, (under, half, aside)), other, [new])
    assert image.shape == below.shape
    assert (image[4:10, 4:10] == 200).all()
    assert image.astype(int).sum() == channels * (36 * 200 + 364 * 10)
    assert [(item.class_id, item.area) for item in objects] == [(0, 12), (0, 9), (7, 36)]
    assert boxes_of(objects)[0].tolist() == [2, 2, 6, 6]
    assert under.mask.all()


def test_nearly_covered_objects_become_crowds() -> None:
    """Of an object behind a pasted one, a rest that is no fair share is a crowd."""
    image = np.zeros((20, 20, 3), np.uint8)
    _, objects = pasted((image, (block(0, 0, 10, 10),)), image, [block(0, 0, 10, 8)])
    assert [item.is_crowd for item in settled(objects)] == [True, False]


def test_taken_as_whole() -> None:
    """All but slivers are as they should be."""
    items = taken_as_whole((block(0, 0, 3, 3, whole_area=100), block(0, 0, 2, 2, whole_area=100)))
    assert [still_counts(item) for item in items] == [True, False]
