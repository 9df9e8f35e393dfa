"""`easyseg predict`: segment images and save the pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import easyseg
from easyseg.cli.options import add_settings, chosen, gather
from easyseg.cli.parser import Parser
from easyseg.cli.prediction_table import PredictionTable, open_table
from easyseg.cli.runs import name_chosen_run, resolve_last
from easyseg.cli.speaking import speaks
from easyseg.config import ModelSettings, PredictSettings
from easyseg.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from easyseg.results.semantic import PlotKind
    from easyseg.segmenter.tasks import AnyResult

_EPILOG = """\
examples:
  easyseg predict runs/last --source street.jpg --to pictures
  easyseg predict runs/last --source "photos/*.jpg" --to masks --kind mask
  easyseg predict runs/last --source photos --to pictures --table counts.csv

RUN is a run folder, a .safetensors file, or runs/last for the newest run. SOURCE is an image, a folder, or a pattern in
quotes. Pictures are PNG files under the images' names; "mask" writes class ids, which a
viewer shows in the classes' colours."""

_OF_THE_MODEL = ("device", "precision")


def run(words: list[str]) -> int:
    """Predict image after image and save a picture of each."""
    arguments = parser().parse(words)
    values = gather(vars(arguments), None, (ModelSettings, PredictSettings))
    model, predict = chosen(ModelSettings, values), chosen(PredictSettings, values)
    names = PictureNames(arguments.source, arguments.to, overwrite=arguments.overwrite)
    run_path = resolve_last(arguments.run)
    segmenter = easyseg.Segmenter.load(run_path, **model)
    place_of = _shared_names(names, arguments.source, recursive=predict.get("recursive", True))
    if speaks():
        name_chosen_run(arguments.run, run_path)
    begun = time.perf_counter()
    with open_table(arguments.table, overwrite=arguments.overwrite) as table:
        results = segmenter.predict(arguments.source, **predict)
        saved = save_pictures(results, place_of, kind=arguments.kind, legend=arguments.legend, table=table)
    seconds = time.perf_counter() - begun
    sys.stdout.write(f"{saved.words()} in {arguments.to}\n")
    timing = getattr(results, "timing", None)  # a single image has none: it is hardly more than the start
    if timing is not None:
        from easyseg.results.words import timing_line  # loads torch, which is loaded by now

        line = timing_line(saved.pictures, seconds, timing, rest="drawing and saving")
        sys.stdout.write(f"{line}\n")
    return 0


def _shared_names(names: PictureNames, source: str, *, recursive: bool) -> Callable[[Path], Path]:
    """Return what tells where the picture of an image goes.

    Where several processes share the images, each must know the names that the others take: all are given out first.
    """
    from easyseg.devices import process_numbers  # these load torch, which is loaded by now
    from easyseg.prediction.sources import find_sources

    numbers = process_numbers()
    if numbers.size == 1:
        return names.of
    places: dict[Path, Path] = {}
    for index, image in enumerate(found.path for found in find_sources(source, recursive=recursive)):
        if image is None:
            continue
        if index % numbers.size == numbers.rank:
            places[image] = names.of(image)
        else:
            names.leave_out(image)
    return places.__getitem__


@dataclass
class Saved:
    """What was saved.

    Attributes:
        pictures: how many.
        objects: how many objects were found on them; None where nobody looked for single objects.
    """

    pictures: int = 0
    objects: int | None = None

    def words(self) -> str:
        """Return it in words."""
        from easyseg.results.words import counted  # loads torch, which is loaded by now

        found = "" if self.objects is None else f" with {counted(self.objects, 'object')}"
        return f"{counted(self.pictures, 'picture')}{found}"


def save_pictures(
    results: AnyResult | Iterable[AnyResult],
    place_of: Callable[[Path], Path],
    *,
    kind: PlotKind,
    legend: bool = False,
    table: PredictionTable | None = None,
) -> Saved:
    """Save a picture of each result as it comes, so memory stays bounded; return how many there were.

    Args:
        results: of the predictions.
        place_of: tells where the picture of an image goes.
        kind: what to draw.
        legend: add the names of the classes.
        table: gets what was found on each.

    Raises:
        ConfigError: a legend is wanted of objects.
    """
    saved = Saved()
    from easyseg.results import InstanceResult, SemanticResult  # load torch, which is loaded by now

    for result in [results] if isinstance(results, (SemanticResult, InstanceResult)) else results:
        place = place_of(result.path or Path(result.name))
        if isinstance(result, InstanceResult):
            if legend:
                raise ConfigError(
                    "--legend is for masks of classes; objects have their names beside them. Leave it out."
                )
            result.save(place, kind=kind)
            saved.objects = (saved.objects or 0) + len(result)
        else:
            result.save(place, kind=kind, legend=legend)
        if table is not None:
            table.add(result)
        saved.pictures += 1
    return saved


class PictureNames:
    """Finds a name for the picture of each image; nothing that was there before is written over unasked.

    Args:
        source: what is predicted on; below a folder, its inner folders are kept.
        target: the folder for the pictures.
        overwrite: replace files of these names; an image that is predicted on is never replaced.

    Raises:
        OutputError: the pictures would go in between the images.
    """

    def __init__(self, source: str | Path, target: str | Path, *, overwrite: bool = False) -> None:
        self._root = Path(source)
        self._target = Path(target)
        self._overwrite = overwrite
        self._taken: set[Path] = set()
        inside = self._target.resolve()
        if self._root.is_dir() and self._root.resolve() in (inside, *inside.parents):
            raise self._mixed(self._root.resolve())

    def of(self, image: Path) -> Path:
        """Return where the picture of an image goes.

        Raises:
            OutputError: a file lies there already, or it would lie among the images.
        """
        candidate = self._free_name(image)
        if not self._root.is_file() and candidate.parent.resolve() == image.parent.resolve():
            raise self._mixed(image.parent.resolve())
        if candidate.exists() and candidate.samefile(image):
            raise OutputError(f"The picture of {image} would replace the image itself. Type another folder after --to.")
        if candidate.exists() and not self._overwrite:
            raise OutputError(
                f"{candidate} exists already, and nothing is replaced unasked. Type another folder after --to; or add "
                "--overwrite if files of these names may go."
            )
        self._taken.add(candidate)
        return candidate

    def leave_out(self, image: Path) -> None:
        """Give the name that this image would get to no other; another process makes its picture."""
        self._taken.add(self._free_name(image))

    def _free_name(self, image: Path) -> Path:
        relative = image.relative_to(self._root) if self._root in image.parents else Path(image.name)
        candidate = self._target / relative.with_suffix(".png")
        number = 2
        while candidate in self._taken:  # a.jpg and a.tif, or a.jpg of two folders
            candidate = self._target / relative.with_name(f"{relative.stem}_{number}.png")
            number += 1
        return candidate

    def _mixed(self, folder: Path) -> OutputError:
        return OutputError(
            f"--to {self._target} lies among the images of --source {self._root}, and pictures are never mixed with "
            f"them. Type another folder, such as --to {folder.name}_pictures"
        )


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
    result.add_argument(
        "--table", metavar="FILE", help="Also write a CSV file: each object's box and area, or each class's pixels."
    )
    result.add_argument("--overwrite", action="store_true", help="Replace files that are there already.")
    add_settings(result, PredictSettings, "prediction")
    add_settings(result, ModelSettings, "model", only=_OF_THE_MODEL)
    return result
