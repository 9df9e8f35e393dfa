"""`Segmenter.predict`: sources in, results out, a few at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from typing import Any

from easyseg.config import PredictSettings
from easyseg.devices import Compute, ProcessNumbers, process_numbers
from easyseg.prediction.predictor import Stopwatch
from easyseg.prediction.sources import find_sources, is_single
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.tasks import AnyResult, work_of

ALONE = ProcessNumbers()


class Predictions(Iterator[AnyResult]):
    """Results one by one, as they are asked for.

    Attributes:
        timing: seconds so far by what they went into: "reading" (waiting for it), "network" and "way back", to the
            original size. What the caller does between two results is in none of them.
    """

    def __init__(self, results: Generator[AnyResult, None, None], watch: Stopwatch) -> None:
        self.timing: Mapping[str, float] = watch.seconds
        self._results = results

    def __next__(self) -> AnyResult:
        return next(self._results)

    def close(self) -> None:
        """Stop reading ahead."""
        self._results.close()


def predict_all(fitted: FittedModel, source: Any, settings: PredictSettings, *, compute: Compute) -> Predictions:
    """Return an iterator with a result for each image of `source`, in order, which reads ahead of the network."""
    watch = Stopwatch()
    return Predictions(_predicted(fitted, source, settings, compute, watch), watch)


def predict_part(fitted: FittedModel, source: Any, settings: PredictSettings, *, compute: Compute) -> Predictions:
    """Return the same for every n-th image of `source`, where n processes work together; each takes others."""
    watch = Stopwatch()
    numbers = ProcessNumbers() if is_single(source) else process_numbers()
    return Predictions(_predicted(fitted, source, settings, compute, watch, numbers), watch)


def _predicted(
    fitted: FittedModel,
    source: Any,
    settings: PredictSettings,
    compute: Compute,
    watch: Stopwatch,
    numbers: ProcessNumbers = ALONE,
) -> Generator[AnyResult, None, None]:
    usual = fitted.batch_size if settings.batch_size == "auto" else settings.batch_size
    sources = islice(find_sources(source, recursive=settings.recursive), numbers.rank, None, numbers.size)
    batch_size = 1 if is_single(source) else usual
    yield from work_of(fitted.model).results(
        fitted, sources, settings, compute=compute, batch_size=batch_size, watch=watch
    )
