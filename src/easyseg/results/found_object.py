"""One of the objects of an `InstanceResult`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.errors import OutputError
from easyseg.geometry import BoolMask, Box, Polygon, RunLengths, mask_to_polygons


@dataclass(frozen=True, slots=True, eq=False)
class FoundObject:
    """One object in an image.

    Attributes:
        class_name: what it is.
        class_id: the place of that in the result's `class_names`.
        score: how certain the model is, in 0..1.
        box: x1, y1, x2, y2 in pixels of the image.
        run_lengths: its mask; None where only boxes were found.
    """

    class_name: str
    class_id: int
    score: float
    box: Box
    run_lengths: RunLengths | None = None

    def __repr__(self) -> str:
        x1, y1, x2, y2 = self.box
        area = f", {self.area} pixels" if self.run_lengths is not None else ""
        return f"FoundObject({self.class_name} {self.score:.2f}{area}, box {x1:.0f} {y1:.0f} {x2:.0f} {y2:.0f})"

    @property
    def mask(self) -> npt.NDArray[np.uint8]:
        """(H, W) uint8 of the image's size, 1 where the object is and 0 elsewhere; made anew each time."""
        return self._known().to_mask().view(np.uint8)

    @property
    def area(self) -> int:
        """How many pixels it covers."""
        return self._known().area

    def patch(self) -> tuple[BoolMask, tuple[int, int]]:
        """Return its mask as far as it reaches, (h, w) bool, and the column and row of the image where that begins."""
        return self._known().to_patch()

    def polygons(self) -> list[Polygon]:
        """Return its outlines along the pixels' edges, holes included: one for each of its separate parts."""
        patch, corner_xy = self.patch()
        return [
            Polygon(polygon.exterior + corner_xy, tuple(hole + corner_xy for hole in polygon.holes))
            for polygon in mask_to_polygons(patch)
        ]

    def _known(self) -> RunLengths:
        if self.run_lengths is None:
            raise OutputError(
                "Only the boxes of the objects were found, not which pixels they cover. Look at result.boxes, or train "
                "a model that finds masks: Segmenter('mask_rcnn', ...)."
            )
        return self.run_lengths
