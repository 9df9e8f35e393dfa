"""`easyseg check`: verdict, report, exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from easyseg.cli import main
from easyseg.data.shapes import write_shapes
from easyseg.io.images import read_mask, write_image


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in which nothing is wrong."""
    return write_shapes(tmp_path_factory.mktemp("sound") / "shapes", count=24, size=32)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A dataset with a value that no class has."""
    folder = write_shapes(tmp_path / "broken", count=24, size=32)
    mask = sorted((folder / "train/masks").iterdir())[0]
    values = read_mask(mask).values.copy()
    values[:3] = 77
    write_image(mask, values)
    return folder


def test_a_healthy_dataset_is_code_0(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three lines, and success for scripts."""
    assert main(["check", str(sound)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "Healthy" in out
    assert err == ""


def test_an_ill_dataset_is_code_1(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The findings are told in flags, written as JSON and HTML, and nothing is changed."""
    before = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    words = ["check", str(broken), "--html", str(tmp_path / "a.html"), "--json", str(tmp_path / "a.json")]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "Not healthy: 1 error" in out
    assert "--ignore 77" in out
    assert f"Report: {tmp_path / 'a.html'}" in out
    assert "--ignore 77" in (tmp_path / "a.html").read_text()
    assert json.loads((tmp_path / "a.json").read_text())["is_healthy"] is False
    assert {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == before


def test_what_is_said_to_help_helps(broken: Path) -> None:
    """With the flag that the message gives, the dataset is healthy."""
    assert main(["check", str(broken), "--ignore", "77,255"]) == 0


def test_settings_of_the_checkup_are_flags(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes and switches reach the doctor; strangers are refused with the nearest name."""
    words = ["check", str(sound), "--image-size", "64", "--no-instances", "--no-near-duplicates", "--workers", "0"]
    assert main(words) == 0
    assert main(["check", str(sound), "--instance"]) == 2
    assert "'--instances'" in capsys.readouterr().err


def test_no_dataset_is_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there, and one without images, are errors."""
    assert main(["check", str(tmp_path / "gone")]) == 2
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert main(["check", str(tmp_path)]) == 2
    assert "no dataset format fits" in capsys.readouterr().err
