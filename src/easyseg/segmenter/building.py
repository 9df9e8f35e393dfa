"""From settings to a network; the one place that knows both kinds of models."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

from easyseg.config import ModelSettings
from easyseg.models.instance.building import build_instance
from easyseg.models.instance.model import InstanceModel
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.registry import find_model
from easyseg.models.semantic import SemanticModel, build_semantic
from easyseg.structures import ClassMap

Model: TypeAlias = SemanticModel | InstanceModel


def finds_objects(settings: ModelSettings) -> bool:
    """Tell whether the model of these settings finds objects; else it gives each pixel a class."""
    return find_model(settings.model).task == "instance"


def finds_masks(settings: ModelSettings) -> bool:
    """Tell whether the detector of these settings finds masks, and not boxes only."""
    return find_model(settings.model).name == "mask_rcnn"


def classes_to_learn(class_map: ClassMap, settings: ModelSettings) -> tuple[str, ...]:
    """Return the names of the classes that a model tells apart; a background is none of a detector's."""
    return class_map.object_classes if finds_objects(settings) else class_map.names


def build_model(
    settings: ModelSettings, *, num_classes: int, weights: str | None, plan: DetectorPlan | None = None
) -> Model:
    """Build the network that `settings` describe; random weights follow from the seed alone.

    Args:
        settings: of the model.
        num_classes: it tells apart, without a detector's background.
        weights: to start from.
        plan: what a detector is built with; None: the usual.
    """
    shared: dict[str, Any] = {
        "num_classes": num_classes,
        "in_channels": settings.in_channels,
        "weights": weights,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # torch.manual_seed would reseed every GPU, too
        if finds_objects(settings):
            return build_instance(settings.model, settings.encoder, plan=plan, **shared)
        return build_semantic(settings.model, settings.encoder, image_size=settings.image_size, **shared)
