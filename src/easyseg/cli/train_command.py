"""`easyseg train`: settings from YAML and flags, then `Segmenter.fit`."""

from __future__ import annotations

import sys

import easyseg
from easyseg.cli.datasets import known_of, open_dataset
from easyseg.cli.options import PATHS, add_settings, chosen, gather
from easyseg.cli.parser import Parser, without_flag
from easyseg.cli.runs import resolve_last
from easyseg.cli.speaking import together
from easyseg.cli.trial import TRIAL_EPOCHS, judge_trial, refuse_taken_folder, trial_settings
from easyseg.config import DataSettings, FitSettings, ModelSettings
from easyseg.errors import ConfigError

_EPILOG = """\
examples:
  easyseg train --data data/camvid --model unet --encoder resnet50 --epochs 60
  easyseg train --data scans --class-map membrane=0 --image-size 256,256 --augment medical --ema
  easyseg train config.yaml --epochs 3
  easyseg train config.yaml --dry-run
  easyseg train config.yaml --devices 4

CONFIG is a YAML file with the same names as the flags (data: data/camvid, image_size: [256, 256], ...); every run
folder has one. Flags overrule it. Relative paths count from the folder you are in, not from the file's folder."""


def run(words: list[str]) -> int:
    """Train, and leave everything in a run folder."""
    arguments = parser().parse(words)
    config_file = resolve_last(arguments.config) if arguments.config else None
    values = gather(vars(arguments), config_file, (ModelSettings, DataSettings, FitSettings))
    if values.get("data") is None:
        raise ConfigError(
            "No dataset given. Type: easyseg train --data FOLDER, or put a line 'data: FOLDER' into YAML."
        )
    model, fit, data = (chosen(group, values) for group in (ModelSettings, FitSettings, DataSettings))
    if arguments.devices != "1":
        return _on_many(words, arguments.devices, str(model.get("device", "auto")))
    if arguments.dry_run:
        refuse_taken_folder(fit.get("run_dir"))
        fit |= trial_settings(fit)
        sys.stderr.write(f"A trial: {TRIAL_EPOCHS} steps on the images of one batch, in place of the whole training.\n")
    known = {name: value for name, value in model.items() if name in ("classes", "seed")}
    segmenter = easyseg.Segmenter(**model)
    with together(str(model.get("device", "auto"))):
        # the other folder is read by its path alone, with the classes found here: flags speak of the first one's files
        known |= known_of(segmenter)
        history = segmenter.fit(open_dataset(values["data"], data, known), validation=values.get("validation"), **fit)
    return judge_trial(history) if arguments.dry_run else 0


def _on_many(words: list[str], devices: str, device: str) -> int:
    """Start a process for each device, which does what these words say, and return their exit status."""
    from easyseg.training.launching import launch  # loads torch, which help and mistakes need not wait for

    if not devices.isdigit() or not int(devices):
        raise ConfigError(f"--devices is {devices!r}; a number of devices belongs there, such as --devices 4.")
    return launch(["train", *without_flag(words, "--devices")], devices=int(devices), device=device)


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg train",
        "[CONFIG] [--data PATH] [--SETTING VALUE ...]",
        "Train a model on a folder of images and masks.",
        _EPILOG,
    )
    result.add_argument("config", nargs="?", metavar="CONFIG", help="a YAML file of settings")
    result.add_argument(
        "--dry-run", dest="dry_run", action="store_true", help="prove in seconds that everything works; keep nothing"
    )
    result.add_argument(
        "--devices", metavar="INTEGER", default="1", help="train on so many GPUs of this machine (default: 1)"
    )
    paths = result.add_argument_group("data")
    for name, help_text in PATHS.items():
        paths.add_argument(f"--{name}", metavar="PATH", help=help_text)
    add_settings(result, DataSettings, "data, where it is not found out")
    add_settings(result, ModelSettings, "model")
    add_settings(result, FitSettings, "training")
    return result
