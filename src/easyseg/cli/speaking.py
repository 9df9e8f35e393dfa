"""Several processes that do one command together: which of them speaks, and how they begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def speaks() -> bool:
    """Tell whether this process is the one that prints; a process that works alone always is."""
    from easyseg.devices import process_numbers  # loads torch, which `--help` need not wait for

    return process_numbers().rank == 0


@contextmanager
def together(device: str) -> Iterator[None]:
    """Bring the processes together for the block, so that a mistake that all of them find is told once.

    Args:
        device: as `Segmenter` takes it.
    """
    from easyseg.devices import process_numbers, resolve_compute

    if process_numbers().size == 1:
        yield
        return
    from easyseg.training.joining import joined_world

    with joined_world(resolve_compute(device).device):
        yield
