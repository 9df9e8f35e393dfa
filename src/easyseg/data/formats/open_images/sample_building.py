"""Building one sample of Open Images when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.open_images.file_table import FoundFiles
from easyseg.data.formats.open_images.mask_index import MaskIndex
from easyseg.structures import LabelledObject, MaskPart, Polygons, Sample

_VOID = "__ignore__"
_EVERYWHERE = Polygons(((np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),),), is_relative=True)


@dataclass(frozen=True, slots=True, eq=False)
class TableOfImages:
    """A table of masks with the files it names.

    Attributes:
        path: the CSV file.
        index: what it says.
        titles: what each of its labels is called.
        wanted: (labels,) bool, those that count.
        image_files: (I,) int64, the number of each image's file, -1 where it is not there.
        mask_files: (M,) int64, likewise of the masks.
    """

    path: Path
    index: MaskIndex
    titles: tuple[str, ...]
    wanted: npt.NDArray[np.bool_]
    image_files: npt.NDArray[np.int64]
    mask_files: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SampleBuilder:
    """Returns the sample of a number, 0..N-1; it can be sent to another process.

    Attributes:
        source_format: the format's name.
        tables: the tables of masks.
        files: the files below the dataset's folder.
        table_ids: (N,) uint8, the table of each sample.
        images: (N,) int64, its image in that table.
        is_verified: pixels outside of all masks are background; else they do not count.
    """

    source_format: str
    tables: tuple[TableOfImages, ...]
    files: FoundFiles
    table_ids: npt.NDArray[np.uint8]
    images: npt.NDArray[np.int64]
    is_verified: bool

    def __call__(self, number: int) -> Sample:
        """Build a sample; its files are named, and not read."""
        table, image = self.tables[self.table_ids[number]], int(self.images[number])
        path = self.files.by_stem.path(int(table.image_files[image]))
        masks = [mask for mask in table.index.masks_of(image) if table.wanted[table.index.label_ids[mask]]]
        objects = [self._object(table, mask) for mask in drawing_order(table.index, masks)]
        if not self.is_verified:
            objects.insert(0, LabelledObject(_VOID, _EVERYWHERE))
        return Sample(path, objects=tuple(objects), source_format=self.source_format)

    def _object(self, table: TableOfImages, mask: int) -> LabelledObject:
        source = self.files.by_name.file(int(table.mask_files[mask]))
        return LabelledObject(table.titles[table.index.label_ids[mask]], MaskPart(source, is_scaled=True))


def drawing_order(index: MaskIndex, masks: list[int]) -> list[int]:
    """Return masks of an image in the order they are drawn: the largest box first, so that the smaller ones stay seen.

    Equal ones, and all where a box is not known, keep the order of their rows.
    """
    boxes = index.boxes[masks].astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if not np.isfinite(areas).all():
        return masks
    return [masks[at] for at in np.argsort(-areas, kind="stable").tolist()]
