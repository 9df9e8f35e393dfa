"""A short training in which the learning rate rises until the loss diverges (Smith, 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from easyseg.devices import Compute
from easyseg.results.learning_rates import LearningRateCurve, smoothed
from easyseg.structures import Batch, SegmentationModel
from easyseg.training.optim import set_learning_rate

DIVERGENCE = 4.0
"""The sweep ends where the smoothed loss is so many times its lowest value."""

FIRST_STEPS = 10
"""Steps before which nothing is called a divergence."""


def rising_rates(lowest: float, highest: float, count: int) -> list[float]:
    """Return `count` learning rates from `lowest` to `highest`, each the same multiple of the one before."""
    return [lowest * (highest / lowest) ** (index / (count - 1)) for index in range(count)]


def sweep_learning_rates(
    model: SegmentationModel,
    batches: Iterable[Batch],
    *,
    rates: Sequence[float],
    optimizer: torch.optim.Optimizer,
    compute: Compute,
    clip_gradients: float | None = None,
) -> LearningRateCurve:
    """Train on one batch per learning rate, and stop where the loss diverges.

    The model is spoilt by it: hand in a copy.

    Args:
        model: trained in place.
        batches: at least as many as there are rates.
        rates: the learning rates, in this order.
        optimizer: each group's "max_learning_rate" is its share of the rate.
        compute: device and number format.
        clip_gradients: largest gradient norm, None for no limit.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.needs_scaler)
    losses: list[float] = []
    model.train()
    for rate, batch in zip(rates, batches, strict=False):
        set_learning_rate(optimizer, rate)
        optimizer.zero_grad(set_to_none=True)
        with compute.autocast():
            loss = torch.stack(list(model.losses(batch.to(compute.device)).values())).sum()
        value = float(loss.detach())
        if not math.isfinite(value):
            break
        losses.append(value)
        if _diverges(losses):
            break
        torch.autograd.backward(scaler.scale(loss))
        if clip_gradients is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(weights, clip_gradients)
        scaler.step(optimizer)
        scaler.update()
    return LearningRateCurve(tuple(rates[: len(losses)]), tuple(losses))


def _diverges(losses: Sequence[float]) -> bool:
    course = smoothed(losses)
    return len(course) > FIRST_STEPS and course[-1] > DIVERGENCE * min(course)
