"""Objects as numbers in layers and back."""

from __future__ import annotations

import numpy as np

from easyseg.data.objects.canvas_objects import CanvasObject, to_masks
from easyseg.data.transforms.object_layers import from_layers, from_planes, to_layers, to_planes


def shapes(generator: np.random.Generator, count: int) -> tuple[CanvasObject, ...]:
    """Return overlapping objects with holes on a canvas of 40 x 50 pixels."""
    found = []
    for number in range(count):
        mask = (generator.random((12, 9)) < 0.8).astype(np.uint8)
        mask[0, 0] = mask[-1, -1] = 1
        place = (int(generator.integers(0, 28)), int(generator.integers(0, 41)))
        found.append(CanvasObject(mask, *place, number, is_crowd=number % 5 == 0, whole_area=7.0))
    return tuple(found)


def test_there_and_back() -> None:
    """Any number of overlapping objects comes back pixel for pixel, in order, with all that is known of them."""
    generator = np.random.default_rng(0)
    for count in (0, 1, 2, 30):
        objects = shapes(generator, count)
        layers = to_layers(objects, (40, 50))
        assert layers.dtype == np.uint16
        assert layers.shape[1:] == (40, 50)
        again = from_layers(layers, objects)
        assert [item.class_id for item in again] == list(range(count))
        assert np.array_equal(to_masks(again, (40, 50)), to_masks(objects, (40, 50)))
        assert all(item.whole_area == 7.0 and item.is_crowd == (item.class_id % 5 == 0) for item in again)


def test_as_few_layers_as_it_takes() -> None:
    """Objects side by side share a layer; only what is covered needs another."""
    one = CanvasObject(np.ones((5, 5), np.uint8), 0, 0, 0, is_crowd=False, whole_area=25)
    beside = CanvasObject(np.ones((5, 5), np.uint8), 0, 5, 0, is_crowd=False, whole_area=25)
    over = CanvasObject(np.ones((5, 5), np.uint8), 2, 2, 0, is_crowd=False, whole_area=25)
    assert len(to_layers((one, beside), (10, 10))) == 1
    assert len(to_layers((one, beside, over), (10, 10))) == 2


def test_numbers_that_are_gone() -> None:
    """Objects that a change removed are left out, the others keep their own facts."""
    objects = shapes(np.random.default_rng(1), 6)
    layers = to_layers(objects, (40, 50))
    layers[layers == 3] = 0
    assert [item.class_id for item in from_layers(layers, objects)] == [0, 1, 3, 4, 5]
    assert from_layers(np.zeros_like(layers), objects) == ()


def crowd(top: int, left: int, side: int = 4) -> CanvasObject:
    """Return a square crowd."""
    return CanvasObject(np.ones((side, side), np.uint8), top, left, 0, is_crowd=True, whole_area=side * side)


def test_crowds_share_planes() -> None:
    """As few as keep them apart, so that each comes back; boxes and pixels are the same."""
    grid = tuple(crowd(4 * row, 4 * column) for row in range(10) for column in range(12))
    planes = to_planes(grid, (40, 50))
    assert (planes.dtype, planes.shape) == (np.uint8, (4, 40, 50))
    again = from_planes(planes)
    assert {(item.top, item.left) for item in again} == {(item.top, item.left) for item in grid}
    assert all(item.is_crowd and item.area == item.whole_area == 16 for item in again)
    assert to_planes((), (40, 50)).shape == (0, 40, 50)
    assert from_planes(planes[:0]) == ()


def test_planes_are_limited() -> None:
    """However many crowds lie upon each other; nothing that they cover is lost."""
    heap = tuple(crowd(at % 30, at % 40, side=10) for at in range(300))
    planes = to_planes(heap, (40, 50))
    assert len(planes) == 8
    assert np.array_equal(planes.any(axis=0), to_masks(heap, (40, 50)).any(axis=0))
    assert np.array_equal(to_masks(from_planes(planes), (40, 50)).any(axis=0), planes.any(axis=0))
