"""Steps that share batches: what they add up to, where memory ends and where a session or a stage ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from easyseg.devices import Compute
from easyseg.errors import CheckpointError
from easyseg.structures import Batch
from easyseg.training.callbacks import BestTracker, Callback
from easyseg.training.progress import LoopPlan, Position
from easyseg.training.run import TrainingRun

CPU = Compute(torch.device("cpu"), torch.float32)
PLAN = LoopPlan(CPU, epochs=1, steps_per_epoch=2, evaluate_every=2, learning_rate_factor=lambda *_: 1.0, accumulate=2)


class Plain(nn.Module):
    """A normalisation, at rest unless wanted, and a convolution; the pass number `fails_at` runs out of memory."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.head = nn.Conv2d(3, 1, 1)
        self.norm = nn.BatchNorm2d(3, affine=False).eval()
        self.fails_at = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.fails_at -= 1
        if self.fails_at == 0:
            raise torch.OutOfMemoryError("out of memory")
        return {"square": self.infer(batch.images.float() / 255).square().mean()}

    def infer(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.norm(images)))

    def parts(self) -> dict[str, nn.Module]:
        return {"head": self}


def new_run(compute: Compute = CPU, observers: Sequence[Callback] = ()) -> tuple[Plain, TrainingRun]:
    """Return a network and its training."""
    model = Plain()
    groups = [{"params": list(model.parameters()), "lr": 0.1, "max_learning_rate": 0.1}]
    return model, TrainingRun(
        model, torch.optim.SGD(groups), compute=compute, best=BestTracker("mean_iou"), observers=observers
    )


def batch(seed: int) -> Batch:
    """Return four random images."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (4, 3, 4, 4), dtype=torch.uint8, generator=generator)
    return Batch(images, torch.zeros(4, 4, 4, dtype=torch.uint8), (0, 1, 2, 3))


def second_session() -> tuple[Plain, TrainingRun]:
    """Return a network whose first batch of a step of two was an earlier session's."""
    _, first = new_run()
    first.update.learn(batch(0), PLAN, first.position)
    first.position.batch = 1
    model, run = new_run()
    run.restore(*first.state())
    return model, run


def test_restored_gradients_outlive_the_end_of_memory() -> None:
    """A pass that breaks off in its second half has added to them, and the step is taken anew without that."""
    model, run = second_session()
    run.update.learn(batch(1), PLAN, run.position)
    expected = model.head.weight.detach().clone()

    model, run = second_session()
    run.update.pieces = 2
    model.fails_at = 2
    run.update.learn(batch(1), PLAN, run.position)
    assert run.update.pieces == 4
    assert torch.allclose(model.head.weight, expected, rtol=1e-6, atol=0)


def test_statistics_forget_the_pass_that_ran_out_of_memory() -> None:
    """Its first half has gone into them; they are as if the batch had come in quarters at once."""
    found = []
    for pieces, fails_at in ((2, 2), (4, 0)):
        model, run = new_run()
        model.norm.train()
        run.update.pieces, model.fails_at = pieces, fails_at
        run.update.learn(batch(0), replace(PLAN, accumulate=1), run.position)
        assert run.update.pieces == 4
        found.append(model.norm.running_mean.clone())
    assert torch.equal(*found)
    assert found[0].any()


def test_step_that_a_stage_leaves_open_is_dropped() -> None:
    """Its gradients do not reach the next stage, which may learn other parts at other rates."""
    model, run = new_run()
    run.update.learn(batch(0), PLAN, Position())
    run.update.drop_open_step()
    assert run.update.state() == {"pieces": 1, "images": [], "losses": []}
    assert all(weight.grad is None for weight in model.parameters())


def test_scale_of_fp16_losses_is_saved() -> None:
    """A session that began at the usual scale would skip steps until it has found the right one."""
    _, run = new_run(Compute(torch.device("cpu"), torch.float16))
    numbers, arrays = run.state()
    numbers["scaler"]["scale"] = 128.0
    run.restore(numbers, arrays)
    assert run.state()[0]["scaler"]["scale"] == 128


def test_open_step_is_saved() -> None:
    """Its images and losses, for the report of a step that is skipped."""
    _, run = second_session()
    state = run.update.state()
    assert state["images"] == [0, 1, 2, 3]
    assert len(state["losses"]) == 1


def test_run_goes_on_in_another_precision() -> None:
    """A scale means nothing to a session without a scaler, and one with it finds its own where none was saved."""
    half = Compute(torch.device("cpu"), torch.float16)
    for then, now in ((half, CPU), (CPU, half)):
        _, first = new_run(then)
        first.position.batch = 1
        _, second = new_run(now)
        own = second.state()[0]["scaler"]
        second.restore(*first.state())
        assert second.position.batch == 1
        assert second.state()[0]["scaler"] == own
    assert own["scale"] > 1


class Forgetful(Callback):
    """Cannot take up what it said itself."""

    def state(self) -> dict[str, Any]:
        return {"scores": [1]}

    def restore(self, state: Mapping[str, Any]) -> None:
        raise KeyError("scores_of_old")


def test_callback_that_cannot_take_up_its_state_is_named() -> None:
    """With what it complained of, and what to do."""
    _, run = new_run(observers=[Forgetful()])
    with pytest.raises(CheckpointError, match=r"callback Forgetful cannot take up the state .*scores_of_old.*run_dir"):
        run.restore(*run.state())


def test_callbacks_of_other_types_are_named() -> None:
    """As many as then, but others: nobody could tell whose state is whose."""
    _, then = new_run(observers=[Forgetful()])
    _, now = new_run(observers=[Callback()])
    with pytest.raises(CheckpointError, match=r"Forgetful took part then, Callback does now\. Pass the same ones"):
        now.restore(*then.state())
    _, turned = new_run(observers=[Callback(), Forgetful()])
    _, other = new_run(observers=[Forgetful(), Callback()])
    with pytest.raises(CheckpointError, match=r"had them in another order\. Pass"):
        other.restore(*turned.state())
