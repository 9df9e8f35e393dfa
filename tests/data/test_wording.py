"""Messages are taken apart where a sentence ends, not where numbers are listed."""

from __future__ import annotations

import pytest

from easyseg.data.wording import parted, way_out


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


@pytest.mark.parametrize(
    ("message", "way"),
    [
        (
            "It is a box. Draw it, or type on_bad_sample='skip'. For others type boxes='fill'.",
            "For others type boxes='fill'.",
        ),
        (
            "It is gone. Add it, or type images='...'. Or not. Else type masks='x'",
            "Add it, or type images='...'. Else type masks='x'.",
        ),
        ("Type this. Correct or delete the line.", ""),
        ("a.png is gone", ""),
    ],
)
def test_what_else_can_be_typed(message: str, way: str) -> None:
    """Whole sentences with something to type, but for what leaves samples out."""
    assert way_out(message) == way
