"""How pretrained weights are asked of the Hub, without chatter or long retries; and what is said where that fails."""

from __future__ import annotations

import socket
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from easyseg.errors import WeightsError
from easyseg.models.registry import EncoderEntry


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


def cannot_fetch(
    weights: str, encoder: EncoderEntry, error: Exception, *, home: Literal["TORCH_HOME", "HF_HOME"]
) -> WeightsError:
    """Return the error that says shortly what failed, and then what can be done about it.

    Args:
        weights: their name.
        encoder: whose they are.
        error: what went wrong.
        home: the environment variable that names the folder of the cache.
    """
    reason = textwrap.shorten(first_line(error), 120, placeholder=" ...").rstrip(".")
    if isinstance(error, LocalEntryNotFoundError):
        reason = "they are not in the cache, and the Hub cannot be reached"
    ways = [
        "weights=None starts from random weights",
        "weights='file.safetensors' takes a file of your own",
        f"the environment variable {home} names a folder into which they were fetched before",
        *(["the environment variable HF_ENDPOINT names a mirror of the Hub"] if home == "HF_HOME" else []),
    ]
    listed = "".join(f"\n  - {way}" for way in ways)
    return WeightsError(f"The weights {weights!r} for {encoder.name!r} cannot be fetched: {reason}. Ways on:{listed}")


def first_line(error: Exception | None) -> str:
    """Return what a message quotes of an error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"
