"""Tiny datasets in every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easyseg.io.images import write_image

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write small pictures below `tmp_path`: write("images/a.png", value=3) fills one with a value or an array."""

    def write_picture(*names: str, value: object = 0, size_hw: tuple[int, int] = (6, 8)) -> Path:
        for name in names:
            array = value if isinstance(value, np.ndarray) else np.full(size_hw, value, np.uint8)
            write_image(tmp_path / name, array)
        return tmp_path

    return write_picture
