"""Messages are taken apart where a sentence ends, not where numbers are listed."""

from __future__ import annotations

import pytest

from easyseg.data.check.wording import parted


@pytest.mark.parametrize(
    ("message", "first", "rest"),
    [
        ("It is broken. Copy it again. Or not.", "It is broken", "Copy it again. Or not."),
        ("Each counts 1, 2, 3, ... up to 7. Type this.", "Each counts 1, 2, 3, ... up to 7", "Type this."),
        ("Nothing else.", "Nothing else", ""),
        ("a.png is gone", "a.png is gone", ""),
    ],
)
def test_messages_are_parted(message: str, first: str, rest: str) -> None:
    """The first sentence goes without its full stop, the rest as it is."""
    assert parted(message) == (first, rest)
