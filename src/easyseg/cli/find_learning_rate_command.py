"""`easyseg find-learning-rate`: a sweep over learning rates, its suggestion and its plot."""

from __future__ import annotations

import sys

import easyseg
from easyseg.cli.datasets import known_of, open_dataset
from easyseg.cli.options import PATHS, add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.cli.runs import resolve_last
from easyseg.config import DataSettings, FitSettings, ModelSettings, RateFinderSettings
from easyseg.errors import ConfigError

_EPILOG = """\
examples:
  easyseg find-learning-rate --data data/camvid --model unet --encoder resnet50
  easyseg find-learning-rate config.yaml --plot rates.png

CONFIG is a YAML file for `easyseg train`. Model, data, batch size, loss, optimizer, augmentation, class weights,
workers and frozen parts are taken from it."""

_PLOT = "learning_rates.png"


def run(words: list[str]) -> int:
    """Sweep, print the suggestion, and save the plot."""
    arguments = parser().parse(words)
    config_file = resolve_last(arguments.config) if arguments.config else None
    groups = (ModelSettings, DataSettings, RateFinderSettings, FitSettings)
    values = gather(vars(arguments), config_file, groups)
    if values.get("data") is None:
        raise ConfigError(
            "No dataset given. Type: easyseg find-learning-rate --data FOLDER, or put a line 'data: FOLDER' into YAML."
        )
    model, sweep, data = (chosen(group, values) for group in (ModelSettings, RateFinderSettings, DataSettings))
    known = {name: value for name, value in model.items() if name in ("classes", "seed")}
    segmenter = easyseg.Segmenter(**model)
    if values.get("freeze"):
        segmenter.freeze(FitSettings.of({"freeze": values["freeze"]}).freeze or ())
    known |= known_of(segmenter)
    curve = segmenter.find_learning_rate(open_dataset(values["data"], data, known), **sweep)
    curve.plot(arguments.plot)
    sys.stdout.write(f"{curve}\nPlot: {arguments.plot}\n")
    if curve.suggestion is not None and values.get("stages"):
        sys.stdout.write(f"Use it as lr of the first stage: {curve.suggestion:.2g}\n")
    elif curve.suggestion is not None:
        sys.stdout.write(f"Use it with: easyseg train --learning-rate {curve.suggestion:.2g} ...\n")
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg find-learning-rate",
        "[CONFIG] [--data PATH] [--SETTING VALUE ...]",
        "Find a good learning rate: train for a moment while it rises, and look where the loss falls.",
        _EPILOG,
    )
    result.add_argument("config", nargs="?", metavar="CONFIG", help="a YAML file of settings")
    result.add_argument("--data", metavar="PATH", help=PATHS["data"])
    result.add_argument("--plot", metavar="FILE", default=_PLOT, help=f"Picture of the sweep (default: {_PLOT})")
    add_settings(result, RateFinderSettings, "sweep")
    add_settings(result, DataSettings, "data, where it is not found out")
    add_settings(result, ModelSettings, "model")
    return result
