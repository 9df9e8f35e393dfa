"""The one pass over all files, and comparisons of pairs of them: in processes where they are many, else in threads."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, TypeVar, cast

import numpy as np
from tqdm import tqdm

from easyseg.data.check.comparing import Copy, compared, verdicts_here
from easyseg.data.check.digest import (
    ImageDigest,
    MaskDigest,
    Trouble,
    digest_images,
    digest_masks,
    from_bytes,
    join_images,
    join_masks,
)
from easyseg.data.check.sources import MaskSource
from easyseg.data.check.worker import READY, receive, send
from easyseg.structures import ImageSource

FEW = 1500
"""Fewer images than this are read in threads, which start at once."""
_CHUNK = 512
"""Images for one message between processes."""
_SMALL_CHUNK = 8
"""Images for one thread at a time; large ones take long."""
_MANY_PAIRS = 200
"""Fewer pairs than this are compared before a process has started."""
_MOST_WORKERS = 16
_PROGRAM = "easyseg.data.check.worker"
_BLACK = np.zeros((1, 1, 3), np.uint8)

CRASHED = (
    "reading this file brought the picture decoder down. It is damaged, or made to do harm; remove it, or save it anew."
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Files that are read together."""

    images: Sequence[ImageSource]
    masks: Sequence[MaskSource]

    def single_files(self) -> Iterator[Chunk]:
        """Yield a chunk for each image, then for each mask."""
        yield from (Chunk([image], []) for image in self.images)
        yield from (Chunk([], [mask]) for mask in self.masks)


Answer: TypeAlias = tuple[ImageDigest, MaskDigest]
NamedPair: TypeAlias = tuple[str, str, str]
"""The paths of two images, and how one is mirrored."""
Result = TypeVar("Result")


def gather(
    images: Sequence[ImageSource],
    masks: Sequence[MaskSource],
    *,
    workers: int | Literal["auto"] = "auto",
    verbose: bool | Literal["auto"] = "auto",
) -> Answer:
    """Read all files once and return their digests, in the order given.

    Args:
        images: wherever they lie.
        masks: files, arrays or drawn ones; as many as there are, not one for each image.
        workers: processes; 0: threads only; "auto": one for each core where the files are many.
        verbose: show a progress bar; "auto": on a terminal.
    """
    processes = _choose_workers(workers, len(images), itertools.chain(images, masks))
    chunks = _chunks(images, masks, _CHUNK if processes else _SMALL_CHUNK)
    bar = tqdm(
        total=len(images) + len(masks),
        desc="checking",
        unit=" files",
        disable=None if verbose == "auto" else not verbose,
    )
    answers: list[Answer | None] = [None] * len(chunks)
    with bar:
        for at, answer in _answers(chunks, processes):
            answers[at] = answer
            bar.update(len(chunks[at].images) + len(chunks[at].masks))
    done = [answer for answer in answers if answer is not None]
    if not done:
        return digest_images([]), digest_masks([])
    return join_images([images for images, _ in done]), join_masks([masks for _, masks in done])


def compared_side_by_side(
    images: Sequence[ImageSource], pairs: Iterable[Copy], num_pairs: int, *, workers: int | Literal["auto"] = "auto"
) -> Iterator[tuple[Copy, bool]]:
    """Yield each pair of images in its order, and whether it is a copy.

    Args:
        images: wherever they lie.
        pairs: numbers of images; asked for as `compared` does it.
        num_pairs: at most so many.
        workers: as in `gather`; processes are started for many pairs only.
    """
    here = verdicts_here(images)
    processes = _choose_workers(workers, len(images), images) if num_pairs >= _MANY_PAIRS else 0
    if not processes:
        yield from compared(pairs, here, threads=min(_MOST_WORKERS, os.cpu_count() or 1))
        return
    with _workers(processes) as lent:

        def there(batch: Sequence[Copy]) -> list[bool]:
            named = [(str(images[pair.first]), str(images[pair.second]), pair.mirroring) for pair in batch]
            try:
                return lent(lambda worker: worker.compare(named))
            except (NoWorkerError, OSError):
                return here(batch)

        yield from compared(pairs, there, threads=processes)


class Worker:
    """A process that reads files; see `worker`.

    A file whose reading ends the process is found by sending the files of its chunk one by one to a new one.
    """

    def __init__(self) -> None:
        self._process = _start_process()
        self._is_ready = False
        self._is_closed = False

    def close(self) -> None:
        """End the process."""
        self._is_closed = True
        _end(self._process)

    def read(self, chunk: Chunk) -> Answer:
        """Return the digests of a chunk's files.

        Raises:
            NoWorkerError: a process of its own cannot be had here.
        """
        names = {"images": [str(path) for path in chunk.images], "masks": [str(path) for path in chunk.masks]}
        reply = self._ask(names)
        if reply is not None:
            return from_bytes(reply)
        if len(chunk.images) + len(chunk.masks) == 1:
            return _crashed(chunk)
        parts = [self.read(part) for part in chunk.single_files()]
        return join_images([images for images, _ in parts]), join_masks([masks for _, masks in parts])

    def compare(self, pairs: Sequence[NamedPair]) -> list[bool]:
        """Tell which pairs of files are copies; a file that ends the process is no copy of any.

        Raises:
            NoWorkerError: a process of its own cannot be had here.
        """
        reply = self._ask({"pairs": pairs})
        if reply is not None:
            return [bool(verdict) for verdict in json.loads(reply)]
        return [False] if len(pairs) == 1 else [verdict for pair in pairs for verdict in self.compare([pair])]

    def _ask(self, request: object) -> bytes | None:
        """Return the answer, or None where the process has ended meanwhile; a new one is on its way then."""
        writing, reading = _pipes(self._process)
        if not self._is_ready and receive(reading) != READY:
            raise NoWorkerError
        self._is_ready = True
        reply = None
        with contextlib.suppress(OSError, ValueError):  # its end, or that of the pipe to it
            send(writing, json.dumps(request).encode())
            reply = receive(reading)
        if reply is not None:
            return reply
        if self._is_closed:
            raise NoWorkerError
        _end(self._process)
        self._process, self._is_ready = _start_process(), False
        return None


class NoWorkerError(Exception):
    """No process can be started, or it was ended on purpose; threads do the work then."""


def _answers(chunks: Sequence[Chunk], processes: int) -> Iterator[tuple[int, Answer]]:
    """Yield each chunk's number and digests, in the order in which they are ready."""
    done: set[int] = set()
    if processes:
        with contextlib.suppress(NoWorkerError, OSError), _workers(processes) as lent:
            for at, answer in _side_by_side(
                lambda chunk: lent(lambda worker: worker.read(chunk)), chunks, range(len(chunks)), processes
            ):
                done.add(at)
                yield at, answer
    left = [at for at in range(len(chunks)) if at not in done]
    yield from _side_by_side(_read_here, chunks, left, min(_MOST_WORKERS, os.cpu_count() or 1))


def _side_by_side(
    read: Callable[[Chunk], Answer], chunks: Sequence[Chunk], numbers: Sequence[int], threads: int
) -> Iterator[tuple[int, Answer]]:
    pool = ThreadPoolExecutor(threads)
    try:
        pending = {pool.submit(read, chunks[at]): at for at in numbers}
        for future in as_completed(pending):
            yield pending.pop(future), future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _workers(count: int) -> Iterator[Callable[[Callable[[Worker], Result]], Result]]:
    """Start processes, and give a function that does something with whichever is idle."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    workers = [Worker() for _ in range(count)]
    for worker in workers:
        idle.put(worker)

    def lent(use: Callable[[Worker], Result]) -> Result:
        worker = idle.get()
        try:
            return use(worker)
        finally:
            idle.put(worker)

    try:
        yield lent
    finally:
        for worker in workers:
            worker.close()


def _read_here(chunk: Chunk) -> Answer:
    return digest_images(chunk.images), digest_masks(chunk.masks)


def _crashed(chunk: Chunk) -> Answer:
    trouble = (Trouble(0, CRASHED),)
    images, masks = _read_here(Chunk([_BLACK] * len(chunk.images), [_BLACK[..., 0]] * len(chunk.masks)))
    if chunk.images:
        return replace(images, orientation=images.orientation * 0, troubles=trouble), masks
    no_values = {name: getattr(masks, name)[:0] for name in ("rows", "values", "counts", "border")}
    return images, replace(masks, orientation=masks.orientation * 0, troubles=trouble, **no_values)


def _chunks(images: Sequence[ImageSource], masks: Sequence[MaskSource], size: int) -> list[Chunk]:
    """Cut the files into chunks, each with images and the masks that lie beside them in the lists."""
    count = max(1, -(-max(len(images), len(masks)) // size))
    image_cuts, mask_cuts = ([len(files) * at // count for at in range(count + 1)] for files in (images, masks))
    return [
        Chunk(images[image_cuts[at] : image_cuts[at + 1]], masks[mask_cuts[at] : mask_cuts[at + 1]])
        for at in range(count)
    ]


def _choose_workers(wanted: int | Literal["auto"], num_images: int, sources: Iterable[object]) -> int:
    if not sys.executable or not all(isinstance(source, Path) for source in sources):
        return 0  # only the paths of files travel
    if wanted != "auto":
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS) if num_images >= FEW and cores > 1 else 0


def _start_process() -> subprocess.Popen[bytes]:
    here = os.pathsep.join(str(Path(entry or ".").absolute()) for entry in sys.path)
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders grumble there about files that are reported anyway
        env={**os.environ, **single, "PYTHONPATH": here},
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[BinaryIO, BinaryIO]:
    if process.stdin is None or process.stdout is None:
        raise NoWorkerError
    return cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(OSError), process:  # closes its pipes and waits
        pass
