"""`easyseg evaluate`: measure a trained model on a dataset."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import easyseg
from easyseg.cli.datasets import open_dataset
from easyseg.cli.options import add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.cli.runs import resolve_last
from easyseg.config import DataSettings, EvaluateSettings, ModelSettings, read_yaml
from easyseg.errors import ConfigError
from easyseg.io.atomic import write_text

_EPILOG = """\
examples:
  easyseg evaluate runs/last
  easyseg evaluate runs/last --data data/camvid --split test --json camvid_test.json
  easyseg evaluate camvid.safetensors --data data/camvid

RUN is a run folder, a .safetensors file, or runs/last for the newest run. Without --data, the run's own dataset is
measured."""

_OF_THE_MODEL = ("device", "precision")
_OF_THE_DATA = ("data", *DataSettings.model_fields)


def run(words: list[str]) -> int:
    """Evaluate, print the figures, and write them to a JSON file where one is asked for."""
    arguments = parser().parse(words)
    run_path = resolve_last(arguments.run)
    values = gather(vars(arguments), None, (ModelSettings, DataSettings, EvaluateSettings))
    if "data" not in values:
        values = {**_data_of_run(run_path), **values}
    model, data = chosen(ModelSettings, values), chosen(DataSettings, values)
    segmenter = easyseg.Segmenter.load(run_path, **model)
    known = {"class_map": segmenter.class_map, "seed": segmenter.settings.seed}
    settings = chosen(EvaluateSettings, values)
    report = segmenter.evaluate(open_dataset(values["data"], data, known), **settings)
    sys.stdout.write(f"{report}\n")
    if arguments.json:
        write_text(arguments.json, report.to_json() + "\n")
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg evaluate",
        "RUN [--data PATH] [--split SPLIT] [--SETTING VALUE ...]",
        "Measure a trained model on a dataset.",
        _EPILOG,
    )
    result.add_argument("run", metavar="RUN", help="a run folder or a .safetensors file")
    result.add_argument("--data", metavar="PATH", help="The dataset's folder or list file.")
    result.add_argument("--json", metavar="FILE", help="Write the figures to this file, too.")
    add_settings(result, EvaluateSettings, "evaluation")
    add_settings(result, ModelSettings, "model", only=_OF_THE_MODEL)
    add_settings(result, DataSettings, "data, where it is not found out")
    return result


def _data_of_run(run_path: Path) -> dict[str, Any]:
    config_file = run_path / "config.yaml"
    known = read_yaml(config_file) if config_file.is_file() else {}
    if "data" not in known:
        raise ConfigError(f"Nothing says which dataset {run_path} should be measured on. Type: --data FOLDER")
    return {name: value for name, value in known.items() if name in _OF_THE_DATA}
