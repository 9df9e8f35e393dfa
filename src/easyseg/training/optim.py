"""The optimizer and its parameter groups, the course of the learning rate, and the moving average of weights.

A schedule is a function of how far training has come, not an object with a state: there is nothing to step once too
often, nothing to save, and a run limited by time follows the same curve as one limited by epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from easyseg.errors import CheckpointError, TrainingError, unknown_name
from easyseg.training.depth import layers_of
from easyseg.training.parts import is_encoder
from easyseg.training.trainable import TrainableModel

SGD_MOMENTUM = 0.9

WARMUP_SHARE = 0.1
"""Share of a one-cycle run over which the learning rate rises."""

WARMUP_START = 0.04
"""Where the rise starts, as a share of the peak."""

FINAL_FACTOR = 1e-3
"""Where one-cycle and cosine end, as a share of the peak."""

POLY_POWER = 0.9

STEPS = 3
"""Equal parts of a run with the step schedule; the learning rate falls to a tenth between two of them."""

DEFAULT_DECAY = 0.999
"""Decay of the moving average per step: it remembers about a thousand steps."""

_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def build_optimizer(
    parts: Mapping[str, nn.Module],
    *,
    optimizer: str,
    learning_rate: float,
    encoder_learning_rate: float,
    weight_decay: float,
    adam_epsilon: float,
) -> torch.optim.Optimizer:
    """Build the optimizer with one parameter group per layer of the network, and a second one without weight decay.

    Vectors (biases, weights of normalisation, layer scales) are not decayed: they do not overfit, and normalisation
    undoes a decay of the weights before it anyway. Frozen parameters are in it, too, so that one optimizer serves all
    stages of a training; without a gradient it does not touch them.

    Args:
        parts: names to modules, as a model's `parts()` gives them; names that start with "encoder" are the encoder.
        optimizer: "adamw", "adam" (weight decay as an L2 penalty) or "sgd" (momentum 0.9).
        learning_rate: peak learning rate of everything but the encoder.
        encoder_learning_rate: the encoder's.
        weight_decay: weight decay of matrices and kernels.
        adam_epsilon: epsilon of adamw and adam.

    Returns:
        The optimizer; each group has its "name", its "layer" as in `layers_of`, and its peak in "max_learning_rate".

    Raises:
        UnknownNameError: no such optimizer.
        TrainingError: every parameter is frozen.
    """
    groups: list[dict[str, Any]] = []
    for layer in layers_of(parts):
        peak = encoder_learning_rate if is_encoder(layer.part) else learning_rate
        shared = {"layer": layer.name, "lr": peak, "max_learning_rate": peak}
        kernels = [parameter for parameter in layer.parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in layer.parameters if parameter.ndim <= 1]
        if kernels:
            groups.append({**shared, "name": layer.name, "params": kernels, "weight_decay": weight_decay})
        if vectors:
            groups.append({**shared, "name": f"{layer.name} (no decay)", "params": vectors, "weight_decay": 0.0})
    if not any(parameter.requires_grad for group in groups for parameter in group["params"]):
        raise TrainingError(
            f"Nothing to train: every parameter of {', '.join(parts) or 'the model'} is frozen. Unfreeze a part first."
        )
    fused = all(parameter.device.type in _FUSED_DEVICES for group in groups for parameter in group["params"])
    if optimizer == "adamw":
        return torch.optim.AdamW(groups, eps=adam_epsilon, fused=fused)
    if optimizer == "adam":
        return torch.optim.Adam(groups, eps=adam_epsilon, fused=fused)
    if optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=SGD_MOMENTUM, fused=fused)
    raise unknown_name("optimizer", optimizer, ("adamw", "adam", "sgd"))


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return the learning rate at a point of the run, as a share of its peak.

    Args:
        schedule: "onecycle" (short linear rise, then cosine), "cosine", "poly" (power 0.9), "step" (a tenth after each
            third of the run) or "constant".
        progress: how much of the run is done, 0 to 1, by steps or by time; beyond, the nearer end counts.

    Raises:
        UnknownNameError: no such schedule.
    """
    if schedule not in _SCHEDULES:
        raise unknown_name("schedule", schedule, _SCHEDULES)
    return _SCHEDULES[schedule](min(max(progress, 0.0), 1.0))


def _onecycle(progress: float) -> float:
    if progress < WARMUP_SHARE:
        return WARMUP_START + (1 - WARMUP_START) * progress / WARMUP_SHARE
    return _cosine((progress - WARMUP_SHARE) / (1 - WARMUP_SHARE))


def _cosine(progress: float) -> float:
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * progress)) / 2


def _poly(progress: float) -> float:
    return float((1 - progress) ** POLY_POWER)


def _step(progress: float) -> float:
    return float(0.1 ** min(int(STEPS * progress), STEPS - 1))


def _constant(_: float) -> float:
    return 1.0


_SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "onecycle": _onecycle,
    "cosine": _cosine,
    "poly": _poly,
    "step": _step,
    "constant": _constant,
}


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group of `build_optimizer` to its peak learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["max_learning_rate"] * factor


def set_peak_rates(optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    """Give the groups of `build_optimizer` new peak learning rates, such as those of a stage.

    Args:
        optimizer: its learning rates themselves follow with the next `set_learning_rate`.
        rates: layer, as in `layers_of`, -> peak; layers that are not named do not learn.
    """
    for group in optimizer.param_groups:
        group["max_learning_rate"] = rates.get(group["layer"], 0.0)


def highest_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the largest learning rate among the optimizer's groups."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


class MovingAverage:
    """The exponential moving average of a model's weights, which often scores better than the last weights.

    Floating-point buffers are averaged like weights: the statistics of batch normalisation then belong to the averaged
    weights, not to the last ones. Counters (integers) are copied. The first steps use a smaller decay,
    (1 + step) / (10 + step), so that the random start is soon forgotten.

    Example:
        >>> average = MovingAverage(model, decay=0.999)
        >>> average.update(model)          # after every optimizer step
        >>> with average.applied(model):   # evaluate and save with the average
        ...     evaluate(model)
    """

    def __init__(self, model: TrainableModel, decay: float = DEFAULT_DECAY) -> None:
        self.decay = decay
        self.updates = 0
        self._average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: TrainableModel) -> None:
        """Move the average towards the model's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self._average[name])
                values.append(value)
            else:
                self._average[name].copy_(value)
        # one kernel for all tensors on a GPU, where hundreds of launches would be felt
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextmanager
    def applied(self, model: TrainableModel) -> Iterator[None]:
        """Give the model the averaged weights inside the `with` block, and its own back afterwards, bit for bit."""
        own = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            _copy_into(model, self._average)
            yield
        finally:
            _copy_into(model, own)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged weights under the names they have in the model; its `load_state_dict` takes them."""
        return dict(self._average)

    def restore(self, weights: Mapping[str, Tensor], *, updates: int) -> None:
        """Go on from what `state_dict` and `updates` were.

        Raises:
            CheckpointError: the weights are not those of this model.
        """
        expected = {name: value.shape for name, value in self._average.items()}
        found = {name: value.shape for name, value in weights.items()}
        if found != expected:
            strange = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise CheckpointError(
                f"The moving average in the checkpoint does not fit this model: {len(strange)} tensors differ, "
                f"such as {strange[0]}. Load it into the model it was saved from."
            )
        self.updates = updates
        for name, value in self._average.items():
            value.copy_(weights[name])


@torch.no_grad()
def _copy_into(model: TrainableModel, values: Mapping[str, Tensor]) -> None:
    # copied, not exchanged: compiled graphs and gradient buckets keep pointing at the model's own memory
    for name, target in model.state_dict().items():
        target.copy_(values[name])
