"""Files that are on the disk, not only on their way to it, when the call returns; with the sha256 of what was written.

The tensors of a resume checkpoint are written from here in the safetensors format rather than by its library, which
reports a full disk without its error number, knows no sha256, and reads nothing that this module writes differently.
No torch is imported, so that faults can be injected into a save in a tenth of a second.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Tensors: TypeAlias = Mapping[str, npt.NDArray[Any]]

_CHUNK_BYTES = 4 << 20
"""Small enough that what was hashed is still in the processor's cache when it is written."""

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}
"""numpy's names and the format's. No bfloat16: training weights are float32 whatever the precision of a step."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file as it must be found again.

    Attributes:
        name: its name, without a folder.
        size: its bytes.
        sha256: of its content, 64 hexadecimal digits in lower case.
    """

    name: str
    size: int
    sha256: str


def write_durably(path: Path, parts: Iterable[bytes | memoryview]) -> WrittenFile:
    """Write a new file from its parts, one after the other, and flush it to the disk.

    The sha256 is that of the bytes in memory: damage on the way to the disk shows, too.

    Raises:
        OSError: it exists already, or cannot be written; what was written of it stays.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for part in parts:
            for start in range(0, len(part), _CHUNK_BYTES):
                chunk = part[start : start + _CHUNK_BYTES]
                digest.update(chunk)
                file.write(chunk)
                size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return WrittenFile(path.name, size, digest.hexdigest())


def read_digest(path: Path) -> str:
    """Return the sha256 of a file's content, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_parts(tensors: Tensors) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a .safetensors file: its header, then the numbers of one tensor after the other.

    No tensor is copied, unless it does not lie in memory row by row (channels-last weights), and then one at a time.

    Args:
        tensors: float64, float32, float16, int64, int32, uint8 or bool, of any shape.

    Raises:
        TypeError: a tensor is of another type.
    """
    # the format wants every tensor to begin at a multiple of its items' size: the widest first
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    entries, offset = {}, 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype.name not in _DTYPES:
            raise TypeError(f"the tensor {name!r} is {tensor.dtype.name}; a checkpoint holds {', '.join(_DTYPES)}")
        end = offset + tensor.nbytes
        entries[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for name in names:
        plain = np.asarray(tensors[name], order="C", dtype=tensors[name].dtype.newbyteorder("<"))
        yield plain.reshape(-1).view(np.uint8).data


def reserve_space(path: Path, num_bytes: int) -> None:
    """Make a new file of this size that takes up its place on the disk.

    Raises:
        OSError: there is no space or permission; a part of the file may stay.
    """
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate") and num_bytes:
            try:
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            except OSError as error:
                if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
                    raise
            else:
                return
        zeros = bytes(1 << 20)
        for start in range(0, num_bytes, len(zeros)):
            file.write(zeros[: num_bytes - start])
        file.flush()
        os.fsync(file.fileno())
