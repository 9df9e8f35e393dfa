"""What a stage does, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from easyseg.training.depth import layers_of
from easyseg.training.parts import HasParts
from easyseg.training.stages import ResolvedStage


def stage_table(stage: ResolvedStage, model: HasParts, *, number: int, count: int) -> str:
    """Return a table with the parts of a model, and of each how much of it learns, how fast, and its normalisation.

    Args:
        stage: what happens now.
        model: to which it happens.
        number: of the stage, from 1.
        count: stages in all.
    """
    parameters = dict(model.named_parameters())
    name_of = {parameter: name for name, parameter in parameters.items()}
    rates: dict[str, list[float]] = {}
    for layer in layers_of(model.parts()):
        if layer.name in stage.rates:
            rates.setdefault(layer.part, []).append(stage.rates[layer.name])
    rows = [("part", "parameters", "learning", "learning rate", "normalisation")]
    total = learning_total = 0
    for part, module in model.parts().items():
        sizes = {name_of[parameter]: parameter.numel() for parameter in module.parameters()}
        learning = sum(size for name, size in sizes.items() if name in stage.trained)
        total, learning_total = total + sum(sizes.values()), learning_total + learning
        normalisation = _normalisation(module, learning > 0, {parameters[name] for name in stage.trained})
        rows.append((part, f"{sum(sizes.values()):,}", f"{learning:,}", _span(rates.get(part, ())), normalisation))
    rows.append(("total", f"{total:,}", f"{learning_total:,}", "", ""))
    return "\n".join([_headline(stage, number, count), *_aligned(rows)])


def _headline(stage: ResolvedStage, number: int, count: int) -> str:
    first, last = stage.first_epoch + 1, stage.first_epoch + stage.epochs
    epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    interval = "epoch" if stage.step_size == 1 else f"{stage.step_size} epochs"
    course = f"a tenth of the rate every {interval}" if stage.step_size else f"{stage.schedule} schedule"
    if not stage.name:
        return f"What learns, and what is frozen: {epochs}, batches of {stage.batch_size}, {course}"
    return f"Stage {number} of {count}, {stage.name}: {epochs}, batches of {stage.batch_size}, {course}"


def _span(rates: Iterable[float]) -> str:
    rates = sorted(rates)
    if not rates:
        return "-"
    low, high = f"{rates[0]:.2g}", f"{rates[-1]:.2g}"
    return high if low == high else f"{low} to {high}"


def _normalisation(part: nn.Module, is_learning: bool, trained: Iterable[nn.Parameter]) -> str:
    """Say whether statistics of normalisation follow the data: "training", "frozen", "partly frozen", or "-"."""
    trained = set(trained)
    states = set()
    for module in part.modules():
        if getattr(module, "running_mean", None) is None:
            continue  # others keep no statistics
        own = list(module.parameters())
        states.add(any(parameter in trained for parameter in own) if own else is_learning)
    words = {frozenset(): "-", frozenset([True]): "training", frozenset([False]): "frozen"}
    return words.get(frozenset(states), "partly frozen")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
