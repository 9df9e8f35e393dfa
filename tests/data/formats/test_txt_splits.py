"""Lists of splits are read in all their forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from easyseg.data.formats import find_format, txt_splits
from easyseg.errors import FormatError, SampleError

Write = Callable[..., Path]


def write_lists(root: Path, **lines: list[str]) -> None:
    """Write one list per keyword, named after it."""
    for name, entries in lines.items():
        (root / f"{name}.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")


def found(root: Path) -> list[tuple[str, str | None, str | None]]:
    """Return (image, mask, split) of every sample."""
    samples = []
    for sample in txt_splits.read(root).samples:
        assert isinstance(sample.image, Path)
        assert sample.mask is None or isinstance(sample.mask, Path)
        mask = sample.mask.relative_to(root).as_posix() if sample.mask else None
        samples.append((sample.image.relative_to(root).as_posix(), mask, sample.split))
    return samples


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a.jpg",
        "images/a.jpg",
        "images/a",
        "./images/a.jpg",
        "images\\a.jpg",
        "C:\\data\\images\\a.jpg",
        "/home/someone/images/a.jpg",
        "images/a.jpg masks/a_label.png",
        "a.jpg a_label.png",
        "images/a.jpg\tmasks/a_label.png",
        "images/a.jpg,masks/a_label.png",
        "images/a.jpg, masks/a_label.png",
        "/else/where/images/a.jpg /else/where/masks/a_label.png",
        "  a  ",
        "A.jpg",
    ],
)
def test_every_form_of_a_line(tmp_path: Path, write: Write, line: str) -> None:
    """Stems, images, pairs and foreign paths all find the image and its mask."""
    write("images/a.jpg", "masks/a_label.png", "images/b.jpg", "masks/b_label.png")
    write_lists(tmp_path, train=[line], val=["b"])
    assert find_format(tmp_path).NAME == "txt_splits"
    assert found(tmp_path) == [
        ("images/a.jpg", "masks/a_label.png", "train"),
        ("images/b.jpg", "masks/b_label.png", "val"),
    ]


def test_names_with_spaces(tmp_path: Path, write: Write) -> None:
    """Spaces inside names do not part a line in the wrong place."""
    write("images/my street 1.jpg", "masks/my street 1.png")
    for line in ("my street 1", "images/my street 1.jpg", "images/my street 1.jpg masks/my street 1.png"):
        write_lists(tmp_path, train=[line])
        assert found(tmp_path) == [("images/my street 1.jpg", "masks/my street 1.png", "train")]


def test_sample_folders(tmp_path: Path, write: Write) -> None:
    """A line may name a folder that holds Image/<one file> and Mask/0.png."""
    write("imgs/first/Image/photo.png", "imgs/first/Mask/0.png")
    write("imgs/second/Image/other.jpg", "imgs/second/Mask/0.png")
    write_lists(tmp_path, training_dataset=["first"], validation_dataset=["imgs/second"], test_dataset=[])
    assert found(tmp_path) == [
        ("imgs/first/Image/photo.png", "imgs/first/Mask/0.png", "train"),
        ("imgs/second/Image/other.jpg", "imgs/second/Mask/0.png", "val"),
    ]
    assert [sample.name for sample in txt_splits.read(tmp_path).samples] == ["first", "second"]


def test_broken_sample_folders_are_named(tmp_path: Path, write: Write) -> None:
    """A sample folder without mask, or with two images, is an error with list, line and folder."""
    write("imgs/first/Image/photo.png")
    write_lists(tmp_path, training_dataset=["# comment", "", "first"])
    with pytest.raises(SampleError, match=r"training_dataset\.txt: line 3, 'first'.*0\.png is missing"):
        found(tmp_path)
    write("imgs/first/Image/two.png", "imgs/first/Mask/0.png")
    with pytest.raises(SampleError, match="holds 2 images; expected exactly one"):
        found(tmp_path)


def test_split_folders_under_foreign_prefixes(tmp_path: Path, write: Write) -> None:
    """Pairs under another machine's prefix are mapped by their longest tail, and the mapping is a note."""
    write("train/1.png", "trainannot/1.png", "val/1.png", "valannot/1.png")
    write_lists(
        tmp_path,
        train=["/SegNet/CamVid/train/1.png /SegNet/CamVid/trainannot/1.png"],
        val=["/SegNet/CamVid/val/1.png /SegNet/CamVid/valannot/1.png"],
    )
    assert found(tmp_path) == [
        ("train/1.png", "trainannot/1.png", "train"),
        ("val/1.png", "valannot/1.png", "val"),
    ]
    (note,) = txt_splits.read(tmp_path).notes
    assert "4 paths" in note
    assert "'/SegNet/CamVid'" in note
    assert str(tmp_path) in note


def test_stems_are_looked_up_in_their_own_split(tmp_path: Path, write: Write) -> None:
    """The same stem in two split folders is told apart by the list it stands in."""
    write("train/images/1.png", "train/masks/1.png", "val/images/1.png", "val/masks/1.png")
    write_lists(tmp_path, train=["1"], val=["1"])
    assert [image for image, _, _ in found(tmp_path)] == ["train/images/1.png", "val/images/1.png"]


def test_ambiguous_stems_are_refused(tmp_path: Path, write: Write) -> None:
    """A stem that fits two images is an error that names both."""
    write("images/x/1.png", "masks/x/1.png", "images/y/1.png", "masks/y/1.png")
    write_lists(tmp_path, train=["1"])
    with pytest.raises(SampleError, match=r"line 1, '1': several images fit: .*x/1\.png, .*y/1\.png"):
        found(tmp_path)


def test_missing_file_names_list_line_and_neighbour(tmp_path: Path, write: Write) -> None:
    """A listed file that does not exist is an error with the list, the line, the name and the nearest one."""
    write("images/street_01.png", "masks/street_01.png")
    write_lists(tmp_path, train=["street_01", "street_1O"])
    with pytest.raises(SampleError) as caught:
        found(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "train.txt"))
    assert "line 2, 'street_1O'" in message
    assert "'street_01.png'" in message


def test_paths_never_leave_the_folder(tmp_path: Path, write: Write) -> None:
    """Lines that point outside the dataset's folder find nothing there."""
    write("secret.png", "data/images/a.png", "data/masks/a.png")
    for line in ("../secret.png", str(tmp_path / "secret.png"), "images/../../secret.png"):
        write_lists(tmp_path / "data", train=["a", line])
        with pytest.raises(SampleError, match="nothing of this name is below"):
            found(tmp_path / "data")


def test_image_without_mask_is_refused_unless_its_whole_split_has_none(tmp_path: Path, write: Write) -> None:
    """A single missing mask is an error; a test list without any is for prediction."""
    write("images/a.png", "masks/a.png", "images/b.png")
    write_lists(tmp_path, train=["a"], test=["b"])
    assert found(tmp_path)[1] == ("images/b.png", None, "test")
    write_lists(tmp_path, train=["a", "b"])
    (tmp_path / "test.txt").unlink()
    with pytest.raises(SampleError, match=r"b\.png: this image stands in a list but has no mask.*b_mask"):
        found(tmp_path)


def test_repeated_lines_count_once(tmp_path: Path, write: Write) -> None:
    """A second mention of an image is left out and said, within a list and across lists."""
    write("images/a.png", "masks/a.png", "images/b.png", "masks/b.png")
    write_lists(tmp_path, train=["a", "a", "b"], val=["b"])
    layout = txt_splits.read(tmp_path)
    assert [sample.split for sample in layout.samples] == ["train", "train"]
    assert "second time do not count: 1" in layout.notes[0]
    assert "Images in the lists of two splits count in the first only: 1" in layout.notes[1]


def test_class_names_beside_the_lists_are_read(tmp_path: Path, write: Write) -> None:
    """classes.txt gives the names and is no list of a split."""
    write("images/a.png", "masks/a.png")
    write_lists(tmp_path, train=["a"], classes=["sky", "road"])
    assert txt_splits.read(tmp_path).names == ("sky", "road")


def test_lists_may_lie_in_a_folder_of_their_own(tmp_path: Path, write: Write) -> None:
    """splits/train.txt is found, too."""
    write("images/a.png", "masks/a.png")
    (tmp_path / "splits").mkdir()
    write_lists(tmp_path / "splits", train=["a"])
    assert len(txt_splits.read(tmp_path).samples) == 1


def test_other_text_files_are_no_lists(tmp_path: Path, write: Write) -> None:
    """Readmes and annotations do not make a folder a list format; nor is reading it as one possible."""
    write("images/a.png", "masks/a.png")
    write_lists(tmp_path, readme=["train"], **{"added-object-list": ["a"], "retrain": ["a"]})
    assert not txt_splits.recognises(tmp_path)
    with pytest.raises(FormatError, match=r"no lists of splits found. Expected .*train\.txt"):
        txt_splits.read(tmp_path)


def test_empty_and_unreadable_lists_are_named(tmp_path: Path, write: Write) -> None:
    """Empty lists and binary ones are errors with the file's name."""
    write("images/a.png", "masks/a.png")
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(FormatError, match=r"train\.txt: the lists name no image"):
        txt_splits.read(tmp_path)
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(SampleError, match=r"train\.txt: the list cannot be read"):
        txt_splits.read(tmp_path)


def test_real_camvid(shared_data: Path) -> None:
    """CamVid's lists with their foreign prefix give 367 and 101 pairs."""
    layout = find_format(shared_data / "camvid").read(shared_data / "camvid")
    assert [sum(sample.split == split for sample in layout.samples) for split in ("train", "val")] == [367, 101]
    assert all(sample.mask is not None for sample in layout.samples)
    assert "'/SegNet/CamVid'" in layout.notes[0]
