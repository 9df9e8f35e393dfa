"""`Segmenter.find_learning_rate`: a sweep over learning rates, on a copy of the model."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from easyseg.config import FitSettings, ModelSettings, RateFinderSettings
from easyseg.devices import Compute, process_numbers
from easyseg.errors import ConfigError
from easyseg.results import LearningRateCurve
from easyseg.segmenter.fitted import FittedModel
from easyseg.segmenter.preparing import new_job, new_loader, new_optimizer, read_halves, resolved, seeded
from easyseg.structures import Batch
from easyseg.training.engine import Batches
from easyseg.training.rate_finder import rising_rates, sweep_learning_rates


def find_learning_rate(
    data: Any,
    settings: RateFinderSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
    frozen: Sequence[str] = (),
) -> LearningRateCurve:
    """Train a copy of the model, or the one that `fit` would build, with a rising learning rate.

    Args:
        data: as for `Segmenter.fit`.
        settings: of the sweep.
        model_settings: of the model, where it is built now.
        compute: device and number format.
        fitted: the model to start from, which stays as it is, or None.
        frozen: parts that do not learn.
    """
    if (processes := process_numbers().size) > 1:
        raise ConfigError(
            f"A learning rate is looked for in one process, and a launcher started {processes}. Start one."
        )
    shared = {name: getattr(settings, name) for name in RateFinderSettings.model_fields if name in _SHARED}
    halves = read_halves(data, None, model_settings, fitted)
    of_fit = resolved(
        FitSettings.of({**shared, "freeze": tuple(frozen) or None}),
        halves,
        model_settings,
        compute,
        goes_on=fitted is not None,
    )
    encoder_share = float(of_fit.encoder_learning_rate) / float(of_fit.learning_rate)
    of_fit = of_fit.model_copy(update={"learning_rate": 1.0, "encoder_learning_rate": encoder_share})
    with seeded(model_settings.seed, compute, deterministic=False):
        # a copy, so that whatever happens, Ctrl-C included, the model is as before
        spoilt = replace(fitted, model=copy.deepcopy(fitted.model)) if fitted is not None else None
        job = new_job(halves, None, of_fit, model_settings=model_settings, compute=compute, fitted=spoilt)
        optimizer = new_optimizer(job)
        job.stages[0].begin(job.fitted.model, optimizer)
        with closing(new_loader(job)) as loader:
            return sweep_learning_rates(
                job.fitted.model,
                _endless(loader),
                rates=rising_rates(settings.lowest, settings.highest, settings.steps),
                optimizer=optimizer,
                compute=compute,
                clip_gradients=of_fit.clip_gradients,
            )


_SHARED = FitSettings.model_fields.keys() & RateFinderSettings.model_fields.keys()


def _endless(batches: Batches) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from batches.epoch(epoch)
