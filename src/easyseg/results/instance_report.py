"""What an evaluation of predicted objects found: COCO's figures, and which mistakes cost how much."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyseg.errors import DataError
from easyseg.metrics.instance import Diagnosis, ImageCounts, InstanceFigures, InstanceScorer, InstanceScores, Kind
from easyseg.results import charts, object_charts
from easyseg.results.instance_verdict import verdict
from easyseg.results.words import absent_line, counted, rows_to_show, timing_line
from easyseg.structures import ImageArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS: Mapping[str, str] = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "small",
    "ap_medium": "medium",
    "ap_large": "large",
}


@dataclass(frozen=True, slots=True)
class ImageFindings:
    """How the objects of one image were found.

    Attributes:
        name: the image's name.
        counts: what was found, missed and made up, and AP50 within the image.
    """

    name: str
    counts: ImageCounts

    @property
    def index(self) -> int:
        """The image's number in the split."""
        return self.counts.image_id

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        values = asdict(self.counts) | {"num_missed": self.counts.num_missed}
        values.pop("image_id")
        return {"name": self.name, "index": self.index} | values


@dataclass(frozen=True, slots=True, eq=False)
class InstanceReport:
    """What an evaluation of objects found. `str(report)` is a table; figures are numbers from 0 to 1.

    A figure with nothing to measure, such as AP of a class that no image has, is NaN, shown as "n/a".

    Attributes:
        scores: COCO's figures of the masks, or of the boxes where only boxes are predicted; `report.ap` and the like
            are short for those over all classes.
        box_scores: the figures of the boxes beside masks; None where there are no masks.
        diagnosis: what each kind of mistake costs, measured as `scores`.
        classes: the classes' names.
        split: the part of the dataset that was measured.
        training_scores: the figures of the same model on images it was trained on; None where it was not measured.
        seconds: wall time in all.
        timing: wall time by what it went into.
        loss: mean training loss over the images, None where it was not computed.
        images: how the objects of each image were found, in the dataset's order; empty where it was not asked for.
        details: whether `str` and `to_dict` hold every image, too.
        origin: which of the images these are, where the split was drawn; else empty.
    """

    scores: InstanceScores
    box_scores: InstanceScores | None
    diagnosis: Diagnosis
    classes: tuple[str, ...]
    split: str = "val"
    training_scores: InstanceScores | None = None
    seconds: float = 0.0
    timing: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    images: tuple[ImageFindings, ...] = ()
    details: bool = False
    origin: str = ""

    @classmethod
    def from_scorer(
        cls,
        scorer: InstanceScorer,
        *,
        names: Sequence[str],
        split: str = "val",
        training: InstanceScorer | None = None,
        image_names: Sequence[str] = (),
        seconds: float = 0.0,
        timing: Mapping[str, float] | None = None,
        loss: float | None = None,
    ) -> InstanceReport:
        """Report what a scorer measured.

        Args:
            scorer: has measured all images of the split.
            names: the classes' names.
            split: the part of the dataset that was measured.
            training: has measured the same model on images it was trained on.
            image_names: the images' names, by their numbers in the scorer; none, where single images do not matter.
            seconds: wall time in all.
            timing: wall time by what it went into.
            loss: mean training loss over the images.

        Raises:
            DataError: there are more or fewer names than classes, or fewer names of images than their numbers ask for.
        """
        if len(names) != scorer.num_classes:
            measured = counted(scorer.num_classes, "measured class", "measured classes")
            raise DataError(f"{counted(len(names), 'class name')} for {measured}; give one for each.")
        return cls(
            scores=scorer.scores(),
            box_scores=scorer.scores("box") if "mask" in scorer.kinds else None,
            diagnosis=scorer.diagnosis(),
            classes=tuple(names),
            split=split,
            training_scores=None if training is None else training.scores(scorer.kinds[0]),
            seconds=seconds,
            timing=dict(timing or {}),
            loss=loss,
            images=_findings(scorer, image_names) if image_names else (),
        )

    @property
    def kind(self) -> Kind:
        """What `scores` were measured on: "mask" or "box"."""
        return self.scores.kind

    @property
    def ap(self) -> float:
        """Average precision over IoU thresholds .50 to .95 and the classes, COCO's main figure."""
        return self.scores.overall.ap

    @property
    def ap50(self) -> float:
        """Average precision at IoU .50, over the classes."""
        return self.scores.overall.ap50

    @property
    def ap75(self) -> float:
        """Average precision at IoU .75, over the classes."""
        return self.scores.overall.ap75

    @property
    def box_ap(self) -> float:
        """Average precision of the boxes over IoU thresholds .50 to .95 and the classes."""
        return (self.box_scores or self.scores).overall.ap

    @property
    def verdict(self) -> str:
        """One or two sentences on what holds the model back most."""
        return verdict(self.scores, self.diagnosis, self.training_scores)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures over all classes by name: "mask_ap", "mask_ap50", ..., "box_ap", ...; NaN where there is none."""
        return {**(self.box_scores.to_dict() if self.box_scores else {}), **self.scores.to_dict()}

    @property
    def images_per_second(self) -> float:
        """Images measured per second of wall time, NaN where it was not taken."""
        return self.scores.num_images / self.seconds if self.seconds else math.nan

    @property
    def is_absent(self) -> list[bool]:
        """Of each class, whether the images hold none of its objects."""
        return [not count for count in self.scores.num_truths[:, 0].tolist()]

    def worst(self, count: int = 5) -> list[ImageFindings]:
        """Return the images with the lowest AP50, worst first; those without true objects by what was made up there."""
        return sorted(self.images, key=lambda image: image.counts.badness)[:count]

    def plot(self, path: str | Path | None = None) -> ImageArray:
        """Draw how precise the predictions are at each recall, and what each kind of mistake costs.

        Args:
            path: also write the picture to this file.

        Returns:
            (H, W, 3) uint8.
        """
        return charts.drawn(self.figure(), path)

    def figure(self) -> Figure:
        """Return the same as a matplotlib figure."""
        return object_charts.findings(self.scores, self.diagnosis)

    def timing_line(self) -> str:
        """Return one line on how fast it went and what the time went into; empty where it was not taken."""
        return timing_line(self.scores.num_images, self.seconds, self.timing) if self.seconds else ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; figures that do not exist are None."""
        diagnosis = asdict(self.diagnosis) | {"verdict": self.verdict}
        values = {
            "split": self.split,
            "origin": self.origin,
            "num_images": self.scores.num_images,
            "max_detections": self.scores.max_detections,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "loss": self.loss,
            "metrics": self.metrics,
            "classes": [
                {"name": name, "num_objects": int(self.scores.num_truths[place, 0])}
                | asdict(self.scores.classes[place])
                for place, name in enumerate(self.classes)
            ],
            "diagnosis": diagnosis,
            "training_metrics": self.training_scores.to_dict() if self.training_scores else None,
            "timing": dict(self.timing),
        }
        if self.details:
            values["images"] = [image.to_dict() for image in self.images]
        plain: dict[str, Any] = _plain(values)
        return plain

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        objects = counted(self.diagnosis.num_truths, "object")
        # the origin ends with what else can be measured, so it stands last
        lines = [f"{self.split}: {objects} in {self.origin or counted(self.scores.num_images, 'image')}"]
        lines += [*self._class_lines(), self._recall_line(), "", *self._mistake_lines(), "", self.verdict]
        lines += [self.timing_line(), *(self._image_lines() if self.details else [])]
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        images = counted(self.scores.num_images, "image")
        return f"InstanceReport({self.split}, {images}, {self.kind} AP {_shown(self.ap)})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def _class_lines(self) -> list[str]:
        """Return the table of the classes; boxes beside masks have one column, their AP."""
        width = max(len(name) for name in (*self.classes, "class"))
        titles = [f"{self.kind} AP", *list(_COLUMNS.values())[1:], f"AR{self.scores.max_detections}"]
        boxes = self.box_scores
        titles += ["box AP"] if boxes else []
        head = f"{'class':{width}}" + "".join(f"{title:>9}" for title in [*titles, "objects"])

        def line(name: str, figures: InstanceFigures, box_ap: float | None, count: int) -> str:
            values = [getattr(figures, column) for column in _COLUMNS] + [figures.ar]
            values += [] if box_ap is None else [box_ap]
            return f"{name:{width}}" + "".join(f"{_shown(value):>9}" for value in values) + f"{count:>9}"

        counts = self.scores.num_truths[:, 0].tolist()
        shown = rows_to_show(self.is_absent)
        rows = [
            line(self.classes[at], self.scores.classes[at], boxes.classes[at].ap if boxes else None, counts[at])
            for at in shown
        ]
        rest = [absent_line(self.classes, self.is_absent, self.split)] if len(shown) < len(counts) else []
        mean = line("mean", self.scores.overall, boxes.overall.ap if boxes else None, self.diagnosis.num_truths)
        return [head, *rows, "-" * len(head), mean, *rest]

    def _recall_line(self) -> str:
        overall = self.scores.overall
        words = f"recall with at most 1 or 10 predictions of a class: AR1 {_shown(overall.ar1)}, "
        words += f"AR10 {_shown(overall.ar10)}"
        if self.diagnosis.num_beyond_limit:
            words += (
                f"\n{counted(self.diagnosis.num_beyond_limit, 'object')} cannot be found: images hold more than "
                f"max_detections={self.scores.max_detections} of a class"
            )
        return words

    def _mistake_lines(self) -> list[str]:
        """Return the table of the mistakes, and the comparison with the training images."""
        lines = [f"{'mistake':16}{'count':>9}{'AP50 lost':>11}"]
        lines += [f"{row.name:16}{row.count:>9}{_shown(row.gain):>11}" for row in self.diagnosis.mistakes]
        found, predictions = self.diagnosis.num_found, counted(self.diagnosis.num_predictions, "prediction")
        lines.append(f"{found} of {self.diagnosis.num_truths} found at IoU .50, by {predictions}")
        if self.training_scores:
            there = self.training_scores.overall
            lines.append(f"on training images: {self.kind} AP {_shown(there.ap)}, AP50 {_shown(there.ap50)}")
        return lines

    def _image_lines(self) -> list[str]:
        title = "image, worst first"
        width = max([len(image.name) for image in self.images] + [len(title)])
        rows = [
            f"{image.name:{width}}{_shown(image.counts.ap50):>9}{image.counts.num_truths:>9}"
            f"{image.counts.num_missed:>11}{image.counts.num_wrong:>9}"
            for image in self.worst(len(self.images))
        ]
        return ["", f"{title:{width}}{'AP50':>9}{'objects':>9}{'not found':>11}{'wrong':>9}", *rows]


def _findings(scorer: InstanceScorer, names: Sequence[str]) -> tuple[ImageFindings, ...]:
    counts = scorer.images()
    highest = max((one.image_id for one in counts), default=-1)
    if highest >= len(names):
        raise DataError(
            f"Image {highest} was measured, but {counted(len(names), 'name')} of images given; give one for each."
        )
    return tuple(ImageFindings(names[one.image_id], one) for one in counts)


def _shown(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.4f}"


def _plain(value: Any) -> Any:
    """Return the same with None for each NaN, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
