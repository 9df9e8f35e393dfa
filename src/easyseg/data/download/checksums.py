"""What servers say of a file's bytes: Content-MD5, Google's x-goog-hash, and tags that are MD5 sums."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from email.message import Message

from easyseg.data.download.failures import PassingError

_MD5_BYTES = 16
_TAG = re.compile(r'"([0-9a-fA-F]{32})"')


@dataclass(frozen=True, slots=True)
class Checksum:
    """The MD5 sum that a file should have.

    Attributes:
        digest: 16 bytes.
        is_certain: the server says that it is one. Amazon's tags are MD5 sums, too, but those of encrypted or composed
            files only look like it.
    """

    digest: bytes
    is_certain: bool

    @staticmethod
    def of(data: bytes) -> bytes:
        """Return the MD5 sum of some bytes."""
        return new_checksum(data).digest()

    def verify(self, found: bytes, seen: set[bytes]) -> None:
        """Compare a file's MD5 sum with the one it should have.

        Args:
            found: the file's.
            seen: those of earlier attempts at this file. The same bytes twice, though the tag looks like another MD5
                sum: then it is none.

        Raises:
            PassingError: it is another.
        """
        if found == self.digest or (found in seen and not self.is_certain):
            return
        seen.add(found)
        raise PassingError(f"its checksum is {found.hex()}, the server's is {self.digest.hex()}")


def new_checksum(data: bytes = b"") -> hashlib._Hash:
    """Return an MD5 sum to be updated; it guards against accidents, not against attacks."""
    return hashlib.md5(data, usedforsecurity=False)


def expected_checksums(headers: Message, *, is_whole: bool) -> tuple[Checksum, ...]:
    """Return the sums of the whole file that an answer names, the certain ones alone where there are any.

    Args:
        headers: of the answer.
        is_whole: it holds the whole file, not a part.
    """
    certain = [headers.get("Content-MD5", "")] if is_whole else []
    for value in headers.get_all("x-goog-hash", []):
        certain += [part.strip()[4:] for part in value.split(",") if part.strip().startswith("md5=")]
    digests = [digest for digest in map(_decoded, certain) if digest is not None]
    if digests:
        return tuple(Checksum(digest, is_certain=True) for digest in digests)
    tag = _TAG.fullmatch(headers.get("ETag", "").strip())
    return (Checksum(bytes.fromhex(tag[1]), is_certain=False),) if tag else ()


def _decoded(text: str) -> bytes | None:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == _MD5_BYTES else None
