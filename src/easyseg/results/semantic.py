"""What `predict` returns for one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from easyseg import geometry, visualization
from easyseg.errors import ConfigError, OutputError, unknown_name
from easyseg.geometry import Polygon, RunLengths
from easyseg.io.images import write_image
from easyseg.io.palette_png import write_ids
from easyseg.metrics.instance import PredictedObjects
from easyseg.results.instances import InstanceResult
from easyseg.results.showing import html_figure, show_picture
from easyseg.structures import ClassMap, Color, ImageArray, MaskArray

Probabilities: TypeAlias = npt.NDArray[np.float32]
PlotKind: TypeAlias = Literal["overlay", "mask", "side_by_side"]

_READABLE_PIXELS = 320


class SemanticResult:
    """A segmented image, at the image's original size.

    Args:
        mask: (H, W) uint8 class ids; binary: 0 and 1; multilabel: (classes, H, W) of 0 and 1.
        class_map: the classes.
        image: (H, W, C) uint8 RGB, or None where it is not kept.
        path: the file the image came from, None for an array.
        probabilities: (classes, H, W) float32 in 0..1, or a function that computes them when first asked for.

    Attributes:
        mask: as above.
        class_map: as above.
        image: as above.
        path: as above.
    """

    def __init__(
        self,
        *,
        mask: MaskArray,
        class_map: ClassMap,
        image: ImageArray | None = None,
        path: Path | None = None,
        probabilities: Callable[[], Probabilities] | Probabilities | None = None,
    ) -> None:
        self.mask = mask
        self.class_map = class_map
        self.image = image
        self.path = path
        self._probabilities = probabilities

    @property
    def name(self) -> str:
        """The image file's name, or "image"."""
        return self.path.name if self.path is not None else "image"

    @property
    def stem(self) -> str:
        """The name without its suffix, for naming other files after it."""
        return Path(self.name).stem

    @property
    def probabilities(self) -> Probabilities:
        """Each class's probability, (classes, H, W) float32 in 0..1; computed when first asked for.

        Raises:
            OutputError: they were not kept.
        """
        if self._probabilities is None:
            raise OutputError(
                f"The probabilities of {self.name} were not kept; only its mask is there. "
                "Predict the image again: result = segmenter.predict(...)."
            )
        if not isinstance(self._probabilities, np.ndarray):
            self._probabilities = self._probabilities()
        return self._probabilities

    def class_mask(self, class_name: str) -> npt.NDArray[np.bool_]:
        """Return where a class is, (H, W) bool.

        Raises:
            UnknownNameError: there is no such class.
        """
        names = self.class_map.names
        if class_name not in names:
            raise unknown_name("class", class_name, names)
        index = names.index(class_name)
        if self.class_map.task == "multilabel":
            plane, wanted = self.mask[index], 1
        else:
            plane, wanted = self.mask, 1 if self.class_map.task == "binary" else index
        found: npt.NDArray[np.bool_] = plane == wanted
        return found

    def areas(self) -> dict[str, int]:
        """Return how many pixels each class covers, by its name."""
        return {name: geometry.mask_area(self.class_mask(name)) for name in self.class_map.names}

    def instances(self, *, smallest_area: int = 1, class_names: Sequence[str] | None = None) -> InstanceResult:
        """Return every connected region of a class as an object, to be counted, measured and outlined.

        Regions that touch at a corner only are one (8-connected); so are objects of a class that touch each other.
        Their scores are 1: a model of classes does not say how certain it is of an object.

        Args:
            smallest_area: leave out regions of fewer pixels, such as the specks that predictions tend to have.
            class_names: of these classes only; None: of all but a background.

        Raises:
            ConfigError: `smallest_area` is less than 1.
            UnknownNameError: there is no such class.
        """
        names = self.class_map.object_classes
        masks: list[RunLengths] = []
        class_ids: list[int] = []
        wanted = [class_names] if isinstance(class_names, str) else class_names
        for name in names if wanted is None else wanted:
            if name not in names:
                raise unknown_name("class of objects", name, names)
            found = geometry.connected_components(self.class_mask(name), smallest_area=smallest_area)
            masks += found
            class_ids += [names.index(name)] * len(found)
        return InstanceResult(
            PredictedObjects(np.array(class_ids, np.int64), np.ones(len(masks)), tuple(masks)),
            class_names=names,
            size_hw=(self.mask.shape[-2], self.mask.shape[-1]),
            image=self.image,
            path=self.path,
        )

    @property
    def largest_area(self) -> int:
        """Pixels of the largest of `instances()`; 0 where there is none."""
        return self.instances().largest_area

    @property
    def mean_area(self) -> float:
        """Mean number of pixels of `instances()`; NaN where there is none."""
        return self.instances().mean_area

    def polygons(self, class_name: str | None = None) -> dict[str, list[Polygon]]:
        """Return the outlines of each class's regions, holes included.

        They run along the pixels' edges in pixel coordinates (x, y), so filling them gives the mask back exactly.

        Args:
            class_name: look at this class alone; None: at all of them.

        Raises:
            UnknownNameError: there is no such class.
        """
        wanted = self.class_map.names if class_name is None else (class_name,)
        return {name: geometry.mask_to_polygons(self.class_mask(name)) for name in wanted}

    def plot(self, kind: PlotKind = "overlay", *, legend: bool = True) -> ImageArray:
        """Draw the result.

        Args:
            kind: "overlay", the classes laid over the image; "mask", the classes in their colours; "side_by_side", the
                image and the overlay next to each other.
            legend: add the names of the classes found, beside the picture. Small pictures are then enlarged by whole
                factors, so that the names can be read; without it a picture has the image's own size.

        Returns:
            (H', W', 3) uint8.

        Raises:
            ConfigError: there is no such kind.
            OutputError: the kind needs the image, which was not kept.
        """
        picture = self._picture(kind, enlarge=legend)
        if not legend:
            return picture
        shown = [index for index, name in enumerate(self.class_map.names) if self.class_mask(name).any()]
        names = [self.class_map.names[index] for index in shown] or ["no class found"]
        colors = [self.class_map.colors[index] for index in shown] or [visualization.PAPER]
        size = visualization.font_pixels_for(picture.shape[0])
        return visualization.beside(picture, visualization.legend(names, colors, picture.shape[0], font_pixels=size))

    def show(self, kind: PlotKind = "overlay") -> None:
        """Show the result: in a notebook below the cell, elsewhere in the system's picture viewer."""
        show_picture(self.plot(kind), self.name)

    def save(self, path: str | Path, kind: PlotKind = "overlay", *, legend: bool = False) -> Path:
        """Write the result as a picture and return its path.

        Args:
            path: a file ending in .png, .jpg, .webp, .bmp or .tif; its folder is made where it is missing.
            kind: as for `plot`, except that "mask" writes the class ids themselves, one byte per pixel, for programs
                to read; a .png shows them in the classes' colours, as its palette. For the multilabel task, which has
                several per pixel, it writes the colours.
            legend: add the names of the classes to an overlay or a side by side.

        Raises:
            ConfigError: there is no such kind, or class ids would be written to a format that changes them.
            OutputError: the file cannot be written, or the kind needs the image, which was not kept.
        """
        path = Path(path)
        if kind == "mask" and self.class_map.task != "multilabel":
            if path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
                raise ConfigError(
                    f"{path}: {path.suffix} changes pixel values, and class ids must not change. "
                    f"Type: result.save({str(path.with_suffix('.png'))!r}, kind='mask')"
                )
            if path.suffix.lower() == ".png":
                write_ids(path, self.mask, self._colors_of_ids())
            else:
                write_image(path, self.mask)
        else:
            write_image(path, self.plot(kind, legend=legend))
        return path

    def __repr__(self) -> str:
        height, width = self.mask.shape[-2:]
        total = max(height * width, 1)
        areas = sorted(self.areas().items(), key=lambda item: -item[1])
        found = [f"{name} {_percent(area / total)}" for name, area in areas if area]
        more = f", {len(found) - 5} more" if len(found) > 5 else ""
        return f"SemanticResult({self.name}, {width}×{height}: {', '.join(found[:5]) or 'no class found'}{more})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture and one line of text."""
        kind: PlotKind = "mask" if self.image is None else "overlay"
        return html_figure(self.plot(kind), repr(self))

    def _colors_of_ids(self) -> list[Color]:
        background: list[Color] = [(0, 0, 0)] if self.class_map.task == "binary" else []
        return [*background, *self.class_map.colors]

    def _picture(self, kind: PlotKind, *, enlarge: bool) -> ImageArray:
        if kind not in get_args(PlotKind):
            raise unknown_name("kind of picture", kind, get_args(PlotKind))
        at_least = _READABLE_PIXELS if enlarge else 1
        colors, task = self.class_map.colors, self.class_map.task
        factor = max(1, -(-at_least // max(self.mask.shape[-2:])))
        mask = self.mask.repeat(factor, axis=-2).repeat(factor, axis=-1)
        if kind == "mask":
            return visualization.color_mask(mask, colors, task=task)
        if self.image is None:
            raise OutputError(
                f"The image of {self.name} was not kept, so there is nothing to lay the classes over. "
                "Type: result.plot('mask')"
            )
        image = visualization.as_rgb(self.image).repeat(factor, axis=0).repeat(factor, axis=1)
        drawn = visualization.overlay(image, mask, colors, task=task)
        return drawn if kind == "overlay" else visualization.side_by_side([image, drawn], [self.name, "prediction"])


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"
