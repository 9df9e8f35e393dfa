"""`easyseg download`: fetch a part of a public dataset."""

from __future__ import annotations

import sys

from easyseg.cli.options import add_settings, chosen, read_value
from easyseg.cli.parser import Parser
from easyseg.config import DownloadSettings
from easyseg.errors import ConfigError, unknown_name

DATASETS = ("open-images",)

_EPILOG = """\
examples:
  easyseg download open-images --classes Cat Dog --split train --limit 500 --to data/pets
  easyseg download open-images --classes Cat Dog --split val --limit 100 --to data/pets
  easyseg train --data data/pets

A download that was interrupted goes on with the same command. A larger --limit adds images."""


def run(words: list[str]) -> int:
    """Fetch the images."""
    arguments = vars(parser().parse(words))
    if arguments["dataset"] not in DATASETS:
        raise unknown_name("dataset to download", arguments["dataset"], DATASETS)
    if arguments["to"] is None:
        raise ConfigError("Where is it to go? Type: easyseg download open-images ... --to FOLDER")
    from easyseg.data.download.open_images import download_open_images

    given = {name: value for name, value in arguments.items() if value is not None}
    if "classes" in given:  # "Cat Dog" and "Cat,Dog" alike
        given["classes"] = [name.strip() for text in given["classes"] for name in text.split(",") if name.strip()]
    if "limit" in given:
        given["limit"] = read_value(DownloadSettings, "limit", given["limit"])
    settings = DownloadSettings.of(chosen(DownloadSettings, given))
    done = download_open_images(arguments["to"], settings)
    lines = [f"{done.folder}: {done.num_images:,} images of the split {done.split!r} with {done.num_masks:,} masks"]
    if done.left_out:
        lines.append(
            f"Left out, because the server lacks the image or a mask of it: {len(done.left_out):,}, such as "
            f"{done.left_out[0]}"
        )
    lines.append(f"Next: easyseg train --data {done.folder}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg download",
        "open-images --classes NAME ... --to FOLDER [--split train|val|test] [--limit N|none]",
        "Fetch a part of a public dataset, as a folder that the other commands read.",
        _EPILOG,
    )
    result.add_argument("dataset", metavar="open-images", help="Open Images V7")
    result.add_argument("--to", metavar="FOLDER", help="where everything goes; nothing is written elsewhere")
    help_text = f"{DownloadSettings.help('classes')} (default: none)"
    result.add_argument("--classes", nargs="+", metavar="NAME", help=help_text)
    add_settings(result, DownloadSettings, "what is fetched", without=["classes"])
    return result
