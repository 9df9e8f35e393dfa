"""What makes a resume checkpoint whole: its manifest, with the name, size and sha256 of every file.

The manifest is written last, so a checkpoint without one is unfinished. Nothing here changes anything on the disk.
"""

from __future__ import annotations

import json
import stat
from dataclasses import asdict
from pathlib import Path

from easyseg.io.durable import WrittenFile, read_digest

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
STATE = "state.json"

_MOST_BYTES = 1 << 20


class UnusableError(Exception):
    """A checkpoint does not verify; the message says which file, and why."""


def manifest_bytes(number: int, files: list[WrittenFile]) -> bytes:
    """Return the content of the manifest of a checkpoint with this number and these files."""
    content = {"format_version": FORMAT_VERSION, "number": number, "files": [asdict(file) for file in files]}
    return json.dumps(content, indent=1).encode("ascii")


def verify(path: Path, number: int, *, contents: bool) -> list[WrittenFile]:
    """Check a checkpoint's files against its manifest, and return them.

    Args:
        path: the checkpoint's directory.
        number: what its name says.
        contents: whether to read all files for their sha256; without, only names and sizes are compared.

    Raises:
        UnusableError: something does not fit.
        OSError: something cannot be read.
    """
    sizes = {}
    for found in path.iterdir():
        status = found.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError(f"{found.name} is not a plain file")
        sizes[found.name] = status.st_size
    if MANIFEST not in sizes:
        raise UnusableError(f"{MANIFEST} is missing")
    listed = _parse(path / MANIFEST, sizes.pop(MANIFEST), number)
    expected = {file.name: file.size for file in listed}
    if missing := sorted(expected.keys() - sizes.keys()):
        raise UnusableError(f"{missing[0]} is missing")
    if extra := sorted(sizes.keys() - expected.keys()):
        raise UnusableError(f"{extra[0]} does not belong to it")
    for file in listed:
        if sizes[file.name] != file.size:
            raise UnusableError(f"{file.name} has {sizes[file.name]} bytes instead of {file.size}")
        if contents and read_digest(path / file.name) != file.sha256:
            raise UnusableError(f"{file.name}: its content has changed since it was saved")
    return listed


def _parse(path: Path, size: int, number: int) -> list[WrittenFile]:
    if not 0 < size <= _MOST_BYTES:
        raise UnusableError(f"{MANIFEST} has {size} bytes")
    text = path.read_bytes()
    try:
        content = json.loads(text)
        version = content["format_version"]
        files = [WrittenFile(**file) for file in content["files"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnusableError(f"{MANIFEST} is damaged") from error
    if version != FORMAT_VERSION:
        raise UnusableError(f"{MANIFEST} has format {version!r}, this version of easyseg reads {FORMAT_VERSION}")
    if any(type(file.name) is not str for file in files) or STATE not in {file.name for file in files}:
        raise UnusableError(f"{MANIFEST} is damaged")
    # the manifest has no sha256 of its own; what says the same in other bytes was not written by a save
    if manifest_bytes(number, files) != text:
        raise UnusableError(f"{MANIFEST} is damaged, or is that of another checkpoint")
    return files


def is_whole(path: Path, number: int, *, contents: bool) -> bool:
    """Whether a checkpoint verifies; arguments as of `verify`.

    Raises:
        OSError: it cannot be read, so it may be as good as any.
    """
    try:
        verify(path, number, contents=contents)
    except UnusableError:
        return False
    return True
