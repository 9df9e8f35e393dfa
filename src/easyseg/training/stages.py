"""The stages of a training, from what people write to what the loop needs; all mistakes are found before it starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from easyseg.config import FitSettings, Stage
from easyseg.config.stages import check_step_size
from easyseg.errors import ConfigError
from easyseg.training.depth import Layer, layers_of
from easyseg.training.optim import learning_rate_factor, set_peak_rates
from easyseg.training.parts import HasParts, NamesByPart, is_encoder, names_by_part, refuse_overlaps, resolve_parts

STEP_FACTOR = 0.1

FINE_TUNE_SHARES = (0.1, 0.2)
"""Parts of all epochs that the first two stages of "fine_tune" take; the last one takes the rest."""

FINE_TUNE_SPREAD = 0.1
"""What the shallowest layer of the encoder learns at in the last stage, as a share of the deepest: encoders have ten to
sixty layers, and with one decay for all, the first layers of some would stand still."""


class Freezable(HasParts, Protocol):
    """A model some of whose parameters can be kept as they are."""

    @property
    def frozen(self) -> frozenset[str]:
        """Names of the parameters that are kept."""
        ...

    def freeze(self, names: Collection[str]) -> None:
        """Keep these parameters as they are from now on, and no others."""
        ...


@dataclass(frozen=True, slots=True)
class ResolvedStage:
    """A stage with nothing left open.

    Attributes:
        name: for messages and the history; empty where the training has no stages.
        first_epoch: number of its first epoch, from 0, where no stage before it ends early.
        epochs: passes over the training images.
        trained: names of the parameters that learn.
        frozen: names of all others.
        rates: layer, as in `layers_of`, -> its peak learning rate; layers that do not learn are left out.
        schedule: course of the learning rate.
        step_size: epochs after which the learning rate falls to a tenth, again and again; None: as the schedule has it.
        patience: evaluations without a better one after which the stage ends; None: it never ends early.
        batch_size: images per step.
        restore_best: whether the best weights so far are taken up again at its end.
    """

    name: str
    first_epoch: int
    epochs: int
    trained: frozenset[str]
    frozen: frozenset[str]
    rates: Mapping[str, float]
    schedule: str
    step_size: int | None
    patience: int | None
    batch_size: int
    restore_best: bool

    def learning_rate_factor(self, progress: float, epochs_done: int) -> float:
        """Return the learning rate at a point of this stage, as a share of its peak.

        Args:
            progress: how much of the stage is done, 0..1.
            epochs_done: whole epochs of it that are.
        """
        if self.step_size is not None:
            return float(STEP_FACTOR ** (epochs_done // self.step_size))
        return learning_rate_factor(self.schedule, progress)

    def begin(self, model: Freezable, optimizer: torch.optim.Optimizer) -> None:
        """Freeze what does not learn in this stage, free what does, and set the peak learning rates."""
        model.freeze(self.frozen)
        set_peak_rates(optimizer, self.rates)


def resolve_stages(
    settings: FitSettings, model: Freezable, *, random_parts: Collection[str] = ()
) -> tuple[ResolvedStage, ...]:
    """Work out the stages of a training; one that holds everything where there are none.

    Args:
        settings: with numbers for batch size and learning rates, not "auto".
        model: whose parts and parameters the stages speak of.
        random_parts: parts that start from random weights, so that a training that leaves them out makes no sense.

    Raises:
        ConfigError: a stage trains nothing, words for parts overlap, its steps do not fit its length, or no stage ever
            trains a part that needs it; the message names the stage.
        UnknownNameError: a part does not exist in this model; the message names stage and nearest.
    """
    by_part = names_by_part(model)
    layers = layers_of(model.parts())
    held = resolve_parts(settings.freeze or (), by_part, asker="freeze")
    still = frozenset(name for name, parameter in model.named_parameters() if not parameter.requires_grad)
    builder = _Builder(
        settings, by_part, layers, held=held, fixed=still - model.frozen, names=_layer_names(model, layers)
    )
    stages: list[ResolvedStage] = []
    for stage in _wanted(settings, layers, is_open=builder.has_something_to_train):
        stages.append(builder.build(stage, first_epoch=sum(earlier.epochs for earlier in stages)))
    _refuse_forgotten(stages, by_part, held, random_parts)
    return tuple(stages)


def fine_tune_stages(epochs: int, layers: Sequence[Layer], *, learning_rate: float | None = None) -> tuple[Stage, ...]:
    """Return the gentle default: what starts at random first, then the encoder's top with it, then everything.

    A new head sends large gradients into the encoder, which would spoil what that knows; so it learns alone at first.

    Args:
        epochs: of all stages together; of one or two, the first stages are left out.
        layers: of the model, from `layers_of`.
        learning_rate: of the first stage; the others have half of it. None: as in `fit`.
    """
    half = None if learning_rate is None else learning_rate / 2
    first, second = (max(1, round(share * epochs)) for share in FINE_TUNE_SHARES)
    depth = max(layer.distance for layer in layers)
    decay = round(FINE_TUNE_SPREAD ** (1 / depth), 3) if depth else None
    everything = Stage("all", epochs=epochs, learning_rate=half, layer_decay=decay)
    heads = Stage("heads", train="heads", epochs=first, learning_rate=learning_rate)
    top = Stage("top", train=["heads", "encoder[-1]"], epochs=second, learning_rate=half)
    encoder = {layer.part for layer in layers if is_encoder(layer.part)}
    stages = [heads, top] if len(encoder) > 1 else [heads]
    while stages and sum(stage.epochs or 0 for stage in stages) >= epochs:
        stages.pop()
    rest = epochs - sum(stage.epochs or 0 for stage in stages)
    return (*stages, everything.model_copy(update={"epochs": rest}))


@dataclass(frozen=True, slots=True)
class _Builder:
    settings: FitSettings
    by_part: NamesByPart
    layers: Sequence[Layer]
    held: frozenset[str]
    fixed: frozenset[str]
    names: Mapping[str, frozenset[str]]

    def build(self, stage: Stage, *, first_epoch: int) -> ResolvedStage:
        settings = self.settings
        epochs = stage.epochs or settings.epochs
        try:
            check_step_size(stage.step_size, epochs)
        except ValueError as error:
            raise ConfigError(f"{_called(stage)}: {error}") from None
        trained = self._trained(stage)
        everything = frozenset[str]().union(*self.by_part.values())
        return ResolvedStage(
            name=stage.name or "",
            first_epoch=first_epoch,
            epochs=epochs,
            trained=trained,
            frozen=everything - trained,
            rates=dict(self._rates(stage, trained)),
            schedule=stage.schedule or settings.schedule,
            step_size=stage.step_size,
            patience=stage.patience or settings.patience,
            batch_size=stage.batch_size or int(settings.batch_size),
            restore_best=stage.restore_best,
        )

    def has_something_to_train(self, stage: Stage) -> bool:
        """Tell whether each of a stage's words names something that is not frozen for good."""
        return all(self._free([selector], _called(stage)) for selector in stage.train)

    def _trained(self, stage: Stage) -> frozenset[str]:
        asker = _called(stage)
        selectors = stage.train if not stage.train[0].startswith("not ") else ("all", *stage.train)
        refuse_overlaps(selectors, self.by_part, asker=asker)
        for selector in selectors:
            if not selector.startswith("not ") and not self._free([selector], asker):
                raise ConfigError(self._nothing(asker, selector))
        trained = self._free(selectors, asker)
        if not trained:
            raise ConfigError(self._nothing(asker, ", ".join(selectors)))
        return trained

    def _free(self, selectors: Sequence[str], asker: str) -> frozenset[str]:
        return resolve_parts(selectors, self.by_part, asker=asker) - self.held - self.fixed

    def _nothing(self, asker: str, selector: str) -> str:
        if self.held:
            frozen = ", ".join(self.settings.freeze or ())
            others = [part for part, names in self.by_part.items() if names - self.held - self.fixed]
            advice = f", or train something else: {', '.join(others)}" if others else ""
            return (
                f"{asker}: nothing is left of {selector!r} to train, for {frozen!r} is frozen. Type "
                f"segmenter.unfreeze(...), or leave out freeze=...{advice}."
            )
        return f"{asker}: {selector!r} has no parameters that can learn. Train one of: {', '.join(self.by_part)}."

    def _rates(self, stage: Stage, trained: frozenset[str]) -> Iterator[tuple[str, float]]:
        head, encoder = self._peaks(stage, trained)
        decay = stage.layer_decay or 1.0
        for layer in self.layers:
            if self.names[layer.name] & trained:
                peak = encoder if is_encoder(layer.part) else head
                yield layer.name, peak * decay**layer.distance

    def _peaks(self, stage: Stage, trained: frozenset[str]) -> tuple[float, float]:
        """Return the peak learning rates of decoder and head, and of the encoder before any decay."""
        usual, usual_encoder = float(self.settings.learning_rate), float(self.settings.encoder_learning_rate)
        if stage.learning_rate is None:
            return usual, stage.encoder_learning_rate or usual_encoder
        others = [names for part, names in self.by_part.items() if not is_encoder(part)]
        # the rate that was asked for is that of what learns
        share = usual_encoder / usual if any(names & trained for names in others) else 1.0
        return stage.learning_rate, stage.encoder_learning_rate or stage.learning_rate * share


def _wanted(settings: FitSettings, layers: Sequence[Layer], *, is_open: Callable[[Stage], bool]) -> tuple[Stage, ...]:
    if settings.stages is None:
        return (Stage(None, epochs=settings.epochs),)
    if not isinstance(settings.stages, str):
        return settings.stages
    stages = fine_tune_stages(settings.epochs, layers, learning_rate=float(settings.learning_rate))
    if all(is_open(stage) for stage in stages):
        return stages
    return (stages[-1].model_copy(update={"epochs": settings.epochs}),)  # what is frozen leaves nothing to do in turn


def _refuse_forgotten(
    stages: Sequence[ResolvedStage], by_part: NamesByPart, held: frozenset[str], random_parts: Collection[str]
) -> None:
    learned = frozenset[str]().union(*(stage.trained for stage in stages))
    forgotten = [part for part, names in by_part.items() if part in random_parts and not names <= learned | held]
    encoder = {part for part in by_part if is_encoder(part)}
    if encoder and encoder <= set(forgotten):
        forgotten = ["encoder", *(part for part in forgotten if not is_encoder(part))]
    if forgotten:
        listed = ", ".join(stage.name for stage in stages)
        raise ConfigError(
            f"No stage trains {', '.join(forgotten)}, which would stay random; the stages are {listed}. Add to the "
            f"train=[...] of one, or add a stage such as Stage('rest', train={forgotten!r}). To leave them random all "
            f"the same, type freeze={forgotten!r}."
        )


def _layer_names(model: HasParts, layers: Sequence[Layer]) -> dict[str, frozenset[str]]:
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    return {layer.name: frozenset(name_of[parameter] for parameter in layer.parameters) for layer in layers}


def _called(stage: Stage) -> str:
    return "The training" if stage.name is None else f"Stage {stage.name!r}"
