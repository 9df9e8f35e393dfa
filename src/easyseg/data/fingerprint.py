"""What tells one dataset from another, so that an interrupted training does not go on with different images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from easyseg.data.classes.mask_values import mask_sources
from easyseg.data.dataset import Dataset
from easyseg.data.sample_files import objects_identity
from easyseg.errors import SampleError
from easyseg.structures import ArchivedFile, EmbeddedImage, ImageWindow


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Return how many images a dataset has, its classes, and a digest of all its files or arrays and how they are read.

    Files count by name, size and split, not by time: a copy of a dataset on another disk is the same dataset.

    Raises:
        SampleError: a file is gone.
    """
    digest = hashlib.sha256(json.dumps(dataset.class_map.to_dict(), sort_keys=True, default=str).encode())
    digest.update(repr(dataset.value_range).encode() if dataset.value_range else b"")
    for sample in dataset.samples:
        digest.update(f"\n{sample.name} {sample.split}".encode())
        sources = [sample.image, *mask_sources(sample)]
        for source in sources:
            digest.update(_identity(source))
        digest.update(objects_identity(sample, _identity))
    return {"images": len(dataset), "classes": dataset.classes, "files": digest.hexdigest()[:16]}


def held_out_digest(dataset: Dataset) -> str:
    """Return what tells whether the validation images that were drawn of a dataset are those drawn of another.

    Returns:
        a digest of their names and sizes, of arrays their pixels; empty where none were drawn.

    Raises:
        SampleError: a file is gone.
    """
    if not dataset.validation_is_drawn:
        return ""
    digest = hashlib.sha256()
    for index, sample in enumerate(dataset.samples):
        if sample.split == "val":
            digest.update(f"\n{index} ".encode() + _identity(sample.image))
    return digest.hexdigest()[:16]


def _identity(source: object) -> bytes:
    if isinstance(source, (EmbeddedImage, ImageWindow)):
        return source.name.encode() + _identity(source.path)
    if isinstance(source, ArchivedFile):
        return f"{source.name} {source.num_bytes}".encode()
    if not isinstance(source, Path):
        array = np.ascontiguousarray(source)
        return f"{array.shape} {array.dtype} {hashlib.sha256(array.data).hexdigest()}".encode()
    try:
        return f"{source.name} {source.stat().st_size}".encode()
    except OSError as error:
        raise SampleError(source, f"the file cannot be found ({error.strerror}). Check the folder.") from error
