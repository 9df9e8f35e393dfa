"""Small masks on the canvas: the same pixels as whole masks, in a fraction of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from easyseg.data.objects.canvas_objects import (
    CanvasObject,
    boxes_of,
    from_masks,
    packed,
    to_canvas,
    to_masks,
    trimmed,
    unpacked,
)
from easyseg.data.objects.drawing import DrawnObject
from easyseg.preprocessing import Preprocessing


def drawn(generator: np.random.Generator, hw: tuple[int, int], count: int = 5) -> list[DrawnObject]:
    """Return objects of any size with holes, some without a pixel; their numbers are their classes."""
    found = []
    for number in range(count):
        mask = np.zeros(hw, bool)
        top, bottom = np.sort(generator.integers(0, hw[0] + 1, 2))
        left, right = np.sort(generator.integers(0, hw[1] + 1, 2))
        mask[top:bottom, left:right] = generator.random((bottom - top, right - left)) < 0.7
        found.append(DrawnObject(mask, number, is_crowd=number == 3))
    return found


@pytest.mark.parametrize("resize", ["pad", "stretch", "crop"])
def test_objects_come_to_the_canvas_as_masks_do(resize: str) -> None:
    """Pixel for pixel what preprocessing makes of each whole mask; objects that vanish are gone, padding is none."""
    generator = np.random.default_rng(0)
    vanished = 0
    for _ in range(60):
        hw = tuple(generator.integers(1, 60, 2).tolist())
        preprocessing = Preprocessing(tuple(generator.integers(1, 60, 2).tolist()), resize, 3)
        items = drawn(generator, hw)
        placement = preprocessing.place(hw)
        objects = to_canvas(iter(items), placement)
        found = dict(zip((item.class_id for item in objects), to_masks(objects, placement.canvas_hw), strict=True))
        for item in items:
            expected = preprocessing.mask_to_canvas(item.mask.astype(np.uint8)) == 1
            vanished += not expected.any()
            assert (item.class_id in found) == expected.any()
            assert np.array_equal(found.get(item.class_id, np.zeros_like(expected)), expected)
        assert all(item.whole_area == item.area and item.is_crowd == (item.class_id == 3) for item in objects)
    assert vanished > 20


def test_boxes_lie_tightly_around_masks() -> None:
    """x1, y1, x2, y2 in pixel edges, also of an object of a single pixel."""
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 5] = 1
    whole = CanvasObject(mask, 10, 20, 0, is_crowd=False, whole_area=1)
    (small,) = trimmed([whole])
    assert small.mask.shape == (1, 1)
    assert boxes_of((small,)).tolist() == [[25, 12, 26, 13]]
    assert boxes_of(()).shape == (0, 4)
    assert boxes_of(()).dtype == np.float32


def test_void_pixels_are_parted_until_their_boxes_hold_them() -> None:
    """Each part fills most of its box, and what a void outline surrounds is in none; crowds that are one stay whole."""
    outline = np.ones((200, 300), bool)
    outline[30:170, 40:260] = False
    line = np.eye(200, 300, dtype=bool)
    placement = Preprocessing((200, 300)).place((200, 300))
    slanted = DrawnObject(line, 0, is_crowd=True, is_ignored=True)
    assert boxes_of(to_canvas([slanted], placement)).tolist() == [[0, 0, 200, 200]]
    assert to_canvas([replace(slanted, is_void=True)], placement) == ()
    parts = to_canvas([DrawnObject(outline, 0, is_crowd=True, is_ignored=True, is_void=True)], placement)
    assert 4 <= len(parts) <= 40
    assert all(part.is_crowd and part.area >= 0.75 * part.mask.size for part in parts)
    assert np.array_equal(to_masks(parts, (200, 300)).sum(axis=0), outline)
    in_boxes = np.zeros((200, 300), bool)
    for left, top, right, bottom in boxes_of(parts).astype(int).tolist():
        in_boxes[top:bottom, left:right] = True
    assert not in_boxes[55:145, 80:225].any()


def test_one_mask_at_a_time() -> None:
    """Masks of whole images are drawn one after the other; at no time are two of them needed."""
    alive = []

    def one_by_one() -> Iterator[DrawnObject]:
        for number in range(3):
            alive.append(number)
            assert len(alive) == number + 1
            yield DrawnObject(np.ones((4, 4), bool), number, is_crowd=False)

    assert len(to_canvas(one_by_one(), Preprocessing((4, 4)).place((4, 4)))) == 3


def test_packed_objects_come_back() -> None:
    """Masks, places, classes and crowds survive as bytes, with any number of objects, none included."""
    generator = np.random.default_rng(1)
    for count in (0, 1, 7):
        objects = to_canvas(drawn(generator, (40, 50), count), Preprocessing((64, 64)).place((40, 50)))
        again = unpacked(packed(objects, 64 * 64))
        assert again is not None
        assert np.array_equal(to_masks(again, (64, 64)), to_masks(objects, (64, 64)))
        assert [(item.class_id, item.is_crowd, item.whole_area) for item in again] == [
            (item.class_id, item.is_crowd, item.whole_area) for item in objects
        ]


def test_objects_that_do_not_fit_say_so() -> None:
    """A place that is too small holds nothing, and says so, rather than half of the objects."""
    objects = to_canvas(drawn(np.random.default_rng(2), (40, 50)), Preprocessing((64, 64)).place((40, 50)))
    length = len(packed(objects, 4096).tobytes().rstrip(b"\0"))
    assert unpacked(packed(objects, length)) is not None
    assert unpacked(packed(objects, length - 1)) is None
    assert unpacked(packed(objects, 1)) is None


def test_two_hundred_nuclei_take_little() -> None:
    """A thousand images of 512 x 512 pixels with 200 nuclei each fit into some ten megabytes."""
    rows, columns = np.mgrid[0:512, 0:512]
    generator = np.random.default_rng(3)
    centres = generator.integers(10, 502, (200, 2))
    nuclei = (DrawnObject((rows - y) ** 2 + (columns - x) ** 2 < 80, 0, is_crowd=False) for y, x in centres)
    objects = to_canvas(nuclei, Preprocessing((512, 512)).place((512, 512)))
    assert len(objects) == 200
    assert len(packed(objects, 512 * 512).tobytes().rstrip(b"\0")) < 20_000


def test_masks_given_anew() -> None:
    """Objects take new pixels with new boxes; those without any are gone."""
    objects = tuple(CanvasObject(np.ones((2, 2), np.uint8), 0, 0, n, is_crowd=False, whole_area=4) for n in range(3))
    masks = np.zeros((3, 5, 6), np.uint8)
    masks[0, 3:5, 1:3] = 255
    masks[2, 0, 5] = 1
    found = from_masks(masks, objects)
    assert [item.class_id for item in found] == [0, 2]
    assert boxes_of(found).tolist() == [[1, 3, 3, 5], [5, 0, 6, 1]]
    assert found[0].mask.max() == 1
