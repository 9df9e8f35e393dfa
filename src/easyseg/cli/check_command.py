"""`easyseg check`: find what is wrong with a dataset before a training does."""

from __future__ import annotations

import sys

from easyseg.cli.options import add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.config import CheckSettings, DataSettings, ModelSettings
from easyseg.errors import hint_wording
from easyseg.io.atomic import write_text

_EPILOG = """\
examples:
  easyseg check data/camvid
  easyseg check data/camvid --ignore 11 --html camvid.html
  easyseg check data/rooftops --instances --image-size 640
  easyseg check data/camvid && easyseg train --data data/camvid

Nothing is changed in the dataset. Exit code: 0 healthy, 1 something to mend, 2 no dataset, or a wrong argument."""

_OF_THE_MODEL = ("classes", "seed")
NOT_HEALTHY = 1


def run(words: list[str]) -> int:
    """Check a dataset, print the verdict, and write a report where one is asked for."""
    arguments = parser().parse(words)
    values = gather(vars(arguments), None, (CheckSettings, DataSettings, ModelSettings))
    settings = CheckSettings.of(chosen(CheckSettings, values))
    of_model = {name: values[name] for name in _OF_THE_MODEL if name in values}
    given = {**chosen(DataSettings, values), **chosen(ModelSettings, of_model)}
    from easyseg.data.check.doctor import examine_folder  # loads OpenCV, which `--help` need not wait for

    checkup = examine_folder(arguments.path, given, settings, html=arguments.html)
    sys.stdout.write(f"{hint_wording.get()(str(checkup))}\n")
    if arguments.html:
        sys.stdout.write(f"Report: {arguments.html}\n")
    if arguments.json:
        write_text(arguments.json, checkup.to_json() + "\n")
    return 0 if checkup.is_healthy else NOT_HEALTHY


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg check",
        "PATH [--html FILE] [--SETTING VALUE ...]",
        "Find what is wrong with a dataset before a training does.",
        _EPILOG,
    )
    result.add_argument("path", metavar="PATH", help="the dataset's folder")
    result.add_argument("--html", metavar="FILE", help="Write a report with pictures of the worst cases.")
    result.add_argument("--json", metavar="FILE", help="Write the findings to this file, too.")
    add_settings(result, CheckSettings, "checkup")
    add_settings(result, DataSettings, "data, where it is not found out")
    add_settings(result, ModelSettings, "classes", only=_OF_THE_MODEL)
    return result
