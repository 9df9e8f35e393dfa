"""How large and how many the objects of a training split are, on the canvas: what a detector is set up by.

One pass that reads the sizes of images and as few pixels as possible: boxes come from outlines and run lengths as they
are. Only objects in masks, and those that may cover no pixel at all, are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easyseg.data.dataset import Dataset
from easyseg.data.objects.canvas_objects import boxes_of, to_canvas
from easyseg.data.objects.drawing import DrawnObject, with_places
from easyseg.data.objects.regions import num_specks
from easyseg.data.objects.shape_pixels import pixel_parts, shape_mask
from easyseg.data.targets import each_instance, single_objects_of
from easyseg.data.threads import map_in_threads
from easyseg.errors import DataError, SampleError
from easyseg.geometry import Polygon, RunLengths, polygon_area
from easyseg.preprocessing import Placement, Preprocessing
from easyseg.structures import (
    IGNORE_INDEX,
    BoxShape,
    ConnectedRegions,
    LabelledObject,
    NumberedObjects,
    Polygons,
    Shape,
    SizeHW,
)

_SURE_AREA = 16.0
"""An outline around so many pixels covers some, whatever the rule at its edge."""
_SURE_SIDE = 2.0

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectSizes:
    """The objects of N images, as the network will see them.

    Attributes:
        boxes: (M, 4) float32 x1, y1, x2, y2 in pixels of the canvas; crowds left out. Those from outlines may be off by
            a pixel, and hold corners too thin to cover any.
        class_ids: (M,) int64, places in the dataset's `object_classes`.
        counts: (N,) int64, objects in each image, crowds left out.
        num_crowds: regions of objects that were not told apart, and what does not count: objects, and the void
            pixels of an image's masks.
        num_vanished: objects without any pixel: drawn without area, or too small for the canvas.
        names: what each image is called, N.
        num_specks: connected regions in masks of classes that were too small to be objects.
    """

    boxes: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    num_crowds: int
    num_vanished: int
    names: tuple[str, ...]
    num_specks: int = 0

    @property
    def num_empty(self) -> int:
        """Images without objects: what they show is background."""
        return int(np.count_nonzero(self.counts == 0))

    @property
    def most(self) -> int:
        """The most objects in an image."""
        return int(self.counts.max(initial=0))

    def side_quantile(self, share: float) -> float:
        """Return up to which width or height, the smaller of both, this share of the objects reaches (0 to 1)."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return float(np.quantile(sides.min(axis=1), share))

    def count_quantile(self, share: float) -> int:
        """Return how many objects an image has at most, for this share of the images (0 to 1)."""
        return int(np.quantile(self.counts, share, method="higher")) if len(self.counts) else 0


@dataclass(slots=True)
class _Found:
    """What one image has."""

    boxes: list[_Box]
    class_ids: list[int]
    crowds: int = 0
    vanished: int = 0
    specks: int = 0


def measure_objects(dataset: Dataset, preprocessing: Preprocessing) -> ObjectSizes:
    """Look at the objects of all images.

    Args:
        dataset: the training split.
        preprocessing: brings images to the canvas; with `resize` "crop", boxes are those before anything is cut.

    Raises:
        DataError: the dataset has masks of classes only, in which objects are not told apart.
        SampleError: an image or object cannot be used.
    """
    if len(dataset) and all(sample.objects is None for sample in dataset.samples):
        raise DataError(
            f"The dataset {dataset.name!r} has masks of classes, in which objects are not told apart, and the model "
            "learns from single objects. Type data=load_dataset(...).as_instances(), which takes each connected region "
            "for an object; or give a dataset with objects, such as COCO or labelme files; or take a semantic model, "
            "such as 'unet'."
        )

    def of_one(index: int) -> _Found:
        size_hw = dataset.size_hw(index)
        return _of_image(dataset, index, preprocessing.place(size_hw))

    found = map_in_threads(of_one, range(len(dataset)))
    boxes = [box for each in found for box in each.boxes]
    class_ids = [class_id for each in found for class_id in each.class_ids]
    return ObjectSizes(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(class_ids, np.int64),
        np.array([len(each.boxes) for each in found], np.int64),
        num_crowds=sum(each.crowds for each in found),
        num_vanished=sum(each.vanished for each in found),
        names=tuple(sample.name for sample in dataset.samples),
        num_specks=sum(each.specks for each in found),
    )


def _of_image(dataset: Dataset, index: int, placement: Placement) -> _Found:
    sample, found = dataset[index], _Found([], [])
    if isinstance(sample.objects, (NumberedObjects, ConnectedRegions)):
        for drawn in each_instance(sample, dataset.class_map, placement.original_hw):
            _add(found, _drawn_box(drawn.mask, placement), drawn.class_id, is_crowd=drawn.is_crowd)
        if isinstance(sample.objects, ConnectedRegions):
            found.specks = num_specks(dataset.mask(index), dataset.class_map, sample.objects)
        return found
    class_map = dataset.class_map
    classes = class_map.object_classes
    sample, class_mask = single_objects_of(sample, class_map, placement.original_hw)
    for at, item, place in with_places(sample, class_map, class_mask):
        if place is None:
            continue
        try:
            box = _box(item, placement)
        except SampleError:
            raise
        except DataError as error:
            raise SampleError(sample.image_path or sample.name, f"object {at}: {error}") from error
        is_void = place == IGNORE_INDEX
        class_id = 0 if is_void else classes.index(class_map.names[place])
        _add(found, box, class_id, is_crowd=item.is_crowd or is_void)
    return found


def _add(found: _Found, box: _Box | None, class_id: int, *, is_crowd: bool) -> None:
    if box is None:
        found.vanished += 1
    elif is_crowd:
        found.crowds += 1
    else:
        found.boxes.append(box)
        found.class_ids.append(class_id)


def _box(item: LabelledObject, placement: Placement) -> _Box | None:
    """Return an object's box on the canvas, None where it covers no pixel of it."""
    known = _known_box(item.shape, placement.original_hw)
    if known is not None:
        scale = np.divide(placement.scaled_hw, placement.original_hw)[::-1]
        corners = np.clip(np.reshape(known, (2, 2)), 0, placement.original_hw[::-1])
        (x1, y1), (x2, y2) = (corners * scale + placement.offset_hw[::-1]).tolist()
        if min(x2 - x1, y2 - y1) >= _SURE_SIDE:
            return x1, y1, x2, y2
    return _drawn_box(shape_mask(item.shape, placement.original_hw), placement)


def _drawn_box(mask: npt.NDArray[np.bool_], placement: Placement) -> _Box | None:
    found = to_canvas([DrawnObject(mask, 0, is_crowd=False)], placement)
    if not found:
        return None
    x1, y1, x2, y2 = boxes_of(found)[0].tolist()
    return x1, y1, x2, y2


def _known_box(shape: Shape, size_hw: SizeHW) -> _Box | None:
    """Return a shape's box in the image where it surely covers some pixels and need not be drawn to know that."""
    if isinstance(shape, BoxShape):
        x1, y1, x2, y2 = shape.sides(size_hw)
        return (x1, y1, x2, y2) if min(x2 - x1, y2 - y1) >= 1 else None
    if isinstance(shape, RunLengths):
        return shape.box if shape.size_hw == size_hw else None
    return _outline_box(pixel_parts(shape, size_hw)) if isinstance(shape, Polygons) else None


def _outline_box(parts: Iterable[tuple[npt.NDArray[np.float64], ...]]) -> _Box | None:
    parts = [part for part in parts if part and len(part[0]) > 2 and all(np.isfinite(ring).all() for ring in part)]
    if max((polygon_area(Polygon(part[0], part[1:])) for part in parts), default=0.0) < _SURE_AREA:
        return None
    points = np.concatenate([part[0] for part in parts])
    (x1, y1), (x2, y2) = np.round(points.min(axis=0)).tolist(), np.round(points.max(axis=0)).tolist()
    return x1, y1, x2, y2
