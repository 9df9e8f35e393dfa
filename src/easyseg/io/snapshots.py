"""Resume checkpoints: directories that appear whole, are verified before they are used, and are never all gone.

`checkpoints/000000123/` holds one .safetensors file per group of tensors, `state.json`, and `manifest.json` with the
size and sha256 of each. A save writes all this into a staging directory, the manifest last, flushes every file and the
directory, renames it, and flushes the parent; only then older ones go. So a kill, a full disk or a power failure at any
instant leaves the old checkpoint, the new one, or both. The newest whose manifest verifies is the one to go on from.

Two processes must not save into one folder: hold `locks.run_lock` meanwhile. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from easyseg.errors import CheckpointError, OutputError
from easyseg.io.atomic import make_folder, output_error, sync_folder
from easyseg.io.durable import Tensors, reserve_space, tensor_parts, write_durably
from easyseg.io.snapshot_manifest import MANIFEST, STATE, UnusableError, is_whole, manifest_bytes, verify

Phase: TypeAlias = Callable[[str], None]

_TENSORS = ".safetensors"
_STAGING = ".tmp-"
_TRASH = ".trash-"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_SNAPSHOT_NAME = re.compile(r"([0-9]{9,})(?:-([0-9]+))?")
_GROUP_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A resume checkpoint that was read and verified.

    Attributes:
        path: its directory.
        number: its place in the order of the run, such as the step.
        state: plain values, as they were saved.
        tensors: groups of tensors by name ("model", "optimizer", ...), as they were saved; writable, and not shared.
    """

    path: Path
    number: int
    state: dict[str, Any]
    tensors: dict[str, dict[str, npt.NDArray[Any]]]


def write_snapshot(
    folder: str | os.PathLike[str],
    number: int,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensors],
    *,
    keep: int = 2,
    phase: Phase = lambda name: None,
) -> Path:
    """Save a resume checkpoint, then remove what is older than the newest `keep`.

    What has a higher number is removed as well: whoever saves 105 went on from 100, because 123 was damaged.
    An instant that was saved already gets a second directory, "000000123-1", since nothing is ever overwritten.

    Args:
        folder: the run's `checkpoints` folder; made where it is missing.
        number: the instant, growing through the run (the step): >= 0.
        state: what JSON can hold without change: text keys, lists, numbers (not-a-number and infinities too), text.
        tensors: per group the tensors by name, float64, float32, float16, int64, int32, uint8 or bool.
        keep: how many to keep, >= 2: the newest may be the one that a failing disk has damaged.
        phase: is told what comes next: "stage", "write <file>", "flush", "rename", "flush folder", "prune", "done".

    Returns:
        the checkpoint's directory.

    Raises:
        OutputError: it cannot be written; nothing of it is left behind, and all older ones are as they were.
        TypeError: `state` or `tensors` hold what would not come back as it is.
        ValueError: `number`, `keep` or the name of a group is none.
    """
    folder = Path(folder)
    files = _encode(number, state, tensors, keep)
    try:
        if not folder.is_dir():
            _sync_above(make_folder(folder))
        _remove_leftovers(folder)
        phase("stage")
        final = folder / _free_name(folder, number)
        _stage_and_commit(final, number, files, phase)
    except OSError as error:
        raise output_error(folder / f"{number:09d}", error) from error
    phase("prune")
    _prune(folder, final, keep)
    phase("done")
    return final


def write_snapshot_making_room(
    folder: str | os.PathLike[str],
    number: int,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensors],
    *,
    keep: int = 2,
    phase: Phase = lambda name: None,
) -> Path:
    """Save a resume checkpoint like `write_snapshot`, with a second try.

    Where the disk or the quota was full, all older checkpoints but the newest that verifies make room first. After any
    other failure they stay: on a failing disk each of them may be the one that is needed.

    Raises:
        OutputError: the second try failed as well. At least one of the older checkpoints, if there were any, is as it
            was. A periodic save may warn and go on; the last one of a run may not.
    """
    try:
        return write_snapshot(folder, number, state, tensors, keep=keep, phase=phase)
    except OutputError as error:
        cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _NO_SPACE:
        phase("make room")
        _make_room(Path(folder))
    return write_snapshot(folder, number, state, tensors, keep=keep, phase=phase)


def newest_snapshot(folder: str | os.PathLike[str]) -> tuple[Snapshot | None, list[str]]:
    """Read the newest resume checkpoint that verifies: every file there, none besides, sizes and sha256 as saved.

    Nothing is changed on the disk. Times of files play no part.

    Returns:
        the checkpoint, or None where none verifies; and for each newer one a sentence that says what is wrong with it,
        newest first. None with sentences means that there is work which cannot be used: tell the user, do not begin
        anew as if there were nothing.

    Raises:
        CheckpointError: the folder is there but cannot be read.
    """
    problems: list[str] = []
    for number, path in _list_or_explain(Path(folder)):
        try:
            return _read(path, number), problems
        except UnusableError as problem:
            problems.append(f"The checkpoint {path.name} cannot be used ({problem}).")
    return None, problems


def check_space(folder: str | os.PathLike[str], num_bytes: int) -> None:
    """Find out at the start of a run whether checkpoints can be written: reserve their size on the disk, then free it.

    Args:
        folder: the run's `checkpoints` folder; made where it is missing.
        num_bytes: the size of a checkpoint times those that exist at once, `keep` + 1.

    Raises:
        OutputError: there is not enough space, or no permission; nothing is left behind.
    """
    folder = make_folder(folder)
    probe = folder / f"{_STAGING}{secrets.token_hex(6)}"
    try:
        _sync_above(folder)
        _remove_leftovers(folder)
        try:
            reserve_space(probe, num_bytes)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def check_plain(value: object, where: str) -> None:
    """Refuse what would not come back from a checkpoint as it was.

    Args:
        value: dicts with text as keys, lists, text, numbers, truth values and None, within each other.
        where: what to call it in the message.

    Raises:
        TypeError: there is something else in it; the message says where.
    """
    # JSON would turn a key 1 into "1" and a tuple into a list without a word, and a resumed run would differ
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}; keys must be text")
            check_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            check_plain(item, f"{where}[{position}]")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"{where} is a {type(value).__name__}; a checkpoint's state holds plain JSON values")


def _encode(
    number: int, state: Mapping[str, Any], tensors: Mapping[str, Tensors], keep: int
) -> dict[str, list[bytes] | Tensors]:
    """Refuse what could not be read again, before anything is written; return the files' contents by name."""
    if number < 0 or keep < 2:
        raise ValueError(f"number must be at least 0 and keep at least 2, not {number} and {keep}")
    for group in tensors:
        if not _GROUP_NAME.fullmatch(group):
            raise ValueError(f"the group {group!r} must be named in small letters, digits and underscores")
    check_plain(dict(state), "state")
    # all but ASCII is escaped, so that file names which are no valid Unicode come back as they were
    text = json.dumps(dict(state), indent=1).encode("ascii")
    return {**{group + _TENSORS: tensors[group] for group in tensors}, STATE: [text]}


def _stage_and_commit(final: Path, number: int, files: Mapping[str, list[bytes] | Tensors], phase: Phase) -> None:
    staging = final.with_name(f"{_STAGING}{final.name}-{secrets.token_hex(6)}")
    try:
        staging.mkdir()
        written = []
        for name, content in files.items():
            phase(f"write {name}")
            parts = content if isinstance(content, list) else tensor_parts(content)
            written.append(write_durably(staging / name, parts))
        phase(f"write {MANIFEST}")
        write_durably(staging / MANIFEST, [manifest_bytes(number, written)])
        phase("flush")
        sync_folder(staging)
        phase("rename")
        staging.rename(final)
        phase("flush folder")
        sync_folder(final.parent)
    except BaseException:  # Ctrl-C too
        _remove_tree(staging)
        raise


def _read(path: Path, number: int) -> Snapshot:
    try:
        listed = verify(path, number, contents=True)
        state = json.loads((path / STATE).read_bytes())
        groups = [file.name for file in listed if file.name.endswith(_TENSORS)]
        tensors = {name.removesuffix(_TENSORS): load_file(path / name) for name in groups}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise UnusableError(f"it cannot be read: {error}") from error
    return Snapshot(path, number, state, tensors)


def _list(folder: Path) -> list[tuple[int, Path]]:
    """Return numbers and directories, the newest first, whether they verify or not."""
    ordered = sorted(((*order, path) for path in folder.iterdir() if (order := _order(path))), reverse=True)
    return [(number, path) for number, _, path in ordered]


def _list_or_explain(folder: Path) -> list[tuple[int, Path]]:
    try:
        return _list(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error


def _order(path: Path) -> tuple[int, int] | None:
    """Return number and repetition of a directory ("000000123-1" is (123, 1)), or None where it is no checkpoint."""
    match = _SNAPSHOT_NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2] or 0)) if match else None


def _free_name(folder: Path, number: int) -> str:
    taken = [order[1] for path in folder.iterdir() if (order := _order(path)) and order[0] == number]
    return f"{number:09d}-{max(taken) + 1}" if taken else f"{number:09d}"


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Remove all but the newest and the `keep` - 1 before it. The save is done: a failure here is no failure of it."""
    with contextlib.suppress(OSError):  # the next save tries again; on a failing disk nothing more is removed
        snapshots = _list(folder)
        position = [path for _, path in snapshots].index(newest)
        for _, path in snapshots[:position]:  # given up when the run went on from before them
            _discard(path)
        kept = 1
        for number, path in snapshots[position + 1 :]:
            # contents are not read: gigabytes at every save cost more than keeping one that only seems to be whole
            if kept < keep and is_whole(path, number, contents=False):
                kept += 1
            else:
                _discard(path)


def _make_room(folder: Path) -> None:
    """Remove all that is older than the newest that is known to be good; this time contents are read."""
    with contextlib.suppress(OSError):
        sync_folder(folder)  # the newest may be one whose renaming failed to reach the disk
        snapshots = _list(folder)
        whole = next((at for at, (number, path) in enumerate(snapshots) if is_whole(path, number, contents=True)), None)
        for _, path in snapshots[whole + 1 :] if whole is not None else ():
            _discard(path)


def _discard(path: Path) -> None:
    """Remove a checkpoint; renamed first, so that one of which only some files are gone is never met."""
    trash = path.with_name(f"{_TRASH}{path.name}-{secrets.token_hex(6)}")
    with contextlib.suppress(OSError):  # the next save tries again
        path.rename(trash)
    _remove_tree(trash)


def _remove_tree(folder: Path) -> None:
    with contextlib.suppress(OSError):  # rmtree raises some errors even where it is told to ignore them
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if path.name.startswith((_STAGING, _TRASH)):
            if path.is_dir() and not path.is_symlink():
                _remove_tree(path)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def _sync_above(folder: Path) -> None:
    """Flush the folders that hold the run and its checkpoints: they may be as new as the run itself."""
    for parent in list(folder.resolve().parents)[:3]:
        with contextlib.suppress(OSError):  # one that may not be opened is not the run's own, and older than it
            sync_folder(parent)
