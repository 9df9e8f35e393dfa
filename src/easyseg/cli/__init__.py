"""The command line: shell words and YAML become calls of `Segmenter`, nothing more.

This module is all that `easyseg --help` loads. Each command lives in a module of its own, which is imported when the
command is used; torch is loaded when a command really starts to work.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from easyseg import __version__
from easyseg.cli.parser import Parser
from easyseg.errors import ConfigError, EasySegError, hint_wording, unknown_name

USAGE_ERROR = 2
INTERRUPTED = 130

COMMANDS = {
    "check": "find what is wrong with a dataset before a training does",
    "train": "train a model on a folder of images and masks",
    "evaluate": "measure a trained model on a dataset",
    "predict": "segment images and save the pictures",
    "find-learning-rate": "find a good learning rate before training",
    "download": "fetch a part of Open Images, with masks",
    "stages": "write a YAML file that trains a model in stages",
    "list": "show the models and encoders there are",
    "demo": "see it work: draw a dataset, train, evaluate, predict (about a minute)",
}

_EPILOG = """\
examples:
  easyseg demo
  easyseg check data/camvid --html checkup.html
  easyseg train --data data/camvid --model unet --encoder resnet50 --epochs 60
  easyseg train runs/last/config.yaml --epochs 3 --run-dir runs/again
  easyseg evaluate runs/last --data data/camvid --split test
  easyseg predict runs/last --source "photos/*.jpg" --to pictures
  easyseg stages unet resnet50 > stages.yaml
  easyseg list encoders "resnet*"
  easyseg download open-images --classes Cat Dog --limit 500 --to data/pets

`easyseg COMMAND --help` shows every setting of a command with its default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    It is 0 for success, 1 for a dataset that is not healthy, 2 for an error the user can mend, 130 when interrupted.

    Args:
        arguments: the words after the program's name; None: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    before = hint_wording.set(_as_typed)
    try:
        return _run([word for word in words if word != "--debug"])
    except EasySegError as error:
        if debug:
            raise
        if error.is_told:
            return USAGE_ERROR
        sys.stderr.write(f"easyseg: {_as_typed(str(error))}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("\neasyseg: interrupted.\n")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader, such as `head`, went away; without this, Python complains once more while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        hint_wording.reset(before)


def _as_typed(text: str) -> str:
    from easyseg.cli.wording import as_typed  # loads pydantic, which `--help` need not wait for

    return as_typed(text)


def _run(words: list[str]) -> int:
    name = words[0] if words else "--help"
    if name.startswith("-"):
        _top_parser().parse(words or [name])
        raise ConfigError("No command given. Type: easyseg --help")
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    command = importlib.import_module(f"easyseg.cli.{name.replace('-', '_')}_command")
    code: int = command.run(words[1:])
    return code


def _top_parser() -> Parser:
    width = 2 + max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}{summary}" for name, summary in COMMANDS.items())
    description = f"Train, check and use image segmentation models.\n\ncommands:\n{listed}"
    parser = Parser("easyseg", "COMMAND ...", description, _EPILOG)
    parser.add_argument("--version", action="version", version=f"easyseg {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error comes from")
    return parser
