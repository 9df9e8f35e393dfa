"""From images of any size to the objects in them, at the images' own size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easyseg.errors import ConfigError
from easyseg.geometry import RunLengths
from easyseg.metrics.instance import PredictedObjects
from easyseg.prediction.pasting import paste_mask
from easyseg.prediction.predictor import Predictor, Prepared, Stopwatch
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.structures import RawObjects

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class ObjectLimits:
    """Which of the objects that a network finds, by its own limits of score and overlap, are kept.

    Attributes:
        mask_threshold: a pixel belongs to an object where its probability is greater, in 0..1.
        max_detections: the most certain ones that are kept of an image.

    Raises:
        ConfigError: one of them is out of its range.
    """

    mask_threshold: float = 0.5
    max_detections: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.mask_threshold <= 1:
            raise ConfigError(
                f"mask_threshold={self.mask_threshold}; expected a number from 0 to 1. Type mask_threshold=0.5."
            )
        if self.max_detections < 1:
            raise ConfigError(f"max_detections={self.max_detections}; expected 1 or more. Type max_detections=100.")


@dataclass(frozen=True, slots=True, eq=False)
class FoundOnCanvas:
    """What a network found in one image, in memory of its own on the CPU.

    Attributes:
        boxes: (K, 4) float32 x1, y1, x2, y2 in pixels of the canvas.
        scores: (K,) float32 in 0..1.
        class_ids: (K,) int64, from 0 on.
        patches: (K, M, M) float32 probabilities in 0..1, each stretched over its box; None where only boxes are found.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    patches: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.scores)


class ObjectPredictor:
    """Runs a detector over images, several at a time, and brings what it finds to the images' own size.

    Args:
        predictor: runs the network.
        preprocessing: what the network was trained with.
        limits: which objects are kept.
    """

    def __init__(self, predictor: Predictor, *, preprocessing: Preprocessing, limits: ObjectLimits) -> None:
        self._predictor = predictor
        self._preprocessing = preprocessing
        self._limits = limits

    def found(self, items: Iterable[Prepared[Tag]], watch: Stopwatch) -> Iterator[tuple[FoundOnCanvas, Prepared[Tag]]]:
        """Yield what the network finds in each image, on the canvas, before any limit.

        Raises:
            ModelError: the memory of the device does not suffice.
        """
        for batch, raw in self._predictor.passes(items, watch):
            with watch.on("network"):
                fetched = fetch(raw)
            yield from zip(fetched, batch, strict=True)

    def at_original_size(self, found: FoundOnCanvas, placement: Placement) -> PredictedObjects:
        """Return the objects that are kept, the most certain first, at the image's own size.

        Masks are pasted one at a time straight into run lengths. Objects that lie in the padding, and those whose mask
        has no pixel, are dropped. Several threads may call this at once.
        """
        limits = self._limits
        boxes = self._preprocessing.boxes_to_original(found.boxes, placement)
        fits = (boxes[:, :2] < boxes[:, 2:]).all(axis=1) & ~np.isnan(found.scores)
        order = np.argsort(-found.scores, kind="stable")
        kept = order[fits[order]]
        kept = kept[: limits.max_detections]
        masks: list[RunLengths] | None = None
        if found.patches is not None:
            pasted = [
                paste_mask(found.patches[place], found.boxes[place], placement, threshold=limits.mask_threshold)
                for place in kept.tolist()
            ]
            masks = [mask for mask in pasted if mask.area]
            kept = kept[np.array([mask.area > 0 for mask in pasted], bool)]
        return PredictedObjects(
            class_ids=found.class_ids[kept],
            scores=found.scores[kept].astype(np.float64),
            masks=None if masks is None else tuple(masks),
            boxes=boxes[kept].astype(np.float64),
        )


def fetch(raw: Sequence[RawObjects]) -> list[FoundOnCanvas]:
    """Bring what was found in the images of a forward pass, one or more, from the device in a single copy."""
    table = torch.cat([_as_rows(one) for one in raw]).cpu().numpy()
    ends = np.cumsum([len(one) for one in raw])
    return [_from_rows(rows, one) for rows, one in zip(np.split(table, ends[:-1]), raw, strict=True)]


def _as_rows(found: RawObjects) -> Tensor:
    """Return an object a row; float32 holds class ids exactly, up to some millions."""
    columns = [found.boxes, found.scores[:, None], found.class_ids[:, None]]
    columns += [] if found.masks is None else [found.masks.flatten(1)]
    return torch.cat([column.float() for column in columns], dim=1)


def _from_rows(rows: npt.NDArray[np.float32], found: RawObjects) -> FoundOnCanvas:
    patches = None if found.masks is None else rows[:, 6:].reshape(found.masks.shape)
    return FoundOnCanvas(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), patches)
