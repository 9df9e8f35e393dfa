"""Starting the processes of a training on one machine, by the same launcher that `torchrun` is."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from easyseg.devices import missing_gpus, process_numbers, processor_count
from easyseg.errors import ConfigError

SHUTDOWN_SECONDS = 120
"""How long the processes have, after Ctrl-C or SIGTERM, to come to the end of a batch and save."""

_THREADS = "OMP_NUM_THREADS"


def launch(words: Sequence[str], *, devices: int, device: str) -> int:
    """Run `python -m easyseg` in several processes of this machine, and return the exit status of the whole.

    Ctrl-C and SIGTERM reach each of the processes once. Where one of them fails, the others are ended.

    Args:
        words: what follows `python -m easyseg`.
        devices: number of processes; each has a GPU of its own, or its share of the CPU.
        device: "auto", "cuda" or "cpu".

    Returns:
        The exit status of the first process to fail, 128 + its number for a signal, or 0.

    Raises:
        ConfigError: there are fewer GPUs, or the processes have been started already.
    """
    _check(devices, device)
    before = os.environ.get(_THREADS)
    os.environ.setdefault(_THREADS, str(max(1, processor_count() // devices)))
    try:
        with tempfile.TemporaryDirectory(prefix="easyseg-") as folder, _quiet("torch.distributed.elastic"):
            elastic_launch(_plan(devices, folder), sys.executable)("-m", "easyseg", *words)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        return 128 + error.sigval
    finally:
        if before is None:
            del os.environ[_THREADS]
    return 0


def _plan(devices: int, folder: str) -> LaunchConfig:
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id="easyseg",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
        local_addr="localhost",
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        shutdown_timeout=SHUTDOWN_SECONDS,
    )


def _check(devices: int, device: str) -> None:
    started = process_numbers().size
    if started > 1:
        raise ConfigError(
            f"--devices {devices} starts processes, and this is one of {started} that a launcher such as torchrun has "
            "started already. Leave out --devices."
        )
    if device == "cpu":
        return
    if device not in ("auto", "cuda"):
        raise ConfigError(f"--devices {devices} goes with --device cuda or --device cpu, not {device!r}.")
    count = torch.cuda.device_count()
    if count < devices:
        raise ConfigError(missing_gpus(devices, count))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger from telling once more what the processes themselves have told."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
