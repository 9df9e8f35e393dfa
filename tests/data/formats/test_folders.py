"""Folders of images and masks are understood under their usual names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from easyseg.data.formats import FORMATS, find_format, folders
from easyseg.data.formats.layout import Layout
from easyseg.errors import DataError, FormatError, SampleError, UnknownNameError

Write = Callable[..., Path]


def pairs_of(layout: Layout, root: Path) -> list[tuple[str, str | None, str | None]]:
    """Return (image, mask, split) of each sample, relative to the dataset's folder."""
    found = []
    for sample in layout.samples:
        assert isinstance(sample.image, Path)
        assert sample.mask is None or isinstance(sample.mask, Path)
        mask = sample.mask.relative_to(root).as_posix() if sample.mask else None
        found.append((sample.image.relative_to(root).as_posix(), mask, sample.split))
    return found


@pytest.mark.parametrize(
    ("image", "mask", "split"),
    [
        ("images/a.jpg", "masks/a.png", None),
        ("imgs/a.png", "labels/a.png", None),
        ("image/a.png", "label/a.png", None),
        ("img/a.png", "gt/a.tif", None),
        ("IMAGES/a.png", "MASKS/a.png", None),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png", None),
        ("PNGImages/a.png", "PedMasks/a_mask.png", None),
        ("images/a.png", "annotations/a.png", None),
        ("rgb/a.png", "ground_truth/a.png", None),
        ("images/a.jpg", "masks/a_mask.png", None),
        ("images/a.jpg", "masks/a_label.png", None),
        ("images/a.jpg", "masks/a_L.png", None),
        ("images/a.jpg", "masks/a_P.png", None),
        ("images/a.jpg", "masks/a_gt.png", None),
        ("images/a.jpg", "masks/a-seg.png", None),
        ("images/a.jpg", "masks/a-mask.png", None),
        ("images/a.jpg", "masks/mask_a.png", None),
        ("images/a.jpg", "masks/a.jpg.png", None),
        ("images/a.jpg", "masks/A.png", None),
        ("images/img_1.jpg", "masks/mask_1.png", None),
        ("images/1_sat.jpg", "masks/1_mask.png", None),
        ("images/town/b/a.png", "masks/town/b/a.png", None),
        ("north/images/a.png", "north/masks/a.png", None),
        ("train/images/a.png", "train/masks/a.png", "train"),
        ("valid/images/a.png", "valid/labels/a.png", "val"),
        ("validation/image/a.png", "validation/mask/a.png", "val"),
        ("test/images/a.png", "test/masks/a.png", "test"),
        ("images/train/a.png", "masks/train/a.png", "train"),
        ("images/val/town/a.png", "masks/val/town/a.png", "val"),
        ("images/val/a.png", "masks/a.png", "val"),
        ("train/a.png", "trainannot/a.png", "train"),
        ("val/a.png", "val_labels/a.png", "val"),
        ("test/a.png", "test_masks/a.png", "test"),
        ("train_images/a.png", "train_masks/a.png", "train"),
        ("train_data/images/a.tif", "train_data/gt/a.tif", "train"),
        ("TRAIN_VAL_SET/IMAGES/a.png", "TRAIN_VAL_SET/MASKS/a.png", "train"),
        ("TEST_SET/IMAGES/a.png", "TEST_SET/MASKS/a.png", "test"),
        ("data/train/images/a.png", "data/train/masks/a.png", "train"),
        ("roofs/a.png", "roofs_masks/a.png", None),
        ("a.jpg", "a_mask.png", None),
        ("images/a.jpg", "images/a_mask.png", None),
        ("train/a.jpg", "train/a_mask.png", "train"),
    ],
)
def test_usual_layouts(tmp_path: Path, write: Write, image: str, mask: str, split: str | None) -> None:
    """Every usual pair of folders and names is found, with its split."""
    write(image, mask)
    assert folders.recognises(tmp_path)
    layout = find_format(tmp_path).read(tmp_path)
    assert pairs_of(layout, tmp_path) == [(image, mask, split)]


def test_names_are_listed_in_order_and_hidden_files_left_out(tmp_path: Path, write: Write) -> None:
    """Samples come in the order of their names; hidden files, thumbnails and copies of macOS do not count."""
    write("images/b.png", "masks/b.png", "images/a.png", "masks/a.png")
    write("images/.c.png", "__MACOSX/images/a.png", ".cache/images/x.png")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"1")
    (tmp_path / "masks" / "readme.txt").write_text("hello")
    layout = folders.read(tmp_path)
    assert [image for image, _, _ in pairs_of(layout, tmp_path)] == ["images/a.png", "images/b.png"]
    assert layout.notes == ()


def test_same_names_in_several_splits_get_labels(tmp_path: Path, write: Write) -> None:
    """Where file names repeat, samples are called by their paths."""
    write("train/images/1.png", "train/masks/1.png", "val/images/1.png", "val/masks/1.png")
    assert [sample.name for sample in folders.read(tmp_path).samples] == ["train/images/1.png", "val/images/1.png"]
    assert [sample.split for sample in folders.read(tmp_path).samples] == ["train", "val"]


def test_one_mask_folder_per_class_is_multilabel(tmp_path: Path, write: Write) -> None:
    """Mask folders named after classes give each image one mask per class."""
    write("images/1.png", "images/2.png")
    write("masks/road/1.png", "masks/road/2.png", "masks/car/1.png", "masks/car/2.png")
    layout = folders.read(tmp_path)
    assert layout.names == ("car", "road")
    assert layout.samples[1].mask == (tmp_path / "masks/car/2.png", tmp_path / "masks/road/2.png")


def test_missing_class_mask_is_an_error(tmp_path: Path, write: Write) -> None:
    """An image without the mask of one class is refused: absent and forgotten look the same."""
    write("images/1.png", "images/2.png", "masks/road/1.png", "masks/road/2.png", "masks/car/1.png")
    with pytest.raises(SampleError, match=r"2\.png: there is no mask of the class 'car'"):
        folders.read(tmp_path)


def test_image_without_mask_names_the_nearest_one(tmp_path: Path, write: Write) -> None:
    """A missing mask is an error with the image, what was expected, and the mask nearest in name."""
    write("images/street_01.png", "masks/street_01.png", "images/street_02.png", "masks/stret_02.png")
    with pytest.raises(SampleError) as caught:
        folders.read(tmp_path)
    assert str(tmp_path / "images/street_02.png") in str(caught.value)
    assert "street_02_mask" in str(caught.value)
    assert "'stret_02.png'" in str(caught.value)


def test_several_missing_masks_are_counted(tmp_path: Path, write: Write) -> None:
    """The message says how many images lack a mask."""
    write("images/1.png", "images/2.png", "images/3.png", "masks/1.png")
    with pytest.raises(SampleError, match=r"images/2\.png.*with 1 more"):
        folders.read(tmp_path)


def test_split_without_masks_is_for_prediction(tmp_path: Path, write: Write) -> None:
    """A test folder that holds images only is kept, with a note."""
    write("train/images/1.png", "train/masks/1.png", "test/images/2.png", "test/3.png")
    write("val/images/4.png", "val/masks/4.png")
    layout = folders.read(tmp_path)
    assert ("test/images/2.png", None, "test") in pairs_of(layout, tmp_path)
    assert any("'test' have no masks" in note for note in layout.notes)


def test_mask_without_image_is_a_note(tmp_path: Path, write: Write) -> None:
    """A mask that belongs to no image is left out and said."""
    write("images/1.png", "masks/1.png", "masks/2.png")
    layout = folders.read(tmp_path)
    assert len(layout.samples) == 1
    assert "Mask files that belong to no image are left out: 1, such as 2.png" in layout.notes[0]


def test_exact_names_win_over_affixes(tmp_path: Path, write: Write) -> None:
    """Where both a.png and a_mask.png exist, the exact name is the mask."""
    write("images/a.png", "masks/a.png", "masks/a_mask.png")
    assert pairs_of(folders.read(tmp_path), tmp_path)[0][1] == "masks/a.png"


def test_two_masks_of_one_name_are_refused(tmp_path: Path, write: Write) -> None:
    """a.png and a.tif as masks of one image are an error naming both."""
    write("images/a.png", "masks/a.png", "masks/a.tif")
    with pytest.raises(SampleError, match=r"several masks fit.*a\.png and .*a\.tif"):
        folders.read(tmp_path)


def test_two_images_of_one_name_are_refused(tmp_path: Path, write: Write) -> None:
    """a.png and a.jpg as images are an error naming both."""
    write("images/a.png", "images/a.jpg", "masks/a.png")
    with pytest.raises(SampleError, match=r"a\.png: there is another image of this name, a\.jpg"):
        folders.read(tmp_path)


def test_two_folders_for_one_role_are_refused(tmp_path: Path, write: Write) -> None:
    """masks/ beside labels/ is an error that says what to type; typing it settles it."""
    write("images/a.png", "masks/a.png", "labels/a.png")
    assert folders.recognises(tmp_path)
    with pytest.raises(FormatError, match=r"'labels' and 'masks' could each hold the masks.*images='...', masks='...'"):
        folders.read(tmp_path)
    layout = folders.read(tmp_path, images=Path("images"), masks=Path("labels"))
    assert pairs_of(layout, tmp_path) == [("images/a.png", "labels/a.png", None)]


def test_folders_of_any_name_can_be_given(tmp_path: Path, write: Write) -> None:
    """images= and masks= name folders that no rule knows, with splits inside, relative or absolute."""
    write("foo/train/a.png", "bar/train/a.png", "foo/val/b.png", "bar/val/b.png")
    assert not folders.recognises(tmp_path)
    layout = folders.read(tmp_path, images=Path("foo"), masks=tmp_path / "bar")
    assert pairs_of(layout, tmp_path) == [
        ("foo/train/a.png", "bar/train/a.png", "train"),
        ("foo/val/b.png", "bar/val/b.png", "val"),
    ]


def test_given_folders_must_exist_and_come_in_pairs(tmp_path: Path, write: Write) -> None:
    """A wrong folder is named with the nearest one; one folder alone is refused."""
    write("photos_2024/a.png", "bar/a.png")
    with pytest.raises(FormatError, match=r"images='photos_2042'.*Did you mean 'photos_2024'\?"):
        folders.read(tmp_path, images=Path("photos_2042"), masks=Path("bar"))
    with pytest.raises(FormatError, match="masks= is given without images="):
        folders.read(tmp_path, masks=Path("bar"))
    with pytest.raises(FormatError, match="images= is given without masks="):
        folders.read(tmp_path, images=Path("photos_2024"))


def test_given_folder_without_images_is_an_error(tmp_path: Path, write: Write) -> None:
    """An empty mask folder is named as what lacks."""
    write("foo/a.png")
    (tmp_path / "bar").mkdir()
    with pytest.raises(FormatError, match="no masks found"):
        folders.read(tmp_path, images=Path("foo"), masks=Path("bar"))


def test_masks_inside_the_image_folder_are_no_images(tmp_path: Path, write: Write) -> None:
    """With masks= below images=, the mask files are not taken for images."""
    write("all/a.png", "all/m/a.png")
    layout = folders.read(tmp_path, images=Path("all"), masks=Path("all/m"))
    assert pairs_of(layout, tmp_path) == [("all/a.png", "all/m/a.png", None)]


def test_unicode_forms_of_a_name_match(tmp_path: Path, write: Write) -> None:
    """An umlaut written as one or as two characters is the same name."""
    write("images/K\u00f6ln.png", "masks/Ko\u0308ln.png")
    assert len(folders.read(tmp_path).samples) == 1


def test_links_that_lead_in_circles_are_followed_once(tmp_path: Path, write: Write) -> None:
    """A symbolic link to a folder above does not loop for ever."""
    write("images/a.png", "masks/a.png")
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images", target_is_directory=True)
    assert len(folders.read(tmp_path).samples) == 1


def test_unknown_folder_says_what_was_looked_for(tmp_path: Path, write: Write) -> None:
    """A folder of no format is an error that lists its contents, every format, and the way out."""
    write("foo/a.png")
    with pytest.raises(FormatError) as caught:
        find_format(tmp_path)
    message = str(caught.value)
    assert "foo/" in message
    assert "images='...', masks='...'" in message
    assert all(module.LOOKS_FOR in message for module in FORMATS.values())


def test_empty_folder_is_called_empty(tmp_path: Path) -> None:
    """An empty folder is an error that says so."""
    with pytest.raises(FormatError, match="The folder is empty"):
        find_format(tmp_path)


def test_files_are_no_folders(tmp_path: Path) -> None:
    """No format recognises a file."""
    (tmp_path / "file").write_text("")
    assert not any(module.recognises(tmp_path / "file") for module in FORMATS.values())


def test_format_names_are_checked() -> None:
    """An unknown format is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'folders'"):
        find_format(Path(), "folder")
    assert find_format(Path(), "folders") is FORMATS["folders"]


def test_several_fitting_formats_are_refused(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two formats of equal right are an error that says which format= to type."""
    write("train/images/a.png", "train/masks/a.png")
    (tmp_path / "train.txt").write_text("a\n")
    assert find_format(tmp_path).NAME == "txt_splits"
    monkeypatch.setattr(FORMATS["txt_splits"], "OVERRULES", ())
    with pytest.raises(FormatError, match=r"several dataset formats fit. Type format='folders'"):
        find_format(tmp_path)


def test_unreadable_folder_is_named(tmp_path: Path) -> None:
    """A folder that is not there is a DataError with its path."""
    with pytest.raises(DataError, match="cannot be read"):
        folders.read(tmp_path / "none")
