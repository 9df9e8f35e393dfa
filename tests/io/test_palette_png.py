"""Class ids that are seen in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easyseg.errors import OutputError
from easyseg.io.images import read_mask
from easyseg.io.palette_png import write_ids

COLORS = [(0, 0, 0), (255, 128, 0), (0, 64, 255)]


def test_ids_come_back_and_colours_are_seen(tmp_path: Path) -> None:
    """Pillow gives ids as they were, eight bits each, and colours where one asks for them."""
    ids = np.array([[0, 1, 2], [2, 2, 0]], np.uint8)
    write_ids(tmp_path / "new" / "a.png", ids, COLORS)
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), ids)
        assert np.array_equal(np.asarray(picture.convert("RGB")), np.array(COLORS, np.uint8)[ids])
    bit_depth_and_color_type = (tmp_path / "new" / "a.png").read_bytes()[24:26]
    assert bit_depth_and_color_type == bytes([8, 3])


def test_our_own_reader_gives_ids(tmp_path: Path) -> None:
    """Ids without a colour, such as 255, are kept, too."""
    ids = np.array([[0, 1, 255]], np.uint8)
    write_ids(tmp_path / "a.png", ids, COLORS)
    raw = read_mask(tmp_path / "a.png")
    assert raw.kind == "palette"
    assert np.array_equal(raw.values, ids)
    assert raw.as_rgb().tolist() == [[[0, 0, 0], [255, 128, 0], [0, 0, 0]]]


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    """The place at fault is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written: a part of the path is a file"):
        write_ids(tmp_path / "file" / "a.png", np.zeros((1, 1), np.uint8), COLORS)
