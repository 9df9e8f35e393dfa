"""Images and masks below a folder are found by name, wherever they lie, and nothing outside of it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from easyseg.data.formats.open_images import file_table
from easyseg.data.formats.open_images.file_table import find_files
from easyseg.errors import SampleError
from easyseg.structures import ArchivedFile


def write_files(root: Path, *names: str) -> None:
    """Write files with some bytes in them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def stems(root: Path, **folders: Path) -> dict[str, str]:
    """Return the path of each image by its stem."""
    table = find_files(root, **folders).by_stem
    found = {}
    files = table.files(np.arange(len(table.keys)))
    for at in range(len(table.keys)):
        found[table.keys[at].decode()] = files.path(at).relative_to(root).as_posix()
    return found


def test_images_lie_anywhere_but_among_masks(tmp_path: Path) -> None:
    """An image is found by its id; a mask of the same name is none."""
    write_files(tmp_path, "images/train/aa.jpg", "masks/train/aa.png", "b/c/bb.JPEG", "notes.txt", ".hidden/cc.jpg")
    write_files(tmp_path, "train/labels/masks/dd.png", "train/data/dd.jpg", ".ee.jpg")
    assert stems(tmp_path) == {"aa": "images/train/aa.jpg", "bb": "b/c/bb.JPEG", "dd": "train/data/dd.jpg"}
    by_name = find_files(tmp_path).by_name
    assert by_name.names.tolist() == [b"aa.jpg", b"aa.png", b"bb.JPEG", b"dd.jpg", b"dd.png"]


def test_folders_that_are_named(tmp_path: Path) -> None:
    """What the user calls images and masks are these."""
    write_files(tmp_path, "masks/aa.jpg", "other/aa.png", "other/bb.jpg")
    assert stems(tmp_path, images=Path("masks")) == {"aa": "masks/aa.jpg"}
    assert stems(tmp_path, images=Path("masks"), masks=Path("other")) == {"aa": "masks/aa.jpg"}
    assert stems(tmp_path, masks=Path("masks")) == {"aa": "other/aa.png", "bb": "other/bb.jpg"}
    assert find_files(tmp_path, masks=Path("masks")).by_name.names.tolist() == [b"aa.jpg"]


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    """It has the number -1, in a full table and in an empty one."""
    write_files(tmp_path, "aa.jpg", "cc.jpg")
    wanted = np.array([b"aa", b"bb", b"zz", b"cc", b""])
    assert find_files(tmp_path).by_stem.find(wanted).tolist() == [0, -1, -1, 1, -1]
    (tmp_path / "empty").mkdir()
    assert find_files(tmp_path / "empty").by_stem.find(wanted).tolist() == [-1] * 5


def test_many_names_are_gathered_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays are joined without losing any."""
    monkeypatch.setattr(file_table, "_BATCH", 3)
    write_files(tmp_path, *(f"{at:02}.png" for at in range(10)))
    assert find_files(tmp_path).by_name.names.tolist() == [f"{at:02}.png".encode() for at in range(10)]


def test_names_that_no_table_holds_are_left_out(tmp_path: Path) -> None:
    """Tables have plain letters and short names."""
    write_files(tmp_path, "ä.png", f"{'n' * 150}.png", "a.png")
    assert find_files(tmp_path).by_name.names.tolist() == [b"a.png"]


def test_masks_in_archives(tmp_path: Path) -> None:
    """They are found beside those in folders, which come first; images in archives are not looked for."""
    write_files(tmp_path, "masks/a_m_1.png")
    with zipfile.ZipFile(tmp_path / "train-masks-a.zip", "w") as archive:
        for name in ("a_m_1.png", "sub/a_m_2.png", "image.jpg"):
            archive.writestr(name, name)
    files = find_files(tmp_path)
    assert files.by_stem.keys.tolist() == []
    wanted = files.by_name.find(np.array([b"a_m_2.png", b"a_m_1.png"]))
    second, first = (found := files.by_name.files(wanted))[0], found[1]
    assert first == tmp_path / "masks/a_m_1.png"
    assert isinstance(second, ArchivedFile)
    assert second.name == "a_m_2.png"
    assert found.path(0) == tmp_path / "train-masks-a.zip/a_m_2.png"
    archive = found.places[-1]
    assert not isinstance(archive, Path)
    assert archive.names.tolist() == [b"a_m_2.png"]  # no more than is needed


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    """Its masks would be missing without a word."""
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(SampleError, match=r"a\.zip.*cut off, or no zip archive"):
        find_files(tmp_path)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """Neither to files nor to folders; links inside are, once, also where they lead in circles."""
    root = tmp_path / "data"
    write_files(tmp_path, "secret/aa.jpg", "data/images/bb.jpg", "data/x/cc.jpg", "data/y/dd.jpg")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "ee.jpg").symlink_to(tmp_path / "secret/aa.jpg")
    (root / "up").symlink_to(root)
    (root / "ff.jpg").symlink_to(root / "images/bb.jpg")
    (root / "x/to_y").symlink_to(root / "y")
    (root / "y/to_x").symlink_to(root / "x")
    assert sorted(stems(root)) == ["bb", "cc", "dd", "ff"]
    assert {path.name for path in find_files(root).links_out} == {"out", "ee.jpg", "up"}


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(SampleError, match="the folder cannot be read"):
        find_files(tmp_path, images=Path("nowhere"))
