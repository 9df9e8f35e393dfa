"""Parameter groups, schedules and the moving average of weights."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from easyseg.errors import CheckpointError, TrainingError, UnknownNameError
from easyseg.training.optim import (
    MovingAverage,
    build_optimizer,
    highest_rate,
    learning_rate_factor,
    set_learning_rate,
    set_peak_rates,
)

SCHEDULES = ("onecycle", "cosine", "poly", "step", "constant")


def small_parts():
    """Two encoder stages and a head, with a kernel, a norm and biases."""
    return {
        "encoder[0]": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        "encoder[-1]": nn.Conv2d(4, 4, 3, bias=False),
        "head": nn.Conv2d(4, 2, 1),
    }


def new_optimizer(parts, optimizer="adamw", **settings):
    """Build an optimizer with telling numbers."""
    settings = {
        "learning_rate": 1e-2,
        "encoder_learning_rate": 1e-3,
        "weight_decay": 0.05,
        "adam_epsilon": 1e-6,
        **settings,
    }
    return build_optimizer(parts, optimizer=optimizer, **settings)


def test_groups_follow_the_parts():
    """Each part has a group with its own peak, and vectors stand in one without weight decay."""
    groups = {group["name"]: group for group in new_optimizer(small_parts()).param_groups}
    assert list(groups) == ["encoder[0]", "encoder[0] (no decay)", "encoder[-1]", "head", "head (no decay)"]
    assert [group["weight_decay"] for group in groups.values()] == [0.05, 0.0, 0.05, 0.05, 0.0]
    assert [group["max_learning_rate"] for group in groups.values()] == [1e-3, 1e-3, 1e-3, 1e-2, 1e-2]
    assert all(group["lr"] == group["max_learning_rate"] for group in groups.values())
    assert all(parameter.ndim == 1 for parameter in groups["encoder[0] (no decay)"]["params"])
    assert len(groups["encoder[0] (no decay)"]["params"]) == 3


def test_every_parameter_is_held_once():
    """Frozen parameters are in it, too, for a later stage; shared ones belong to the first part that has them."""
    parts = small_parts()
    parts["encoder[0]"].requires_grad_(False)
    parts["again"] = parts["head"]
    held = [parameter for group in new_optimizer(parts).param_groups for parameter in group["params"]]
    expected = [parameter for part in small_parts() for parameter in parts[part].parameters()]
    assert [id(parameter) for parameter in sorted(held, key=id)] == sorted(id(parameter) for parameter in expected)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_what_is_frozen_does_not_move(name):
    """A step leaves parameters without a gradient alone: no decay of their weights, no momentum of earlier steps."""
    parts = small_parts()
    optimizer = new_optimizer(parts, name)
    network = nn.Sequential(*parts.values())
    for frozen in (False, True):
        parts["encoder[0]"].requires_grad_(not frozen)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        network(torch.rand(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        moved = [bool((now != then).any()) for now, then in zip(network.parameters(), before, strict=True)]
        assert any(moved[:4]) is not frozen
        assert all(moved[4:])


def test_peaks_are_set_anew():
    """A stage names the layers that learn and their peaks; the others stand still."""
    optimizer = new_optimizer(small_parts())
    set_peak_rates(optimizer, {"encoder[-1]": 2e-3, "head": 4e-3})
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0, 0, 1e-3, 2e-3, 2e-3])
    assert highest_rate(optimizer) == pytest.approx(2e-3)


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizers_by_name(name, kind):
    """Each name gives its class, fused, with the settings asked for, and it moves the weights."""
    parts = small_parts()
    optimizer = new_optimizer(parts, name)
    assert type(optimizer) is kind
    assert optimizer.defaults["fused"]
    assert optimizer.defaults.get("eps", 1e-6) == 1e-6
    assert optimizer.defaults.get("momentum", 0.9) == 0.9
    before = [parameter.detach().clone() for parameter in parts["head"].parameters()]
    parts["head"](torch.ones(1, 4, 2, 2)).sum().backward()
    optimizer.step()
    assert all((now != then).any() for now, then in zip(parts["head"].parameters(), before, strict=True))


def test_unknown_optimizer_is_named():
    """A wrong name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match=r"No optimizer named 'adamv'\. Did you mean 'adam"):
        new_optimizer(small_parts(), "adamv")


def test_nothing_to_train_is_an_error():
    """If every part is frozen there is nothing to train, and the message says so."""
    head = nn.Conv2d(1, 1, 1).requires_grad_(False)
    with pytest.raises(TrainingError, match=r"every parameter of head is frozen\. Unfreeze"):
        new_optimizer({"head": head})


def test_set_learning_rate_scales_every_group():
    """The factor multiplies each group's own peak, however often it is set."""
    optimizer = new_optimizer(small_parts())
    for factor in (0.5, 0.1):
        set_learning_rate(optimizer, factor)
        assert [group["lr"] / group["max_learning_rate"] for group in optimizer.param_groups] == pytest.approx(
            [factor] * 5
        )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("onecycle", {0: 0.04, 0.05: 0.52, 0.1: 1.0, 0.55: 0.5005, 1: 1e-3}),
        ("cosine", {0: 1.0, 0.5: 0.5005, 1: 1e-3}),
        ("poly", {0: 1.0, 0.5: 0.5**0.9, 1: 0.0}),
        ("step", {0: 1.0, 0.33: 1.0, 1 / 3: 0.1, 0.6: 0.1, 2 / 3: 0.01, 1: 0.01}),
        ("constant", {0: 1.0, 0.5: 1.0, 1: 1.0}),
    ],
)
def test_schedules_take_their_known_values(schedule, expected):
    """Each schedule goes through the points its definition names."""
    found = {progress: learning_rate_factor(schedule, progress) for progress in expected}
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_stay_between_zero_and_the_peak(schedule):
    """No schedule leaves [0, 1], none jumps up, and beyond the ends of the run the ends count."""
    factors = [learning_rate_factor(schedule, step / 1000) for step in range(1001)]
    assert max(factors) == 1.0
    assert min(factors) >= 0
    after_peak = factors[factors.index(1.0) :]
    assert all(later <= earlier for earlier, later in itertools.pairwise(after_peak))
    assert learning_rate_factor(schedule, -0.1) == factors[0]
    assert learning_rate_factor(schedule, 1.7) == factors[-1]


def test_step_schedule_falls_at_thirds_of_any_length():
    """Rounding of step / total never puts a fall one step late."""
    for total in range(3, 400, 3):
        assert learning_rate_factor("step", (total // 3) / total) == pytest.approx(0.1)
        assert learning_rate_factor("step", (total // 3 - 1) / total) == 1.0


def test_unknown_schedule_is_named():
    """A wrong name is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match=r"No schedule named 'cosin'\. Did you mean 'cosine'"):
        learning_rate_factor("cosin", 0.5)


def small_network(seed=0):
    """A network with a kernel, a norm and its counter."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))


def perturb(network):
    """Change weights and statistics as a training step would."""
    network.train()(torch.rand(4, 1, 6, 6))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_average_follows_its_definition():
    """Weights and statistics are averaged with the warmed-up decay; counters are copied."""
    network = small_network()
    average = MovingAverage(network, decay=0.3)
    expected = {name: value.detach().double() for name, value in network.state_dict().items()}
    for step in range(1, 6):
        perturb(network)
        average.update(network)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            is_counter = not value.is_floating_point()
            expected[name] = value.double() if is_counter else decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert average.state_dict()["1.num_batches_tracked"].item() == 5


def test_average_of_unchanged_weights_is_exact():
    """Weights that never move, such as frozen ones, are their own average to the last bit."""
    network = small_network()
    average = MovingAverage(network)
    for _ in range(10):
        average.update(network)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in average.state_dict().items())


@pytest.mark.parametrize("fails", [False, True])
def test_applied_gives_own_weights_back(fails):
    """Inside the block the model has the average, afterwards its own weights bit for bit, even after an error."""
    network = small_network()
    average = MovingAverage(network)
    perturb(network)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    places = [parameter.data_ptr() for parameter in network.parameters()]
    try:
        with average.applied(network):
            assert all(torch.equal(network.state_dict()[name], value) for name, value in average.state_dict().items())
            assert any(not torch.equal(network.state_dict()[name], value) for name, value in own.items())
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert all(torch.equal(network.state_dict()[name], value) for name, value in own.items())
    assert [parameter.data_ptr() for parameter in network.parameters()] == places


def test_average_goes_on_from_a_checkpoint():
    """Restored from tensors and a count, the average goes on exactly as if nothing had happened."""
    network, other = small_network(), small_network(seed=1)
    average, restored = MovingAverage(network), MovingAverage(other)
    perturb(network)
    average.update(network)
    restored.restore({name: value.clone() for name, value in average.state_dict().items()}, updates=average.updates)
    perturb(network)
    for each in (average, restored):
        each.update(network)
    assert all(torch.equal(restored.state_dict()[name], value) for name, value in average.state_dict().items())
    assert restored.updates == average.updates == 2


def test_average_of_another_model_is_refused():
    """Tensors that do not fit are refused, and one of them is named."""
    average = MovingAverage(small_network())
    state = dict(average.state_dict())
    state["0.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"1 tensors differ, such as 0\.weight"):
        average.restore(state, updates=3)
    assert average.updates == 0


def test_early_average_forgets_the_start():
    """After a hundred steps of a long-memory average hardly anything of the start is left."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    average = MovingAverage(network, decay=0.9999)
    nn.init.constant_(network.weight, 0.0)
    for _ in range(100):
        average.update(network)
    assert average.state_dict()["weight"].item() < 1e-6
    assert not math.isclose(0.9999**100, 0, abs_tol=0.5)
