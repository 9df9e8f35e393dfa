"""What a dataset's own files say about classes that are none by name."""

from __future__ import annotations

import numpy as np
import pytest

from easyseg.data.classes.class_maps import infer_class_map
from easyseg.data.formats.layout import Layout
from easyseg.structures import Sample

BLACK, VIOLET = (0, 0, 0), (128, 64, 128)
GREY_MASK = np.array([[0, 1]], np.uint8)
COLOR_MASK = np.array([[BLACK, VIOLET]], np.uint8)


@pytest.mark.parametrize(
    ("mask", "layout"),
    [
        pytest.param(GREY_MASK, Layout((), class_values={"unlabeled": 0, "road": 1}), id="values"),
        pytest.param(GREY_MASK, Layout((), names=("unlabeled", "road")), id="names"),
        pytest.param(COLOR_MASK, Layout((), class_values={"unlabeled": BLACK, "road": VIOLET}), id="colours"),
        pytest.param(GREY_MASK * 255, Layout((), class_values={"ignore": 0, "road": 255}), id="black and white"),
    ],
)
def test_black_around_a_single_class_is_its_background(mask: np.ndarray, layout: Layout) -> None:
    """If "unlabeled" did not count there, nothing but the class would be left to learn."""
    found = infer_class_map([Sample(np.zeros((1, 2, 3), np.uint8), mask)], layout=layout)
    assert (found.task, found.names) == ("binary", ("road",))
    assert found.encode(mask).tolist() == [[0, 1]]
    assert "no class" not in found.note


def test_other_void_of_a_single_class_does_not_count() -> None:
    """Where 0 is the background already, void is left out."""
    layout = Layout((), class_values={"void": 7, "road": 1})
    mask = np.array([[0, 1, 7]], np.uint8)
    found = infer_class_map([Sample(np.zeros((1, 3, 3), np.uint8), mask)], layout=layout)
    assert found.encode(mask).tolist() == [[0, 1, 255]]
