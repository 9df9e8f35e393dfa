"""Progress bars of a download, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from tqdm import tqdm


class Progress:
    """Shows how far a download is.

    Args:
        verbose: whether to; "auto": on a terminal only.
    """

    def __init__(self, verbose: bool | Literal["auto"] = "auto") -> None:
        self._is_shown = sys.stderr.isatty() if verbose == "auto" else verbose

    @contextlib.contextmanager
    def of_bytes(self, name: str) -> Iterator[Callable[[int, int | None], None]]:
        """Give what is to be called with the bytes of a file that have come, and how many it has."""
        with tqdm(desc=name, unit="B", unit_scale=True, disable=not self._is_shown, file=sys.stderr) as bar:

            def show(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield show

    @contextlib.contextmanager
    def of_files(self, name: str, count: int, *, done: int) -> Iterator[Callable[[Any], None]]:
        """Give what is to be called for each file that has come.

        Args:
            name: what they are.
            count: how many there are.
            done: how many of these were there before.
        """
        with tqdm(
            desc=name, total=count, initial=done, unit="file", disable=not self._is_shown, file=sys.stderr
        ) as bar:

            def count_one(_: Any) -> None:
                bar.update()

            yield count_one
