"""What can go wrong outside of the program: every case names the file, what was found, and what to type."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from easyseg import Segmenter, load_dataset
from easyseg.errors import (
    CheckpointError,
    DataError,
    EasySegError,
    FormatError,
    OutputError,
    SampleError,
)
from easyseg.io.images import read_image, read_mask, write_image
from easyseg.results import History

Fit = Callable[..., tuple[Segmenter, History]]
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
Hash = Callable[[Any], str]


@pytest.fixture
def copy(shapes: Path, tmp_path: Path) -> Path:
    """Return a copy of the dataset that may be damaged."""
    return Path(shutil.copytree(shapes, tmp_path / "copy"))


def cut_off(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bits(path: Path) -> None:
    """Damage the pixels of a file, not its header."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def shrink(path: Path) -> None:
    """Make an image or mask smaller."""
    array = read_image(path) if "images" in path.parts else read_mask(path).values
    write_image(path, np.ascontiguousarray(array[:30]))


def strange_id(path: Path) -> None:
    """Put an id into a mask that no class has."""
    mask = read_mask(path).values.copy()
    mask[:3, :5] = 77
    write_image(path, mask)


DAMAGES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("images", lambda path: path.write_bytes(b""), "the file is empty"),
    ("images", lambda path: path.write_text("no picture"), "not an image|no picture|no image|cannot be"),
    ("images", cut_off, "the PNG file is cut off after"),
    ("images", flip_bits, "damaged|checksum"),
    ("images", shrink, r"40 x 40 pixels, its image .* 40 x 30"),
    ("masks", lambda path: path.write_bytes(b""), "the file is empty"),
    ("masks", cut_off, "the PNG file is cut off after"),
    ("masks", flip_bits, "damaged|checksum"),
    ("masks", shrink, r"40 x 30 pixels, its image .* 40 x 40"),
]


@pytest.mark.parametrize(("part", "damage", "words"), DAMAGES)
@pytest.mark.parametrize("split", ["train", "val"])
def test_damaged_file_of_a_dataset_is_named_by_fit(
    fit: Fit, copy: Path, tree_hash: Hash, tmp_path: Path, split: str, part: str, damage: Callable[..., Any], words: str
) -> None:
    """In either split, image or mask: the path, what is wrong, and no file of the dataset touched."""
    path = sorted((copy / split / part).iterdir())[1]
    damage(path)
    before = tree_hash(copy)
    with pytest.raises(EasySegError, match=rf"(?s){path.name}.*({words})") as caught:
        fit(copy, run_dir=tmp_path / "run")
    assert isinstance(caught.value, DataError)
    assert str(copy) in str(caught.value)
    assert tree_hash(copy) == before
    assert not list(tmp_path.rglob("*.tmp*"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_cut_off_file_is_found_before_training(fit: Fit, copy: Path, tmp_path: Path, split: str) -> None:
    """Not at the end of the first epoch; there is no run folder yet."""
    cut_off(sorted((copy / split / "images").iterdir())[1])
    with pytest.raises(SampleError, match=r"the PNG file is cut off after"):
        fit(copy, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("part", "damage", "words"), DAMAGES)
def test_damaged_file_of_a_dataset_is_named_by_evaluate(
    fitted: Segmenter, copy: Path, part: str, damage: Callable[..., Any], words: str
) -> None:
    """The same words as from `fit`, and a model that works as before."""
    path = sorted((copy / "val" / part).iterdir())[1]
    damage(path)
    with pytest.raises(SampleError, match=rf"(?s){path.name}.*({words})"):
        fitted.evaluate(copy)
    assert len(fitted.evaluate(copy, split="test").images) == 2


@pytest.mark.parametrize("split", ["train", "val"])
def test_id_that_no_class_has_is_named(fit: Fit, fitted: Segmenter, copy: Path, split: str) -> None:
    """By whoever looks for the classes, or else by whoever reads the mask: file, value, and how to leave it out."""
    path = sorted((copy / split / "masks").iterdir())[1]
    sound = load_dataset(copy)
    strange_id(path)
    with pytest.raises(DataError, match=rf"77 is in the masks \(as in .*{path.name}\) but has no class.*ignore=\[77\]"):
        fit(copy)
    words = rf"{path.name}: the mask holds values that no class has: 77 \(15 px\).*3, 255.*ignore=\[77, 255\]"
    with pytest.raises(SampleError, match=words):
        fit(sound)
    with pytest.raises(SampleError, match=words):
        fitted.evaluate(copy, split=split)


@pytest.mark.parametrize("workers", [0, 1])
def test_file_that_breaks_during_training_is_named(fit: Fit, copy: Path, workers: int) -> None:
    """What no look at the headers finds is found by whoever decodes, in a worker process, too."""
    flip_bits(sorted((copy / "train" / "images").iterdir())[3])
    with pytest.raises(SampleError, match=r"shapes_0003\.png: ") as caught:
        fit(copy, workers=workers, cache="none")
    assert "Traceback" not in str(caught.value)


def test_missing_mask_is_named(fit: Fit, copy: Path) -> None:
    """An image whose mask is gone is told, not passed over."""
    (copy / "train" / "masks" / "shapes_0002.png").unlink()
    with pytest.raises(DataError, match=r"shapes_0002"):
        fit(copy)


def test_missing_image_is_named(fit: Fit, copy: Path) -> None:
    """A file that goes away after the dataset was read is told by its path."""
    dataset = load_dataset(copy)
    (copy / "train" / "images" / "shapes_0002.png").unlink()
    with pytest.raises(SampleError, match=r"shapes_0002\.png: .*the file does not exist"):
        fit(dataset)


def test_missing_folder_is_named_with_the_nearest_one(fit: Fit, shapes: Path) -> None:
    """A misspelt path is answered with the folder that is meant."""
    with pytest.raises(DataError, match=r"There is no folder '.*shapse'\. Did you mean '.*shapes'\?"):
        fit(shapes.parent / "shapse")


def test_folder_without_a_dataset_is_refused(fit: Fit, tmp_path: Path) -> None:
    """An empty folder, and a file."""
    with pytest.raises(FormatError, match=str(tmp_path)):
        fit(tmp_path)
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"data\.zip is a file; a dataset is a folder. Unpack it first"):
        fit(tmp_path / "data.zip")


@pytest.mark.parametrize("split", ["train", "val"])
def test_empty_split_is_named(fit: Fit, fitted: Segmenter, shapes: Path, split: str) -> None:
    """The error says which splits there are and what to type."""
    dataset = load_dataset(shapes, classes=fitted.classes).split("test")
    with pytest.raises(
        DataError, match=rf"The split '{split}' of .*shapes is empty; there is: test 2.*[Tt]ype split='test'"
    ):
        fitted.evaluate(dataset, split=split)
    with pytest.raises(DataError, match=r"split 'train' of .* is empty"):
        fit(dataset)


def test_single_image_leaves_nothing_to_validate_on(fit: Fit, arrays: Draw) -> None:
    """One image cannot be both; the error says so before training."""
    with pytest.raises(DataError, match=r"The split 'val' of the data is empty"):
        fit(arrays(count=1))


@pytest.mark.parametrize(
    "data", [3, None, "", [], {}, (np.zeros((2, 4, 4, 3), np.uint8),), [np.zeros((4, 4), np.uint8)], b"data"]
)
def test_data_of_another_kind_is_refused(fit: Fit, data: Any) -> None:
    """Whatever is given, the error is one of ours."""
    with pytest.raises(EasySegError):
        fit(data)


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_arrays_that_do_not_fit_together_are_refused(fit: Fit, fitted: Segmenter, arrays: Draw, verb: str) -> None:
    """More images than masks, masks of another size, and images before normalisation."""
    images, masks = arrays(count=4)
    for wrong, words in (
        ((images, masks[:3]), r"\(4, 40, 40, 3\) and \(3, 40, 40\).*same N"),
        ((images, masks[:, :30]), r"array \d: the mask has 40 x 30 pixels, its image .* 40 x 40"),
        ((images.astype(np.float32) - 100, masks), r"reach from -100\.0 to \S+; expected 0 to 1.*normalisation"),
    ):
        with pytest.raises(DataError, match=words):
            fit(wrong) if verb == "fit" else fitted.evaluate(wrong)


def test_images_of_other_channels_are_refused(fit: Fit, arrays: Draw) -> None:
    """The error names both numbers and what to type."""
    with pytest.raises(DataError, match=r"has 3 channels, 5 are needed\. Type in_channels=3"):
        fit(arrays(count=4), in_channels=5)


@pytest.mark.parametrize("path", ["missing.png", "images/*.nothing", "missing"])
def test_nothing_to_predict_on_is_named(
    fitted: Segmenter, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path or pattern without a file is repeated in the error."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        list(fitted.predict([path]))
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"), [(damage, words) for part, damage, words in DAMAGES[:4] if part == "images"]
)
def test_damaged_image_to_predict_on_is_named(
    fitted: Segmenter, copy: Path, damage: Callable[..., Any], words: str
) -> None:
    """One image alone, or among others."""
    path = sorted((copy / "val" / "images").iterdir())[1]
    damage(path)
    with pytest.raises(SampleError, match=rf"{path.name}: .*({words})"):
        fitted.predict(path)
    results = fitted.predict(copy / "val" / "images")
    assert next(results).path.name == "shapes_0008.png"
    with pytest.raises(SampleError, match=rf"{path.name}: .*({words})"):
        next(results)


def test_run_folder_below_a_file_is_refused_before_training(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the path, and no time was spent on building a model."""
    (tmp_path / "file").write_text("mine")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was built")

    monkeypatch.setattr("easyseg.segmenter.tasks.semantic.build_model", refuse)
    with pytest.raises(OutputError, match=r"file/run cannot be written: a part of the path is a file"):
        fit(shapes, run_dir=tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


def test_model_cannot_be_saved_below_a_file(fitted: Segmenter, tmp_path: Path) -> None:
    """And nothing is left behind."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"file.* cannot be written: a part of the path is a file"):
        fitted.save(tmp_path / "file" / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "read-only")])
@pytest.mark.parametrize("good_writes", [3, 6])
def test_disk_that_fills_up_during_training_is_told(
    fit: Fit, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, good_writes: int
) -> None:
    """Whichever file does not fit any more, the error names it, and every file that is there is whole."""
    left = [good_writes]
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr("easyseg.io.atomic.os.fsync", failing)
    run = tmp_path / "run"
    with pytest.raises(OutputError, match=rf"run/[\w./]+ cannot be written: .*{words}"):
        fit(shapes, run_dir=run)
    monkeypatch.undo()
    assert not [path.name for path in run.rglob("*") if ".tmp" in path.name]
    if (run / "best.safetensors").exists():
        Segmenter.load(run)
    if (run / "history.csv").exists():
        History.from_csv(run / "history.csv")


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from easyseg import Segmenter
from easyseg.errors import OutputError

torch.set_num_threads(1)
segmenter = Segmenter.load(sys.argv[1])
target = Path(sys.argv[2])
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for work in (lambda: segmenter.save(target / "model.safetensors"),
             lambda: segmenter.fit(sys.argv[4], epochs=1, batch_size=2, run_dir=target / "run", verbose=False)):
    try:
        work()
    except OutputError as error:
        print(error)
"""


def run_script(*arguments: Any, prefix: tuple[str, ...] = ()) -> list[str]:
    """Run the script above in a process of its own and return its lines."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", FULL_DISK, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_file_that_outgrows_the_disk_leaves_nothing(fitted: Segmenter, shapes: Path, tmp_path: Path) -> None:
    """A model that does not fit: an error with its name, the old file as it was, no temporary file."""
    model = fitted.save(tmp_path / "model")
    target = tmp_path / "full"
    target.mkdir()
    (target / "model.safetensors").write_bytes(b"the old one")
    lines = run_script(model, target, "limit", shapes)
    assert len(lines) == 2
    assert "full/model.safetensors cannot be written" in lines[0]
    assert "full/run/checkpoints cannot be written" in lines[1], "told before training"
    assert (target / "model.safetensors").read_bytes() == b"the old one"
    assert not [path for path in target.rglob("*") if ".tmp" in path.name]
    assert not (target / "run" / "best.safetensors").exists()


def test_damaged_model_file_is_named(fitted: Segmenter, tmp_path: Path) -> None:
    """Cut off, empty, foreign, or not there: the path and what to do."""
    path = fitted.save(tmp_path / "model")
    content = path.read_bytes()
    for damaged in (b"", content[:50], content[: len(content) // 2], content[:-1], b"x" * 1000):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
            Segmenter.load(path)
    with pytest.raises(CheckpointError, match=r"There is no model file '.*gone\.safetensors'"):
        Segmenter.load(tmp_path / "gone.safetensors")


def test_model_of_numbers_that_are_not_finite_is_refused(fitted: Segmenter, tmp_path: Path) -> None:
    """It would predict nonsense without a word."""
    loaded = Segmenter.load(fitted.save(tmp_path / "model"))
    with torch.no_grad():
        next(loaded.network.parameters()).fill_(float("nan"))
    path = loaded.save(tmp_path / "nan")
    with pytest.raises(CheckpointError, match=r"nan\.safetensors holds numbers that are not finite"):
        Segmenter.load(path)
