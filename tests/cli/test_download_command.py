"""`easyseg download` hands its words to the download, and says what came and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from easyseg.cli import main
from easyseg.config import DownloadSettings
from easyseg.data.download import open_images
from easyseg.data.download.open_images import Downloaded
from easyseg.errors import DownloadError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, DownloadSettings]]:
    """What the download was asked for."""
    found: list[tuple[str, DownloadSettings]] = []

    def download(to: str, settings: DownloadSettings) -> Downloaded:
        found.append((to, settings))
        return Downloaded(Path(to), settings.split, 1500, 2600, ("0123",) if settings.limit == 7 else ())

    monkeypatch.setattr(open_images, "download_open_images", download)
    return found


def test_words_become_settings(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Classes stand one after the other, or with commas; what came is told."""
    words = ["--classes", "Cat", "Dog,Kitchen appliance", "--split", "val", "--limit", "500", "--threads", "2"]
    assert main(["download", "open-images", *words, "--to", "data/pets"]) == 0
    to, settings = asked[0]
    assert to == "data/pets"
    expected = {"classes": ["Cat", "Dog", "Kitchen appliance"], "split": "val", "limit": 500, "threads": 2}
    assert settings == DownloadSettings.of(expected)
    said = capsys.readouterr().out
    assert "1,500 images of the split 'val' with 2,600 masks" in said
    assert said.endswith("Next: easyseg train --data data/pets\n")
    assert "Left out" not in said


def test_images_left_out_are_told(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """With their number and an example."""
    assert main(["download", "open-images", "--limit", "7", "--to", "x"]) == 0
    assert asked[0][1].classes is None
    assert "the server lacks the image or a mask of it: 1, such as 0123" in capsys.readouterr().out


def test_no_limit_has_to_be_typed(asked: list[Any]) -> None:
    """`--limit none` is not the same as nothing."""
    assert main(["download", "open-images", "--limit", "none", "--to", "x"]) == 0
    assert main(["download", "open-images", "--to", "x"]) == 0
    assert ["limit" in settings.model_fields_set for _, settings in asked] == [True, False]
    assert asked[0][1].limit is None


def test_everything_is_not_fetched_by_accident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without classes and limit nothing begins."""
    assert main(["download", "open-images", "--to", str(tmp_path / "x")]) == 2
    assert "--limit none where all are meant" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["openimages", "--to", "x"], "Did you mean 'open-images'?"),
        (["open-images"], "Where is it to go? Type: easyseg download open-images ... --to FOLDER"),
        ([], "Still to be given: open-images"),
        (["open-images", "--to", "x", "--split", "validation"], "--split"),
        (["open-images", "--to", "x", "--classes"], "--classes"),
        (["open-images", "--to", "x", "--limits", "3"], "Did you mean '--limit'?"),
    ],
)
def test_wrong_words(asked: list[Any], words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one line that says what was meant."""
    assert main(["download", *words]) == 2
    assert expected in capsys.readouterr().err
    assert asked == []


def test_a_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As of every command."""

    def fail(*_: object) -> Downloaded:
        raise DownloadError("https://a.org/x cannot be fetched")

    monkeypatch.setattr(open_images, "download_open_images", fail)
    assert main(["download", "open-images", "--to", "x"]) == 2
    assert capsys.readouterr().err == "easyseg: https://a.org/x cannot be fetched\n"
