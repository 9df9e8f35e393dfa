"""Listing a dataset's files: links, what is no file, and which files are looked into."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from easyseg.data.formats.scanning import list_files, list_images, listed_once, notes_on_links, peeked
from easyseg.data.reading import load_dataset
from easyseg.errors import SampleError

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@needs_links
@pytest.mark.parametrize("name", ["yolo", "coco", "labelme", "via", "supervisely", "voc", "cityscapes", "instance_ids"])
@pytest.mark.parametrize("kind", ["files", "folders"])
def test_links_to_images_elsewhere(name: str, kind: str, writers: ModuleType, tmp_path: Path) -> None:
    """Images may be links, or lie in linked folders, and it is told; only names in annotation files never lead out."""
    root, elsewhere = tmp_path / "data", tmp_path / "disk"
    writers.WRITERS[name](root)
    before = load_dataset(root)
    images = [sample.image_path for sample in before.samples]
    elsewhere.mkdir()
    if kind == "files":
        for image in images:
            image.rename(elsewhere / image.name)
            image.symlink_to(elsewhere / image.name)
    else:
        for at, folder in enumerate({image.parent for image in images} - {root}):
            folder.rename(elsewhere / str(at))
            folder.symlink_to(elsewhere / str(at), target_is_directory=True)
    is_linked = any(path.is_symlink() for path in root.rglob("*"))
    if is_linked and name in ("coco", "labelme", "via", "supervisely"):
        with pytest.raises(SampleError, match="a link that leads out"):
            load_dataset(root)
        return
    after = load_dataset(root)
    assert [sample.image_path for sample in after.samples] == images
    assert all((after.mask(at) == before.mask(at)).all() for at in range(len(images)))
    is_told = "Links that lead out of the dataset's folder are followed, such as " in after.describe()
    assert is_told == is_linked


@needs_links
def test_links_inside(tmp_path: Path) -> None:
    """Links within the folder are followed and not told; those to a folder above are not followed."""
    root = tmp_path / "above/data"
    (root / "images").mkdir(parents=True)
    (root / "images/a.png").touch()
    (tmp_path / "above/secret.png").touch()
    (root / "b.png").symlink_to("images/a.png")
    (root / "more").symlink_to(root / "images", target_is_directory=True)
    (root / "up").symlink_to("..", target_is_directory=True)
    (root / "images/back").symlink_to(root, target_is_directory=True)
    with listed_once():
        images = list_images(root)
        assert [file.relative_to(root).as_posix() for file in images] == ["b.png", "images/a.png", "more/a.png"]
        assert notes_on_links(root, images) == ()
        (root / "c.png").symlink_to(tmp_path / "above/secret.png")
    with listed_once():
        images = list_images(root)
        assert len(images) == 4
        assert notes_on_links(root, images[2:]) == ()
        told = "Links that lead out of the dataset's folder are followed, such as c.png."
        assert notes_on_links(root, images) == (told,)
    assert notes_on_links(root, images) == ()


@needs_links
def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """A link to nothing or to itself is listed, so that reading it says what is wrong."""
    (tmp_path / "gone.png").symlink_to("nothing.png")
    (tmp_path / "self.png").symlink_to("self.png")
    with listed_once():
        assert [file.name for file in list_images(tmp_path)] == ["gone.png", "self.png"]
        assert list(peeked(list_images(tmp_path))) == []
        assert notes_on_links(tmp_path, list_images(tmp_path)) == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe or a device would be read for ever; it is not listed, whatever its name."""
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    assert list_images(tmp_path) == []


def test_peeked_files_come_from_everywhere(tmp_path: Path) -> None:
    """Twenty files are looked into, none of them empty, wherever those with content lie."""
    for number in range(200):
        (tmp_path / f"{number:03}.txt").write_text("0 0 0" if number % 50 == 49 else "\n", encoding="utf-8")
    files = list_files(tmp_path, (".txt",))
    assert sorted(file.stem for file in peeked(files)) == ["049", "099", "149", "199"]
    for file in files:
        file.write_text("0 0 0", encoding="utf-8")
    found = sorted(int(file.stem) for file in peeked(files))
    assert len(found) == 20
    assert found[0] < 10
    assert found[-1] >= 190
