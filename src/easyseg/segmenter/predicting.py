"""`Segmenter.predict`: sources in, results out, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from easyseg.config import PredictSettings
from easyseg.devices import Compute, processor_count
from easyseg.prediction.predictor import Predictor, Prepared, Stopwatch, decide, evaluation_mode, probabilities
from easyseg.prediction.sources import Source, ahead, find_sources, is_single
from easyseg.preprocessing import Placement
from easyseg.results import SemanticResult
from easyseg.segmenter.fitted import FittedModel
from easyseg.structures import ImageArray, Task

Probabilities: TypeAlias = npt.NDArray[np.float32]

READ_THREADS = 4


class Predictions(Iterator[SemanticResult]):
    """Results one by one, as they are asked for.

    Attributes:
        timing: seconds so far by what they went into: "reading" (waiting for it), "network" and "way back", to the
            original size. What the caller does between two results is in none of them.
    """

    def __init__(self, results: Generator[SemanticResult, None, None], watch: Stopwatch) -> None:
        self.timing: Mapping[str, float] = watch.seconds
        self._results = results

    def __next__(self) -> SemanticResult:
        return next(self._results)

    def close(self) -> None:
        """Stop reading ahead."""
        self._results.close()


def predict_all(fitted: FittedModel, source: Any, settings: PredictSettings, *, compute: Compute) -> Predictions:
    """Return an iterator with a result for each image of `source`, in order, which reads ahead of the network."""
    watch = Stopwatch()
    return Predictions(_predicted(fitted, source, settings, compute, watch), watch)


def _predicted(
    fitted: FittedModel, source: Any, settings: PredictSettings, compute: Compute, watch: Stopwatch
) -> Generator[SemanticResult, None, None]:
    batch_size = fitted.batch_size if settings.batch_size == "auto" else settings.batch_size
    predictor = Predictor(
        fitted.model,
        preprocessing=fitted.preprocessing,
        compute=compute,
        batch_size=1 if is_single(source) else batch_size,
    )
    task = fitted.class_map.task

    def prepare(one: Source) -> Prepared[tuple[Source, ImageArray]]:
        image = one.pixels(fitted.preprocessing.in_channels, fitted.preprocessing.value_range)
        return predictor.prepare(image, (one, image))

    sources = find_sources(source, recursive=settings.recursive)
    prepared = ahead(sources, prepare, threads=min(READ_THREADS, processor_count()), depth=predictor.depth)
    with evaluation_mode(fitted.model):
        for logits, (one, image), placement in predictor.logits(prepared, watch):
            with watch.on("way back"):
                full = predictor.at_original_size(logits, placement)
                mask = decide(full, task=task, threshold=settings.threshold).cpu().numpy()
                on_demand = _on_demand(predictor, logits, placement, task)
            yield SemanticResult(
                mask=mask, class_map=fitted.class_map, image=image, path=one.path, probabilities=on_demand
            )


def _on_demand(predictor: Predictor, logits: Tensor, placement: Placement, task: Task) -> Callable[[], Probabilities]:
    """Return a function that computes the probabilities from a copy of the logits alone.

    A view would keep the whole batch alive, and on a GPU its memory, for as long as somebody keeps the result.
    """
    kept = logits.cpu() if logits.device.type != "cpu" else logits.clone()
    return lambda: probabilities(predictor.at_original_size(kept, placement), task=task).numpy()
