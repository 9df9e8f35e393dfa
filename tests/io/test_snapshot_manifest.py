"""Damage of a resume checkpoint is noticed, and said in words."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

from easyseg.io.snapshot_manifest import is_whole
from easyseg.io.snapshots import newest_snapshot, write_snapshot


def save(folder, *numbers, **options):
    """Save small checkpoints."""
    for number in numbers:
        write_snapshot(folder, number, {"number": number}, {"model": {"weight": np.full(3, number)}}, **options)


def flip_bit(path, bit):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_thousand_damages_are_noticed(faults, tmp_path):
    """After any bit flip or truncation of any file the older checkpoint is used, and the damaged file is named."""
    folder, chance = tmp_path / "checkpoints", random.Random(0)
    faults.prepare(folder)
    files = sorted((folder / "000000200").iterdir())
    assert len(files) == 4
    for case in range(1000):
        file = files[case % len(files)]
        content = file.read_bytes()
        if case // len(files) % 2:
            flip_bit(file, chance.randrange(8 * len(content)))
        else:
            file.write_bytes(content[: chance.randrange(len(content))])
        newest, problems = newest_snapshot(folder)
        assert newest.number == 100
        assert len(problems) == 1
        assert problems[0].startswith("The checkpoint 000000200 cannot be used (")
        assert file.name in problems[0] or file.name == "manifest.json"  # which may say something wrong of any file
        file.write_bytes(content)
    assert faults.is_example(newest)
    assert newest_snapshot(folder)[0].number == 200


def test_every_bit_of_the_manifest_counts(tmp_path):
    """The manifest has no sha256 of its own, and still no bit can change unnoticed (every third is tried)."""
    save(tmp_path, 1)
    manifest = tmp_path / "000000001" / "manifest.json"
    content = manifest.read_bytes()
    for bit in range(0, 8 * len(content), 3):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(changed)
        assert not is_whole(manifest.parent, 1, contents=True), bit
    manifest.write_bytes(content)
    assert is_whole(manifest.parent, 1, contents=True)


def rewrite(path, **changes):
    """Write a manifest as a save would, with other content."""
    manifest = path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}, indent=1))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: (path / "state.json").unlink(), "state.json is missing"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda path: (path / "manifest.json").write_bytes(b""), "manifest.json has 0 bytes"),
        (lambda path: (path / "manifest.json").write_bytes(b"[" * 100_000), "manifest.json is damaged"),
        (lambda path: (path / "manifest.json").write_bytes(b" " * (1 << 21)), "manifest.json has 2097152 bytes"),
        (lambda path: (path / "more.txt").write_text(""), "more.txt does not belong to it"),
        (lambda path: (path / "more").mkdir(), "more is not a plain file"),
        (lambda path: [file.write_bytes(b"") for file in path.glob("*[sr]s")], "model.safetensors has 0 bytes instead"),
        (lambda path: [file.unlink() for file in path.iterdir()], "manifest.json is missing"),
        (lambda path: (shutil.rmtree(path), path.write_text("a file")), "cannot be read"),
        (lambda path: (shutil.rmtree(path), shutil.copytree(path.parent / "000000001", path)), "of another checkpoint"),
        (lambda path: rewrite(path, format_version=2), "has format 2, this version of easyseg reads 1"),
        (lambda path: rewrite(path, files=[{"name": ["x"], "size": 1, "sha256": ""}]), "manifest.json is damaged"),
        (lambda path: rewrite(path, files=[{"name": "../x", "size": 1, "sha256": ""}]), "manifest.json is damaged"),
        (lambda path: rewrite(path, files=[]), "manifest.json is damaged"),
    ],
)
def test_damage_is_said_in_words(tmp_path, damage, words):
    """What a power failure or a person may leave is not used; the sentence says which file, and what is wrong."""
    save(tmp_path, 1, 2)
    damage(tmp_path / "000000002")
    newest, problems = newest_snapshot(tmp_path)
    assert newest.number == 1
    assert len(problems) == 1
    assert "The checkpoint 000000002 cannot be used" in problems[0]
    assert words in problems[0]


def test_no_checkpoint_is_told_from_damaged_ones(tmp_path):
    """Without checkpoints there is nothing to say; where all are damaged each is named, the newest first."""
    assert newest_snapshot(tmp_path / "missing") == (None, [])
    assert newest_snapshot(tmp_path) == (None, [])
    save(tmp_path, 1, 2)
    for path in tmp_path.glob("0*"):
        (path / "manifest.json").unlink()
    newest, problems = newest_snapshot(tmp_path)
    assert newest is None
    assert [problem[:24] for problem in problems] == ["The checkpoint 000000002", "The checkpoint 000000001"]
