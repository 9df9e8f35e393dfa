"""Measures predicted objects image by image. Masks are forgotten at once; a few numbers per object stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.errors import ConfigError, DataError
from easyseg.metrics.instance.diagnosis import Diagnosis, diagnose
from easyseg.metrics.instance.image_counts import ImageCounts, count_by_image
from easyseg.metrics.instance.matching import ranked
from easyseg.metrics.instance.measuring import measure_image
from easyseg.metrics.instance.precision import InstanceScores, Kind, score_table
from easyseg.metrics.instance.records import PredictedObjects, TruthObjects
from easyseg.metrics.instance.tables import MatchTable

MAX_DETECTIONS = 100
"""How many predictions of a class COCO counts in an image."""


class InstanceScorer:
    """Collects what COCO's figures and the diagnosis need, image by image, in any order, from any threads.

    Args:
        num_classes: the user's classes, without a background.
        masks: measure masks and boxes; False: boxes only.
        max_detections: how many predictions of a class count in an image, those with the highest scores. COCO's is
            100; where images hold more objects than that, more are needed to find them all.

    Attributes:
        num_classes: as above.
        kinds: what is measured, the most telling first.
        max_detections: as above.
    """

    def __init__(self, num_classes: int, *, masks: bool = True, max_detections: int = MAX_DETECTIONS) -> None:
        if num_classes < 1:
            raise ConfigError(f"num_classes={num_classes}; there is at least one class to measure.")
        if max_detections < 10:
            raise ConfigError(f"max_detections={max_detections}; recall is measured with 1, 10 and more; type 100.")
        self.num_classes = num_classes
        self.kinds: tuple[Kind, ...] = ("mask", "box") if masks else ("box",)
        self.max_detections = max_detections
        self._tables: dict[Kind, list[MatchTable]] = {kind: [] for kind in self.kinds}
        self._image_ids: set[int] = set()

    @property
    def num_images(self) -> int:
        """How many images were measured so far."""
        return len(self._image_ids)

    def add(self, image_id: int, truth: TruthObjects, prediction: PredictedObjects) -> None:
        """Measure one image.

        Args:
            image_id: its number in the dataset. Among equal scores, predictions of the image with the lower number
                come first.
            truth: the objects it really has; none is fine.
            prediction: the objects that were found; none is fine.

        Raises:
            DataError: `image_id` is no whole number, the image was measured before, a class id is out of range, masks
                are missing, or those of the prediction have another size than the true ones.
        """
        if not isinstance(image_id, (int, np.integer)):
            raise DataError(f"image_id={image_id!r}; expected the image's number in the dataset, such as 0.")
        if image_id in self._image_ids:
            raise DataError(f"Image {image_id} was measured before; give each image a number of its own.")
        self._check_classes(truth, "true object")
        self._check_classes(prediction, "predicted object")
        if "mask" in self.kinds:
            _check_masks(truth, prediction)
        best, ranks = ranked(prediction, self.max_detections)
        for kind in self.kinds:
            self._tables[kind].append(measure_image(image_id, truth, best, ranks, kind))
        self._image_ids.add(image_id)

    def scores(self, kind: Kind | None = None) -> InstanceScores:
        """Return COCO's figures of everything measured so far.

        Args:
            kind: "mask" or "box"; None: masks where they are measured.
        """
        kind = self._checked_kind(kind)
        return score_table(
            MatchTable.join(self._tables[kind]),
            kind=kind,
            num_classes=self.num_classes,
            num_images=self.num_images,
            max_detections=self.max_detections,
        )

    def diagnosis(self, kind: Kind | None = None) -> Diagnosis:
        """Return what each kind of mistake costs.

        Args:
            kind: "mask" or "box"; None: masks where they are measured.
        """
        table = MatchTable.join(self._tables[self._checked_kind(kind)])
        return diagnose(table, num_classes=self.num_classes, max_detections=self.max_detections)

    def images(self, kind: Kind | None = None) -> list[ImageCounts]:
        """Return what was found and missed in each image, by image number.

        Args:
            kind: "mask" or "box"; None: masks where they are measured.
        """
        return count_by_image(MatchTable.join(self._tables[self._checked_kind(kind)]), sorted(self._image_ids))

    def merge(self, other: InstanceScorer) -> None:
        """Add what another scorer of the same settings measured on other images, such as in another process.

        Raises:
            DataError: the settings differ, or an image was measured by both.
        """
        if self._settings() != other._settings():
            raise DataError(
                f"Scorers of different settings cannot be merged: {other._settings()} into {self._settings()} "
                "(number of classes, kinds, most predictions); create both alike."
            )
        twice = sorted(self._image_ids & other._image_ids)
        if twice:
            raise DataError(f"Both scorers measured image {twice[0]}; give every image to one of them only.")
        for kind in self.kinds:
            self._tables[kind] += other._tables[kind]
        self._image_ids |= other._image_ids

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything measured so far as plain arrays, such as for sending it to another process."""
        arrays: dict[str, npt.NDArray[Any]] = {"image_ids": np.array(sorted(self._image_ids), np.int64)}
        for kind in self.kinds:
            columns = MatchTable.join(self._tables[kind]).to_arrays()
            arrays |= {f"{kind}/{name}": column for name, column in columns.items()}
        return arrays

    def add_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add what `to_arrays` of another scorer with the same settings gave."""
        other = InstanceScorer(self.num_classes, masks="mask" in self.kinds, max_detections=self.max_detections)
        other._image_ids = set(arrays["image_ids"].tolist())
        for kind in self.kinds:
            columns = {name.removeprefix(f"{kind}/"): column for name, column in arrays.items()}
            other._tables[kind] = [MatchTable.from_arrays(columns)]
        self.merge(other)

    def _settings(self) -> tuple[int, tuple[Kind, ...], int]:
        return self.num_classes, self.kinds, self.max_detections

    def _checked_kind(self, kind: Kind | None) -> Kind:
        if kind is None:
            return self.kinds[0]
        if kind not in self.kinds:
            raise ConfigError(f"kind={kind!r}; this scorer measures {' and '.join(map(repr, self.kinds))}.")
        return kind

    def _check_classes(self, objects: TruthObjects | PredictedObjects, noun: str) -> None:
        outside = objects.class_ids[(objects.class_ids < 0) | (objects.class_ids >= self.num_classes)]
        if outside.size:
            raise DataError(
                f"A {noun} has the class id {outside[0]}; expected 0 to {self.num_classes - 1}. "
                "Class ids count the user's classes from 0, without a background."
            )


def _check_masks(truth: TruthObjects, prediction: PredictedObjects) -> None:
    """Make sure that both sides have masks, and of the same size."""
    sizes = []
    for objects, noun in ((truth, "true"), (prediction, "predicted")):
        if objects.masks is None and len(objects):
            raise DataError(f"The {noun} objects have no masks; give masks=..., or create the scorer with masks=False.")
        sizes += [objects.masks[0].size_hw] if objects.masks else []
    if len(set(sizes)) > 1:
        raise DataError(
            f"True masks of {sizes[0]} pixels (height, width), but predicted ones of {sizes[1]}; "
            "bring the prediction back to the image's original size first."
        )
