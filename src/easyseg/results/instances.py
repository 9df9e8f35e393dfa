"""What `predict` of a detector returns for one image, and what counting a semantic model's regions gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from easyseg import visualization
from easyseg.errors import ConfigError, OutputError, unknown_name
from easyseg.geometry import Polygon
from easyseg.io.images import write_image
from easyseg.io.palette_png import write_ids
from easyseg.metrics.instance import PredictedObjects
from easyseg.results import object_pictures
from easyseg.results.found_object import FoundObject
from easyseg.results.showing import html_figure, show_picture
from easyseg.results.words import counted
from easyseg.structures import ImageArray, SizeHW
from easyseg.structures.objects import UNNAMED

ObjectPlotKind: TypeAlias = Literal["overlay", "mask", "side_by_side"]

_MOST_LINES = 20


class InstanceResult:
    """The objects found in an image, at the image's original size, the most certain first.

    Masks are kept as run lengths, a few hundred bytes each; arrays of pixels are made when they are asked for. A
    result has a length, and its objects come out of it one by one, as `FoundObject`s:

        for one in result:
            print(one.class_name, one.score, one.area)

    Args:
        objects: what was found, masks of the image's size.
        class_names: the classes that class ids count, without a background.
        size_hw: height and width of the image in pixels.
        image: (H, W, C) uint8 RGB, or None where it is not kept.
        path: the file the image came from, None for an array.

    Attributes:
        objects: as above.
        class_names: as above.
        size_hw: as above.
        image: as above.
        path: as above.
    """

    def __init__(
        self,
        objects: PredictedObjects,
        *,
        class_names: Sequence[str],
        size_hw: SizeHW,
        image: ImageArray | None = None,
        path: Path | None = None,
    ) -> None:
        self.objects = objects.take(np.argsort(-objects.scores, kind="stable"))
        self.class_names = tuple(class_names)
        self.size_hw = size_hw
        self.image = image
        self.path = path

    @property
    def name(self) -> str:
        """The image file's name, or "image"."""
        return self.path.name if self.path is not None else "image"

    @property
    def stem(self) -> str:
        """The name without its suffix, for naming other files after it."""
        return Path(self.name).stem

    @property
    def has_masks(self) -> bool:
        """Whether masks were found, and not boxes only."""
        return self.objects.masks is not None

    @property
    def masks(self) -> npt.NDArray[np.uint8]:
        """(N, H, W) uint8, 1 where each object is and 0 elsewhere.

        Made anew each time, so ask once. Of large images with many objects, take one after the other instead:
        `for one in result: one.mask`.

        Raises:
            OutputError: only boxes were found.
        """
        masks = np.zeros((len(self), *self.size_hw), np.uint8)
        for place, one in enumerate(self):
            masks[place] = one.mask
        return masks

    @property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(N, 4) float32 x1, y1, x2, y2 in pixels of the image."""
        return self.objects.boxes.astype(np.float32)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """(N,) float32 in 0..1, falling."""
        return self.objects.scores.astype(np.float32)

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """(N,) int64, places in `class_names`."""
        return self.objects.class_ids

    def count(self, class_name: str | None = None) -> int:
        """Return how many objects there are, of one class or in all.

        Raises:
            UnknownNameError: there is no such class.
        """
        if class_name is None:
            return len(self)
        return int((self.class_ids == self._class_id(class_name)).sum())

    def counts(self) -> dict[str, int]:
        """Return how many objects there are of each class, by its name."""
        return {name: self.count(name) for name in self.class_names}

    def areas(self) -> npt.NDArray[np.int64]:
        """Return (N,) int64, how many pixels each object covers.

        Raises:
            OutputError: only boxes were found.
        """
        return np.array([one.area for one in self], np.int64)

    @property
    def largest_area(self) -> int:
        """Pixels of the largest object; 0 where there is none."""
        return int(self.areas().max(initial=0))

    @property
    def mean_area(self) -> float:
        """Mean number of pixels of an object; NaN where there is none."""
        return float(self.areas().mean()) if len(self) else math.nan

    def polygons(self) -> list[list[Polygon]]:
        """Return the outlines of each object: several where it is seen in parts.

        They run along the pixels' edges in pixel coordinates (x, y), so filling them gives the masks back exactly.

        Raises:
            OutputError: only boxes were found.
        """
        return [one.polygons() for one in self]

    def filter(self, *, score: float = 0.0, class_names: Sequence[str] | None = None) -> InstanceResult:
        """Return a result with some of the objects.

        Args:
            score: leave out those the model is less certain of, in 0..1.
            class_names: keep those of these classes only; None: of all.

        Raises:
            UnknownNameError: there is no such class.
        """
        kept = self.objects.scores >= score
        if class_names is not None:
            names = [class_names] if isinstance(class_names, str) else class_names
            kept &= np.isin(self.class_ids, [self._class_id(name) for name in names])
        return InstanceResult(
            self.objects.take(np.flatnonzero(kept)),
            class_names=self.class_names,
            size_hw=self.size_hw,
            image=self.image,
            path=self.path,
        )

    def to_coco(self, image_id: int = 0, *, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the objects as COCO's results: plain values for JSON, masks as compressed run lengths.

        Args:
            image_id: the image's number in the annotation file that they belong to.
            category_ids: the number of each class there; None: from 1 on, as `Dataset.to_coco` writes them.

        Returns:
            for each object "image_id", "category_id", "bbox" (x, y, width, height), "score", and with masks
            "segmentation" and "area". Numbered ("id") and marked as no crowds, as annotations are, too.

        Raises:
            ConfigError: there are fewer category ids than classes, or `image_id` is no number.
        """
        if not isinstance(image_id, Integral):
            raise ConfigError(
                f"image_id={image_id!r}: expected the image's number. to_coco() returns a list and writes no file; for "
                "one, type Path('found.json').write_text(json.dumps(result.to_coco()))."
            )
        numbers = range(1, len(self.class_names) + 1) if category_ids is None else category_ids
        if len(numbers) != len(self.class_names):
            raise ConfigError(f"{len(numbers)} category_ids for {counted(len(self.class_names), 'class', 'classes')}.")
        rows: list[dict[str, Any]] = []
        for place, one in enumerate(self, start=1):
            x1, y1, x2, y2 = one.box
            row: dict[str, Any] = {
                "id": place,
                "image_id": int(image_id),
                "category_id": int(numbers[one.class_id]),
                "iscrowd": 0,
            }
            row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": one.score}
            if one.run_lengths is not None:
                code = {"size": list(self.size_hw), "counts": one.run_lengths.to_compressed()}
                row |= {"segmentation": code, "area": one.area}
            rows.append(row)
        return rows

    def plot(self, kind: ObjectPlotKind = "overlay", *, labels: bool = True) -> ImageArray:
        """Draw the objects, each in a colour of its own.

        Args:
            kind: "overlay", the objects laid over the image, boxes where there are no masks; "mask", the objects
                alone on black; "side_by_side", the image and the overlay next to each other.
            labels: write class and score beside the objects, where there is room; scores of 1 are not worth writing.
                Small pictures are then enlarged by whole factors; without labels a picture has the image's own size.

        Returns:
            (H', W', 3) uint8.

        Raises:
            UnknownNameError: there is no such kind.
            OutputError: the kind needs the image, which was not kept.
        """
        if kind not in get_args(ObjectPlotKind):
            raise unknown_name("kind of picture", kind, get_args(ObjectPlotKind))
        if kind != "mask" and self.image is None:
            raise OutputError(
                f"The image of {self.name} was not kept, so there is nothing to lay the objects over. "
                "Type: result.plot('mask')"
            )
        factor = object_pictures.readable_factor(self.size_hw) if labels else 1
        black = np.zeros((*self.size_hw, 3), np.uint8)
        ground = black if kind == "mask" or self.image is None else visualization.as_rgb(self.image)
        ground = ground.repeat(factor, axis=0).repeat(factor, axis=1)
        drawn = object_pictures.draw_objects(
            ground, self.objects, self._labels() if labels else (), factor=factor, alpha=1.0 if kind == "mask" else 0.45
        )
        if kind != "side_by_side":
            return drawn
        return visualization.side_by_side([ground, drawn], [self.name, self._in_words()])

    def show(self, kind: ObjectPlotKind = "overlay") -> None:
        """Show the result: in a notebook below the cell, elsewhere in the system's picture viewer."""
        show_picture(self.plot(kind), self.name)

    def save(self, path: str | Path, kind: ObjectPlotKind = "overlay", *, labels: bool = True) -> Path:
        """Write the result as a picture and return its path.

        Args:
            path: a file ending in .png, .jpg, .webp, .bmp or .tif; its folder is made where it is missing.
            kind: as for `plot`, except that "mask" writes the objects' numbers, for programs to read: 0 where nothing
                is, and from 1 on in the order of the result, of overlapping ones the more certain. Up to 255 objects
                take one byte per pixel, which a .png shows in colours, as its palette; more take two.
            labels: as for `plot`.

        Raises:
            UnknownNameError: there is no such kind.
            ConfigError: numbers would be written to a format that changes them.
            OutputError: the file cannot be written, the kind needs the image, which was not kept, or numbers are to be
                written of objects without masks.
        """
        path = Path(path)
        if kind != "mask":
            write_image(path, self.plot(kind, labels=labels))
            return path
        if path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
            raise ConfigError(
                f"{path}: {path.suffix} changes pixel values, and objects' numbers must not change. "
                f"Type: result.save({str(path.with_suffix('.png'))!r}, kind='mask')"
            )
        numbers = self._numbers()
        if path.suffix.lower() == ".png" and numbers.dtype == np.uint8:
            write_ids(path, numbers, [(0, 0, 0), *object_pictures.object_colors(len(self))])
        else:
            write_image(path, numbers)
        return path

    def __len__(self) -> int:
        return len(self.objects)

    def __iter__(self) -> Iterator[FoundObject]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> FoundObject:
        class_id = int(self.class_ids[place])
        x1, y1, x2, y2 = self.objects.boxes[place].tolist()
        return FoundObject(
            class_name=self.class_names[class_id],
            class_id=class_id,
            score=float(self.objects.scores[place]),
            box=(x1, y1, x2, y2),
            run_lengths=None if self.objects.masks is None else self.objects.masks[place],
        )

    def __repr__(self) -> str:
        height, width = self.size_hw
        return f"InstanceResult({self.name}, {width}×{height}: {self._in_words()})"

    def __str__(self) -> str:
        height, width = self.size_hw
        head = f"{self.name}, {width}×{height}: {self._in_words()}"
        shown = [self[place] for place in range(min(len(self), _MOST_LINES))]
        if not shown:
            return head
        names = max(len("class"), *(len(one.class_name) for one in shown))
        area = f"{'area':>10}" if self.has_masks else ""
        lines = [f"{'':>4}  {'class':{names}}  {'score':>5}{area}  box (x1, y1, x2, y2)"]
        for number, one in enumerate(shown, start=1):
            area = f"{one.area:>10,}" if self.has_masks else ""
            box = ", ".join(f"{side:.0f}" for side in one.box)
            lines.append(f"{number:>4}  {one.class_name:{names}}  {one.score:>5.2f}{area}  {box}")
        more = [f"      ... and {len(self) - _MOST_LINES} more"] if len(self) > _MOST_LINES else []
        return "\n".join([head, *lines, *more])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture and one line of text."""
        return html_figure(self.plot("mask" if self.image is None else "overlay"), repr(self))

    def _class_id(self, class_name: str) -> int:
        if class_name not in self.class_names:
            raise unknown_name("class", class_name, self.class_names)
        return self.class_names.index(class_name)

    def _in_words(self) -> str:
        """Return such as "3 objects: 2 × person, 1 × car"; "3 objects" where the class is called so."""
        found = sorted(((name, count) for name, count in self.counts().items() if count), key=lambda item: -item[1])
        if not found or (len(found) == 1 and found[0][0] == UNNAMED):
            return counted(len(self), "object")
        more = [counted(len(found) - 5, "more class", "more classes")] if len(found) > 5 else []
        parts = ", ".join([*(f"{count} × {name}" for name, count in found[:5]), *more])
        return parts if len(found) == 1 else f"{counted(len(self), 'object')}: {parts}"

    def _labels(self) -> list[str]:
        """Return what is written beside each object: what the picture's other words leave open."""
        labels = []
        for one in self:
            score = f"{one.score:.2f}" if one.score < 1 else ""
            labels.append(" ".join(filter(None, [one.class_name if len(self.class_names) > 1 else "", score])))
        return labels

    def _numbers(self) -> npt.NDArray[Any]:
        """Return (H, W) uint8 or uint16, the number of the object that each pixel shows; 0: none."""
        numbers = np.zeros(self.size_hw, np.uint8 if len(self) <= np.iinfo(np.uint8).max else np.uint16)
        for place in reversed(range(len(self))):
            patch, (left, top) = self[place].patch()
            area = numbers[top : top + patch.shape[0], left : left + patch.shape[1]]
            area[patch] = place + 1
        return numbers
