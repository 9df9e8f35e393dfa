"""Model files: what is written comes back, and whatever else lies there is refused with a reason."""

from __future__ import annotations

import contextlib
import errno
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from easyseg.errors import CheckpointError, OutputError
from easyseg.io import checkpoints
from easyseg.io.checkpoints import (
    FORMAT_VERSION,
    Checkpoint,
    load_checkpoint,
    load_tensors,
    read_header,
    save_checkpoint,
)

TENSORS = {
    "kernel": torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
}
HEADER = {"classes": ["road", "ciel bleu ☁"], "metrics": {"mean_iou": 0.1 + 0.2}, "weights": None}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a sound model file."""
    return save_checkpoint(tmp_path / "model.safetensors", TENSORS, HEADER)


def left_in(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def split_file(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return a .safetensors file's own JSON header and the bytes after it."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join_file(path: Path, header: Any, rest: bytes) -> None:
    """Write a .safetensors file from its parts."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def test_tensors_and_header_come_back_to_the_bit(saved: Path) -> None:
    """Values, shapes, dtypes and the header's numbers are those that were saved."""
    found = load_checkpoint(saved)
    assert found.header == {"format_version": FORMAT_VERSION, **HEADER}
    assert found.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_tensors_of_any_memory_layout_can_be_saved(tmp_path: Path) -> None:
    """Channels-last memory, shared memory and gradients do not hinder saving, and are left as they are."""
    kernel = TENSORS["kernel"].clone().to(memory_format=torch.channels_last).requires_grad_()
    tied = {"kernel": kernel, "same": kernel, "part": kernel[0]}
    path = save_checkpoint(tmp_path / "model.safetensors", tied, {})
    found = load_checkpoint(path).tensors
    assert torch.equal(found["kernel"], TENSORS["kernel"])
    assert torch.equal(found["same"], TENSORS["kernel"])
    assert torch.equal(found["part"], TENSORS["kernel"][0])
    assert kernel.requires_grad
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_suffix_is_added_or_checked(tmp_path: Path) -> None:
    """A bare name gets the suffix; another suffix is refused with the name to type."""
    assert save_checkpoint(tmp_path / "model", TENSORS, {}) == tmp_path / "model.safetensors"
    with pytest.raises(OutputError, match=r"model\.pth: .*type '.*model\.safetensors'"):
        save_checkpoint(tmp_path / "model.pth", TENSORS, {})
    assert left_in(tmp_path) == ["model.safetensors"]


def test_folder_is_made(tmp_path: Path) -> None:
    """Missing folders above the file are no reason to lose a model."""
    assert save_checkpoint(tmp_path / "a" / "b" / "model.safetensors", TENSORS, {}).is_file()


def test_path_below_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the path and says that a part of it is a file."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file.*a part of the path is a file"):
        save_checkpoint(tmp_path / "file" / "model.safetensors", TENSORS, {})


@pytest.mark.parametrize(
    "failure", [SafetensorError("No space left on device (os error 28)"), OSError(errno.ENOSPC, "No space left")]
)
def test_failed_writing_leaves_the_old_file_and_nothing_else(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """A full disk costs neither the model that was there nor a temporary file."""
    before = saved.read_bytes()

    def fail(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(OutputError, match=r"model\.safetensors cannot be written: .*(disk full\?|space)"):
        save_checkpoint(saved, TENSORS, HEADER)
    assert saved.read_bytes() == before
    assert left_in(saved.parent) == [saved.name]


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which file and what to type."""
    with pytest.raises(CheckpointError, match=r"no model file '.*gone\.safetensors'.*run folder"):
        load_checkpoint(tmp_path / "gone.safetensors")


def test_every_truncation_is_refused(saved: Path) -> None:
    """A file that lacks its end is damaged, wherever it was cut."""
    data = saved.read_bytes()
    for length in [*range(0, len(data), 37), len(data) - 1]:
        saved.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read as a \.safetensors file"):
            load_checkpoint(saved)


def test_damaged_header_never_raises_anything_else(saved: Path) -> None:
    """A flipped byte before the weights either does no harm or is a CheckpointError."""
    data = saved.read_bytes()
    header_length = 8 + int.from_bytes(data[:8], "little")
    chance = random.Random(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[chance.randrange(header_length)] = chance.randrange(256)
        saved.write_bytes(bytes(damaged))
        try:
            load_checkpoint(saved)
        except CheckpointError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file of torch.save", pickle.dumps({"a": 1}), b"\xff" * 64])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    """Pickles, zips and noise are no model files, whatever their name says."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        load_checkpoint(path)


def test_weights_of_another_library_are_recognised(tmp_path: Path) -> None:
    """A .safetensors file without easyseg's header can still start a training, and the error says how."""
    path = tmp_path / "foreign.safetensors"
    save_file({"kernel": TENSORS["kernel"]}, path)
    with pytest.raises(CheckpointError, match=r"was not saved by easyseg.*weights='.*foreign\.safetensors'"):
        load_checkpoint(path)


def test_header_can_be_read_alone(saved: Path, tmp_path: Path) -> None:
    """Of a file that easyseg has not saved there is none."""
    assert read_header(saved) == load_checkpoint(saved).header
    save_file(TENSORS, tmp_path / "foreign.safetensors")
    assert read_header(tmp_path / "foreign.safetensors") is None
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_header(tmp_path / "none.safetensors")


def test_newer_format_asks_for_a_newer_version(saved: Path) -> None:
    """The error names both formats and the command that helps."""
    header, rest = split_file(saved)
    header["__metadata__"]["easyseg"] = json.dumps({"format_version": FORMAT_VERSION + 1})
    join_file(saved, header, rest)
    with pytest.raises(
        CheckpointError, match=rf"has format {FORMAT_VERSION + 1}, .*up to {FORMAT_VERSION}.*pip install"
    ):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"format_version": "x"}',
        '{"format_version": null}',
        "[" * 100_000,
        '{"format_version": NaN}',
        '{"format_version": 1e999}',
    ],
)
def test_damaged_easyseg_header_is_refused(saved: Path, text: str) -> None:
    """Whatever stands in the place of the JSON header, the error names the file."""
    header, rest = split_file(saved)
    header["__metadata__"]["easyseg"] = text
    join_file(saved, header, rest)
    with pytest.raises(CheckpointError, match=r"The header of .*model\.safetensors is damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_finite_numbers_are_refused(tmp_path: Path, value: float) -> None:
    """A model that has diverged would give nonsense without a word."""
    path = save_checkpoint(tmp_path / "model.safetensors", {"kernel": torch.tensor([1.0, value])}, {})
    with pytest.raises(CheckpointError, match=r"model\.safetensors holds numbers that are not finite, in 'kernel'"):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F64", "BOOL", "U16", "F4", "C64", "none", 3])
def test_strange_number_formats_raise_nothing_else(saved: Path, dtype: object) -> None:
    """A tensor type that easyseg never writes is read where torch can, or refused."""
    header, rest = split_file(saved)
    header["count"] = {**header["count"], "dtype": dtype, "shape": [8] if "8" in str(dtype) else [1]}
    join_file(saved, header, rest)
    with contextlib.suppress(CheckpointError):
        load_checkpoint(saved)


def test_weights_fit_into_the_network_they_are_from(saved: Path, tmp_path: Path) -> None:
    """Loading gives a network the saved weights; names or shapes that differ are refused with an example."""
    source, target = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
    checkpoint = Checkpoint({}, dict(source.state_dict()))
    load_tensors(target, checkpoint, path="m.safetensors")
    assert torch.equal(target.weight, source.weight)
    with pytest.raises(
        CheckpointError, match=r"m\.safetensors does not fit.*of its tensors 2 differ.*'bias'.*\(4,\).*\(2,\)"
    ):
        load_tensors(nn.Conv2d(3, 4, 1), checkpoint, path="m.safetensors")
    with pytest.raises(CheckpointError, match=r"of its tensors 1 differ.*'bias' \(expected shape \(2,\), found None\)"):
        load_tensors(target, Checkpoint({}, {"weight": source.weight}), path="m.safetensors")


def test_nothing_is_unpickled(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading works where every way to unpickle raises."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    assert load_checkpoint(saved).tensors.keys() == TENSORS.keys()
