"""Tiny datasets in every layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes small pictures below `tmp_path`, filled with a value or from an array."""

    def write_picture(*names: str, value: object = 0, size_hw: tuple[int, int] = (6, 8)) -> Path:
        for name in names:
            array = value if isinstance(value, np.ndarray) else np.full(size_hw, value, np.uint8)
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
        return tmp_path

    return write_picture
