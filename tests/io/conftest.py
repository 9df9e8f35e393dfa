"""What several tests of files share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FAULTS = Path(__file__).with_name("faults.py")


@pytest.fixture(scope="session")
def faults():
    """The program that saves under injected faults, as a module: for its example checkpoints."""
    spec = importlib.util.spec_from_file_location("faults", FAULTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
