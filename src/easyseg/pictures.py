"""The pixels of PIL's pictures, wherever they come from: a file that was opened, or a user.

Pictures are known by what they can do, so PIL is only imported where there is one.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt


def is_picture(value: Any) -> TypeGuard[Any]:
    """Return whether something is a picture of PIL."""
    return hasattr(value, "convert") and hasattr(value, "mode") and hasattr(value, "getpixel")


def brightness_of(picture: Any) -> npt.NDArray[Any]:
    """Return a picture's brightness or colours.

    Returns:
        (H, W) or (H, W, C) uint8, with RGB or RGBA order; (H, W) uint16, int32 or float32 where the picture holds such
        numbers, which nothing has scaled yet.
    """
    if _is_wide(picture.mode):
        return _numbers(picture)
    if picture.mode in ("L", "RGB", "RGBA"):
        return np.asarray(picture)
    has_alpha = picture.mode in ("LA", "La", "PA", "RGBa") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if has_alpha else "L" if picture.mode == "1" else "RGB"))


def ids_of(picture: Any) -> npt.NDArray[Any]:
    """Return a mask's values exactly as a picture holds them.

    Returns:
        (H, W) numbers of any type, of a palette picture its indices; or (H, W, 3) uint8 RGB colours. Alpha is left out.
    """
    if picture.mode in ("1", "L", "P") or _is_wide(picture.mode):
        return _numbers(picture)
    return np.asarray(picture.convert("L" if picture.mode in ("LA", "La") else "RGB"))


def upright(picture: Any) -> Any:
    """Return a picture turned as its EXIF block says."""
    from PIL import ImageOps  # where there is a picture, PIL is loaded anyway

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing about the pixels
        return picture


def _is_wide(mode: str) -> bool:
    return mode in ("F", "I") or mode.startswith("I;16")


def _numbers(picture: Any) -> npt.NDArray[Any]:
    array = np.asarray(picture)
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # big-endian files look like another type
