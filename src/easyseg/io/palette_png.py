"""Class ids as a picture that programs read as ids, and people see in colour."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from easyseg.io import atomic
from easyseg.structures import Color, MaskArray


def write_ids(path: str | os.PathLike[str], ids: MaskArray, colors: Sequence[Color]) -> None:
    """Write class ids as an 8-bit PNG whose palette has the classes' colours.

    Pillow, and most tools for labelled images, give the ids back. OpenCV gives the colours: it knows no palettes.

    Args:
        path: a file ending in .png; its folder is made where missing.
        ids: (H, W) uint8.
        colors: one RGB colour per id, from 0 on; ids above come out black.

    Raises:
        OutputError: the file cannot be written.
    """
    palette = np.zeros((256, 3), np.uint8)  # Pillow would pack the ids of a short one into fewer bits
    palette[: len(colors)] = colors
    picture = Image.fromarray(ids)
    picture.putpalette(palette.tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG")
    atomic.write_bytes(path, data.getvalue())
