"""How fetching a file can fail. Only `NotThereError`, as a `DownloadError`, ever reaches a user."""

from __future__ import annotations

from easyseg.errors import DownloadError


class NotThereError(DownloadError):
    """The server does not have the file."""


class StoppedError(Exception):
    """The download was called off."""


class PassingError(Exception):
    """Something went wrong that may not go wrong again.

    Attributes:
        wait_seconds: how long the server asks to wait; None: it does not say.
    """

    def __init__(self, problem: str, wait_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


class RangeRefusedError(Exception):
    """The file has no such bytes.

    Attributes:
        total: how many it has; None where the server does not say.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__(total)
        self.total = total
