"""`easyseg predict`: segment images and save the pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import easyseg
from easyseg.cli.options import add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.cli.runs import resolve_last
from easyseg.config import ModelSettings, PredictSettings
from easyseg.errors import OutputError

if TYPE_CHECKING:
    from easyseg import SemanticResult
    from easyseg.results.semantic import PlotKind

_EPILOG = """\
examples:
  easyseg predict runs/last --source street.jpg --to pictures
  easyseg predict runs/last --source "photos/*.jpg" --to masks --kind mask

RUN is a run folder, a .safetensors file, or runs/last for the newest run. SOURCE is an image, a folder, or a pattern in
quotes. Pictures are PNG files under the images' names; "mask" writes class ids."""

_OF_THE_MODEL = ("device", "precision")


def run(words: list[str]) -> int:
    """Predict image after image and save a picture of each."""
    arguments = parser().parse(words)
    values = gather(vars(arguments), None, (ModelSettings, PredictSettings))
    model, predict = chosen(ModelSettings, values), chosen(PredictSettings, values)
    names = PictureNames(arguments.source, arguments.to)
    segmenter = easyseg.Segmenter.load(resolve_last(arguments.run), **model)
    count = save_pictures(
        segmenter.predict(arguments.source, **predict), names, kind=arguments.kind, legend=arguments.legend
    )
    sys.stdout.write(f"{count} picture{'s' if count != 1 else ''} in {arguments.to}\n")
    return 0


def save_pictures(
    results: SemanticResult | Iterable[SemanticResult], names: PictureNames, *, kind: PlotKind, legend: bool = False
) -> int:
    """Save a picture of each result as it comes, so memory stays bounded; return how many there were."""
    count = 0
    for result in results if isinstance(results, Iterable) else [results]:
        result.save(names.of(result.path or Path(result.name)), kind=kind, legend=legend)
        count += 1
    return count


class PictureNames:
    """Finds a free name for the picture of each image; images are never written over.

    Args:
        source: what is predicted on; below a folder, its inner folders are kept.
        target: the folder for the pictures.

    Raises:
        OutputError: the pictures would go in between the images.
    """

    def __init__(self, source: str | Path, target: str | Path) -> None:
        self._root = Path(source)
        self._target = Path(target)
        self._taken: set[Path] = set()
        inside = self._target.resolve()
        if self._root.is_dir() and self._root.resolve() in (inside, *inside.parents):
            raise OutputError(
                f"--to {target} lies among the images of --source {source}, and pictures are never mixed with them. "
                f"Type another folder, such as --to {self._root.resolve().name}_pictures"
            )

    def of(self, image: Path) -> Path:
        """Return where the picture of an image goes."""
        relative = image.relative_to(self._root) if self._root in image.parents else Path(image.name)
        candidate = self._target / relative.with_suffix(".png")
        number = 2
        while candidate in self._taken:  # a.jpg and a.tif, or a.jpg of two folders
            candidate = self._target / relative.with_name(f"{relative.stem}_{number}.png")
            number += 1
        if candidate.exists() and candidate.samefile(image):
            raise OutputError(f"The picture of {image} would replace the image itself. Type another folder after --to.")
        self._taken.add(candidate)
        return candidate


def parser() -> Parser:
    """Return the command's parser."""
    result = Parser(
        "easyseg predict",
        "RUN --source SOURCE --to FOLDER [--SETTING VALUE ...]",
        "Segment images and save the pictures.",
        _EPILOG,
    )
    result.add_argument("run", metavar="RUN", help="a run folder or a .safetensors file")
    result.add_argument("--source", metavar="SOURCE", required=True, help="An image, a folder, or a pattern.")
    result.add_argument(
        "--to", metavar="FOLDER", required=True, help="Where the pictures go; made where it is missing."
    )
    result.add_argument("--kind", choices=("overlay", "mask", "side_by_side"), default="overlay", help="What to draw.")
    result.add_argument("--legend", action="store_true", help="Add the names of the classes to the picture.")
    add_settings(result, PredictSettings, "prediction")
    add_settings(result, ModelSettings, "model", only=_OF_THE_MODEL)
    return result
