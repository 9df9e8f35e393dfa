"""What every dataset format returns, and what a format is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from easyseg.structures import Color, Sample

ClassValues = Mapping[str, int | Color]
"""The mask value or the RGB colour of each class, by its name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset as its files lie on the disk, no pixel read yet.

    Attributes:
        samples: the images with their masks, in the order of their names.
        names: class names in the order of their ids, where a file lists them.
        class_values: mask value or colour of each class, where a file maps them.
        names_source: that file's name, for messages.
        notes: lines for people on how the files were understood.
    """

    samples: tuple[Sample, ...]
    names: tuple[str, ...] | None = None
    class_values: ClassValues | None = None
    names_source: str = ""
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """A dataset format: a module with these names, registered in `easyseg.data.formats`."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """What one types as `format=`."""
        ...

    @property
    def LOOKS_FOR(self) -> str:  # noqa: N802 - a module's constant
        """One line on what a folder of this format holds."""
        ...

    @property
    def OVERRULES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Formats that also fit such a folder but know less about it."""
        ...

    def recognises(self, path: Path) -> bool:
        """Return whether a folder is of this format, reading no pixels."""
        ...

    def read(self, path: Path, *, images: Path | None = None, masks: Path | None = None) -> Layout:
        """Return what lies in the folder; `images` and `masks` name its two folders."""
        ...
