"""What is looked at before every training, in next to no time."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from easyseg import load_dataset
from easyseg.data.check import quick
from easyseg.data.check.quick import quick_notes
from easyseg.io.images import write_image
from easyseg.structures import Sample


def test_sound_data_and_data_from_memory_have_no_notes(shapes: Path) -> None:
    """Nothing is said where nothing is wrong, or where there are no files."""
    assert quick_notes(load_dataset(shapes).samples, shapes) == ()
    assert quick_notes([Sample(np.zeros((4, 4, 3), np.uint8))], None) == ()


def test_images_in_two_splits_are_told(shapes: Path) -> None:
    """The same file in train and val is told with what to type for the rest; twice in one split it is not."""
    for kind in ("images", "masks"):
        for split, name in (("val", "leak.png"), ("train", "twice.png")):
            shutil.copy(sorted((shapes / split / kind).iterdir())[0], shapes / "train" / kind / name)
    (note,) = quick_notes(load_dataset(shapes).samples, shapes)
    assert note.startswith("Note: 1 image in two splits at once, such as train/images/leak.png = val/images/")
    assert note.endswith(f"easyseg check {shapes}")


def test_only_files_of_equal_size_are_read(tmp_path: Path, monkeypatch: object) -> None:
    """Files that begin alike but differ later, or differ in size, are no copies."""
    head = bytes(quick._FIRST_BYTES)
    samples = []
    for name, split, data in (("a", "train", head + b"1"), ("b", "val", head + b"2"), ("c", "val", head + b"12")):
        (tmp_path / name).write_bytes(data)
        samples.append(Sample(tmp_path / name, split=split))
    assert quick_notes(samples, tmp_path) == ()
    (tmp_path / "b").write_bytes(head + b"1")
    assert "a = b" in quick_notes(samples, tmp_path)[0]


def test_missing_files_are_left_to_others(tmp_path: Path) -> None:
    """A file that is gone is refused elsewhere."""
    samples = [Sample(tmp_path / "gone.png", split="train"), Sample(tmp_path / "too.png", split="val")]
    assert quick_notes(samples, tmp_path) == ()
    assert quick._digest(tmp_path / "gone.png", whole=True) == b""


def test_training_says_so(shapes: Path) -> None:
    """The note is among those of the data that a training begins with."""
    from easyseg.config import ModelSettings
    from easyseg.segmenter.preparing import read_halves

    for kind in ("images", "masks"):
        shutil.copy(sorted((shapes / "val" / kind).iterdir())[0], shapes / "train" / kind / "leak.png")
    write_image(shapes / "train/images/plain.png", np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    write_image(shapes / "train/masks/plain.png", np.ones((48, 48), np.uint8))
    halves = read_halves(str(shapes), None, ModelSettings(), None)
    assert any("two splits at once" in note for note in halves.whole.notes)
