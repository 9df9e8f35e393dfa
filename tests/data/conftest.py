"""Tiny datasets in every layout."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]

WRITERS = Path(__file__).with_name("formats") / "writers.py"


@pytest.fixture(scope="session")
def writers() -> ModuleType:
    """The module that writes one small scene in every format."""
    spec = importlib.util.spec_from_file_location("writers", WRITERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["writers"] = module
    spec.loader.exec_module(module)
    return module


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
