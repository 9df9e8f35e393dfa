"""Keeps the index of a large table of masks in the user's cache folder, so that it is read only once.

An entry is one .npz file, written in one step. Its arrays carry checksums, which are verified as they are read. One
that is damaged, of another table, or of another version counts as none, and is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.open_images.mask_index import NO_SPLIT, MaskIndex, read_mask_index
from easyseg.errors import OutputError, SampleError
from easyseg.io.atomic import atomic_path
from easyseg.io.cache_folder import cache_folder
from easyseg.structures import SPLITS

SMALLEST_BYTES = 8 << 20
"""Smaller tables are read in less than half a second, and not kept."""

_VERSION = b"easyseg mask index 1"
_PROBE_BYTES = 1 << 16
_IDENTITY = "identity"
_LABELS = "labels"
_DAMAGE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),  # not whole
    *(ValueError, KeyError, TypeError, AttributeError),  # something else
    *(MemoryError, OverflowError),  # of a size that cannot be
)
_DTYPES = {
    "image_ids": "S",
    "starts": "int64",
    "splits": "uint8",
    "label_ids": "uint16",
    "names": "S",
    "boxes": "float32",
    "predicted_ious": "float32",
}


def open_mask_index(path: Path, folder: Path | None = None, on_rows: Callable[[int], None] | None = None) -> MaskIndex:
    """Return the index of a table of masks, from the cache where it is there.

    Args:
        path: the CSV file.
        folder: where indexes are kept; None: the user's cache folder.
        on_rows: called now and then with how many rows are read.

    Raises:
        SampleError: the table cannot be read.
    """
    try:
        size = path.stat().st_size
        if size < SMALLEST_BYTES:
            return read_mask_index(path, on_rows)
        identity = _identity(path)
    except OSError as error:
        raise SampleError(path, f"the table cannot be read ({error.strerror or error}). Check the path.") from error
    folder = cache_folder("open_images") if folder is None else folder
    of_this_table = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    entry = folder / f"{of_this_table}-{identity.hex()[:16]}.npz"
    found = _load(entry, identity)
    if found is None:
        found = read_mask_index(path, on_rows)
        if _identity(path) == identity:  # else it changed meanwhile, and nobody knows what was read
            _save(entry, identity, found)
            _remove_older(entry, of_this_table)
    return found


def _identity(path: Path) -> bytes:
    """Return a digest of what tells one table from another: path, size, time, its beginning and its end."""
    with path.open("rb") as file:
        status = path.stat()
        head = file.read(_PROBE_BYTES)
        file.seek(max(0, status.st_size - _PROBE_BYTES))
        tail = file.read(_PROBE_BYTES)
    known = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()
    digest = hashlib.sha256(_VERSION)
    for part in (known, head, tail):
        digest.update(hashlib.sha256(part).digest())
    return digest.digest()


def _load(entry: Path, identity: bytes) -> MaskIndex | None:
    try:
        with entry.open("rb") as file, np.load(file) as arrays:
            if bytes(arrays[_IDENTITY]) != identity:
                return None
            labels = tuple(bytes(arrays[_LABELS]).decode().split("\n"))
            index = MaskIndex(labels=labels, **{name: arrays[name] for name in _DTYPES})
    except _DAMAGE:
        return None
    return index if _is_sound(index) else None


def _save(entry: Path, identity: bytes, index: MaskIndex) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {name: getattr(index, name) for name in _DTYPES}
    arrays[_IDENTITY] = np.frombuffer(identity, np.uint8)
    arrays[_LABELS] = np.frombuffer("\n".join(index.labels).encode(), np.uint8)
    # a full or read-only disk costs time at the next opening, and nothing else
    with contextlib.suppress(OutputError), atomic_path(entry) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type] # its stubs take a name for the switch beside them


def _remove_older(entry: Path, of_this_table: str) -> None:
    with contextlib.suppress(OSError):
        for other in entry.parent.glob(f"{of_this_table}-*.npz"):
            if other != entry:
                other.unlink()


def _is_sound(index: MaskIndex) -> bool:
    """Return whether the arrays fit together, so that nothing can point outside of another."""
    for name, dtype in _DTYPES.items():
        array = getattr(index, name)
        if array.dtype != dtype and array.dtype.kind != dtype:
            return False
        if array.ndim != (2 if name == "boxes" else 1):
            return False
    images, masks = index.num_images, index.num_masks
    lengths = (len(index.starts), len(index.splits), len(index.label_ids), len(index.predicted_ious))
    if not masks or lengths != (images + 1, images, masks, masks) or index.boxes.shape != (masks, 4):
        return False
    if index.starts[0] != 0 or index.starts[-1] != masks or (np.diff(index.starts) < 1).any():
        return False
    is_ascending = bool((index.image_ids[1:] > index.image_ids[:-1]).all())
    fits = int(index.label_ids.max()) < len(index.labels)
    return is_ascending and fits and bool(((index.splits < len(SPLITS)) | (index.splits == NO_SPLIT)).all())
