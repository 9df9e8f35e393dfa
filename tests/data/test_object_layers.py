"""Objects as numbers in layers and back."""

from __future__ import annotations

import numpy as np

from easyseg.data.canvas_objects import CanvasObject, to_masks
from easyseg.data.object_layers import from_layers, to_layers


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
