"""The numbers and types that every part of the vocabulary is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

IGNORE_INDEX = 255
"""The id of pixels that count neither in the loss nor in a metric."""

MAX_CLASSES = 255
"""Class ids are stored in one byte, 0..254; 255 is `IGNORE_INDEX`."""

MAX_PIXELS = 178_956_970
"""Largest image or mask that is decoded; a small file can claim far more than the memory holds. Pillow's hard limit."""

Task: TypeAlias = Literal["binary", "multiclass", "multilabel"]
Split: TypeAlias = Literal["train", "val", "test"]
ImageArray: TypeAlias = npt.NDArray[np.uint8]
MaskArray: TypeAlias = npt.NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]
SizeHW: TypeAlias = tuple[int, int]
Ignored: TypeAlias = Iterable[int | Color | str] | int | str
"""What `ignore=` takes: mask values, RGB colours, names of objects."""

SPLITS: tuple[Split, ...] = ("train", "val", "test")
