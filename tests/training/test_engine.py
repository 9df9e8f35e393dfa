"""The loop: the order of things, the learning rate, gradients, evaluations, and every way a run ends."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import TrainingError
from easyseg.structures import Batch, SegmentationModel
from easyseg.training import progress
from easyseg.training.callbacks import BestTracker, Callback, EpochReport, StepReport, StopRequest
from easyseg.training.engine import train
from easyseg.training.optim import MovingAverage, learning_rate_factor
from easyseg.training.progress import LoopPlan
from easyseg.training.run import TrainingRun

CPU = Compute(torch.device("cpu"), torch.float32)
SIZE = 4
"""Height and width of the images here, in pixels."""


class Pixelwise(nn.Module):
    """One linear layer on each pixel: the smallest thing that satisfies the model protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)
        self.modes: list[bool] = []

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.modes.append(self.training)
        error = self.infer(batch.images)[:, 0] - batch.targets.float()
        return {"square": 0.5 * error.square().mean(), "absolute": 0.5 * error.abs().mean()}

    def infer(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.head(images.float() / 255))

    def parts(self) -> dict[str, nn.Module]:
        return {"head": self.head}


class Listed:
    """The same batches in every epoch."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.epochs_asked: list[int] = []

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        self.epochs_asked.append(number)
        return iter(self.batches[start:])


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self, *, stop_at: int | None = None) -> None:
        self.moments: list[str] = []
        self.steps: list[StepReport] = []
        self.reports: list[EpochReport] = []
        self.stop_at = stop_at

    def epoch_started(self, epoch: int) -> None:
        self.moments.append(f"epoch {epoch}")

    def batch_ended(self, report: StepReport) -> None:
        self.moments.append(f"step {report.step}")
        self.steps.append(report)

    def epoch_ended(self, report: EpochReport) -> StopRequest | None:
        self.moments.append(f"evaluation {report.step}")
        self.reports.append(report)
        return StopRequest(f"enough at {report.step}") if report.step == self.stop_at else None


class Ticking:
    """Stands in for the `time` module: every look at the clock takes a moment."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.seconds = seconds

    def perf_counter(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.fixture
def model() -> Pixelwise:
    """Return a model whose weights are the same in every test."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Pixelwise()


def images(count: int, *, seed: int = 0) -> Batch:
    """Return a batch of noise whose targets follow from it."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    return Batch(pixels, (pixels[:, 0] > 128).to(torch.uint8), tuple(range(count)))


def part(batch: Batch, start: int, stop: int) -> Batch:
    """Return some images of a batch."""
    return Batch(batch.images[start:stop], batch.targets[start:stop], batch.indices[start:stop])


def sgd(model: nn.Module, learning_rate: float = 0.1) -> torch.optim.Optimizer:
    """Return plain gradient descent, whose steps can be worked out by hand."""
    groups = [{"params": list(model.parameters()), "lr": learning_rate, "max_learning_rate": learning_rate}]
    return torch.optim.SGD(groups)


def run(
    model: Pixelwise,
    batches: Sequence[Batch],
    *observers: Callback,
    optimizer: torch.optim.Optimizer | None = None,
    evaluate: Callable[[], dict[str, float]] = lambda: {"mean_iou": 0.5},
    average: MovingAverage | None = None,
    compute: Compute = CPU,
    started_at: float | None = None,
    **plan: Any,
) -> str:
    """Train on `batches`, evaluating after each epoch unless told otherwise."""
    training = TrainingRun(
        model,
        optimizer or sgd(model),
        compute=compute,
        best=BestTracker("mean_iou"),
        average=average,
        observers=observers,
    )
    if started_at is not None:
        training.started_at = started_at
    ending = train(training, Listed(batches), plan=new_plan(len(batches), compute=compute, **plan), evaluate=evaluate)
    return ending.reason


def new_plan(
    steps_per_epoch: int, *, schedule: str = "constant", epochs: int = 1, compute: Compute = CPU, **plan: Any
) -> LoopPlan:
    """Return a plan that evaluates after each epoch unless told otherwise."""
    return LoopPlan(
        compute,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        evaluate_every=plan.pop("evaluate_every", steps_per_epoch),
        learning_rate_factor=lambda progress, epochs_done: learning_rate_factor(schedule, progress),
        **plan,
    )


def weights(model: nn.Module) -> Tensor:
    """Return all weights as one vector."""
    return torch.cat([value.detach().flatten() for value in model.parameters()]).clone()


def gradient(model: Pixelwise, batches: Sequence[Batch]) -> Tensor:
    """Return the gradient of the mean loss over `batches`, worked out on a copy."""
    model = copy.deepcopy(model)
    loss = torch.stack([torch.stack(list(model.losses(batch).values())).sum() for batch in batches]).mean()
    loss.backward()
    return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


def test_small_module_satisfies_the_protocol(model: Pixelwise) -> None:
    """Anything with losses, infer, parts and modes can be trained."""
    trainable: SegmentationModel = model
    before = weights(model)
    reason = run(model, [images(2)], epochs=2)
    assert reason == "all 2 epochs are done"
    assert not torch.equal(weights(model), before)
    assert trainable.infer(images(2).images).shape == (2, 1, SIZE, SIZE)


def test_moments_come_in_order(model: Pixelwise) -> None:
    """Observers hear of each epoch, then its batches, then its evaluation."""
    diary = Diary()
    run(model, [images(2), images(1)], diary, epochs=2)
    assert diary.moments == [
        *("epoch 0", "step 1", "step 2", "evaluation 2"),
        *("epoch 1", "step 3", "step 4", "evaluation 4"),
    ]
    assert [step.images for step in diary.steps] == [2, 1, 2, 1]
    assert [step.progress for step in diary.steps] == [0.25, 0.5, 0.75, 1.0]
    assert [(report.epoch, report.is_best) for report in diary.reports] == [(0, True), (1, False)]


def test_epochs_are_asked_for_by_number(model: Pixelwise) -> None:
    """The loader gets 0, 1, 2: order and augmentation follow from them."""
    batches = Listed([images(1)])
    training = TrainingRun(model, sgd(model), compute=CPU, best=BestTracker("mean_iou"))
    train(training, batches, plan=new_plan(1, epochs=3), evaluate=lambda: {"mean_iou": 0.5})
    assert batches.epochs_asked == [0, 1, 2]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "poly", "step", "constant"])
def test_learning_rate_follows_the_closed_form(model: Pixelwise, schedule: str) -> None:
    """The rate at a step is its peak times the schedule's value at (steps done) / (steps in all)."""
    diary = Diary()
    run(model, [images(1)] * 4, diary, epochs=3, schedule=schedule, optimizer=sgd(model, 0.2))
    assert [step.learning_rate for step in diary.steps] == [
        0.2 * learning_rate_factor(schedule, step / 12) for step in range(12)
    ]
    assert diary.reports[0].learning_rate == diary.steps[3].learning_rate


@pytest.mark.parametrize(
    ("evaluate_every", "expected"), [(1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (2, [2, 4, 6]), (9, [6])]
)
def test_evaluations_fall_every_so_many_steps(model: Pixelwise, evaluate_every: int, expected: list[int]) -> None:
    """Steps count through epochs, and the last one is always followed by an evaluation."""
    diary = Diary()
    run(model, [images(1)] * 3, diary, epochs=2, evaluate_every=evaluate_every)
    assert [report.step for report in diary.reports] == expected


def test_reported_loss_is_the_mean_since_the_last_evaluation(model: Pixelwise) -> None:
    """Every batch since then counts once, the earlier ones not at all."""
    diary = Diary()
    run(model, [images(2, seed=seed) for seed in range(4)], diary, evaluate_every=2)
    losses = [float(step.loss) for step in diary.steps]
    assert diary.reports[0].metrics["loss"] == pytest.approx(sum(losses[:2]) / 2, rel=1e-6)
    assert diary.reports[1].metrics["loss"] == pytest.approx(sum(losses[2:]) / 2, rel=1e-6)


def test_named_losses_are_added_up(model: Pixelwise) -> None:
    """The loop minimises the sum of all that `losses` returns."""
    batch = images(2)
    expected = sum(value.item() for value in model.losses(batch).values())
    diary = Diary()
    run(model, [batch], diary)
    assert float(diary.steps[0].loss) == pytest.approx(expected)


def test_two_accumulated_batches_equal_one_large_batch() -> None:
    """Two batches of 4 in one step move the weights as one batch of 8 does."""
    torch.manual_seed(1)
    large, small = Pixelwise(), Pixelwise()
    small.load_state_dict(large.state_dict())
    batch = images(8)
    run(large, [batch], epochs=3)
    run(small, [part(batch, 0, 4), part(batch, 4, 8)], epochs=3, accumulate=2)
    assert torch.allclose(weights(small), weights(large), rtol=0, atol=1e-7)


def test_incomplete_last_group_is_a_full_step(model: Pixelwise) -> None:
    """With three batches and groups of two, the third makes a step of its own, at its own mean."""
    batches = [images(2, seed=seed) for seed in range(3)]
    by_hand = copy.deepcopy(model)
    for group in (batches[:2], batches[2:]):
        moved = weights(by_hand) - 0.1 * gradient(by_hand, group)
        nn.utils.vector_to_parameters(moved, by_hand.parameters())
    average = MovingAverage(model)
    run(model, batches, accumulate=2, average=average)
    assert torch.allclose(weights(model), weights(by_hand), rtol=0, atol=1e-7)
    assert average.updates == 2


def test_gradients_are_clipped_to_their_norm(model: Pixelwise) -> None:
    """A step of rate 1 goes no farther than the largest norm allowed, and in the same direction."""
    batch = images(2)
    free = -gradient(model, [batch])
    limit = float(free.norm()) / 10
    before = weights(model)
    run(model, [batch], optimizer=sgd(model, 1.0), clip_gradients=limit)
    moved = weights(model) - before
    assert float(moved.norm()) == pytest.approx(limit, rel=1e-4)
    assert float(nn.functional.cosine_similarity(moved, free, dim=0)) == pytest.approx(1, abs=1e-5)


def test_gradients_left_by_an_earlier_run_are_forgotten(model: Pixelwise) -> None:
    """A run that was stopped between two optimizer steps has no part in the next one."""
    other = copy.deepcopy(model)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 100.0)
    run(model, [images(2)])
    run(other, [images(2)])
    assert torch.equal(weights(model), weights(other))


def test_model_trains_in_training_mode_whatever_the_evaluation_leaves(model: Pixelwise) -> None:
    """An evaluation that switches the mode does not change the steps after it."""

    def evaluate() -> dict[str, float]:
        model.eval()
        return {"mean_iou": 0.5}

    model.eval()
    run(model, [images(1)] * 2, evaluate=evaluate, evaluate_every=1, epochs=2)
    assert model.modes == [True] * 4


def test_observer_can_stop_the_run_and_all_hear_of_the_evaluation(model: Pixelwise) -> None:
    """The first request's reason is returned; observers after it get their report all the same."""
    stops, watches = Diary(stop_at=2), Diary(stop_at=2)
    watches.stop_at = None
    reason = run(model, [images(1)] * 2, stops, watches, epochs=5)
    assert reason == "enough at 2"
    assert watches.moments == ["epoch 0", "step 1", "step 2", "evaluation 2"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("count", [1, 5])
def test_loss_that_is_never_a_finite_number_ends_the_run(model: Pixelwise, value: float, count: int) -> None:
    """After five such steps in a row, or at the next evaluation; the error says what to type."""
    model.head.bias.data.fill_(value)
    with pytest.raises(TrainingError, match=r"finite number.*learning_rate.*precision='fp32'"):
        run(model, [images(1)] * count)


@pytest.mark.parametrize("tick", [0.0007, 0.0011, 0.0013, 0.0017, 0.0031])
def test_time_budget_ends_the_run_right_after_an_evaluation(
    model: Pixelwise, monkeypatch: pytest.MonkeyPatch, tick: float
) -> None:
    """Wherever the time runs out, no step is left without an evaluation."""
    monkeypatch.setattr(progress, "time", Ticking(tick))
    for milliseconds in range(50, 90):
        diary = Diary()
        reason = run(
            model,
            [images(1)] * 5,
            diary,
            epochs=1,
            evaluate_every=3,
            time_budget=milliseconds / 1000,
            started_at=progress.time.perf_counter(),
        )
        assert reason == f"the time budget of {milliseconds / 1000:g} s is used up"
        assert diary.moments[-1] == f"evaluation {diary.steps[-1].step}"


def test_time_budget_goes_through_more_epochs_than_planned_and_keeps_time_for_an_evaluation(
    model: Pixelwise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends in time although each evaluation takes a while, and its learning rate comes down by the clock."""
    clock = Ticking(0.001)
    monkeypatch.setattr(progress, "time", clock)

    def evaluate() -> dict[str, float]:
        clock.now += 0.5
        return {"mean_iou": 0.5}

    diary = Diary()
    run(model, [images(1)] * 20, diary, evaluate=evaluate, epochs=1, schedule="cosine", time_budget=4.0, started_at=0.0)
    assert clock.now <= 4.01
    assert clock.now > 3.0
    assert len({step.epoch for step in diary.steps}) > 1
    rates = [step.learning_rate for step in diary.steps]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05 * rates[0]


def test_half_precision_scales_losses_and_unscales_gradients(model: Pixelwise) -> None:
    """With fp16 the scaler first finds a scale that does not overflow; then clipped steps have their length."""
    half = Compute(torch.device("cpu"), torch.float16)
    assert half.needs_scaler
    before = weights(model)
    diary = Diary()
    run(model, [images(2)], diary, compute=half, clip_gradients=0.05, epochs=12)
    distance = float((weights(model) - before).norm())
    longest = 0.1 * 0.05
    assert longest < distance <= 12 * longest
    assert float(diary.steps[-1].loss) < float(diary.steps[0].loss)


def test_plan_shares_steps_among_batches() -> None:
    """Seven batches in groups of three: three, three and one."""
    plan = new_plan(7, accumulate=3)
    assert [plan.batches_per_step(index) for index in range(7)] == [3, 3, 3, 3, 3, 3, 1]
    assert [plan.completes_step(index) for index in range(7)] == [False, False, True, False, False, True, True]


def test_an_evaluation_tells_pace_and_losses_of_its_own_time(model: Pixelwise) -> None:
    """The report counts images and losses since the evaluation before it; a batch's report counts on until then."""
    diary = Diary()
    run(model, [images(4), images(4, seed=1), images(2, seed=2)], diary, epochs=2)
    assert [(report.pace.images, report.pace.steps) for report in diary.reports] == [(10, 3)] * 2
    assert [step.pace.steps for step in diary.steps] == [1, 2, 3, 1, 2, 3]
    for report, steps in zip(diary.reports, (diary.steps[:3], diary.steps[3:]), strict=True):
        assert report.recent_loss is not None
        assert report.recent_loss.count == 3
        assert report.recent_loss.maximum == pytest.approx(max(float(step.loss) for step in steps))
        assert report.recent_loss.mean == pytest.approx(report.metrics["loss"])


@pytest.mark.parametrize("done", [2, 3])
def test_figures_of_losses_begin_anew_after_a_resume(model: Pixelwise, done: int) -> None:
    """The mean goes on from before; a median of what came after would not be of the same batches."""
    batches, plan = [images(2, seed=seed) for seed in range(3)], new_plan(3, epochs=4, evaluate_every=6)
    first = TrainingRun(copy.deepcopy(model), sgd(model), compute=CPU, best=BestTracker("mean_iou"))
    saved: list[Any] = []

    def save(clock: progress.Clock) -> None:
        if clock.position.step == done:  # within an epoch, and between two
            saved.append(copy.deepcopy(first.state()))

    train(first, Listed(batches), plan=plan, evaluate=lambda: {"mean_iou": 0.5}, after_batch=save)
    diary = Diary()
    second = TrainingRun(model, sgd(model), compute=CPU, best=BestTracker("mean_iou"), observers=[diary])
    numbers, arrays = saved[0]
    second.restore({**numbers, "observers": [(type(diary).__name__, {})]}, arrays)
    train(second, Listed(batches), plan=plan, evaluate=lambda: {"mean_iou": 0.5})
    early, late = (report.recent_loss for report in diary.reports)
    assert early is None
    assert late is not None
    assert late.count == 6
