"""A process that reads files for the dataset doctor: paths come in, digests go out.

It is started as `python -m easyseg.data.check.worker`, so it runs no code of the program that asked for it, imports no
torch, and a file that brings a decoder down ends this process alone. A message is its length in 8 bytes and then the
bytes: JSON `{"images": [...], "masks": [...]}` on standard input, an answer of `digest.to_bytes` on standard output; or
JSON `{"pairs": [[first, second, mirroring], ...]}`, and as the answer a JSON list that tells which of them are copies.
"""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

import cv2

from easyseg.data.check.comparing import plane_of_file, verdict_on
from easyseg.data.check.digest import digest_images, digest_masks, to_bytes

READY = b"ready"
"""The first message of a process that has come up."""
_LENGTH_BYTES = 8


def send(stream: BinaryIO, message: bytes) -> None:
    """Write a message."""
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    stream.write(message)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """Read a message; None where the other side is gone."""
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    size = int.from_bytes(length, "little")
    message = stream.read(size)
    return message if len(message) == size else None


def answer(request: bytes) -> bytes:
    """Return the digests of the files that a request names, or the verdicts on its pairs."""
    names = json.loads(request)
    if "pairs" in names:
        return json.dumps([verdict_on(plane_of_file, *pair) for pair in names["pairs"]]).encode()
    return to_bytes(digest_images(names["images"]), digest_masks(names["masks"]))


def main() -> None:
    """Answer requests until there are no more."""
    cv2.setNumThreads(1)  # there is one process for each core
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a decoder prints must not get between the answers
    send(replies, READY)
    while (request := receive(sys.stdin.buffer)) is not None:
        send(replies, answer(request))


if __name__ == "__main__":
    main()
