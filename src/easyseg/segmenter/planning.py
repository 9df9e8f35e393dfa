"""What is settled before a model is built: data, settings, the run's place, and whether it goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyseg.config import FitSettings, ModelSettings
from easyseg.devices import Compute
from easyseg.segmenter.fitted import FittedModel, StartingPoint
from easyseg.segmenter.places import Place, choose_place
from easyseg.segmenter.preparing import TrainingData, overfitted, read_halves, resolved
from easyseg.segmenter.resuming import Identity


@dataclass(frozen=True, slots=True)
class Plan:
    """A training of which nothing has been written or built yet; whatever is cheap to refuse has been.

    Attributes:
        halves: what to train and to measure on.
        settings: of the training, without any "auto".
        fitted: the model to go on from, None for a new one.
        start: what the training begins with, or began with where it goes on.
        identity: what makes it the same training as an earlier one.
        place: where its files go.
    """

    halves: TrainingData
    settings: FitSettings
    fitted: FittedModel | None
    start: StartingPoint
    identity: Identity
    place: Place


def plan_training(
    data: Any,
    validation: Any,
    settings: FitSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
) -> Plan:
    """Read the data and settle what can be settled by it.

    Where `fitted` is the best model so far of a training that broke off in this process, and this is that very
    training, it goes on as it would in a new process: from what it began with, not from `fitted`.

    Raises:
        DataError: something about the dataset.
        ConfigError: a setting does not fit the data, or the interrupted run in its folder is another training.
        OutputError: no run can be kept where it is wanted.
    """

    def planned(fitted: FittedModel | None, start: StartingPoint) -> Plan:
        halves = read_halves(data, validation, model_settings, fitted)
        chosen = resolved(settings, halves, model_settings, compute, goes_on=fitted is not None)
        halves, chosen = overfitted(halves, chosen)
        identity = Identity.of(halves, chosen, model_settings, compute, start)
        place = choose_place(chosen, model_settings, identity, datasets=_folders(halves, validation))
        return Plan(halves, chosen, fitted, start, identity, place)

    unfinished = fitted.unfinished if fitted is not None else None
    if unfinished is not None and settings.resume is not False and settings.run_dir is not None:
        plan = planned(fitted if unfinished.goes_on else None, unfinished)
        if plan.place.goes_on:
            return plan
    return planned(fitted, StartingPoint.of(fitted))


def _folders(halves: TrainingData, validation: Any) -> list[Path]:
    """Return the folders of the data, into which nothing is written."""
    others = validation if isinstance(validation, (str, os.PathLike)) else getattr(validation, "path", None)
    return [Path(folder) for folder in (halves.whole.path, others) if folder is not None]
