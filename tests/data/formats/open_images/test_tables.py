"""Tables are found close to the top of a folder, without looking through its images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from easyseg.data.formats.open_images import tables
from easyseg.data.formats.open_images.tables import find_tables, split_of_table

HEADER = "MaskPath,ImageID,LabelName\n"


def test_tables_and_class_names(tmp_path: Path) -> None:
    """Both are found two levels deep, sorted; other tables are none."""
    for name in ("b.csv", "x/a.CSV", "x/y/c.csv", "x/y/z/d.csv", "class-descriptions.csv", "other.csv", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("ImageID,Width\n" if name == "other.csv" else HEADER)
    found = find_tables(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found.masks]
    assert names == ["b.csv", "class-descriptions.csv", "x/a.CSV", "x/y/c.csv"]
    assert [path.name for path in found.class_names] == ["class-descriptions.csv"]
    assert [path.name for path in find_tables(tmp_path, "x/y/*").masks] == ["c.csv"]
    assert [path.name for path in find_tables(tmp_path, "x\\a.CSV").masks] == ["a.CSV"]


def test_a_folder_of_very_many_files_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many tables only some are opened; which ones these are, the system decides."""
    monkeypatch.setattr(tables, "_MOST_ENTRIES", 3)
    for at in range(10):
        (tmp_path / f"{at}.csv").write_text(HEADER)
    assert len(find_tables(tmp_path).masks) == 3
    assert [path.name for path in find_tables(tmp_path, "7.csv").masks] == ["7.csv"]


def test_a_table_beside_very_many_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the system lists it; one that is named is found however deep it lies, but not outside."""
    monkeypatch.setattr(tables, "_MOST_ENTRIES", 3)
    root = tmp_path / "root"
    (root / "a/b/c/d").mkdir(parents=True)
    for at in range(40):
        (root / f"{at:016x}.jpg").touch()
    for name in ("root/train.csv", "root/a/b/c/d/deep.csv", "outside.csv"):
        (tmp_path / name).write_text(HEADER)
    assert [path.name for path in find_tables(root).masks] == ["train.csv"]
    assert [path.name for path in find_tables(root, "a/b/c/d/deep.csv").masks] == ["deep.csv"]
    assert find_tables(root, str(tmp_path / "outside.csv")).masks == ()
    assert len(find_tables(root, str(root / "train.csv")).masks) == 1


def test_a_folder_that_cannot_be_read_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may still fit the folder."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.csv").write_text(HEADER)
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert len(find_tables(tmp_path).masks) == 1


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-annotations-object-segmentation.csv", "train"),
        ("validation-annotations-object-segmentation.csv", "val"),
        ("annotations/test-annotations-object-segmentation.csv", "test"),
        ("validation/labels/segmentations.csv", "val"),
        ("train/test-annotations-object-segmentation.csv", "test"),
        ("data.csv", None),
    ],
)
def test_the_split_of_a_table(tmp_path: Path, name: str, split: str | None) -> None:
    """The file's name counts first, then the nearest folder's."""
    assert split_of_table(tmp_path / name, tmp_path) == split
