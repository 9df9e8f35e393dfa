"""What can be found wrong before a training in next to no time; the whole examination takes longer."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from easyseg.results.words import counted
from easyseg.structures import Sample

_FIRST_BYTES = 4096


def quick_notes(samples: Sequence[Sample], root: Path | None) -> tuple[str, ...]:
    """Return lines on what should be known before a training.

    Files are compared by their sizes, and only where two agree by their contents. Pixels are not decoded.

    Args:
        samples: the images with their masks and splits.
        root: the dataset's folder, None for data from memory.
    """
    if root is None:
        return ()
    leaks = _files_in_two_splits(samples)
    if not leaks:
        return ()
    first, second = (path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path) for path in leaks[0])
    return (
        f"Note: {counted(f'{len(leaks):,}', 'image')} in two splits at once, such as {first} = {second}; the figures "
        f"will be better than the model. To see what else is wrong, type: easyseg check {root}",
    )


def _files_in_two_splits(samples: Sequence[Sample]) -> list[tuple[Path, Path]]:
    """Return pairs of equal image files that are in different splits."""
    by_size: dict[int, list[tuple[Path, str | None]]] = defaultdict(list)
    for sample in samples:
        if isinstance(sample.image, Path):
            by_size[_size(sample.image)].append((sample.image, sample.split))
    pairs = []
    for size, files in by_size.items():
        if size and len({split for _, split in files}) > 1:
            pairs += _equal_pairs(files, whole=False)
    return pairs


def _equal_pairs(files: Sequence[tuple[Path, str | None]], *, whole: bool) -> list[tuple[Path, Path]]:
    by_content: dict[bytes, list[tuple[Path, str | None]]] = defaultdict(list)
    for path, split in files:
        by_content[_digest(path, whole=whole)].append((path, split))
    pairs = []
    for content, group in by_content.items():
        if not content or len({split for _, split in group}) < 2:
            continue
        if not whole:  # only files whose beginnings agree, too, are read to their ends
            pairs += _equal_pairs(group, whole=True)
            continue
        first, split = group[0]
        pairs += [(first, other) for other, other_split in group[1:] if other_split != split]
    return pairs


def _digest(path: Path, *, whole: bool) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read() if whole else file.read(_FIRST_BYTES)).digest()
    except OSError:
        return b""  # what cannot be read is refused elsewhere


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
