"""Machine names of classes get their display names from the published lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyseg.data.formats.open_images import class_titles
from easyseg.data.formats.open_images.class_titles import is_class_table, read_class_titles, titles_of
from easyseg.errors import SampleError


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n", "\ufeffLabelName,DisplayName\n"])
def test_lists_with_and_without_header(tmp_path: Path, header: str) -> None:
    """Both published forms are read, commas and quotes in names included."""
    path = tmp_path / "class-descriptions-boxable.csv"
    path.write_text(header + '/m/01yrx,Cat\n\n/m/1,"Kitchen, small"\n', encoding="utf-8")
    assert is_class_table(path)
    assert read_class_titles([path]) == {"/m/01yrx": "Cat", "/m/1": "Kitchen, small"}


def test_two_classes_of_one_name_stay_apart(tmp_path: Path) -> None:
    """Their machine names tell them apart; of two lists, the first counts."""
    (tmp_path / "a.csv").write_text("/m/1,Bank\n/m/2,Bank\n/m/3,Cat\n")
    (tmp_path / "b.csv").write_text("/m/3,Kitten\n/m/4,Dog\n")
    assert read_class_titles([tmp_path / "a.csv", tmp_path / "b.csv"]) == {
        "/m/1": "Bank (/m/1)",
        "/m/2": "Bank (/m/2)",
        "/m/3": "Cat",
        "/m/4": "Dog",
    }


def test_a_class_is_called_as_it_was_asked_for() -> None:
    """By display name, unless the machine name was typed; an unknown one keeps its machine name."""
    titles = {"/m/1": "Cat", "/m/2": "Dog"}
    assert titles_of(["/m/1", "/m/2", "/m/3"], titles) == ("Cat", "Dog", "/m/3")
    assert titles_of(["/m/1", "/m/2"], titles, ["/m/2"]) == ("Cat", "/m/2")


@pytest.mark.parametrize("data", [b"/m/1\n", b"/m/1,\n", b",Cat\n", b"\xff\xfe\n", b"a" * 200_000])
def test_what_is_no_list_is_refused(tmp_path: Path, data: bytes) -> None:
    """Each is an error that names the file."""
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(SampleError, match=r"a\.csv"):
        read_class_titles([tmp_path / "a.csv"])


def test_a_file_too_large_for_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read into the memory."""
    monkeypatch.setattr(class_titles, "_MAX_BYTES", 10)
    (tmp_path / "a.csv").write_text("/m/1,Cat\n" * 3)
    with pytest.raises(SampleError, match="more than 10 bytes"):
        read_class_titles([tmp_path / "a.csv"])
