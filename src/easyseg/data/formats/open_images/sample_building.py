"""Building one sample of Open Images when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.open_images.file_table import Files
from easyseg.data.formats.open_images.mask_index import MaskIndex
from easyseg.structures import LabelledObject, MaskPart, Polygons, Sample

_VOID = "__ignore__"
_EVERYWHERE = Polygons(((np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),),), is_relative=True)


@dataclass(frozen=True, slots=True, eq=False)
class ImagesOfTable:
    """The images that are read of one table, with the masks that count.

    Attributes:
        index: what the table says of them.
        titles: what each of its labels is called.
        image_files: (I) their files.
        mask_files: (M) the files of their masks.
    """

    index: MaskIndex
    titles: tuple[str, ...]
    image_files: Files
    mask_files: Files


@dataclass(frozen=True, slots=True, eq=False)
class SampleBuilder:
    """Returns the sample of a number, 0..N-1; it can be sent to another process.

    Attributes:
        source_format: the format's name.
        tables: the images of each table, one table after the other.
        starts: (tables,) int64, the number of each table's first sample.
        is_verified: pixels outside of all masks are background; else they do not count.
    """

    source_format: str
    tables: tuple[ImagesOfTable, ...]
    starts: npt.NDArray[np.int64]
    is_verified: bool

    def __call__(self, number: int) -> Sample:
        """Build a sample; its files are named, and not read."""
        at = int(np.searchsorted(self.starts, number, side="right")) - 1
        table, image = self.tables[at], number - int(self.starts[at])
        objects = [self._object(table, mask) for mask in drawing_order(table.index, image)]
        if not self.is_verified:
            objects.insert(0, LabelledObject(_VOID, _EVERYWHERE))
        return Sample(table.image_files.path(image), objects=tuple(objects), source_format=self.source_format)

    def _object(self, table: ImagesOfTable, mask: int) -> LabelledObject:
        title = table.titles[table.index.label_ids[mask]]
        return LabelledObject(title, MaskPart(table.mask_files[mask], is_scaled=True))


def drawing_order(index: MaskIndex, image: int) -> list[int]:
    """Return an image's masks in the order they are drawn: the largest box first, so that the smaller ones stay seen.

    Equal ones, and all where a box is not known, keep the order of their rows.
    """
    masks = index.masks_of(image)
    boxes = index.boxes[masks.start : masks.stop].astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if not np.isfinite(areas).all():
        return list(masks)
    return [masks[at] for at in np.argsort(-areas, kind="stable").tolist()]
