"""Where easyseg keeps what it could make again: the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache folder; it need not exist.

    That is `EASYSEG_CACHE` where it is set, else `easyseg` in `XDG_CACHE_HOME`, on Windows in `LOCALAPPDATA`, else in
    `~/.cache`.

    Args:
        parts: names of the folders below it.
    """
    own = os.environ.get("EASYSEG_CACHE")
    if own:
        return Path(own).expanduser().joinpath(*parts)
    shared = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    # the standard of XDG: a relative path in it does not count
    base = Path(shared) if shared and Path(shared).is_absolute() else Path.home() / ".cache"
    return base.joinpath("easyseg", *parts)
