"""`easyseg evaluate`: measure a trained model on a dataset."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import easyseg
from easyseg.cli.datasets import known_of, open_dataset
from easyseg.cli.options import add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.cli.runs import name_chosen_run, resolve_last
from easyseg.cli.speaking import speaks
from easyseg.config import DataSettings, EvaluateSettings, ModelSettings, read_yaml
from easyseg.errors import CheckpointError, ConfigError, hint_wording
from easyseg.io.atomic import write_text

_EPILOG = """\
examples:
  easyseg evaluate runs/last
  easyseg evaluate runs/last --data data/camvid --split test --json camvid_test.json
  easyseg evaluate camvid.safetensors --data data/camvid

RUN is a run folder, a .safetensors file, or runs/last for the newest run. Without --data, the run's own dataset is
measured."""

_OF_THE_MODEL = ("device", "precision")
_IN_THE_MODEL = ("class_map", "ignore", "task", "value_range", "validation_fraction")
"""What values mean and how the images were parted stands in the model; how files are found, in the run's settings."""
_OF_THE_RUN = ("data", "validation", *(name for name in DataSettings.model_fields if name not in _IN_THE_MODEL))


def run(words: list[str]) -> int:
    """Evaluate, print the figures, and write them to a JSON file where one is asked for."""
    arguments = parser().parse(words)
    run_path = resolve_last(arguments.run)
    values = gather(vars(arguments), None, (ModelSettings, DataSettings, EvaluateSettings))
    model, settings = chosen(ModelSettings, values), chosen(EvaluateSettings, values)
    of_run = {} if "data" in values else _data_of_run(run_path)
    segmenter = easyseg.Segmenter.load(run_path, **model)
    wants_val = settings.get("split", "val") == "val"
    data = _read({**of_run, **values}, segmenter, wants_val=wants_val)
    if wants_val and "validation" in of_run and not isinstance(data, str):
        settings["split"] = "val" if "val" in data.splits() else "all"
    report = segmenter.evaluate(data, **settings)
    if not speaks():
        return 0
    name_chosen_run(arguments.run, run_path)
    sys.stdout.write(f"{hint_wording.get()(str(report))}\n")
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
    result.add_argument("--data", metavar="PATH", help="The dataset's folder.")
    result.add_argument("--json", metavar="FILE", help="Write the figures to this file, too.")
    add_settings(result, EvaluateSettings, "evaluation")
    add_settings(result, ModelSettings, "model", only=_OF_THE_MODEL)
    add_settings(result, DataSettings, "data, where it is not found out")
    return result


def _data_of_run(run_path: Path) -> dict[str, Any]:
    """Return where a run's data lie; what their values mean, and how they were parted, stands in its model."""
    if not run_path.exists():
        raise CheckpointError(f"There is no run folder or model file {str(run_path)!r}. Check the path.")
    folder = run_path if run_path.is_dir() else run_path.parent
    config_file = folder / "config.yaml"
    known = read_yaml(config_file) if config_file.is_file() else {}
    if "data" not in known:
        raise ConfigError(f"Nothing says which dataset {run_path} should be measured on. Type: --data FOLDER")
    return {name: value for name, value in known.items() if name in _OF_THE_RUN and value is not None}


def _read(values: Mapping[str, Any], segmenter: easyseg.Segmenter, *, wants_val: bool) -> str | easyseg.Dataset:
    """Return the data; the folder that the run validated on where it had one and validation images are wanted."""
    given = chosen(DataSettings, values)
    known: dict[str, Any] = {"class_map": segmenter.class_map, "seed": segmenter.settings.seed}
    if given.keys() & {"class_map", "ignore", "task"}:
        # these files hold other values than the training's, yet the same classes in the same order
        known = {"classes": segmenter.classes, "seed": segmenter.settings.seed}
    known |= known_of(segmenter)
    if "validation" not in values:
        return open_dataset(values["data"], given, known)
    known["validation_fraction"] = 0.0  # nothing was put aside
    if not wants_val:
        return easyseg.load_dataset(values["data"], **{**known, **given})
    of_data = ("format", "images", "masks")  # these speak of the files below `data`
    given = {name: value for name, value in given.items() if name not in of_data}
    return easyseg.load_dataset(values["validation"], **{**known, **given})
