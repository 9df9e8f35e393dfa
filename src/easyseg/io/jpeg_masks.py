"""Masks that were saved as JPEG files, whose compression changes pixel values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.errors import SampleError
from easyseg.structures import MaskArray

REFUSED_JPEG = "a JPEG file cannot hold a mask of several classes"
"""How the message begins that refuses such a mask."""

_NOISE = 64
"""So far from 0 and 255 do black and white come out at usual qualities, from 75 on."""
_FLAT_NOISE = 2
"""The same where a block of pixels has one value only: rounding, nothing else."""
_BLOCK = 8
"""JPEG compresses squares of this side, each by itself."""


def without_compression_noise(path: Path, pixels: npt.NDArray[Any]) -> MaskArray:
    """Return a mask of 0 and 255 as it was before its compression.

    Args:
        path: its file, for errors.
        pixels: (H, W) or (H, W, 3) uint8 as decoded.

    Raises:
        SampleError: some values are far from 0 and 255, so several classes may be mixed up.
    """
    grey = _grey(pixels)
    if grey is None:
        raise _refused(path, "it holds colours")
    strange = grey[(grey > _NOISE) & (grey < 255 - _NOISE)]
    if strange.size:
        values, counts = np.unique(strange, return_counts=True)
        common = ", ".join(str(value) for value in sorted(values[np.argsort(-counts, kind="stable")[:3]].tolist()))
        raise _refused(path, f"{strange.size / grey.size:.2%} of its pixels are grey, with values such as {common}")
    if not _comes_from_black_and_white(grey):
        raise _refused(path, f"it holds values from {grey.min()} to {grey.max()} that are not only 0 and 255")
    return np.where(grey >= 128, 255, 0).astype(np.uint8)


def _grey(pixels: npt.NDArray[Any]) -> MaskArray | None:
    """Return the brightness of a picture without colours, None of one with colours."""
    if pixels.ndim == 2:
        return np.asarray(pixels, np.uint8)
    if pixels.shape[2] != 3 or (pixels.max(axis=2).astype(int) - pixels.min(axis=2)).max() > _NOISE:
        return None
    return np.asarray(np.median(pixels, axis=2), np.uint8)


def _comes_from_black_and_white(grey: MaskArray) -> bool:
    """Whether no flat block shows another value; ids such as 1, 2, 3 lie near 0, too, but fill blocks of their own."""
    height, width = (side // _BLOCK * _BLOCK for side in grey.shape)
    blocks = grey[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    low, high = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
    flat = np.unique(low[low == high])
    dark, light = flat[flat < 128], flat[flat >= 128]
    one_each = dark.size <= 1 and light.size <= 1
    if not (one_each and (dark <= _FLAT_NOISE).all() and (light >= 255 - _FLAT_NOISE).all()):
        return False
    # without edges between black and white there is nothing that could be noise
    has_edges = grey.min() < 128 <= grey.max()
    return has_edges or bool(grey.max() <= _FLAT_NOISE or grey.min() >= 255 - _FLAT_NOISE)


def _refused(path: Path, found: str) -> SampleError:
    return SampleError(
        path,
        f"{REFUSED_JPEG}: its compression changes pixel values, so classes get "
        f"mixed up. Masks of one class are read where every value is near 0 or 255, but {found}. Save the masks as "
        "PNG from their source.",
    )
