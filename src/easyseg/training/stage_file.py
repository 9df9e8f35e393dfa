"""A training in stages as a YAML file to start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from easyseg.config import Stage
from easyseg.training.depth import layers_of
from easyseg.training.parts import HasParts, names_by_part, resolve_parts
from easyseg.training.stages import fine_tune_stages

LEARNING_RATE = 1e-3
"""What `fit` takes with AdamW where nobody says anything else."""


def stage_file(model: HasParts, *, names: tuple[str, str], epochs: int) -> str:
    """Return YAML that trains a model in the stages of "fine_tune", with its parts as comments.

    Args:
        model: whose parts are named.
        names: of its architecture and its encoder.
        epochs: of all stages together.
    """
    by_part = names_by_part(model)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    layers = layers_of(model.parts())
    counts = Counter(layer.part for layer in layers)
    lines = ["# Train with: easyseg train THIS_FILE --data FOLDER", "#", "# part          parameters  layers"]
    for part, members in by_part.items():
        lines.append(f"# {part:12}  {sum(sizes[name] for name in members):>11,}  {counts[part]:>6}")
    lines += [f"model: {names[0]}", f"encoder: {names[1]}", "stages:"]
    for stage in fine_tune_stages(epochs, layers, learning_rate=LEARNING_RATE):
        trained = sum(sizes[name] for name in resolve_parts(stage.train, by_part, asker="easyseg"))
        lines += _stage_lines(stage, f"{trained:,} of {sum(sizes.values()):,} parameters")
    return "\n".join(lines) + "\n"


def _stage_lines(stage: Stage, comment: str) -> Iterator[str]:
    # in quotes: the brackets of encoder[-1] mean a list to YAML
    parts = ", ".join(f'"{part}"' if "[" in part else part for part in stage.train)
    yield f"  - title: {stage.name}"
    yield f"    train: [{parts}]  # {comment}"
    yield f"    epochs: {stage.epochs}"
    yield f"    lr: {stage.learning_rate:g}"
    if stage.layer_decay is not None:
        yield f"    layer_decay: {stage.layer_decay:g}  # of each encoder layer's rate, for the one before it"
