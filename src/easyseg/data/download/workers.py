"""Doing many small pieces of work in a few threads that an interruption does not wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

_JOIN_SECONDS = 3.0
_POLL_SECONDS = 0.2


def for_each(
    items: Sequence[Item],
    work: Callable[[Item], None],
    *,
    threads: int,
    stop: threading.Event,
    on_done: Callable[[Item], None] = lambda item: None,
) -> None:
    """Do something for each item, several at a time, in no particular order.

    The first error stops all and is raised; so does Ctrl-C. The threads do not keep the process from ending: what they
    write, they write in one step, so nothing half done stays behind.

    Args:
        items: what to work on.
        work: does the work for one item; it notices `stop`.
        threads: how many at a time, 1 or more.
        stop: is set where something goes wrong.
        on_done: called in this thread for each item that is done.

    Raises:
        Exception: what `work` raised.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[Item, BaseException | None]] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def run() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - it is raised below, in the thread that can tell
                results.put((item, error))
                return
            results.put((item, None))

    crew = [threading.Thread(target=run, daemon=True) for _ in range(min(threads, len(items)))]
    for thread in crew:
        thread.start()
    try:
        for _ in items:
            item, error = _next(results)
            if error is not None:
                raise error
            on_done(item)
    except BaseException:
        stop.set()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in crew:
            thread.join(max(0.0, deadline - time.monotonic()))
        raise


def _next(results: queue.SimpleQueue[tuple[Item, BaseException | None]]) -> tuple[Item, BaseException | None]:
    while True:  # a wait without end would not notice Ctrl-C on every system
        try:
            return results.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
