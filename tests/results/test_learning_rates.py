"""The curve of a sweep over learning rates, and what it suggests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from easyseg.io.images import read_image
from easyseg.results import LearningRateCurve
from easyseg.results.learning_rates import smoothed

RATES = tuple(1e-7 * 1e8 ** (index / 99) for index in range(100))


def valley(*, falls_from: float, falls_to: float, noise: float = 0.0, seed: int = 0) -> LearningRateCurve:
    """Return a curve that is flat, falls between two rates, stays low, and diverges at 1."""
    random = np.random.default_rng(seed)
    losses = []
    for rate in RATES:
        fallen = np.clip(math.log(rate / falls_from) / math.log(falls_to / falls_from), 0, 1)
        losses.append(2.0 - 1.2 * fallen + max(0.0, 3 * math.log10(rate)) + noise * random.standard_normal())
    return LearningRateCurve(RATES, tuple(losses))


def test_the_suggestion_lies_in_the_fall() -> None:
    """It is in the middle of the fall on the logarithmic scale, a little late as smoothing is."""
    suggestion = valley(falls_from=1e-5, falls_to=1e-1).suggestion
    assert suggestion is not None
    assert 1e-3 <= suggestion <= 4e-3


@pytest.mark.parametrize("seed", range(20))
def test_noise_moves_the_suggestion_little(seed: int) -> None:
    """Noisy batches leave the suggestion within the fall, far from divergence and from where nothing is learnt."""
    suggestion = valley(falls_from=1e-5, falls_to=1e-1, noise=0.1, seed=seed).suggestion
    assert suggestion is not None
    assert 3e-4 <= suggestion <= 1.2e-2


def test_a_flat_bottom_does_not_pull_the_suggestion_along() -> None:
    """Where the loss stays low over decades of rates, the place of its very lowest point means nothing."""
    late = valley(falls_from=1e-6, falls_to=1e-4)
    suggestion = late.suggestion
    assert suggestion is not None
    assert suggestion < 1e-4


def test_a_spike_at_the_start_is_no_fall_of_its_own() -> None:
    """One wild batch in the flat part does not decide where the fall begins."""
    curve = valley(falls_from=1e-4, falls_to=1e-2)
    losses = list(curve.losses)
    losses[20] += 1.0
    suggestion = LearningRateCurve(RATES, tuple(losses)).suggestion
    assert suggestion is not None
    assert 1e-4 <= suggestion <= 1e-2


@pytest.mark.parametrize("seed", range(200))
def test_any_curve_can_be_read(seed: int) -> None:
    """Whatever the losses are, there is a suggestion among the rates, or none."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    losses = tuple(float(loss) for loss in random.standard_normal(count).cumsum() * random.choice([1.0, 1e-3, 1e3]))
    suggestion = LearningRateCurve(RATES[:count], losses).suggestion
    assert suggestion is None or RATES[0] * 0.95 <= suggestion <= RATES[count - 1] * 1.05


@pytest.mark.parametrize(
    "losses", [(), (1.0,), (1.0, 1.0, 1.0), (1.0, 1.5, 2.0, 4.0), (1.0, 0.999, 0.998, 0.999), (0.0, 0.0, 0.0)]
)
def test_no_fall_has_no_suggestion(losses: tuple[float, ...]) -> None:
    """Where the loss does not fall, nothing is suggested, and the words say so."""
    curve = LearningRateCurve(RATES[: len(losses)], losses)
    assert curve.suggestion is None
    assert "Suggested" not in str(curve)
    assert ("did not fall" in str(curve)) == bool(losses)
    assert curve.plot().ndim == 3
    assert "<div>" in curve._repr_html_()


def test_smoothing_starts_without_bias() -> None:
    """The first smoothed loss is the first loss, and a constant stays what it is."""
    assert smoothed([3.0])[0] == pytest.approx(3.0)
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    assert smoothed([1.0, 0.0])[1] == pytest.approx(0.09 / 0.19)
    assert smoothed([]) == ()


def test_the_words_and_the_picture_show_the_suggestion(tmp_path: Path) -> None:
    """The string names it, the plot is written, and a notebook shows both."""
    curve = valley(falls_from=1e-5, falls_to=1e-1)
    assert str(curve) == f"Suggested learning rate: {curve.suggestion:.2g} (100 batches, from 1e-07 to 10)"
    assert repr(curve) == f"LearningRateCurve({curve})"
    picture = curve.plot(tmp_path / "curve.png")
    np.testing.assert_array_equal(read_image(tmp_path / "curve.png"), picture)
    assert picture.std() > 5
    shown = curve._repr_html_()
    assert f"suggestion {curve.suggestion:.2g}" in shown
    assert "1e-3" in shown
