"""Ctrl-C and SIGTERM wait for the end of a batch, once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from easyseg.training.interruption import Interrupted, Interruption


def test_signal_is_remembered_and_not_acted_upon() -> None:
    """Between two signals and batches nothing is raised; at the next poll, training stops."""
    interruption = Interruption()
    with interruption.listening():
        interruption.raise_if_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(Interrupted):
            interruption.raise_if_requested()


@pytest.mark.parametrize(
    ("number", "error", "status"), [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)]
)
def test_end_is_that_of_the_signal(number: int, error: type[BaseException], status: int | None) -> None:
    """Ctrl-C ends as Ctrl-C does, SIGTERM with the status that shells and schedulers expect."""
    interruption = Interruption()
    with interruption.listening():
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted):
            interruption.raise_if_requested()
    with pytest.raises(error) as caught:
        interruption.leave()
    assert getattr(caught.value, "code", None) == status


def test_second_signal_is_not_waited_for() -> None:
    """Who presses Ctrl-C twice means at once."""
    with Interruption().listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_signal_that_nobody_asked_for_is_not_lost() -> None:
    """One that comes between the last poll and the end of the block goes to whoever listened before."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with Interruption().listening():
            os.kill(os.getpid(), signal.SIGTERM)
            assert not heard
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_are_as_before_afterwards() -> None:
    """Whoever listened to the signals before does so again."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interruption().listening():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_train_without_signals() -> None:
    """Python lets only the main thread have handlers; training elsewhere goes without."""
    failures: list[BaseException] = []

    def listen() -> None:
        try:
            with Interruption().listening():
                pass
        except ValueError as error:  # what `signal.signal` raises there
            failures.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert not failures
