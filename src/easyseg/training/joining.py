"""How the processes of a training come together, and how none waits for one that is gone."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from easyseg.devices import ProcessNumbers, process_numbers
from easyseg.errors import ConfigError, EasySegError, TrainingError
from easyseg.training.distributed import ALONE, World

JOIN_SECONDS = 300.0
"""How long the first processes wait for the last one: machines of a cluster do not start together."""

PATIENCE_SECONDS = 1800.0
"""How long processes wait for one that is at work, such as on the report of a large run."""

LAST_WORDS_SECONDS = 5.0
"""How long a process that lost another one waits to hear why."""

_ARRIVED, _ERRORS, _WORDS = "easyseg/arrived", "easyseg/errors", "easyseg/words"

_LOST = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "Socket")
"""Words of torch's errors when another process is gone; their classes say less."""


class _Meeting:
    """What this process keeps of the others: the place where they left notes, and whether they have parted."""

    store: Store | None = None
    has_parted = False


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """Bring together the processes that a launcher such as torchrun has started, for what happens in the block.

    Where nobody launched this process, it is a world of its own. An error in the block parts the processes for good, so
    that those which wait for this one end, too, and tell why.

    Args:
        device: on which this process computes.

    Raises:
        ConfigError: the launcher's environment is wrong, or its port is taken.
        TrainingError: some of the processes did not come, or one is gone.
    """
    numbers = process_numbers()
    if numbers.size == 1 and not dist.is_initialized():
        yield ALONE
        return
    world = _join(numbers, device)
    try:
        yield world
    except BaseException as error:
        if _Meeting.has_parted:  # within another such block, which has told it
            raise
        failure = _told(error, world)
        part()
        if failure is not error:
            raise failure from error
        raise


def part() -> None:
    """Leave the other processes; whoever waits for this one ends."""
    _Meeting.has_parted = True
    if dist.is_available() and dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


def _told(error: BaseException, world: World) -> BaseException:
    """Let the others know of an error, and return what this process should raise: that, or why another one is gone."""
    is_lost = isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST)
    if is_lost:
        words = _last_words()
        failure = TrainingError(
            f"Another of the {world.size} processes has ended: {words}"
            if words
            else f"Another of the {world.size} processes is gone without a word; it was killed, or ran out of memory. "
            "Type the same command again to go on from the last checkpoint."
        )
        failure.is_told = bool(words) or not _speaks_first()
        return failure
    if isinstance(error, Exception):
        is_first = _speaks_first()
        if is_first:
            _leave_words(f"process {world.rank}: {error}")
        if isinstance(error, EasySegError):
            error.is_told = not is_first
    return error


def _speaks_first() -> bool:
    """Tell whether no other process has had an error to tell."""
    try:
        return _Meeting.store is None or _Meeting.store.add(_ERRORS, 1) == 1
    except RuntimeError:  # the process that keeps the notes is gone
        return True


def _leave_words(text: str) -> None:
    with contextlib.suppress(RuntimeError):
        if _Meeting.store is not None:
            _Meeting.store.set(_WORDS, text)


def _last_words() -> str:
    """Return what the first process to fail has said, or nothing."""
    try:
        if _Meeting.store is None:
            return ""
        _Meeting.store.wait([_WORDS], timedelta(seconds=LAST_WORDS_SECONDS))
        return str(_Meeting.store.get(_WORDS).decode())
    except RuntimeError:
        return ""


def _join(numbers: ProcessNumbers, device: torch.device) -> World:
    if _Meeting.has_parted:
        raise TrainingError(
            "The processes that train together have parted after an error, and cannot meet again. Start them anew."
        )
    if not dist.is_initialized():
        _meet(numbers, device)
    world = World(dist.get_rank(), dist.get_world_size(), numbers.local_rank, numbers.local_size)
    try:
        world.barrier()
    except RuntimeError as error:
        if "device type cpu" not in str(error).lower():
            raise
        raise ConfigError(
            "The process group that this script has made cannot carry tensors on the CPU. Leave making it to easyseg, "
            "or type init_process_group('cpu:gloo,cuda:nccl')."
        ) from error
    return world


def _meet(numbers: ProcessNumbers, device: torch.device) -> None:
    """Make the process group: gloo for what lies in main memory, nccl for what lies on GPUs."""
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(
            f"Several processes cannot train on {device.type!r}. Type device='cpu', or start one process."
        )
    try:
        store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS))))
        _await_all(store, numbers)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise _not_met(error, numbers) from error
    _Meeting.store = store
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=PrefixStore("easyseg", store),
        rank=numbers.rank,
        world_size=numbers.size,
        timeout=timedelta(seconds=PATIENCE_SECONDS),
    )
    atexit.register(part)


def _await_all(store: Store, numbers: ProcessNumbers) -> None:
    store.set(f"{_ARRIVED}/{numbers.rank}", "here")
    missing: list[int] = []
    until = time.monotonic() + JOIN_SECONDS
    for rank in range(numbers.size):
        try:
            store.wait([f"{_ARRIVED}/{rank}"], timedelta(seconds=max(0.1, until - time.monotonic())))
        except RuntimeError:
            missing.append(rank)
    if missing:
        raise TrainingError(
            f"Of {numbers.size} processes, {', '.join(map(str, missing))} did not come within "
            f"{JOIN_SECONDS:g} s. Look at the machines on which they should run, and start all of them anew."
        )


def _not_met(error: Exception, numbers: ProcessNumbers) -> EasySegError:
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if "EADDRINUSE" in str(error) or "already in use" in str(error):
        return ConfigError(
            f"Port {port} of this machine is taken by another program. Type torchrun --standalone on one machine, "
            "--master-port with another number on several."
        )
    if joined := re.search(r"(\d+)/\d+ clients joined", str(error)):
        return TrainingError(
            f"Of {numbers.size} processes, only {joined[1]} came within {JOIN_SECONDS:g} s. Look at the machines on "
            "which the others should run, and start all of them anew."
        )
    return TrainingError(
        f"Process {numbers.rank} of {numbers.size} could not reach the first one at {address}:{port} within "
        f"{JOIN_SECONDS:g} s ({str(error).splitlines()[0][:200]}). See that it runs, and that no firewall is between."
    )
