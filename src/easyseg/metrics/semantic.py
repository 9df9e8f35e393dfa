"""The one implementation of the semantic metrics, for training curves, `evaluate` and reports alike.

Counting (`ConfusionMatrix`, exact integers, on the device) is kept apart from scoring (`scores`, float64, on the CPU):
counts of batches, images and processes add up without error, and every figure follows from the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easyseg.errors import ConfigError, DataError, unknown_name
from easyseg.structures import IGNORE_INDEX, Task

Direction: TypeAlias = Literal["max", "min"]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

METRICS: Mapping[str, Direction] = {
    "mean_iou": "max",
    "mean_dice": "max",
    "mean_precision": "max",
    "mean_recall": "max",
    "mean_accuracy": "max",
    "pixel_accuracy": "max",
    "frequency_weighted_iou": "max",
    "loss": "min",
    "val_loss": "min",
}
"""Every figure of a whole dataset that can be monitored, and whether more or less of it is better."""

CLASS_METRICS: tuple[str, ...] = ("iou", "dice", "precision", "recall", "accuracy")
"""The figures of a single class; monitored as "iou/road"."""

_TARGET_VALUES = 256
_LANES = 64


class ConfusionMatrix:
    """Counts how often each class was taken for each other one. Exact, and without waiting for a GPU.

    Args:
        num_classes: the user's classes; 1 for the binary task.
        task: "multiclass" counts into (C, C) [target, prediction]; "binary" and "multilabel" into (C, 2, 2)
            [class, target, prediction], where 1 is the class and 0 is not.
        device: where the counts live; None: the CPU.

    Attributes:
        counts: the int64 sums of all updates so far, in the shape above.
    """

    def __init__(
        self, num_classes: int, *, task: Task = "multiclass", device: torch.device | str | None = None
    ) -> None:
        if task == "binary" and num_classes != 1:
            raise ConfigError(f"The binary task has one class, not {num_classes}; type task='multiclass'.")
        self.num_classes = num_classes
        self.task = task
        shape = (num_classes, num_classes) if task == "multiclass" else (num_classes, 2, 2)
        self.counts = torch.zeros(shape, dtype=torch.int64, device=device or "cpu")

    def update(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Count one image or batch, and return its own counts, too.

        Pixels whose target is `IGNORE_INDEX` do not count.

        Args:
            prediction: (..., H, W) class ids 0..C-1, uint8 or int64; binary: 0 and 1; multilabel: (..., C, H, W) of
                0 and 1.
            target: of the same shape, with the same ids or `IGNORE_INDEX`.

        Returns:
            int64 counts of this update alone, shaped like `counts`, on the same device.

        Raises:
            DataError: the shapes differ, or (looked for on the CPU only, where it costs nothing) an id is out of
                range. On other devices the caller guarantees the ids: a check would stop the device.
        """
        if prediction.shape != target.shape:
            raise DataError(
                f"Prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape; "
                "bring the prediction back to the image's original size first."
            )
        ids = self.num_classes if self.task == "multiclass" else 2
        if self.task != "multilabel":
            counted = _count(prediction, target, ids).view(self.counts.shape)
        else:
            if prediction.ndim < 3 or prediction.shape[-3] != self.num_classes:
                raise DataError(
                    f"A multilabel mask of {self.num_classes} classes has shape (..., {self.num_classes}, H, W), "
                    f"not {tuple(prediction.shape)}."
                )
            planes = zip(prediction.unbind(-3), target.unbind(-3), strict=True)
            counted = torch.stack([_count(*plane, ids) for plane in planes])
        counted = counted.to(self.counts.device)
        self.counts += counted
        return counted

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix of the same classes, such as another process's."""
        if self.counts.shape != other.counts.shape:
            raise DataError(
                f"Counts of shape {tuple(other.counts.shape)} cannot be added to {tuple(self.counts.shape)}; "
                "both must have the same classes and task."
            )
        self.counts += other.counts.to(self.counts.device)

    def reset(self) -> None:
        """Forget everything counted so far."""
        self.counts = torch.zeros_like(self.counts)

    def scores(self) -> SemanticScores:
        """Return the scores of everything counted so far; waits for the device."""
        return scores(self.counts, task=self.task)


@dataclass(frozen=True, slots=True, eq=False)
class SemanticScores:
    """What a confusion matrix says, as numbers from 0 to 1.

    A class that has no pixel in the target has no scores: all its figures are NaN and every mean leaves it out, so it
    is neither punished nor rewarded. Where it was predicted all the same, the classes that stand there in truth pay
    with their recall and IoU. Precision is NaN, too, for a class that was never predicted; its IoU, Dice and recall
    are 0. Where nothing counts at all (every pixel ignored), everything is NaN.

    With TP, FP, FN, TN the pixels of a class rightly found, wrongly claimed, missed and rightly left alone:

    Attributes:
        iou: (C,) float64, TP / (TP + FP + FN), the Jaccard index.
        dice: (C,) float64, 2 TP / (2 TP + FP + FN), which is the F1 score.
        precision: (C,) float64, TP / (TP + FP).
        recall: (C,) float64, TP / (TP + FN).
        accuracy: (C,) float64, (TP + TN) / all, the class against the rest.
        support: (C,) int64, pixels of the class in the target, TP + FN.
        mean_iou: mean of `iou` over the classes in the target; binary: the IoU of the one class.
        mean_dice: likewise.
        mean_precision: likewise.
        mean_recall: likewise; some call it mean accuracy.
        mean_accuracy: likewise.
        pixel_accuracy: pixels (multilabel: pixels of all classes' masks) that are right / all that count.
        frequency_weighted_iou: mean of `iou` weighted by `support`.
    """

    iou: FloatArray
    dice: FloatArray
    precision: FloatArray
    recall: FloatArray
    accuracy: FloatArray
    support: IntArray
    mean_iou: float
    mean_dice: float
    mean_precision: float
    mean_recall: float
    mean_accuracy: float
    pixel_accuracy: float
    frequency_weighted_iou: float

    def to_dict(self, names: Sequence[str] = ()) -> dict[str, float]:
        """Return the figures by name: "mean_iou", ..., and with class names "iou/road", "dice/road", ... too."""
        flat: dict[str, float] = {name: getattr(self, name) for name in METRICS if "loss" not in name}
        for metric in CLASS_METRICS if names else ():
            values = getattr(self, metric).tolist()
            flat |= {f"{metric}/{name}": value for name, value in zip(names, values, strict=True)}
        return flat


def scores(counts: Tensor | npt.NDArray[np.integer], *, task: Task) -> SemanticScores:
    """Compute all scores from counts.

    Args:
        counts: integers from `ConfusionMatrix`: multiclass (C, C) [target, prediction], else (C, 2, 2).
        task: the task they were counted for.
    """
    array: IntArray = np.asarray(counts.cpu().numpy() if isinstance(counts, Tensor) else counts, np.int64)
    if task == "multiclass":
        true_positive = array.diagonal()
        support, predicted = array.sum(axis=1), array.sum(axis=0)
        total = np.full(len(array), array.sum())
        right, counted = true_positive.sum(), array.sum()
    else:
        true_positive = array[:, 1, 1]
        support, predicted = array[:, 1].sum(axis=1), array[:, :, 1].sum(axis=1)
        total = array.sum(axis=(1, 2))
        right, counted = (true_positive + array[:, 0, 0]).sum(), array.sum()
    present = support > 0
    union = support + predicted - true_positive
    iou = _ratio(true_positive, union, present)
    dice = _ratio(2 * true_positive, support + predicted, present)
    precision = _ratio(true_positive, predicted, present)
    recall = _ratio(true_positive, support, present)
    accuracy = _ratio(total - union + true_positive, total, present)
    weighted = np.where(present, support * np.nan_to_num(iou), 0.0).sum()
    return SemanticScores(
        iou=iou,
        dice=dice,
        precision=precision,
        recall=recall,
        accuracy=accuracy,
        support=support,
        mean_iou=_mean(iou),
        mean_dice=_mean(dice),
        mean_precision=_mean(precision),
        mean_recall=_mean(recall),
        mean_accuracy=_mean(accuracy),
        pixel_accuracy=float(right / counted) if counted else float("nan"),
        frequency_weighted_iou=float(weighted / support.sum()) if present.any() else float("nan"),
    )


def direction_of(name: str, class_names: Iterable[str] = ()) -> Direction:
    """Return whether more ("max") or less ("min") of a figure is better.

    Args:
        name: a name in `METRICS`, or that of one class's figure, such as "iou/road".
        class_names: the classes whose figures may be named.

    Raises:
        UnknownNameError: there is no such figure; the message offers the nearest one.
    """
    of_classes = {f"{metric}/{class_name}" for class_name in class_names for metric in CLASS_METRICS}
    if name in of_classes:
        return "max"
    if name not in METRICS:
        raise unknown_name("metric", name, [*METRICS, *of_classes])
    return METRICS[name]


def _count(prediction: Tensor, target: Tensor, ids: int) -> Tensor:
    """Return the (ids, ids) int64 counts [target, prediction] of the pixels that are not ignored."""
    if prediction.device.type == target.device.type == "cpu":
        return torch.from_numpy(_count_arrays(prediction.numpy(), target.numpy(), ids))
    return _count_on_device(prediction.to(target.device), target, ids)


def _count_arrays(prediction: npt.NDArray[np.integer], target: npt.NDArray[np.integer], ids: int) -> IntArray:
    """Count on the CPU.

    Ignored pixels need no filter: with all 256 values a target can have as rows, they fill the last row, which is cut
    off.
    """
    _check_range("prediction", prediction, ids - 1, f"0 to {ids - 1}")
    _check_range("target", target, IGNORE_INDEX, f"0 to {ids - 1}, or {IGNORE_INDEX}")
    # 16 bits hold the largest code, 255 * 255 + 254, and halve the memory that passes through the caches
    code = target.astype(np.uint16)
    code *= ids
    code += prediction.astype(np.uint16, copy=False)
    rows = np.bincount(code.ravel(), minlength=_TARGET_VALUES * ids).reshape(-1, ids)
    if rows[ids:IGNORE_INDEX].any():
        strange = (ids + np.flatnonzero(rows[ids:IGNORE_INDEX].any(axis=1))).tolist()
        raise DataError(f"The target holds ids of no class, {strange}; expected 0 to {ids - 1}, or {IGNORE_INDEX}.")
    counts: IntArray = rows[:ids].astype(np.int64)
    return counts


def _check_range(what: str, values: npt.NDArray[np.integer], largest: int, expected: str) -> None:
    if not values.size:
        return
    for found in (int(values.min()), int(values.max())):
        if not 0 <= found <= largest:
            raise DataError(f"The {what} holds the class id {found}; expected {expected}.")


def _count_on_device(prediction: Tensor, target: Tensor, ids: int) -> Tensor:
    """Count on an accelerator without stopping it.

    torch.bincount asks the device for the largest value to size its result, and waits; adding into bins of known
    number does not. Each pixel adds in one of `_LANES` copies of the bins, as neighbouring pixels mostly hit the same.
    """
    target = target.reshape(-1).long()
    code = torch.where(target == IGNORE_INDEX, ids * ids, target * ids + prediction.reshape(-1).long())
    bins = ids * ids + 1
    lane = torch.arange(code.numel(), device=code.device) % _LANES
    flat = torch.zeros(_LANES * bins, dtype=torch.int64, device=code.device)
    flat.scatter_add_(0, lane * bins + code, torch.ones_like(code))
    return flat.view(_LANES, bins).sum(dim=0)[:-1].view(ids, ids)


def _ratio(part: IntArray, whole: IntArray, present: npt.NDArray[np.bool_]) -> FloatArray:
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=present & (whole > 0))
    return result


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
