"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets; tests that need it are skipped where EASYSEG_DATA is not set."""
    folder = os.environ.get("EASYSEG_DATA")
    if not folder:
        pytest.skip("set EASYSEG_DATA to the folder with the real datasets")
    return Path(folder)
