"""Where the checks find masks: in files, in arrays, and drawn from the objects of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.data.classes.mask_values import load_mask, mask_sources
from easyseg.data.targets import read_target
from easyseg.io.image_sources import source_numbers, source_size
from easyseg.io.images import RawMask
from easyseg.structures import IGNORE_INDEX, ClassMap, ImageSource, MaskArray, Sample


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMask:
    """The mask that the objects of an image draw; its values are class ids.

    Attributes:
        sample: the image with its objects.
        class_map: the class of each object.
        plane: for the multilabel task, the class whose mask it is.
    """

    sample: Sample
    class_map: ClassMap
    plane: int | None = None

    def read(self) -> RawMask:
        """Draw it.

        Raises:
            SampleError: an object is malformed or of a class that there is not, or the image cannot be read.
        """
        ids = _drawn(self.sample, self.class_map)
        return RawMask(ids if self.plane is None else np.ascontiguousarray(ids[..., self.plane]), "grey")


@lru_cache(maxsize=16)
def _drawn(sample: Sample, class_map: ClassMap) -> MaskArray:
    """Draw all classes of an image at once; one after the other asks for its own."""
    image = sample.image
    size_hw = image.shape[:2] if isinstance(image, np.ndarray) else source_size(image)
    return read_target(sample, class_map, (size_hw[0], size_hw[1]))


MaskSource: TypeAlias = Path | npt.NDArray[Any] | DrawnMask


def sources_of(sample: Sample, class_map: ClassMap | None) -> tuple[MaskSource, ...]:
    """Return the masks of an image, none where it is not annotated.

    Args:
        sample: the image.
        class_map: of the dataset, as it was read; without one, objects are not drawn.
    """
    files = mask_sources(sample)
    if files or sample.objects is None or class_map is None:
        return files
    if class_map.task != "multilabel":
        return (DrawnMask(sample, class_map),)
    return tuple(DrawnMask(sample, class_map, plane) for plane in range(class_map.num_classes))


def map_of_drawn(class_map: ClassMap) -> ClassMap:
    """Return what the values in drawn masks mean; of a map of values or colours, that map itself."""
    if class_map.encoding != "names":
        return class_map
    values = tuple(range(class_map.num_classes)) if class_map.task == "multiclass" else (1,)
    return ClassMap(class_map.task, class_map.names, values=values, ignored=(IGNORE_INDEX,), colors=class_map.colors)


def read_any_mask(source: MaskSource) -> RawMask:
    """Return a mask's values, wherever they come from.

    Raises:
        SampleError: it cannot be read.
    """
    return source.read() if isinstance(source, DrawnMask) else load_mask(source)


def read_any_numbers(source: ImageSource) -> npt.NDArray[Any]:
    """Return an image's numbers as they are stored, (H, W) or (H, W, bands) of any type, wherever it lies.

    Raises:
        SampleError: it cannot be read.
    """
    return source if isinstance(source, np.ndarray) else source_numbers(source)
