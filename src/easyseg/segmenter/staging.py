"""The stages of a `fit`, worked out for the model at hand."""

from __future__ import annotations

from collections.abc import Sequence

from easyseg.config import FitSettings, ModelSettings
from easyseg.models.weights import is_file
from easyseg.segmenter.building import Model
from easyseg.training.parts import is_encoder, names_by_part, resolve_parts
from easyseg.training.stages import ResolvedStage, resolve_stages


def work_out_stages(
    settings: FitSettings, model: Model, model_settings: ModelSettings, *, goes_on: bool
) -> tuple[ResolvedStage, ...]:
    """Return the stages of a training, of which there is at least one.

    Args:
        settings: with numbers for batch size and learning rates, not "auto".
        model: to be trained.
        model_settings: what it was made from.
        goes_on: whether it has been trained before.

    Raises:
        ConfigError: the stages cannot be trained, or leave out what needs training; the message names the stage.
    """
    parts = tuple(model.parts())
    random_parts = () if goes_on else _starting_at_random(parts, model_settings.weights)
    return resolve_stages(settings, model, random_parts=random_parts)


def freeze_parts(model: Model, selectors: Sequence[str]) -> None:
    """Freeze exactly the parts of a model that words stand for.

    Raises:
        UnknownNameError: there is no such part; the message names the nearest.
    """
    model.freeze(resolve_parts(selectors, names_by_part(model), asker="freeze"))


def _starting_at_random(parts: tuple[str, ...], weights: str | None) -> tuple[str, ...]:
    if weights is None:
        return parts
    if is_file(weights):
        return ()  # it may hold anything
    if weights.startswith("coco"):
        return tuple(part for part in ("head", "roi_heads") if part in parts)  # of which the last layers are new
    return tuple(part for part in parts if not is_encoder(part))
