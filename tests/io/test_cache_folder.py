"""The user's cache folder follows the system's customs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from easyseg.io.cache_folder import cache_folder


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment that says nothing."""
    for name in ("EASYSEG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)


def test_its_own_variable_counts_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """EASYSEG_CACHE is the folder itself."""
    monkeypatch.setenv("EASYSEG_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder("a", "b") == tmp_path / "mine" / "a" / "b"


def test_the_systems_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Otherwise it is a folder of its own in the system's."""
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("a") == tmp_path / "easyseg" / "a"


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_without_a_word_it_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    """A relative path in the system's variable does not count."""
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "easyseg"
