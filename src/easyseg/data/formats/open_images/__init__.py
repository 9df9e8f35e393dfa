"""Open Images, as it is published and as people prepare it; see `reader`."""

from easyseg.data.formats.open_images.reader import LOOKS_FOR, NAME, OVERRULES, read, recognises

__all__ = ["LOOKS_FOR", "NAME", "OVERRULES", "read", "recognises"]
