"""What "auto" means: rules for settings nobody gave, each a pure function with its reason."""

from __future__ import annotations

from pathlib import Path

from easyseg.config import Auto
from easyseg.devices import available_memory, processor_count
from easyseg.io.cache_files import free_disk_bytes

CACHE_SHARE = 0.25
"""Part of the free memory, or else of the free disk, that decoded images may take; the rest belongs to the network and
to other people."""


def choose_batch_size(given: int | Auto, *, usual: int, num_images: int, processes: int = 1) -> int:
    """Return images per step: the usual number, fewer where an epoch would have under four steps.

    Several processes share as many, so that they train what one would; each needs one at least.
    """
    if given != "auto":
        return given
    return max(processes, min(usual, num_images // 4))


def choose_learning_rates(
    learning_rate: float | Auto, encoder_learning_rate: float | Auto, *, usual: float, optimizer: str, pretrained: bool
) -> tuple[float, float]:
    """Return the highest learning rates of decoder and head, and of the encoder.

    A pretrained encoder gets a tenth: it forgets at the decoder's rate. Adam's steps do not depend on the size of the
    gradient, so one rate fits most networks; SGD's do, and it needs a larger one.

    Args:
        learning_rate: the setting.
        encoder_learning_rate: likewise.
        usual: of decoder and head, with Adam.
        optimizer: its name.
        pretrained: whether the encoder is.
    """
    usual = usual * 10 if optimizer == "sgd" else usual
    decoder = usual if learning_rate == "auto" else learning_rate
    encoder = (decoder * 0.1 if pretrained else decoder) if encoder_learning_rate == "auto" else encoder_learning_rate
    return decoder, encoder


def choose_workers(given: int | Auto, *, device_type: str, start_method: str) -> int:
    """Return how many processes prepare batches.

    Beside a GPU the processors are free for it. Without one they are busy with the network, and every process more
    takes from it what it gives. Where processes do not start by fork, they run the user's script once more; it must be
    written for that, so they are for those who ask for them.
    """
    if given != "auto":
        return given
    return 0 if device_type == "cpu" or start_method != "fork" else min(8, max(1, processor_count() - 1))


def choose_cache_bytes(given: str, folder: Path) -> tuple[int, int]:
    """Return how much decoded images may take of the memory, and where that is not enough, of the disk.

    That is all that is free for "ram" and for "disk", and a quarter of each for "auto".

    Args:
        given: the setting.
        folder: where on the disk they would lie.
    """
    if given == "auto":
        return int(available_memory() * CACHE_SHARE), int(free_disk_bytes(folder) * CACHE_SHARE)
    return available_memory() if given == "ram" else 0, free_disk_bytes(folder) if given == "disk" else 0
