"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _WORKERS > 1:  # before anything imports torch: processes that each want all cores stand in each other's way
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // _WORKERS))


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep this user's cache folder out of the tests, also in the processes they start."""
    os.environ["EASYSEG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets; tests that need it are skipped where EASYSEG_DATA is not set."""
    folder = os.environ.get("EASYSEG_DATA")
    if not folder:
        pytest.skip("set EASYSEG_DATA to the folder with the real datasets")
    return Path(folder)
