"""`easyseg stages`: a training in stages for a model, as a YAML file that `easyseg train` takes."""

from __future__ import annotations

import sys

from easyseg.cli.parser import Parser
from easyseg.config import FitSettings, ModelSettings

_EPILOG = """\
examples:
  easyseg stages unet resnet50 > stages.yaml
  easyseg train stages.yaml --data data/camvid

The file names the parts that this model really has, with their parameters. Change it as you like: titles, parts,
epochs, learning rates; a stage takes schedule, step_size, layer_decay, patience, batch_size and restore_best, too."""


def run(words: list[str]) -> int:
    """Print the file."""
    arguments = parser().parse(words)
    # both load torch, which `--help` need not wait for
    from easyseg.segmenter.building import build_model
    from easyseg.training.stage_file import stage_file

    settings = ModelSettings.of({"model": arguments.model, "encoder": arguments.encoder})
    epochs = FitSettings.of({"epochs": arguments.epochs}).epochs
    model = build_model(settings, num_classes=1, weights=None)
    sys.stdout.write(stage_file(model, names=(model.model_name, model.encoder_name), epochs=epochs))
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg stages", "MODEL ENCODER [--epochs N]", "Write a YAML file that trains a model in stages.", _EPILOG
    )
    result.add_argument("model", metavar="MODEL", help="architecture; see easyseg list models")
    result.add_argument("encoder", metavar="ENCODER", help="backbone; see easyseg list encoders")
    result.add_argument("--epochs", metavar="N", default=50, help="epochs of all stages together (default: 50)")
    return result
