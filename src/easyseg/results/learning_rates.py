"""What `find_learning_rate` returns: how the loss goes while the learning rate rises."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easyseg.results import charts
from easyseg.structures import ImageArray

SMOOTHING = 0.9
"""Weight of the past in the smoothed loss: it remembers about ten batches."""

SETTLING = 10
"""The first batches, over which the average is still that of a few and as noisy as they are."""

BEGUN_SHARE = 0.1
"""The fall has begun where the smoothed loss has lost this share of what it loses in all."""

DONE_SHARE = 0.9
"""It is over where this share is lost; the lowest point may lie anywhere on the flat bottom behind."""

LEAST_FALL = 0.02
"""A fall by less than this share of the loss is noise."""


@dataclass(frozen=True)
class LearningRateCurve:
    """The loss of each batch of a sweep, in which the learning rate rises from step to step.

    Attributes:
        learning_rates: of the batches, rising by the same factor each time; the decoder's and head's, where the
            encoder has a lower one.
        losses: of the batches, as many.
    """

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def smoothed_losses(self) -> tuple[float, ...]:
        """The losses without their noise, as many."""
        return smoothed(self.losses)

    @property
    def suggestion(self) -> float | None:
        """A learning rate to train with; None where the loss did not fall.

        It is the middle, on the logarithmic scale, between where the loss begins to fall and where it has fallen, as
        fastai's "valley" has it. Where the fall ends, training is on the verge of divergence (Smith, 2017, "Cyclical
        learning rates for training neural networks"), and the steepest point depends on the noise of single batches.
        """
        losses = self.smoothed_losses
        if not losses:
            return None
        lowest = min(range(len(losses)), key=losses.__getitem__)
        peak = max(range(min(SETTLING, lowest // 2), lowest + 1), key=losses.__getitem__)
        start = losses[peak]
        fall = start - losses[lowest]
        if fall <= LEAST_FALL * abs(start):
            return None
        done = next(i for i in range(peak, lowest + 1) if losses[i] <= start - DONE_SHARE * fall)
        begun = max(i for i in range(peak, done) if losses[i] >= start - BEGUN_SHARE * fall)
        middle = math.sqrt(self.learning_rates[begun] * self.learning_rates[done])
        return float(f"{middle:.2g}")  # no more digits than it is worth

    def plot(self, path: str | Path | None = None) -> ImageArray:
        """Draw the losses over the learning rate, with the suggestion.

        Args:
            path: also write the picture to this file.

        Returns:
            (H, W, 3) uint8.
        """
        return charts.drawn(charts.learning_rates(self), path)

    def __str__(self) -> str:
        if not self.losses:
            return "No batch was trained on."
        rates = f"from {self.learning_rates[0]:.2g} to {self.learning_rates[-1]:.2g}"
        if self.suggestion is None:
            return f"The loss did not fall at any learning rate {rates}: check data and loss, or sweep other rates."
        return f"Suggested learning rate: {self.suggestion:.2g} ({len(self.losses)} batches, {rates})"

    def __repr__(self) -> str:
        return f"LearningRateCurve({self})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the suggestion and the curve."""
        curve = charts.to_svg(charts.learning_rates(self)) if self.losses else ""
        return f"<div>{html.escape(str(self))}{curve}</div>"


def smoothed(losses: Sequence[float]) -> tuple[float, ...]:
    """Return the exponential moving average of losses, corrected for its start at nothing."""
    average, result = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        result.append(average / (1 - SMOOTHING**count))
    return tuple(result)
