"""Small datasets to examine, and the planting of faults."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easyseg.config import CheckSettings
from easyseg.data.check.doctor import examine_folder
from easyseg.data.shapes import write_shapes
from easyseg.io.images import write_image
from easyseg.results import Checkup

Examine = Callable[..., Checkup]


@pytest.fixture(scope="session")
def planting() -> Any:
    """The module `planting.py`, which lies beside the tests."""
    specification = importlib.util.spec_from_file_location("planting", Path(__file__).with_name("planting.py"))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["planting"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def drawn_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that tests copy, for drawing it takes long."""
    return write_shapes(tmp_path_factory.mktemp("drawn") / "shapes", count=24, size=48)


@pytest.fixture
def shapes(drawn_shapes: Path, tmp_path: Path) -> Path:
    """A sound dataset of four classes: train, val and test, each with images and masks of 48 x 48 pixels."""
    return shutil.copytree(drawn_shapes, tmp_path / "shapes")


@pytest.fixture
def examine() -> Examine:
    """Return a function that examines a folder; its keywords are settings of the checkup or of `load_dataset`."""

    def run(folder: Path, **given: Any) -> Checkup:
        html = given.pop("html", None)
        own = {name: given.pop(name) for name in list(given) if name in CheckSettings.model_fields}
        return examine_folder(folder, given, CheckSettings(**{"verbose": False, "workers": 0, **own}), html=html)

    return run


@pytest.fixture
def black_and_white(tmp_path: Path) -> Path:
    """Images with 0/255 masks of one class, ten of them."""
    generator = np.random.default_rng(0)
    for number in range(10):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 : 15 + number, 8:30] = 255
        image = generator.integers(0, 256, (10, 12, 3), dtype=np.uint8).repeat(4, 0).repeat(5, 1)[:40, :50]
        write_image(tmp_path / f"roofs/images/{number:02}.png", image)
        write_image(tmp_path / f"roofs/masks/{number:02}.png", mask)
    return tmp_path / "roofs"


@pytest.fixture
def tree_of() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads all files of a folder."""
    return lambda folder: {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
