"""What was found on the images of a prediction, as a table for spreadsheets and scripts."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyseg.errors import ConfigError, OutputError
from easyseg.io.atomic import atomic_path

if TYPE_CHECKING:
    from easyseg.segmenter.tasks import AnyResult

_OF_OBJECTS = ("image", "class", "score", "x1", "y1", "x2", "y2", "area")
_OF_CLASSES = ("image", "class", "pixels", "share")


class PredictionTable:
    """Writes rows as results come: of each object its box and area, or of each class how many pixels it covers.

    Areas and pixels are those of the image's original size; the area of an object of which only the box was found is
    left empty. An image without objects has a row without a class, so that it is counted, too.

    Args:
        file: an open text file.
    """

    def __init__(self, file: Any) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._has_head = False

    def add(self, result: AnyResult) -> None:
        """Write the rows of an image."""
        from easyseg.results import InstanceResult  # loads torch, which is loaded by now

        image = str(result.path or result.name)
        if isinstance(result, InstanceResult):
            self._head(_OF_OBJECTS)
            for one in result:
                area = one.area if result.has_masks else ""
                box = (f"{side:.2f}" for side in one.box)
                self._writer.writerow([image, one.class_name, f"{one.score:.4f}", *box, area])
            if not len(result):
                self._writer.writerow([image] + [""] * (len(_OF_OBJECTS) - 1))
            return
        self._head(_OF_CLASSES)
        whole = result.mask.shape[-2] * result.mask.shape[-1]
        for name, pixels in result.areas().items():
            self._writer.writerow([image, name, pixels, f"{pixels / whole:.6f}"])

    def _head(self, columns: tuple[str, ...]) -> None:
        if not self._has_head:
            self._writer.writerow(columns)
            self._has_head = True


@contextmanager
def open_table(path: str | None, *, overwrite: bool) -> Iterator[PredictionTable | None]:
    """Give a table that lies at `path` once all is written; None where no table is wanted.

    Raises:
        ConfigError: several processes share the images.
        OutputError: a file lies there, or it cannot be written.
    """
    if path is None:
        yield None
        return
    from easyseg.devices import process_numbers  # loads torch, which is loaded by now

    if process_numbers().size > 1:
        raise ConfigError("--table is for one process, and several share the images here. Start one, or leave it out.")
    target = Path(path)
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already, and nothing is replaced unasked. Add --overwrite if it may go.")
    with atomic_path(target) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        yield PredictionTable(file)
