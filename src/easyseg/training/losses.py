"""Losses of semantic segmentation, by name: "ce", "dice", "ce+dice", "0.5*ce+1.5*lovasz".

All of them keep the same promises:

- They are computed in float32, whatever precision the logits come in.
- Pixels of `IGNORE_INDEX` have no part in any sum or mean. A batch of nothing else costs exactly 0, and its gradients
  are 0.
- Pixel losses (ce, bce, focal) are one mean over all valid pixels of the batch.
- Overlap losses (dice, jaccard, tversky, lovasz) are computed over the batch as a whole and averaged over the classes
  that its truth holds. A class the truth lacks has no overlap to improve and is left out; false alarms for it are
  punished by the pixel losses. So an overlap loss alone learns nothing from a binary batch without foreground, which
  is why the defaults add one of each kind.
- Class weights weigh the pixels whose truth is that class (pixel losses; for binary and multilabel tasks a class's own
  pixels, against weight 1 for its background), or the class in the mean over classes (overlap losses).

Every mean is a quotient of two sums. Where several processes hold the images of one batch, they add up numerators and
denominators, and each of them gets the loss of the whole batch, with the gradient of its own images; the gradients of
all processes add up to that of the batch. Lovász, which sorts pixels, joins their errors instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from easyseg.errors import ConfigError, TrainingError, unknown_name
from easyseg.structures import Task
from easyseg.training.distributed import ALONE, World
from easyseg.training.pixels import Pixels, SigmoidPixels, SoftmaxPixels, mean_over_present, quotient

FOCAL_GAMMA = 2.0
"""Exponent of the focal loss; 0 would be cross-entropy. Lin et al., 2017, found 2 best."""

TVERSKY_FALSE_POSITIVES = 0.3
TVERSKY_FALSE_NEGATIVES = 0.7
"""A missed pixel costs more than a false alarm, as in Salehi et al., 2017."""


CriterionT = TypeVar("CriterionT")


class Criterion(Protocol):
    """What `build_loss` returns: a function from logits and targets to named, weighted parts of the loss."""

    def __call__(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the parts of the loss, scalars whose sum is to be minimised.

        Args:
            logits: (N, C, H, W) float of any precision; C = 1 for the binary task.
            targets: uint8; (N, H, W) class ids, or (N, C, H, W) zeros and ones for the multilabel task.
                `IGNORE_INDEX` marks pixels that do not count.
        """
        ...


def list_losses() -> list[str]:
    """Return the names `build_loss` knows; any of them may be added up, such as "ce+dice"."""
    return sorted(_LOSSES)


def build_loss(
    loss: str | Callable[..., Any],
    *,
    task: Task,
    num_classes: int,
    class_weights: Sequence[float] | None = None,
    world: World = ALONE,
) -> Criterion:
    """Build a loss from its name.

    Args:
        loss: a name from `list_losses()`, a sum of several such as "ce+dice" or "0.5*ce+1.5*lovasz", "auto" (ce+dice,
            or bce+dice where classes are not exclusive), or a function (logits, targets) -> scalar tensor. Such a
            function gets float32 logits (N, C, H, W), and targets that are (N, H, W) int64 for the multiclass task and
            else (N, C, H, W) float32; pixels that do not count are 255 in them.
        task: "binary", "multiclass" or "multilabel".
        num_classes: channels of the logits.
        class_weights: one positive weight per class.
        world: the processes among which the images of a batch are parted. A function of the user's own, of whose sums
            nobody knows, is then averaged over the processes, weighted by their numbers of images.

    Raises:
        UnknownNameError: a name is no loss.
        ConfigError: the loss does not suit the task, or the weights do not suit the classes.
    """
    if callable(loss):
        if class_weights is not None:
            raise ConfigError("class_weights go with a loss by name; put them into your own loss function instead.")
        return _CustomCriterion(loss, task, world)
    terms = _read_terms("ce+dice" if loss == "auto" and task == "multiclass" else loss, task)
    return _NamedCriterion(terms, task, _checked_weights(class_weights, num_classes), world)


def of_one_process(criterion: CriterionT) -> CriterionT:
    """Return the same criterion for images that no other process has, as an evaluation measures them."""
    if isinstance(criterion, (_NamedCriterion, _CustomCriterion)) and criterion.world.size > 1:
        return replace(criterion, world=ALONE)
    return criterion


def _cross_entropy(pixels: Pixels) -> Tensor:
    return pixels.mean_cross_entropy()


def _focal(pixels: Pixels) -> Tensor:
    return pixels.mean_focal(FOCAL_GAMMA)


def _dice(pixels: Pixels) -> Tensor:
    return _overlap_loss(pixels, 0.5, 0.5)


def _jaccard(pixels: Pixels) -> Tensor:
    return _overlap_loss(pixels, 1.0, 1.0)


def _tversky(pixels: Pixels) -> Tensor:
    return _overlap_loss(pixels, TVERSKY_FALSE_POSITIVES, TVERSKY_FALSE_NEGATIVES)


def _overlap_loss(pixels: Pixels, false_positives: float, false_negatives: float) -> Tensor:
    """Return 1 - the Tversky index; weights of 0.5 and 0.5 make it Dice, 1 and 1 Jaccard."""
    overlap = pixels.overlap()
    denominator = (
        overlap.intersection
        + false_positives * (overlap.predicted - overlap.intersection)
        + false_negatives * (overlap.true - overlap.intersection)
    )
    return mean_over_present(1 - quotient(overlap.intersection, denominator), overlap.true, pixels.class_weights)


def _lovasz(pixels: Pixels) -> Tensor:
    """Weigh each error by what the Jaccard index loses when it joins the larger ones (Berman et al., 2018)."""
    errors = pixels.errors()
    # pixels that do not count sort behind all others, where the cut at 0 removes them
    sizes, order = errors.sizes.masked_fill(~errors.valid, -math.inf).sort(dim=1, descending=True)
    truth = errors.truth.gather(1, order)
    true_so_far = truth.cumsum(1)
    true = true_so_far[:, -1:]
    intersection = true - true_so_far
    union = (intersection + torch.arange(1, order.shape[1] + 1, device=order.device)).to(sizes.dtype)
    # what 1 - intersection / union gains at each place, written out: as a difference it would drown in rounding
    steps = torch.where(truth, 1 / union, intersection / (union * (union - 1).clamp(min=1)))
    return mean_over_present((sizes.relu() * steps).sum(1), true[:, 0], pixels.class_weights)


_LOSSES: Mapping[str, Callable[[Pixels], Tensor]] = {
    "bce": _cross_entropy,
    "ce": _cross_entropy,
    "dice": _dice,
    "focal": _focal,
    "jaccard": _jaccard,
    "lovasz": _lovasz,
    "tversky": _tversky,
}

_Terms: TypeAlias = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class _NamedCriterion:
    """A weighted sum of losses by name."""

    terms: _Terms
    task: Task
    class_weights: tuple[float, ...] | None
    world: World = ALONE
    _placed: dict[tuple[torch.device, torch.dtype], Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Criterion`."""
        with torch.autocast(logits.device.type, enabled=False):
            pixels = self._prepare(logits, targets)
            return {name: weight * _LOSSES[name](pixels) for name, weight in self.terms}

    def _prepare(self, logits: Tensor, targets: Tensor) -> Pixels:
        targets = _checked_targets(logits, targets, self.task)
        precise = _in_float32(logits)
        weights = self._weights_beside(precise)
        if self.task == "multiclass":
            return SoftmaxPixels(precise.flatten(2), targets.flatten(1), weights, self.world)
        return SigmoidPixels(precise.flatten(2), targets.flatten(2), weights, self.world)

    def _weights_beside(self, logits: Tensor) -> Tensor | None:
        """Return the class weights where the logits are; brought there once, as each copy would stop a GPU."""
        if self.class_weights is None:
            return None
        key = (logits.device, logits.dtype)
        if key not in self._placed:
            with torch.inference_mode(False):  # an evaluation may come first, and training needs them, too
                self._placed[key] = torch.tensor(self.class_weights, dtype=logits.dtype, device=logits.device)
        return self._placed[key]


@dataclass(frozen=True)
class _CustomCriterion:
    """The user's own function (logits, targets) -> scalar."""

    function: Callable[..., Any]
    task: Task
    world: World = ALONE
    name: str = field(init=False)

    def __post_init__(self) -> None:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        object.__setattr__(self, "name", "loss" if name == "<lambda>" else name)

    def __call__(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Criterion`."""
        targets = _checked_targets(logits, targets, self.task)
        with torch.autocast(logits.device.type, enabled=False):
            if self.world.size > 1:
                return {self.name: self._of_all(logits, targets)}
            return {self.name: self._own(logits, targets)}

    def _of_all(self, logits: Tensor, targets: Tensor) -> Tensor:
        own = _in_float32(logits).sum()  # 0 where there are no images, of which the function would not know what to say
        if len(targets):
            own = self._own(logits, targets) * len(targets)
        count = self.world.added(torch.tensor(len(targets)))
        return self.world.total(own) / int(count)

    def _own(self, logits: Tensor, targets: Tensor) -> Tensor:
        value = self.function(_in_float32(logits), targets.long() if self.task == "multiclass" else targets.float())
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise TrainingError(
                f"The loss function {self.name} returned {found}; return one number as a tensor, such as values.mean()."
            )
        return value.reshape(())


def _in_float32(logits: Tensor) -> Tensor:
    # contiguous, because a softmax over channels-last memory takes ten times as long; float64 stays, for tests
    dtype = logits.dtype if logits.dtype == torch.float64 else torch.float32
    return logits.to(dtype, memory_format=torch.contiguous_format).contiguous()


def _checked_targets(logits: Tensor, targets: Tensor, task: Task) -> Tensor:
    images, channels, height, width = logits.shape
    expected = (images, height, width) if task != "multilabel" else (images, channels, height, width)
    if tuple(targets.shape) != expected:
        raise TrainingError(
            f"The targets have shape {tuple(targets.shape)}, but logits of shape {tuple(logits.shape)} "
            f"need {expected} for the {task} task. Masks and network must have the same size."
        )
    return targets.unsqueeze(1) if task == "binary" else targets


def _read_terms(loss: str, task: Task) -> _Terms:
    terms: dict[str, float] = {}
    for part in ("bce+dice" if loss == "auto" else loss).lower().split("+"):
        weight_text, _, name = part.rpartition("*")
        name = name.strip()
        if name not in _LOSSES:
            raise unknown_name("loss", name, _LOSSES)
        if name in terms:
            raise ConfigError(f"loss={loss!r} names {name!r} twice; give it one weight, such as '2*{name}'.")
        terms[name] = _read_weight(weight_text.strip(), loss)
        wrong = {"ce": task != "multiclass", "bce": task == "multiclass"}.get(name, False)
        if wrong:
            other = "bce" if name == "ce" else "ce"
            raise ConfigError(f"loss={loss!r}: {name!r} does not suit the {task} task; type {other!r} instead.")
    return tuple(terms.items())


def _read_weight(text: str, loss: str) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ConfigError(f"loss={loss!r}: the weight {text!r} is no positive number; write it as in '0.5*ce+dice'.")
    return weight


def _checked_weights(class_weights: Sequence[float] | None, num_classes: int) -> tuple[float, ...] | None:
    if class_weights is None:
        return None
    weights = tuple(float(weight) for weight in class_weights)
    if len(weights) != num_classes:
        raise ConfigError(f"class_weights has {len(weights)} numbers; give {num_classes}, one per class.")
    if not all(0 < weight < math.inf for weight in weights):
        raise ConfigError(f"class_weights={list(weights)}: every weight must be a positive number.")
    return weights
