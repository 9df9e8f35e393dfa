"""Measuring a detector on annotated objects: the one evaluation behind training curves, `evaluate` and reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from easyseg.devices import Compute
from easyseg.errors import DataError
from easyseg.metrics.instance import InstanceScorer, TruthObjects
from easyseg.metrics.instance.scorer import MAX_DETECTIONS
from easyseg.prediction.objects import FoundOnCanvas, ObjectLimits, ObjectPredictor
from easyseg.prediction.predictor import Network, Predictor, Prepared, Stopwatch, evaluation_mode
from easyseg.prediction.sharing import Sharing, parts_of
from easyseg.prediction.sources import ahead
from easyseg.preprocessing import Preprocessing
from easyseg.structures import ImageArray


@dataclass(frozen=True, slots=True)
class AnnotatedObjects:
    """What an evaluation measures on.

    Attributes:
        count: how many images there are.
        read: returns an image (H, W, C) uint8 and its objects, by number; their masks have its height and width.
        num_classes: the user's classes, without a background.
        has_masks: measure masks and boxes; False: boxes only, for networks that find nothing else.
    """

    count: int
    read: Callable[[int], tuple[ImageArray, TruthObjects]]
    num_classes: int
    has_masks: bool = True


@dataclass(frozen=True, slots=True)
class ScoredObjects:
    """What `score` found.

    Attributes:
        scorer: has measured all images.
        seconds: wall time in all.
        timing: wall time by what the network had to wait for, and itself: "reading", "network", "scoring".
    """

    scorer: InstanceScorer
    seconds: float
    timing: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Annotated:
    """What travels with an image on its way through the network: its number, and what is to be found in it."""

    index: int
    truth: TruthObjects


class ObjectEvaluation:
    """An evaluation that can be repeated, such as after every epoch.

    Images are read and brought to the canvas ahead of the network, and what it found is pasted and compared behind it,
    both in threads. True masks are run lengths, so that images with many objects take no more memory than others.

    Args:
        images: what to measure on.
        preprocessing: what the network was trained with.
        compute: device and number format.
        batch_size: images per forward pass. Results may differ in the last bit between batch sizes.
        limits: which of the objects found are kept.
        threads: for reading ahead, and as many for comparing.
        keep: keep images and objects ready for the network in memory after the first time.
        sharing: processes of which each measures some of the images, none of them twice; all get the figures of all.
            None: this process measures them all.
    """

    def __init__(
        self,
        images: AnnotatedObjects,
        *,
        preprocessing: Preprocessing,
        compute: Compute,
        batch_size: int,
        limits: ObjectLimits | None = None,
        threads: int = 2,
        keep: bool = False,
        sharing: Sharing | None = None,
    ) -> None:
        self._images = images
        self._preprocessing = preprocessing
        self._compute = compute
        self._batch_size = batch_size
        self._limits = limits or ObjectLimits()
        self._threads = threads
        self._kept: dict[int, Prepared[_Annotated]] | None = {} if keep else None
        self._sharing = sharing

    def score(self, network: Network, *, poll: Callable[[], None] = lambda: None) -> ScoredObjects:
        """Measure `network`; its mode is as before afterwards.

        Args:
            network: images (N, C, h, w) in 0..255 to a list with the `RawObjects` of each.
            poll: called after every image; may raise, to break the evaluation off. Equally often in every process.

        Raises:
            SampleError: an image or its objects cannot be used; it names the file.
            DataError: a class id is out of range.
            ModelError: the memory of the device does not suffice.
        """
        begun = time.perf_counter()
        watch = Stopwatch()
        runner = Predictor(
            network, preprocessing=self._preprocessing, compute=self._compute, batch_size=self._batch_size
        )
        predictor = ObjectPredictor(runner, preprocessing=self._preprocessing, limits=self._limits)
        scorer = self._new_scorer()
        parts = parts_of(self._images.count, self._batch_size, self._sharing)
        own = parts[self._sharing.rank] if self._sharing is not None else parts[0]
        prepared = ahead(own, self._prepared, threads=self._threads, depth=runner.depth)

        def compare(pair: tuple[FoundOnCanvas, Prepared[_Annotated]]) -> None:
            found, item = pair
            scorer.add(item.tag.index, item.tag.truth, predictor.at_original_size(found, item.placement))

        with evaluation_mode(network), torch.inference_mode():
            found = predictor.found(prepared, watch)
            for _ in ahead(found, compare, threads=self._threads, depth=lambda _: 2 * self._batch_size):
                poll()
            for _ in range(len(own), max(map(len, parts))):
                poll()
            whole = self._of_all(scorer)
        seconds = time.perf_counter() - begun
        # what the network had to wait for at the end, or because too much waited to be compared
        watch.seconds["scoring"] = seconds - sum(watch.seconds.values())
        return ScoredObjects(whole, seconds, dict(watch.seconds))

    def _prepared(self, index: int) -> Prepared[_Annotated]:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        image, truth = self._images.read(index)
        size = (image.shape[0], image.shape[1])
        if truth.masks and truth.masks[0].size_hw != size:
            raise DataError(
                f"The objects of image {index} have masks of {truth.masks[0].size_hw} pixels (height, width), but "
                f"the image has {size}. Give masks of the image's size."
            )
        annotated = _Annotated(index, truth)
        ready = Prepared(self._preprocessing.image_to_canvas(image), self._preprocessing.place(size), annotated)
        if self._kept is not None:
            self._kept[index] = ready
        return ready

    def _new_scorer(self) -> InstanceScorer:
        most = max(self._limits.max_detections, MAX_DETECTIONS)
        return InstanceScorer(self._images.num_classes, masks=self._images.has_masks, max_detections=most)

    def _of_all(self, scorer: InstanceScorer) -> InstanceScorer:
        """Return a scorer with what all processes measured."""
        if self._sharing is None or self._sharing.size == 1:
            return scorer
        own = scorer.to_arrays()
        counts = self._sharing.stacked(torch.tensor([[len(column) for column in own.values()]])).numpy()
        columns: dict[str, list[npt.NDArray[Any]]] = {}
        for place, (name, column) in enumerate(own.items()):
            # bytes travel everywhere, truth values do not
            sent = torch.from_numpy(column.view(np.uint8) if column.dtype == bool else column)
            whole = self._sharing.stacked(sent).numpy().astype(column.dtype, copy=False)
            columns[name] = np.split(whole, np.cumsum(counts[:-1, place]))
        merged = self._new_scorer()
        for rank in range(self._sharing.size):
            merged.add_arrays({name: parts[rank] for name, parts in columns.items()})
        return merged
