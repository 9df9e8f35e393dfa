"""What servers say of a file's bytes is understood, and what only looks like a checksum is not believed twice."""

from __future__ import annotations

import base64
import hashlib
from email.message import Message

import pytest

from easyseg.data.download.checksums import Checksum, expected_checksums
from easyseg.data.download.failures import PassingError

DATA = b"the bytes of a file"
DIGEST = hashlib.md5(DATA).digest()
BASE64 = base64.b64encode(DIGEST).decode()


def headers(*pairs: tuple[str, str]) -> Message:
    """Return the headers of an answer."""
    message = Message()
    for name, value in pairs:
        message[name] = value
    return message


@pytest.mark.parametrize(
    ("pairs", "is_whole", "certain"),
    [
        ([("Content-MD5", BASE64)], True, True),
        ([("Content-MD5", BASE64)], False, None),
        ([("x-goog-hash", f"crc32c=AAAAAA==,md5={BASE64}")], False, True),
        ([("x-goog-hash", "crc32c=AAAAAA=="), ("x-goog-hash", f"md5={BASE64}")], True, True),
        ([("ETag", f'"{DIGEST.hex()}"')], False, False),
        ([("ETag", f'"{DIGEST.hex()}"'), ("Content-MD5", BASE64)], True, True),
        ([("ETag", f'W/"{DIGEST.hex()}"')], True, None),
        ([("ETag", f'"{DIGEST.hex()}-12"')], True, None),
        ([("ETag", '"5f3-abc"')], True, None),
        ([("Content-MD5", "no base 64")], True, None),
        ([("Content-MD5", "AAAA")], True, None),
        ([], True, None),
    ],
)
def test_headers(pairs: list[tuple[str, str]], is_whole: bool, certain: bool | None) -> None:
    """The certain sums count before a tag that looks like one; those of parts are none of the file's."""
    expected = () if certain is None else (Checksum(DIGEST, certain),)
    assert expected_checksums(headers(*pairs), is_whole=is_whole) == expected


def test_a_wrong_sum_is_worth_another_attempt() -> None:
    """Right bytes pass; the same wrong bytes twice pass only where the sum was no certain one."""
    seen: set[bytes] = set()
    Checksum(DIGEST, is_certain=True).verify(Checksum.of(DATA), seen)
    wrong = Checksum.of(b"other bytes")
    for is_certain in (True, False):
        seen.clear()
        with pytest.raises(PassingError, match=f"is {wrong.hex()}, the server's is {DIGEST.hex()}"):
            Checksum(DIGEST, is_certain).verify(wrong, seen)
        if is_certain:
            with pytest.raises(PassingError):
                Checksum(DIGEST, is_certain).verify(wrong, seen)
        else:
            Checksum(DIGEST, is_certain).verify(wrong, seen)
