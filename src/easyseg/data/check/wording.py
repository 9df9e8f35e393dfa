"""Taking messages apart for the places where a report shows their parts."""

from __future__ import annotations

import re

_END = re.compile(r"(?<!\.\.)\.\s+(?=[A-Z])")


def parted(message: str) -> tuple[str, str]:
    """Return the first sentence of a message, without its full stop, and the rest."""
    first, *rest = _END.split(message, maxsplit=1)
    return first.rstrip("."), rest[0] if rest else ""
