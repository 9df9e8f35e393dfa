"""How pretrained weights are asked of the Hub: without chatter, and without half a minute of retries offline."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants


@contextmanager
def quiet_hub(*, is_used: bool) -> Iterator[None]:
    """Build a network of smp's or timm's inside, which may fetch weights.

    Offline, the Hub's client takes weights from its cache or fails at once.

    Args:
        is_used: whether weights are wanted; else there is no network call at all.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not is_used or not can_look_up(constants.ENDPOINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of empty tensors and old names; neither is of the user's making
            yield
    finally:
        constants.HF_HUB_OFFLINE = before


def can_look_up(endpoint: str) -> bool:
    """Return whether the address of a host can be found from here."""
    if getproxies():  # then the proxy looks names up
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, None)
    except OSError:
        return False
    return True
