"""Memory that processes share which were not forked from each other."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from easyseg.data.batches import machine_memory
from easyseg.data.batches.machine_memory import found_memory, offered_memory
from easyseg.errors import DataError


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_both_sides_see_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str) -> None:
    """Zeros at first; what one writes, the other reads, after the address is gone, too; and no file stays."""
    if platform == "linux" and sys.platform != "linux":
        pytest.skip("memory without a name is Linux's")
    monkeypatch.setattr(machine_memory.sys, "platform", platform)
    monkeypatch.setattr(machine_memory.tempfile, "tempdir", str(tmp_path))
    with offered_memory(5000) as (mine, address):
        theirs = found_memory(5000, address)
        assert len(mine) == len(theirs) == 5000
        assert not theirs.any()
    mine[4999] = 7
    assert theirs[4999] == 7
    assert not list(tmp_path.iterdir())


def test_memory_that_is_not_there_is_told() -> None:
    """The process that offered it is gone, say."""
    with pytest.raises(DataError, match=r"cannot be reached .* cache='none'"):
        found_memory(10, "/nowhere/at/all")


def test_too_much_memory_is_told() -> None:
    """More than the machine can address, and nothing is left open."""
    with pytest.raises(DataError, match=r"no room for .* bytes"), offered_memory(1 << 62):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux shows them")
def test_no_file_stays_open() -> None:
    """Mappings close with the arrays."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with offered_memory(0) as (mine, address):
        theirs = found_memory(0, address)
    del mine, theirs
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
