"""What was found, missed and made up in each image, from match tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from easyseg.metrics.instance.matching import FALSE, TRUE
from easyseg.metrics.instance.precision import interpolated_precision, mean_of_known
from easyseg.metrics.instance.tables import MatchTable


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """How the objects of one image were found, at IoU .50.

    Attributes:
        image_id: its number.
        num_truths: true objects that count.
        num_found: how many of them were found, at any score.
        num_wrong: predictions that are wrong, at any score.
        ap50: average precision within this image, the mean over the classes in it; NaN where it has no true object.
    """

    image_id: int
    num_truths: int
    num_found: int
    num_wrong: int
    ap50: float

    @property
    def num_missed(self) -> int:
        """True objects that were not found."""
        return self.num_truths - self.num_found

    @property
    def badness(self) -> tuple[float, int]:
        """What images are sorted by, the worst with the lowest: AP50, then mistakes; no true object counts as right."""
        return (1.0 if math.isnan(self.ap50) else self.ap50, -self.num_missed - self.num_wrong)


def count_by_image(table: MatchTable, image_ids: Sequence[int]) -> list[ImageCounts]:
    """Return the counts of each image.

    Args:
        table: the matches of all images, sorted by image.
        image_ids: the images, sorted, also those without any object.
    """
    outcomes, counts = table.outcomes[:, 0, 0], table.truth_counts[:, 0]
    firsts, ends = (np.searchsorted(table.image_ids, image_ids, side=side) for side in ("left", "right"))
    truth_firsts, truth_ends = (
        np.searchsorted(table.truth_image_ids, image_ids, side=side) for side in ("left", "right")
    )
    found = []
    for place, image_id in enumerate(image_ids):
        rows = slice(int(firsts[place]), int(ends[place]))
        truth_rows = slice(int(truth_firsts[place]), int(truth_ends[place]))
        class_ids = table.truth_class_ids[truth_rows][counts[truth_rows]]
        precisions = []
        for class_id, num_truths in zip(*np.unique(class_ids, return_counts=True), strict=True):
            of_class = outcomes[rows][table.class_ids[rows] == class_id]
            precisions.append(float(interpolated_precision(of_class[:, None], int(num_truths)).mean()))
        num_found, num_wrong = (int((outcomes[rows] == outcome).sum()) for outcome in (TRUE, FALSE))
        found.append(ImageCounts(image_id, len(class_ids), num_found, num_wrong, mean_of_known(precisions)))
    return found
