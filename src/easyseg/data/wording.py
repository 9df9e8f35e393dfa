"""Taking messages apart for the places where a report shows their parts."""

from __future__ import annotations

import re

_END = re.compile(r"(?<!\.\.)\.\s+(?=[A-Z])")


def parted(message: str) -> tuple[str, str]:
    """Return the first sentence of a message, without its full stop, and the rest."""
    first, *rest = _END.split(message, maxsplit=1)
    return first.rstrip("."), rest[0] if rest else ""


def way_out(message: str) -> str:
    """Return the sentences of a message, but for the first, that say what else to type; empty where there are none.

    What leaves samples out is for those who sum them up to say.
    """
    sentences = _END.split(message)[1:]
    typed = [each.rstrip(".") for each in sentences if "type " in each.lower() and "on_bad_sample=" not in each]
    return " ".join(f"{each}." for each in typed)
