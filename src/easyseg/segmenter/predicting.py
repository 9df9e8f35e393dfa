"""`Segmenter.predict`: sources in, results out, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def predict_all(
    fitted: FittedModel, source: Any, settings: PredictSettings, *, compute: Compute
) -> Iterator[SemanticResult]:
    """Yield a result for each image of `source`, reading ahead of the network, in order."""
    batch_size = fitted.batch_size if settings.batch_size == "auto" else settings.batch_size
    predictor = Predictor(
        fitted.model,
        preprocessing=fitted.preprocessing,
        compute=compute,
        batch_size=1 if is_single(source) else batch_size,
    )
    task = fitted.class_map.task

    def prepare(one: Source) -> Prepared[tuple[Source, ImageArray]]:
        image = one.pixels(fitted.preprocessing.in_channels)
        return predictor.prepare(image, (one, image))

    sources = find_sources(source, recursive=settings.recursive)
    prepared = ahead(sources, prepare, threads=min(READ_THREADS, processor_count()), depth=2 * batch_size)
    with evaluation_mode(fitted.model):
        for logits, (one, image), placement in predictor.logits(prepared, Stopwatch()):
            full = predictor.at_original_size(logits, placement)
            yield SemanticResult(
                mask=decide(full, task=task, threshold=settings.threshold).cpu().numpy(),
                class_map=fitted.class_map,
                image=image,
                path=one.path,
                probabilities=_on_demand(predictor, logits, placement, task),
            )


def _on_demand(predictor: Predictor, logits: Tensor, placement: Placement, task: Task) -> Callable[[], Probabilities]:
    """Return a function that computes the probabilities from a copy of the logits alone.

    A view would keep the whole batch alive, and on a GPU its memory, for as long as somebody keeps the result.
    """
    kept = logits.cpu() if logits.device.type != "cpu" else logits.clone()
    return lambda: probabilities(predictor.at_original_size(kept, placement), task=task).numpy()
