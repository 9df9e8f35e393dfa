"""A sweep over learning rates: rising, stopping, and as `fit` trains."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.structures import Batch
from easyseg.training.rate_finder import rising_rates, sweep_learning_rates

CPU = Compute(torch.device("cpu"), torch.float32)


class Quadratic(nn.Module):
    """A loss that gradient descent lowers, and makes explode where the rate is too high."""

    def __init__(self, *, breaks_at: float = math.inf) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.head.weight, 1.0)
        self.breaks_at = breaks_at
        self.rates: list[float] = []
        self.seen = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.seen += 1
        if self.seen > self.breaks_at:
            return {"loss": self.head.weight.sum() * math.nan}
        return {"half": self.head.weight.square().sum(), "other_half": self.head.weight.square().sum()}

    def parts(self) -> dict[str, nn.Module]:
        return {"head": self.head}


def batch() -> Batch:
    """Return one image of one pixel."""
    return Batch(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.zeros(1, 1, 1, dtype=torch.uint8), (0,))


def sgd(model: nn.Module, share: float = 1.0) -> torch.optim.Optimizer:
    """Return an optimizer whose groups have a share of the rate."""
    return torch.optim.SGD([{"params": list(model.parameters()), "lr": 0.0, "max_learning_rate": share}])


def test_rates_rise_by_the_same_factor() -> None:
    """They start and end where they shall."""
    rates = rising_rates(1e-7, 10.0, 9)
    assert rates[0] == pytest.approx(1e-7)
    assert rates[-1] == pytest.approx(10.0)
    assert [later / earlier for earlier, later in itertools.pairwise(rates)] == pytest.approx([10.0] * 8)


def test_every_batch_is_trained_on_at_its_rate() -> None:
    """The loss before each step is kept, and the step is taken at the rate, times the group's share."""
    model = Quadratic()
    curve = sweep_learning_rates(
        model, itertools.repeat(batch()), rates=[0.01, 0.05, 0.1], optimizer=sgd(model, share=0.5), compute=CPU
    )
    weight, expected = 1.0, []
    for rate in (0.01, 0.05, 0.1):
        expected.append(2 * weight**2)
        weight -= 0.5 * rate * 4 * weight
    assert curve.losses == pytest.approx(expected)
    assert float(model.head.weight.detach()) == pytest.approx(weight)
    assert curve.learning_rates == (0.01, 0.05, 0.1)


def test_divergence_ends_the_sweep() -> None:
    """Where the loss grows fourfold over its lowest, the rates above are not tried."""
    model = Quadratic()
    rates = rising_rates(1e-4, 1e4, 200)
    curve = sweep_learning_rates(model, itertools.repeat(batch()), rates=rates, optimizer=sgd(model), compute=CPU)
    assert 10 < len(curve.losses) < 150
    assert len(curve.learning_rates) == len(curve.losses)
    assert curve.suggestion is not None
    assert curve.suggestion < 0.5  # above, gradient descent on this loss diverges


def test_a_loss_that_is_no_number_ends_the_sweep() -> None:
    """It is not part of the curve, and no step is taken with it."""
    model = Quadratic(breaks_at=3)
    curve = sweep_learning_rates(model, itertools.repeat(batch()), rates=[0.1] * 10, optimizer=sgd(model), compute=CPU)
    assert len(curve.losses) == 3
    assert torch.isfinite(model.head.weight).all()


def test_gradients_are_clipped_as_in_training() -> None:
    """The norm of the gradient is limited where training limits it."""
    model = Quadratic()
    sweep_learning_rates(
        model, itertools.repeat(batch()), rates=[0.1], optimizer=sgd(model), compute=CPU, clip_gradients=1.0
    )
    assert float(model.head.weight.detach()) == pytest.approx(0.9)


def test_too_few_batches_make_a_short_curve() -> None:
    """The sweep ends with the batches."""
    model = Quadratic()
    curve = sweep_learning_rates(model, [batch()] * 2, rates=[0.1] * 5, optimizer=sgd(model), compute=CPU)
    assert len(curve.losses) == 2
