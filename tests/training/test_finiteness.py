"""Numbers that are not finite: they move nothing, are reported, and end training when they do not go away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import TrainingError
from easyseg.structures import Batch
from easyseg.training import finiteness
from easyseg.training.callbacks import BestTracker
from easyseg.training.engine import train
from easyseg.training.finiteness import LIMIT, SkippedStep
from easyseg.training.optim import MovingAverage
from easyseg.training.progress import LoopPlan
from easyseg.training.run import TrainingRun

CPU = Compute(torch.device("cpu"), torch.float32)


class Normalised(nn.Module):
    """A network with statistics; pixel value 255 in the first pixel makes its loss what `poison` says."""

    def __init__(self, poison: float) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
        self.norm = nn.BatchNorm2d(1)
        self.poison = poison

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        images = batch.images.float() / 255
        if int(batch.images[0, 0, 0, 0]) == 255:
            images = images * self.poison
        return {"square": self.infer(images).square().mean()}

    def infer(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.norm(self.head(images)) - 1)

    def parts(self) -> dict[str, nn.Module]:
        return {"head": self}


class Poisoned:
    """An epoch whose batches with the given numbers are bad."""

    def __init__(self, bad: set[int], count: int) -> None:
        self.bad, self.count = bad, count

    def __len__(self) -> int:
        return self.count

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        for index in range(start, self.count):
            generator = torch.Generator().manual_seed(index)
            images = torch.randint(0, 200, (2, 3, 4, 4), dtype=torch.uint8, generator=generator)
            images[0, 0, 0, 0] = 255 if index in self.bad else 0
            yield Batch(images, torch.zeros(2, 4, 4, dtype=torch.uint8), (2 * index, 2 * index + 1))


def run(
    bad: set[int],
    *,
    count: int = 8,
    poison: float = math.nan,
    accumulate: int = 1,
    on_device: bool = False,
    averages: list[MovingAverage] | None = None,
) -> tuple[Normalised, list[SkippedStep]]:
    """Train for an epoch; return the model and the steps that were reported as skipped.

    A list of `averages` is given the moving average of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Normalised(poison)
    average = MovingAverage(model, decay=0.5) if averages is not None else None
    if average is not None and averages is not None:
        averages.append(average)
    skipped: list[SkippedStep] = []

    def report(steps: Sequence[SkippedStep]) -> None:
        skipped[:] = steps

    groups = [{"params": list(model.parameters()), "lr": 0.1, "max_learning_rate": 0.1}]
    training = TrainingRun(
        model,
        torch.optim.AdamW(groups, fused=True),
        compute=CPU,
        best=BestTracker("mean_iou"),
        average=average,
        report_skipped=report,
    )
    training.guard._decides_on_device = on_device  # as on a GPU; the fused optimizer of a CPU obeys the same word
    plan = LoopPlan(CPU, 1, count, count, lambda progress, epochs: 1.0, accumulate=accumulate, clip_gradients=1.0)
    train(training, Poisoned(bad, count), plan=plan, evaluate=lambda: {"mean_iou": 0.5})
    return model, skipped


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_bad_step_moves_nothing(poison: float) -> None:
    """Weights, statistics and the optimizer's memory are as if the bad batch had not been there."""
    with_bad, skipped = run({7}, poison=poison)
    without, _ = run(set(), count=7)
    assert all(value.isfinite().all() for value in with_bad.state_dict().values())
    for name, value in without.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(with_bad.state_dict()[name], value), name
    assert [(step.step, step.images) for step in skipped] == [(7, (14, 15))]


def test_training_goes_on_after_a_bad_step() -> None:
    """Weights stay finite and move again."""
    model, skipped = run({2, 4})
    other, _ = run({2, 4}, count=5)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert not torch.equal(model.head.weight, other.head.weight)
    assert [step.step for step in skipped] == [2, 4]


def test_all_batches_of_a_bad_step_are_named() -> None:
    """With accumulation, nobody knows which of them it was."""
    _, skipped = run({2}, accumulate=2)
    assert [step.images for step in skipped] == [(4, 5, 6, 7)]


def test_too_many_in_a_row_end_training() -> None:
    """Five are too many, and four with a good one between are not."""
    run({0, 1, 2, 3, 5, 6})
    with pytest.raises(TrainingError, match=rf"{LIMIT} steps in a row.*learning_rate.*nan_report\.json"):
        run({1, 2, 3, 4, 5})


@pytest.mark.parametrize("lag", [1, 3, 50])
def test_decision_on_the_device_leaves_the_weights_alone(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the verdict is read: weights as with a verdict at once, and no statistic stays spoilt."""
    monkeypatch.setattr(finiteness, "GPU_LAG", lag)
    at_once, _ = run({2, 4})
    later, skipped = run({2, 4}, on_device=True)
    assert torch.equal(later.head.weight, at_once.head.weight)
    assert all(value.isfinite().all() for value in later.state_dict().values())
    assert [step.step for step in skipped] == [2, 4]


@pytest.mark.parametrize("lag", [1, 50])
def test_decision_on_the_device_spoils_no_average(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are put back before anybody averages them, and equal those of steps that were skipped at once."""
    monkeypatch.setattr(finiteness, "GPU_LAG", lag)
    averages: list[MovingAverage] = []
    at_once, _ = run({2, 4}, averages=averages)
    later, _ = run({2, 4}, on_device=True, averages=averages)
    assert torch.equal(later.norm.running_mean, at_once.norm.running_mean)
    assert torch.equal(later.norm.running_var, at_once.norm.running_var)
    for average in averages:
        assert all(value.isfinite().all() for value in average.state_dict().values())


def test_decision_on_the_device_ends_training_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five in a row are too many, as soon as anybody reads it."""
    monkeypatch.setattr(finiteness, "GPU_LAG", 2)
    with pytest.raises(TrainingError, match=rf"{LIMIT} steps in a row"):
        run({1, 2, 3, 4, 5}, on_device=True)
