"""What is settled before a model is built: data, settings, the run's place, and whether it goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from easyseg.config import FitSettings, ModelSettings
from easyseg.devices import Compute, free_memory
from easyseg.segmenter.batch_probe import BatchChoice, ProbeRequest, choose_fitting_batch
from easyseg.segmenter.building import classes_to_learn
from easyseg.segmenter.fitted import FittedModel, StartingPoint
from easyseg.segmenter.places import Place, agreed_place, choose_place
from easyseg.segmenter.preparing import TrainingData, overfitted, read_halves, resolved
from easyseg.segmenter.resuming import Identity
from easyseg.segmenter.tasks import work_of
from easyseg.training.distributed import ALONE, World


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
        note: what a person should know about the settings; may be empty.
    """

    halves: TrainingData
    settings: FitSettings
    fitted: FittedModel | None
    start: StartingPoint
    identity: Identity
    place: Place
    note: str = ""


def plan_training(
    data: Any,
    validation: Any,
    settings: FitSettings,
    *,
    model_settings: ModelSettings,
    compute: Compute,
    fitted: FittedModel | None,
    world: World = ALONE,
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
        halves = read_halves(data, validation, model_settings, fitted, world=world)
        chosen = resolved(settings, halves, model_settings, compute, goes_on=fitted is not None, world=world)
        halves, chosen = overfitted(halves, chosen)
        identity = Identity.of(halves, chosen, model_settings, compute, start, processes=world.size)
        if settings.batch_size == "auto":
            identity = replace(identity, batch_size=None)  # a run that goes on keeps the one it has
        choose = partial(choose_place, chosen, model_settings, identity, datasets=_folders(halves, validation))
        place = agreed_place(choose, world)
        plan = Plan(halves, chosen, fitted, start, identity, place)
        return _with_fitting_batches(plan, model_settings, compute, world) if settings.batch_size == "auto" else plan

    unfinished = fitted.unfinished if fitted is not None else None
    if unfinished is not None and settings.resume is not False and settings.run_dir is not None:
        plan = planned(fitted if unfinished.goes_on else None, unfinished)
        if plan.place.goes_on:
            return plan
    return planned(fitted, StartingPoint.of(fitted))


def _with_fitting_batches(plan: Plan, model_settings: ModelSettings, compute: Compute, world: World) -> Plan:
    """Have so many images in a batch as fit into memory, or as there were when the run that goes on began."""
    usual, dataset = int(plan.settings.batch_size), plan.halves.train
    earlier = Identity.read(plan.place.path) if plan.place.goes_on and plan.place.path is not None else None
    if earlier is not None:
        choice = BatchChoice(earlier.batch_size or usual)
    elif world.size > 1:  # they would try on the same device, and have to agree
        choice = BatchChoice(usual)
    else:
        request = ProbeRequest(
            model_settings.to_dict(),
            num_classes=len(classes_to_learn(dataset.class_map, model_settings)),
            task=dataset.task,
            optimizer=plan.settings.optimizer,
            size_hw=model_settings.image_size or dataset.size_hw(0),
            device=str(compute.device),
            precision=compute.precision,
            num_objects=work_of(model_settings).objects_per_image(dataset),
        )
        choice = choose_fitting_batch(usual, request, free_bytes=free_memory(compute.device))
    settings = plan.settings.model_copy(update={"batch_size": choice.batch_size})
    identity = replace(plan.identity, batch_size=choice.batch_size)
    return replace(plan, settings=settings, identity=identity, note=choice.note)


def _folders(halves: TrainingData, validation: Any) -> list[Path]:
    """Return the folders of the data, into which nothing is written."""
    others = validation if isinstance(validation, (str, os.PathLike)) else getattr(validation, "path", None)
    return [Path(folder) for folder in (halves.whole.path, others) if folder is not None]
