"""What the tests of dataset formats share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

WRITERS = Path(__file__).with_name("writers.py")


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
