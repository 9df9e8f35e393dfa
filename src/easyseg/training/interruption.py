"""Ctrl-C and SIGTERM, which end training at the next batch, when everything is saved, and not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Training was asked to stop and has come to a place where it can; like KeyboardInterrupt, no `Exception`."""


class Interruption:
    """Remembers that somebody wants training to stop.

    The signal handler only sets a flag: saving from inside a handler would meet half-changed weights. A second signal
    of the same kind is not waited for.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._is_obeyed = False

    @property
    def requested(self) -> bool:
        """Whether training should stop."""
        return self._signal is not None

    def raise_if_requested(self) -> None:
        """Raise `Interrupted` where training should stop."""
        if self.requested:
            self._is_obeyed = True
            raise Interrupted

    def leave(self) -> NoReturn:
        """End as the signal would have: Ctrl-C with KeyboardInterrupt, SIGTERM with exit status 143."""
        if self._signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals inside the block, and leave them to whoever had them before afterwards.

        A signal that came too late to be asked for inside the block is sent once more at its end. In a thread that is
        not the main one, Python delivers no signals, and nothing is caught.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        earlier = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self._signal is not None and not self._is_obeyed:
            signal.raise_signal(self._signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            self._signal = number
            self._is_obeyed = True
            self.leave()
        self._signal = number
