"""What `evaluate` returns: the figures of a dataset, of its classes and of its images."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from easyseg.metrics import CLASS_METRICS, SemanticScores, scores
from easyseg.results import charts
from easyseg.results.words import absent_line, counted, rows_to_show, timing_line
from easyseg.structures import ClassMap, ImageArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Counts: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ImageScores:
    """The figures of one image.

    Attributes:
        name: the image's name.
        index: its number in the split.
        scores: all its figures, those of the classes included.
    """

    name: str
    index: int
    scores: SemanticScores

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes in this image, NaN where it has none."""
        return self.scores.mean_iou

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the classes in this image, NaN where it has none."""
        return self.scores.mean_dice

    @property
    def pixel_accuracy(self) -> float:
        """Share of this image's pixels that are right."""
        return self.scores.pixel_accuracy


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The figures of one class, NaN where it is not in the dataset.

    Attributes:
        name: the class.
        iou: intersection over union.
        dice: Dice, which is the F1 score.
        precision: share of the pixels claimed that are right.
        recall: share of the class's pixels that were found.
        accuracy: share of all pixels that are right, the class against the rest.
        share: the class's pixels / all pixels that count.
    """

    name: str
    iou: float
    dice: float
    precision: float
    recall: float
    accuracy: float
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What an evaluation found. `str(report)` is a table; figures are numbers from 0 to 1.

    Attributes:
        scores: the figures over all pixels of the dataset; `report.mean_iou` and the like are short for them.
        confusion: int64 counts, multiclass (C, C) [truth, prediction], else (C, 2, 2) [class, truth, prediction].
        images: each image's own figures, in the dataset's order.
        class_map: the classes.
        split: the part of the dataset that was measured.
        loss: mean training loss over the images, None where it was not computed.
        seconds: wall time in all.
        timing: wall time by what it went into, such as {"reading": 1.2, "network": 7.9, "scoring": 0.8}.
        details: whether `str` and `to_dict` hold every image, too.
        origin: which of the images these are, where the split was drawn; else empty.
    """

    scores: SemanticScores
    confusion: Counts
    images: tuple[ImageScores, ...]
    class_map: ClassMap
    split: str = "val"
    loss: float | None = None
    seconds: float = 0.0
    timing: Mapping[str, float] = field(default_factory=dict)
    details: bool = False
    origin: str = ""

    @classmethod
    def from_counts(
        cls,
        counts: Tensor | Counts,
        image_counts: Tensor | Counts,
        *,
        names: Sequence[str],
        class_map: ClassMap,
        split: str = "val",
        loss: float | None = None,
        seconds: float = 0.0,
        timing: Mapping[str, float] | None = None,
    ) -> Report:
        """Score confusion counts.

        Args:
            counts: of the whole dataset, as in `confusion`.
            image_counts: of each image, with one more axis in front.
            names: the images' names, in the same order.
            class_map: the classes.
            split: the part of the dataset that was measured.
            loss: mean training loss over the images.
            seconds: wall time in all.
            timing: wall time by what it went into.
        """
        task = class_map.task
        confusion, of_images = _as_array(counts), _as_array(image_counts)
        images = tuple(
            ImageScores(name, index, scores(one, task=task))
            for index, (name, one) in enumerate(zip(names, of_images, strict=True))
        )
        found = scores(confusion, task=task)
        return cls(found, confusion, images, class_map, split, loss, seconds, dict(timing or {}))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.class_map.names

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes in the dataset."""
        return self.scores.mean_iou

    @property
    def mean_dice(self) -> float:
        """Mean Dice (F1) over the classes in the dataset."""
        return self.scores.mean_dice

    @property
    def mean_precision(self) -> float:
        """Mean precision over the classes in the dataset."""
        return self.scores.mean_precision

    @property
    def mean_recall(self) -> float:
        """Mean recall over the classes in the dataset."""
        return self.scores.mean_recall

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy, each class against the rest, over the classes in the dataset."""
        return self.scores.mean_accuracy

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels that are right."""
        return self.scores.pixel_accuracy

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean IoU weighted by how many pixels each class has."""
        return self.scores.frequency_weighted_iou

    @property
    def images_per_second(self) -> float:
        """Images measured per second of wall time, NaN where it was not taken."""
        return len(self.images) / self.seconds if self.seconds else math.nan

    @property
    def per_class(self) -> tuple[ClassScores, ...]:
        """The figures of each class, in the order of the classes."""
        columns = [getattr(self.scores, metric).tolist() for metric in CLASS_METRICS]
        # for the other tasks every pixel counts once per class
        totals = self.confusion.sum() if self.class_map.task == "multiclass" else self.confusion.sum(axis=(1, 2))
        shares = self.scores.support / np.maximum(totals, 1)
        rows = zip(self.classes, *columns, shares.tolist(), strict=True)
        return tuple(ClassScores(*row) for row in rows)

    def worst(self, count: int = 5) -> list[ImageScores]:
        """Return the images with the lowest mean IoU, worst first.

        Images without any class in the truth have no mean IoU and are ordered by their pixel accuracy among the
        others, so that one which is painted over falsely stands at the front. Of equals, the first in the dataset
        comes first; images in which no pixel counts come last.
        """
        return sorted(self.images, key=_badness)[:count]

    def classes_to_draw(self) -> list[int]:
        """Return the places of the classes that a picture shows: all, or those that occur where many do not.

        A class occurs where it is in the truth or was predicted, as the latter is a mistake to be seen.
        """
        if self.class_map.task == "multiclass":
            pixels = self.confusion.sum(axis=1) + self.confusion.sum(axis=0)
        else:
            pixels = self.confusion[:, 1].sum(axis=1) + self.confusion[:, 0, 1]
        return rows_to_show((pixels == 0).tolist()) or list(range(len(pixels)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; figures that do not exist are None."""
        values: dict[str, Any] = {
            "split": self.split,
            "origin": self.origin,
            "num_images": len(self.images),
            "seconds": self.seconds,
            "images_per_second": _plain(self.images_per_second),
            "loss": self.loss,
            "metrics": {name: _plain(value) for name, value in self.scores.to_dict().items()},
            "classes": [
                {name: _plain(getattr(row, name)) for name in ("name", *CLASS_METRICS, "share")}
                for row in self.per_class
            ],
            "confusion": self.confusion.tolist(),
            "timing": dict(self.timing),
        }
        if self.details:
            values["images"] = [
                {"name": image.name} | {k: _plain(v) for k, v in image.scores.to_dict(self.classes).items()}
                for image in self.images
            ]
        return values

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def plot_confusion(self, path: str | Path | None = None) -> ImageArray:
        """Draw the confusion matrix of `classes_to_draw`, each row in percent of the class's pixels in truth.

        Args:
            path: also write the picture to this file.

        Returns:
            (H, W, 3) uint8.
        """
        return charts.drawn(self.confusion_figure(), path)

    def confusion_figure(self) -> Figure:
        """Return the confusion matrix as a matplotlib figure."""
        places = self.classes_to_draw()
        rows = columns = tuple(self.classes[place] for place in places)
        if self.class_map.task == "multilabel":
            counts, columns = self.confusion[places, 1, ::-1], ("found", "missed")
        elif self.class_map.task == "binary":
            rows = columns = ("not " + self.classes[0], self.classes[0])
            counts = self.confusion[0]
        else:
            counts = self.confusion[np.ix_(places, places)]
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)
        return charts.matrix(shares, rows, columns, title="Pixels by class, %")

    def timing_line(self) -> str:
        """Return one line on how fast it went and what the time went into; empty where it was not taken."""
        return timing_line(len(self.images), self.seconds, self.timing) if self.seconds else ""

    def __str__(self) -> str:
        width = max(len(name) for name in (*self.classes, "class"))
        lines = [f"{'class':{width}}" + "".join(f"{title:>11}" for title in (*CLASS_METRICS, "share"))]
        rows, is_absent = self.per_class, [math.isnan(row.iou) for row in self.per_class]
        shown = rows_to_show(is_absent)
        for row in (rows[place] for place in shown):
            figures = "".join(f"{_shown(getattr(row, metric)):>11}" for metric in CLASS_METRICS)
            lines.append(f"{row.name:{width}}{figures}{row.share:>11.1%}")
        means = "".join(f"{_shown(getattr(self.scores, f'mean_{metric}')):>11}" for metric in CLASS_METRICS)
        accuracy, weighted = _shown(self.pixel_accuracy), _shown(self.frequency_weighted_iou)
        lines += [
            "-" * len(lines[0]),
            f"{'mean':{width}}{means}",
            f"pixel accuracy {accuracy}, frequency-weighted IoU {weighted}",
        ]
        lines += [absent_line(self.classes, is_absent, self.split)] if len(shown) < len(rows) else []
        first = f"{self.split}: {self.origin or counted(len(self.images), 'image')}"
        lines = [first, *lines, self.timing_line()]
        return "\n".join(lines + (self._image_lines() if self.details else [])).rstrip()

    def _image_lines(self) -> list[str]:
        width = max([len(image.name) for image in self.images] + [len("image, worst first")])
        rows = [
            f"{image.name:{width}}{_shown(image.mean_iou):>11}{_shown(image.mean_dice):>11}"
            f"{_shown(image.pixel_accuracy):>16}"
            for image in self.worst(len(self.images))
        ]
        head = f"{'image, worst first':{width}}{'mean IoU':>11}{'mean Dice':>11}{'pixel accuracy':>16}"
        return ["", head, *rows]

    def __repr__(self) -> str:
        return f"Report({self.split}, {counted(len(self.images), 'image')}, mean IoU {_shown(self.mean_iou)})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table."""
        return f"<pre>{html.escape(str(self))}</pre>"


def _as_array(counts: Tensor | Counts) -> Counts:
    return np.asarray(counts.cpu().numpy() if isinstance(counts, Tensor) else counts, np.int64)


def _badness(image: ImageScores) -> tuple[bool, float, float]:
    """Return what images are sorted by, worst first; NaN, which has no order, is in none of it."""
    if math.isnan(image.pixel_accuracy):
        return True, 0.0, 0.0
    stand_in = image.pixel_accuracy if math.isnan(image.mean_iou) else image.mean_iou
    return False, stand_in, image.pixel_accuracy


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
