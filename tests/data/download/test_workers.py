"""Many small pieces of work are done in a few threads; the first error, or Ctrl-C, ends all."""

from __future__ import annotations

import threading
import time

import pytest

from easyseg.data.download import workers
from easyseg.data.download.workers import for_each


def test_every_item_is_worked_on_once() -> None:
    """In several threads, and told about in the caller's."""
    done: list[int] = []
    told: list[tuple[int, threading.Thread]] = []
    for_each(
        range(100),
        done.append,
        threads=4,
        stop=threading.Event(),
        on_done=lambda item: told.append((item, threading.current_thread())),
    )
    assert sorted(done) == list(range(100))
    assert sorted(item for item, _ in told) == list(range(100))
    assert {thread for _, thread in told} == {threading.current_thread()}
    for_each([], done.append, threads=4, stop=threading.Event())


def test_several_at_a_time() -> None:
    """Two that wait for each other only end where both run."""
    together = threading.Barrier(2, timeout=10)
    for_each(range(2), lambda _: (together.wait(), None)[1], threads=2, stop=threading.Event())


def test_the_first_error_ends_all() -> None:
    """It is raised, and what has not begun is left."""
    stop, begun = threading.Event(), []

    def work(item: int) -> None:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        stop.wait(0.01)

    with pytest.raises(ValueError, match="three"):
        for_each(range(10_000), work, threads=2, stop=stop)
    assert stop.is_set()
    assert len(begun) < 10_000


def test_ctrl_c_ends_all_and_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that hangs is left behind; it does not keep the process."""
    monkeypatch.setattr(workers, "_JOIN_SECONDS", 0.1)
    stop, release = threading.Event(), threading.Event()

    def interrupt(item: int) -> None:
        raise KeyboardInterrupt

    def work(item: int) -> None:
        if item:
            release.wait(30)

    with pytest.raises(KeyboardInterrupt):
        for_each(range(3), work, threads=3, stop=stop, on_done=interrupt)
    assert stop.is_set()
    left = [thread for thread in threading.enumerate() if thread.daemon and thread is not threading.current_thread()]
    assert left
    release.set()


def test_waiting_for_a_slow_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller looks again and again, so that it notices Ctrl-C."""
    monkeypatch.setattr(workers, "_POLL_SECONDS", 0.01)
    for_each([0.1], time.sleep, threads=1, stop=threading.Event())
