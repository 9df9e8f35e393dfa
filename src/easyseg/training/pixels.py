"""A batch's logits and truth, prepared once for all the losses that look at them.

`SoftmaxPixels` holds exclusive classes, `SigmoidPixels` independent ones. A loss asks them for sums over the pixels
that count, and needs not know which of the two it has. Rows and columns are one axis here: P = height x width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from easyseg.structures import IGNORE_INDEX
from easyseg.training.distributed import ALONE, World


@dataclass(frozen=True, slots=True)
class Overlap:
    """How prediction and truth overlap in a batch; sums over the pixels that count, each (C,) float.

    Attributes:
        intersection: probability of the class where it is true.
        predicted: probability of the class everywhere.
        true: pixels of the class.
    """

    intersection: Tensor
    predicted: Tensor
    true: Tensor


@dataclass(frozen=True, slots=True)
class Errors:
    """How wrong each pixel is for each class, each (C, pixels).

    Attributes:
        sizes: float; at most 0 where the pixel is right beyond doubt.
        truth: bool, whether the pixel is of the class.
        valid: bool, whether it counts.
    """

    sizes: Tensor
    truth: Tensor
    valid: Tensor


class Pixels(Protocol):
    """What a loss may ask of a batch."""

    @property
    def class_weights(self) -> Tensor | None:
        """Weight of each class, (C,), or None."""
        ...

    def mean_cross_entropy(self) -> Tensor:
        """Return the mean cross-entropy, a scalar."""
        ...

    def mean_focal(self, gamma: float) -> Tensor:
        """Return the mean of (1 - p) ** gamma times the cross-entropy, p the probability of the truth."""
        ...

    def overlap(self) -> Overlap:
        """Return the sums that overlap losses are made of."""
        ...

    def errors(self) -> Errors:
        """Return the errors that the Lovász loss sorts."""
        ...


@dataclass(frozen=True)
class SoftmaxPixels:
    """Exclusive classes.

    Attributes:
        logits: (N, C, P) float32 (or float64), contiguous.
        targets: (N, P) uint8 class ids or `IGNORE_INDEX`.
        class_weights: (C,) like the logits, or None.
        world: the processes that hold the other images of the batch.
    """

    logits: Tensor
    targets: Tensor
    class_weights: Tensor | None
    world: World = ALONE

    def mean_cross_entropy(self) -> Tensor:
        """See `Pixels`; weighted as in torch: by the weight of each pixel's true class."""
        log_likelihood, _, _, true = self._sums
        return quotient(-self._weighted(log_likelihood), self._weighted(true))

    def mean_focal(self, gamma: float) -> Tensor:
        """See `Pixels`; the softmax form."""
        log_likelihood = _at_class(F.log_softmax(self.logits, dim=1), self._class_ids)
        focal = -((1 - log_likelihood.exp()) ** gamma) * log_likelihood * self._valid
        own = torch.stack([sum_by_class(focal, self._class_ids, self.logits.shape[1]), self._true])
        by_class, true = self.world.total(own)
        return quotient(self._weighted(by_class), self._weighted(true))

    def overlap(self) -> Overlap:
        """See `Pixels`."""
        _, intersection, predicted, true = self._sums
        return Overlap(intersection, predicted, true)

    def errors(self) -> Errors:
        """See `Pixels`; an error is the probability that is missing or too much."""
        valid = self._valid.bool().unsqueeze(1)
        truth = torch.zeros_like(self.logits, dtype=torch.bool).scatter_(1, self._class_ids.unsqueeze(1), valid)
        sizes = (truth.to(self.logits.dtype) - F.softmax(self.logits, dim=1)).abs()
        return _joined_rows(sizes, truth, valid.expand_as(truth), self.world)

    @cached_property
    def _valid(self) -> Tensor:
        return (self.targets != IGNORE_INDEX).to(self.logits.dtype)

    @cached_property
    def _class_ids(self) -> Tensor:
        # a pixel that does not count needs some class to look up; its weight of 0 removes it again
        return self.targets.masked_fill(self.targets == IGNORE_INDEX, 0).long()

    @cached_property
    def _true(self) -> Tensor:
        return sum_by_class(self._valid, self._class_ids, self.logits.shape[1])

    @cached_property
    def _sums(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        log_likelihood, intersection, predicted = _SoftmaxSums.apply(self.logits, self._class_ids, self._valid)
        if self.world.size == 1:
            return log_likelihood, intersection, predicted, self._true
        sums = self.world.total(torch.stack([log_likelihood, intersection, predicted, self._true]))  # in one message
        return sums[0], sums[1], sums[2], sums[3]

    def _weighted(self, by_class: Tensor) -> Tensor:
        return by_class.sum() if self.class_weights is None else (by_class * self.class_weights).sum()


@dataclass(frozen=True)
class SigmoidPixels:
    """Independent classes, one or many.

    Attributes:
        logits: (N, C, P) float32 (or float64).
        targets: (N, C, P) uint8: 1, 0 or `IGNORE_INDEX`.
        class_weights: (C,) like the logits, or None; weight of a class's own pixels against 1 for its background.
        world: the processes that hold the other images of the batch.
    """

    logits: Tensor
    targets: Tensor
    class_weights: Tensor | None
    world: World = ALONE

    def mean_cross_entropy(self) -> Tensor:
        """See `Pixels`; the mean goes over pixels and classes alike."""
        return self._mean(self._cross_entropy())

    def mean_focal(self, gamma: float) -> Tensor:
        """See `Pixels`; the sigmoid form."""
        cross_entropy = self._cross_entropy()
        return self._mean((1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy)

    def overlap(self) -> Overlap:
        """See `Pixels`."""
        scores = self.logits.sigmoid() * self._valid
        sums = (scores * self._truth).sum((0, 2)), scores.sum((0, 2)), self._truth.sum((0, 2))
        return Overlap(*self.world.total(torch.stack(sums)))

    def errors(self) -> Errors:
        """See `Pixels`; the hinge form, on logits."""
        sizes = 1 - self.logits * (2 * self._truth - 1)
        return _joined_rows(sizes, self._truth.bool(), self._valid.bool(), self.world)

    @cached_property
    def _valid(self) -> Tensor:
        return (self.targets != IGNORE_INDEX).to(self.logits.dtype)

    @cached_property
    def _truth(self) -> Tensor:
        return (self.targets == 1).to(self.logits.dtype)

    @cached_property
    def _pixel_weights(self) -> Tensor:
        if self.class_weights is None:
            return self._valid
        return self._valid * (1 + self._truth * (self.class_weights.view(-1, 1) - 1))

    def _mean(self, losses: Tensor) -> Tensor:
        own = torch.stack([(losses * self._pixel_weights).sum(), self._pixel_weights.sum()])
        return quotient(*self.world.total(own))

    def _cross_entropy(self) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.logits, self._truth, reduction="none")


class _SoftmaxSums(torch.autograd.Function):
    """Sums over pixels that cross-entropy and overlap losses share, with their gradient written out.

    Autograd gives the same through a dozen full-size temporaries, which takes a CPU half as long again.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, class_ids: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-likelihood, intersection and predicted probability, each (C,).

        Args:
            ctx: keeps what `backward` needs.
            logits: (N, C, P) float, contiguous.
            class_ids: (N, P) int64 in 0..C-1.
            valid: (N, P) float, 1 where the pixel counts and 0 elsewhere.
        """
        num_classes = logits.shape[1]
        scores = F.log_softmax(logits, dim=1)
        log_likelihood = sum_by_class(_at_class(scores, class_ids).mul_(valid), class_ids, num_classes)
        scores.exp_().mul_(valid.unsqueeze(1))
        true_scores = _at_class(scores, class_ids)
        ctx.save_for_backward(scores, true_scores, class_ids, valid)
        return log_likelihood, sum_by_class(true_scores, class_ids, num_classes), scores.sum((0, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_likelihood: Tensor, by_intersection: Tensor, by_predicted: Tensor) -> Any:
        """Chain d p_k / d z_j = p_k (1[k = j] - p_j) and d log p_t / d z_j = 1[t = j] - p_j, t the true class."""
        scores, true_scores, class_ids, valid = ctx.saved_tensors
        at_true = _of_class(by_likelihood, class_ids).mul_(valid)
        at_true.addcmul_(_of_class(by_intersection, class_ids), true_scores)
        gradient = scores * by_predicted.view(-1, 1)
        expected = gradient.sum(1).add_(at_true).unsqueeze(1)
        gradient.addcmul_(scores, expected, value=-1)
        gradient.scatter_add_(1, class_ids.unsqueeze(1), at_true.unsqueeze(1))
        return gradient, None, None


def _at_class(values: Tensor, class_ids: Tensor) -> Tensor:
    """Pick each pixel's own class: values (N, C, P), class_ids (N, P) int64 -> (N, P)."""
    return values.gather(1, class_ids.unsqueeze(1)).squeeze(1)


def _of_class(values: Tensor, class_ids: Tensor) -> Tensor:
    """Look up each pixel's class: values (C,), class_ids (N, P) int64 -> (N, P)."""
    return values.expand(len(class_ids), -1).gather(1, class_ids)


def sum_by_class(values: Tensor, class_ids: Tensor, num_classes: int) -> Tensor:
    """Add up `values` for each class.

    Args:
        values: (N, P) float.
        class_ids: (N, P) int64 in 0..num_classes-1.
        num_classes: length of the result.

    Returns:
        (num_classes,), of the dtype of `values`.
    """
    # image by image first: in parallel, and because one long chain of float32 additions of 1 stands still at 2**24
    return values.new_zeros(len(values), num_classes).scatter_add(1, class_ids, values).sum(0)


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, and 0 (not NaN) with a gradient of 0 where nothing was counted."""
    return numerator / torch.where(denominator > 0, denominator, torch.ones_like(denominator))


def mean_over_present(losses: Tensor, true: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the mean of `losses` over the classes that have true pixels; 0 where none has.

    Args:
        losses: (C,) float.
        true: (C,), true pixels of each class.
        class_weights: (C,) float, or None for equal weights.
    """
    weights = (true > 0).to(losses.dtype)
    if class_weights is not None:
        weights = weights * class_weights
    return quotient((losses * weights).sum(), weights.sum())


def _joined_rows(sizes: Tensor, truth: Tensor, valid: Tensor, world: World) -> Errors:
    """Turn (N, C, P) each into (C, pixels), with those of the other processes beside them."""
    rows = [values.transpose(0, 1).flatten(1) for values in (sizes, truth, valid)]
    if world.size == 1:
        return Errors(*rows)
    marks = world.joined(torch.cat(rows[1:]).to(torch.uint8)).bool()  # no message carries bool on every device
    return Errors(world.joined(rows[0]), *marks.chunk(2))
