"""Files are on the disk with their sha256, and tensors lie in them as the safetensors format wants."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from easyseg.io import durable


def test_large_tensors_are_written_in_pieces(tmp_path, monkeypatch):
    """A tensor larger than a piece is whole, and its sha256 is that of the file."""
    monkeypatch.setattr(durable, "_CHUNK_BYTES", 1000)
    tensor = np.random.default_rng(0).random(1234)
    written = durable.write_durably(tmp_path / "a.safetensors", durable.tensor_parts({"tensor": tensor}))
    assert np.array_equal(load_file(tmp_path / "a.safetensors")["tensor"], tensor)
    assert written == durable.WrittenFile(
        "a.safetensors", (tmp_path / "a.safetensors").stat().st_size, durable.read_digest(tmp_path / "a.safetensors")
    )


def test_tensors_begin_where_their_type_wants(tmp_path):
    """Wide types come first behind a padded header, so that a reader may use the file's memory as it is."""
    parts = list(durable.tensor_parts({"a": np.zeros(3, np.uint8), "b": np.zeros(2), "c": np.zeros(1, np.float32)}))
    header = json.loads(parts[0][8:])
    assert len(parts[0]) % 8 == 0
    assert [header[name]["data_offsets"] for name in "abc"] == [[20, 23], [0, 16], [16, 20]]


def test_no_file_is_overwritten(tmp_path):
    """A file that exists is an error, and stays as it is."""
    (tmp_path / "state.json").write_text("old")
    with pytest.raises(FileExistsError):
        durable.write_durably(tmp_path / "state.json", [b"new"])
    assert (tmp_path / "state.json").read_text() == "old"
