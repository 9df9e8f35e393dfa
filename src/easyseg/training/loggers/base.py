"""What a logger is: few verbs, called one after the other from a thread of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from easyseg.reports.plots import comparison
from easyseg.structures import ClassMap, ImageArray, MaskArray
from easyseg.training.callbacks import FitSummary


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What a logger is told at the start.

    Attributes:
        name: of the run, for people.
        folder: the run folder, None where there is none.
        settings: every setting with the value it has, as plain values.
    """

    name: str
    folder: Path | None
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class LoggedPicture:
    """A validation image with its truth and what the model makes of it.

    Attributes:
        name: of the image.
        image: (H, W) or (H, W, C) uint8.
        truth: (H, W) class ids or `IGNORE_INDEX`; multilabel: (classes, H, W) of 0 and 1.
        prediction: likewise.
        class_map: the classes and their colours.
    """

    name: str
    image: npt.NDArray[np.uint8]
    truth: MaskArray
    prediction: MaskArray
    class_map: ClassMap

    def comparison(self) -> ImageArray:
        """Return image, truth, prediction and mistakes side by side, (H', W', 3) uint8."""
        return comparison(self.image, self.truth, self.prediction, self.class_map)

    @property
    def key(self) -> str:
        """The name in letters that every service and file system takes."""
        return re.sub(r"[^\w.-]+", "_", Path(self.name).stem, flags=re.ASCII)


class Logger:
    """A logger that does nothing; override the verbs.

    `start` is called first and may refuse by an exception, which ends the run before it begins. An exception in any
    other verb is told to the user, and the logger is not called again; training goes on.

    Attributes:
        name: what it is called in messages.
        package: the package it needs, "" for none.
        extra: the extra of easyseg that brings the package.
    """

    name: ClassVar[str] = "logger"
    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""

    def start(self, run: RunDescription) -> str:
        """Begin, or go on after `restore`, and return in words where to look."""
        return ""

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        """Take figures by name, all of them finite; `step` counts the batches of the run."""

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        """Take what the model makes of a few validation images."""

    def end(self, summary: FitSummary) -> None:
        """Finish; nothing comes after."""

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on after an interruption, as values that JSON can hold."""
        return {}

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Go on from what `state` returned; what was logged after `step` is going to come once more."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are finite numbers; one of a class that does not occur is none."""
    return {name: float(value) for name, value in figures.items() if math.isfinite(value)}
