"""Names in annotation files lead to files of the dataset, and to nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from easyseg.data.formats import named_files
from easyseg.data.formats.named_files import NamedFiles
from easyseg.data.reading import load_dataset
from easyseg.errors import EasySegError, SampleError


def files_below(root: Path, *names: str) -> list[Path]:
    """Write empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return [root / name for name in names]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "train/a.jpg"),
        ("train/a.jpg", "train/a.jpg"),
        ("./train/a.jpg", "train/a.jpg"),
        ("..\\train\\a.jpg", "train/a.jpg"),
        ("C:\\Users\\x\\data\\val\\b c.jpg", "val/b c.jpg"),
        ("/home/x/val/b c.jpg", "val/b c.jpg"),
        ("val/b%20c.jpg", "val/b c.jpg"),
        ("https://example.org/val/b%20c.jpg", "val/b c.jpg"),
        ("A.JPG", "train/a.jpg"),
        ("val/same.jpg", "val/same.jpg"),
        ("/x/train/same.jpg", "train/same.jpg"),
    ],
)
def test_names_of_any_machine(name: str, expected: str, tmp_path: Path) -> None:
    """The longest tail that exists counts, with slashes of either kind, case and escapes as they come."""
    files = files_below(tmp_path, "train/a.jpg", "val/b c.jpg", "train/same.jpg", "val/same.jpg")
    assert NamedFiles(tmp_path, files).find(name, source=tmp_path / "x.json") == tmp_path / expected


def test_several_files_of_a_name(tmp_path: Path) -> None:
    """Of several, the one beside the annotation counts; with none there it is an error that lists them."""
    files = files_below(tmp_path, "train/a.jpg", "val/a.jpg", "val/B.jpg", "val/b.jpg")
    named = NamedFiles(tmp_path, files)
    assert len(named) == 4
    assert named.find("a.jpg", source=tmp_path / "val/x.json") == tmp_path / "val/a.jpg"
    assert named.find("b.jpg", source=tmp_path / "x.json") == tmp_path / "val/b.jpg"
    with pytest.raises(SampleError, match=r"for which several files fit: .*train/a\.jpg and .*val/a"):
        named.find("a.jpg", source=tmp_path / "x.json")
    assert named.find_by_stem("a", source=tmp_path / "val/x.json") == tmp_path / "val/a.jpg"
    assert named.find_by_stem("a", source=tmp_path / "x.json") is None


def test_links_that_lead_out(tmp_path: Path) -> None:
    """A link to a file or folder outside is refused; one within the dataset is not."""
    root = tmp_path / "data"
    outside, inside = files_below(tmp_path, "outside/secret.jpg", "data/real.jpg")
    (root / "file.jpg").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent, target_is_directory=True)
    (root / "good.jpg").symlink_to(inside)
    named = NamedFiles(root, [root / "file.jpg", root / "folder/secret.jpg", root / "good.jpg"])
    assert named.find("good.jpg", source=root / "x.json") == root / "good.jpg"
    for name in ("file.jpg", "folder/secret.jpg"):
        with pytest.raises(SampleError, match=r"a link that leads out of .*type images="):
            named.find(name, source=root / "x.json")
        with pytest.raises(SampleError, match="leads out"):
            named.find_by_stem(Path(name).stem, source=root / "x.json")


def test_equals_in_split_folders(tmp_path: Path) -> None:
    """Of several files of a name, the one in the folder of the annotation file's split counts."""
    files = files_below(tmp_path, "train/a.jpg", "val/a.jpg", "images/val/b.jpg", "images/x/b.jpg")
    named = NamedFiles(tmp_path, files)
    for split in ("train", "val"):
        source = tmp_path / f"annotations/instances_{split}2017.json"
        assert named.find("a.jpg", source=source) == tmp_path / f"{split}/a.jpg"
    assert named.find("b.jpg", source=tmp_path / "val.json") == tmp_path / "images/val/b.jpg"
    assert named.find("x/b.jpg", source=tmp_path / "val.json") == tmp_path / "images/x/b.jpg"


@pytest.mark.parametrize(
    ("name", "source", "is_found"),
    [
        ("a.jpg", "val/_annotations.coco.json", False),
        ("a.jpg", "annotations/instances_val2017.json", False),
        ("val/a.jpg", "annotations.json", False),
        ("/x/my_val_data/a.jpg", "annotations.json", True),
        ("train/a.jpg", "val/_annotations.coco.json", True),
        ("a.jpg", "train/_annotations.coco.json", True),
        ("a.jpg", "annotations/trainval.json", True),
        ("d.jpg", "annotations/trainval.json", True),
        ("my_train/c.jpg", "val/_annotations.coco.json", True),
        ("../val/a.jpg", "train/val.json", True),
        ("b.jpg", "val/_annotations.coco.json", True),
        ("test_1.jpg", "annotations/test_1.json", True),
        ("test_1.jpg", "annotations/test_1.jpg.json", True),
    ],
)
def test_the_only_file_is_of_another_split(name: str, source: str, is_found: bool, tmp_path: Path) -> None:
    """An image that is missing is not taken from another split, unless the annotation says its folder."""
    named = NamedFiles(
        tmp_path, files_below(tmp_path, "train/a.jpg", "b.jpg", "train/test_1.jpg", "my_train/c.jpg", "val/d.jpg")
    )
    if is_found:
        assert named.find(name, source=tmp_path / source).name == name.rsplit("/", 1)[-1]
        return
    with pytest.raises(SampleError, match=r"for the split 'val', and the only file that fits, .*train/a\.jpg, lies in"):
        named.find(name, source=tmp_path / source)
    if "/" not in name:
        assert named.find_by_stem("a", source=tmp_path / source) is None


def test_annotations_elsewhere(tmp_path: Path) -> None:
    """The folders that images and annotations have in common, such as that of a test, say no split."""
    root = tmp_path / "test_project"
    named = NamedFiles(root / "images", files_below(root, "images/train/a.jpg"))
    assert named.find("a.jpg", source=root / "annotations/all.json").name == "a.jpg"


def test_a_name_in_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand files of one name are told apart without comparing each with each."""
    names = [f"images/{number:04}/rgb.png" for number in range(1000)]
    files = [tmp_path / name for name in names]
    named = NamedFiles(tmp_path, files)
    compared = []
    monkeypatch.setattr(named_files, "_shared", lambda *both: compared.append(both) or 0)
    for name, file in zip(names, files, strict=True):
        assert named.find(f"/home/x/{name}", source=tmp_path / "x.json") == file
        assert named.find("rgb.png", source=file.parent / "x.json") == file
    assert len(compared) == 0


def test_few_messages_offer_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest name is looked for a few times only, however many images are missing."""
    calls = []
    monkeypatch.setattr(named_files, "near_name", lambda *both: calls.append(both))
    named = NamedFiles(tmp_path, files_below(tmp_path, "a.jpg"))
    for number in range(100):
        with pytest.raises(SampleError, match="is not below"):
            named.find(f"b{number}.jpg", source=tmp_path / "x.json")
    assert len(calls) <= 5


HOSTILE = (
    "../secret.png", "../../{outside}/secret.png", "{absolute}", "/etc/passwd", "..\\..\\secret.png", "a\0/secret.png",
    "images/../../secret.png", "%2e%2e/secret.png", "file://{absolute}", "images/{outside}/secret.png",
    "{link}/secret.png", "link.png", "//{absolute}", "~/secret.png", ".", "..", "", "images", "CON", "\ud800", "\u202e",
    "a" * 300,
    "images/" * 200 + "secret.png",
)  # fmt: skip


def test_hostile_names(writers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names that try to leave the dataset: none is opened outside of it, and each is refused in words."""
    root, outside = tmp_path / "data", tmp_path / "outside"
    (secret,) = writers.write_images(outside, stems=("secret",))
    writers.write_images(root / "images", stems=("first",))
    (root / "images/link.png").symlink_to(secret)
    (root / "linked").symlink_to(outside, target_is_directory=True)
    opened: list[Path] = []
    real_open = Path.open

    def watched(self: Path, *args, **kwargs):
        opened.append(self.resolve())
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", watched)
    rng = random.Random(0)
    via = {"x": {"filename": "", "regions": []}}
    labelme = {"version": "5", "shapes": [], "imagePath": "", "imageData": None}
    coco = {"images": [{"id": 1, "file_name": ""}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    fields = {"via": (via, via["x"], "filename"), "labelme": (labelme, labelme, "imagePath")}
    fields["coco"] = (coco, coco["images"][0], "file_name")
    for at in range(1000):
        name = rng.choice(HOSTILE).format(outside=outside.name, absolute=secret, link="linked")
        if rng.random() < 0.5:
            name = rng.choice(("../", "./", "images/", "/", "\\", "linked/")) * rng.randint(1, 3) + name
        kind = sorted(fields)[at % 3]
        content, holder, field = fields[kind]
        holder[field] = name
        (root / "a.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(EasySegError):
            load_dataset(root, kind).image(0)
    assert opened
    assert all(path.is_relative_to(root.resolve()) for path in opened)
