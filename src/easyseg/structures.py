"""The shared vocabulary: samples, classes, batches, and what a model must be able to do.

Nothing here reads a file or imports torch.
"""

from __future__ import annotations

import colorsys
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.errors import ClassMapError, DataError
from easyseg.pictures import brightness_of, ids_of, is_picture, upright

if TYPE_CHECKING:
    from torch import Tensor, nn

IGNORE_INDEX = 255
"""The id of pixels that count neither in the loss nor in a metric."""

MAX_CLASSES = 255
"""Class ids are stored in one byte, 0..254; 255 is `IGNORE_INDEX`."""

MAX_PIXELS = 178_956_970
"""Largest image or mask that is decoded; a small file can claim far more than the memory holds. Pillow's hard limit."""

Task: TypeAlias = Literal["binary", "multiclass", "multilabel"]
Split: TypeAlias = Literal["train", "val", "test"]
ImageArray: TypeAlias = npt.NDArray[np.uint8]
MaskArray: TypeAlias = npt.NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]
SizeHW: TypeAlias = tuple[int, int]

_CHOSEN_COLORS: tuple[Color, ...] = (
    (66, 122, 190),
    (235, 110, 45),
    (120, 96, 170),
    (70, 160, 95),
    (214, 178, 60),
    (60, 175, 185),
    (205, 70, 90),
    (150, 110, 80),
    (225, 130, 180),
    (140, 170, 60),
    (95, 110, 130),
    (170, 200, 225),
)

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One annotated image. Files are named here and read later.

    Paths may be given as strings, pixels as PIL images too, and one mask per class as a list; they become what is
    listed here, and anything else is a `DataError`.

    Attributes:
        image: an image file, or an (H, W), (H, W, C) array, RGB order.
        mask: a mask file or an (H, W) integer or (H, W, 3) RGB array, in the files' own values, which the
            dataset's `ClassMap` translates; one file or array per class for the multilabel task; None where there
            is no annotation (prediction only).
        split: the split the files' own layout puts it in, None where they say nothing.
        source_format: the dataset format it was read from.
    """

    image: Path | ImageArray
    mask: Path | npt.NDArray[Any] | tuple[Path | npt.NDArray[Any], ...] | None = None
    split: Split | None = None
    source_format: str = "memory"
    label: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", _path_or_array(self.image, "image"))
        masks = self.mask
        if isinstance(masks, (list, tuple)):
            object.__setattr__(self, "mask", tuple(_path_or_array(mask, "mask") for mask in masks))
        elif masks is not None:
            object.__setattr__(self, "mask", _path_or_array(masks, "mask"))

    @property
    def name(self) -> str:
        """The name used in messages and reports: the label where given, else the image file's name."""
        if self.label is not None:
            return self.label
        return self.image.name if isinstance(self.image, Path) else "array"


@dataclass(frozen=True, slots=True)
class ClassMap:
    """How the values in mask files become class ids; the only place where they do.

    Class ids are 0..num_classes-1 in the order of `names`, and `IGNORE_INDEX` for pixels that do not count. For the
    binary task there is one class; its target is 1 where the class is and 0 elsewhere. For the multilabel task each
    class has a mask of its own, also 0 and 1.

    Attributes:
        task: "binary", "multiclass" or "multilabel".
        names: the classes' names, one per class.
        encoding: "ids", each class has one grey or palette value; "threshold", the class is where a grey value reaches
            `threshold` (0/255 and antialiased masks); "colors", each class has one RGB colour.
        values: with "ids", the mask value of each class (binary: of the one class).
        ignored: with "ids", mask values that become `IGNORE_INDEX`; with "threshold", likewise.
        background: binary "ids" only, mask values that become 0; any other value is an error.
        threshold: with "threshold", the smallest grey value that counts as the class.
        inverted: with "threshold", the class is where the grey value stays *below* the threshold.
        colors: the RGB colour of each class: for drawing, and with "colors" for reading.
        ignored_colors: with "colors", RGB colours that become `IGNORE_INDEX`.
        background_colors: binary "colors" only, RGB colours that become 0.
        note: one sentence for people on how this map came about.
        hints: lines for people on what may be meant otherwise, with the argument to type; not stored in files.
    """

    task: Task
    names: tuple[str, ...]
    encoding: Literal["ids", "threshold", "colors"] = "ids"
    values: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    background: tuple[int, ...] = (0,)
    threshold: int = 128
    inverted: bool = False
    colors: tuple[Color, ...] = ()
    ignored_colors: tuple[Color, ...] = ()
    background_colors: tuple[Color, ...] = ((0, 0, 0),)
    note: str = field(default="", compare=False)
    hints: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise ClassMapError("A class map needs at least one class; type classes=['name', ...].")
        if len(self.names) > MAX_CLASSES:
            raise ClassMapError(f"{len(self.names)} classes; at most {MAX_CLASSES} fit into one byte per pixel.")
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ClassMapError(f"Class names must differ; more than once in the list: {', '.join(twice)}.")
        if self.task == "binary" and len(self.names) != 1:
            raise ClassMapError(f"The binary task has one class, not {len(self.names)}; type task='multiclass'.")
        if self.encoding == "ids" and not self.values:
            object.__setattr__(self, "values", (1,) if self.task == "binary" else tuple(range(len(self.names))))
        if not self.colors:
            # black, as in most datasets' own palettes, so that pictures leave a background as it is
            pairs = zip(self.names, default_colors(len(self.names)), strict=True)
            colors = tuple((0, 0, 0) if name.lower() == "background" else color for name, color in pairs)
            object.__setattr__(self, "colors", colors)
        if self.encoding == "ids" and self.task != "multilabel" and len(self.values) != len(self.names):
            raise ClassMapError(f"{len(self.names)} class names but {len(self.values)} mask values; give as many.")
        if len(self.colors) != len(self.names):
            raise ClassMapError(f"{len(self.names)} class names but {len(self.colors)} colours; give as many.")

    @property
    def num_classes(self) -> int:
        """How many classes there are; a background counts only where it is one of the user's classes."""
        return len(self.names)

    def encode(self, mask: npt.NDArray[Any]) -> MaskArray:
        """Translate a mask from the files' values into class ids.

        Args:
            mask: (H, W) integers as stored, or (H, W, 3) uint8 RGB with the "colors" encoding.

        Returns:
            (H, W) uint8: class ids (binary: 0 and 1), `IGNORE_INDEX` where ignored.

        Raises:
            ClassMapError: the mask has another shape than the encoding needs, or a value no class has.
        """
        if self.encoding == "colors":
            return self._encode_colors(mask)
        if mask.ndim != 2:
            raise ClassMapError(
                f"the mask has shape {mask.shape}; an (H, W) mask of class ids is expected. "
                "If colours stand for classes, type class_map={'name': (r, g, b), ...}."
            )
        if self.encoding == "threshold":
            return self._encode_threshold(mask)
        return self._encode_ids(mask)

    def reads_like(self, other: ClassMap) -> bool:
        """Return whether both find the same classes by the same values; those that do not count may differ."""
        return self._reading() == other._reading()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or YAML; `from_dict` reads them back."""
        return {
            "task": self.task,
            "names": list(self.names),
            "encoding": self.encoding,
            "values": list(self.values),
            "ignored": list(self.ignored),
            "background": list(self.background),
            "threshold": self.threshold,
            "inverted": self.inverted,
            "colors": [list(color) for color in self.colors],
            "ignored_colors": [list(color) for color in self.ignored_colors],
            "background_colors": [list(color) for color in self.background_colors],
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassMap:
        """Read what `to_dict` wrote."""
        known = dict(values)
        for key in ("names", "values", "ignored", "background"):
            known[key] = tuple(known.get(key, ()))
        for key in ("colors", "ignored_colors", "background_colors"):
            known[key] = tuple(tuple(int(part) for part in color) for color in known.get(key, ()))
        try:
            return cls(**known)
        except TypeError as error:
            raise ClassMapError(f"This is not a class map: {error}.") from error

    def _reading(self) -> tuple[Any, ...]:
        colors = self.colors if self.encoding == "colors" else ()
        return (self.task, self.names, self.encoding, self.values, self.threshold, self.inverted, colors)

    def _encode_threshold(self, mask: npt.NDArray[Any]) -> MaskArray:
        reaches = mask < self.threshold if self.inverted else mask >= self.threshold
        target = reaches.astype(np.uint8)
        for value in self.ignored:
            target[mask == value] = IGNORE_INDEX
        return target

    def _encode_ids(self, mask: npt.NDArray[Any]) -> MaskArray:
        if mask.dtype in (np.uint8, np.uint16):
            table, known = self._lookup_table(np.iinfo(mask.dtype).max + 1)
            translated: MaskArray = table[mask]
            # cheap test first: only a mask that may hold an unknown value is looked at again
            if not known.all() and not known[mask].all():
                raise self._unknown_values(mask[~known[mask]])
            return translated
        class_of = dict(self._value_pairs())
        values, places = np.unique(mask, return_inverse=True)
        strange = [value for value in values.tolist() if value not in class_of]
        if strange:
            raise self._unknown_values(mask[np.isin(mask, strange)])
        table = np.array([class_of[value] for value in values.tolist()], np.uint8)
        return np.asarray(table[places.reshape(mask.shape)])

    def _encode_colors(self, mask: npt.NDArray[Any]) -> MaskArray:
        if mask.ndim != 3 or mask.shape[2] != 3:
            raise ClassMapError(f"the mask has shape {mask.shape}; an (H, W, 3) mask of RGB colours is expected.")
        code = _packed(mask)
        colors, inverse = np.unique(code, return_inverse=True)
        ids = {_pack(color): class_id for color, class_id in self._color_pairs()}
        strange = [color for color in colors.tolist() if color not in ids]
        if strange:
            listed = ", ".join(str(_unpack(color)) for color in strange[:5])
            raise ClassMapError(
                f"the mask has colours that no class has ({len(strange)}), such as {listed}. Give each a name, as in "
                f"class_map={{'name': {_unpack(strange[0])}}}, or leave them out with "
                f"ignore={[_unpack(color) for color in strange[:5]]}."
            )
        table = np.array([ids[color] for color in colors.tolist()], np.uint8)
        target: MaskArray = table[inverse].reshape(mask.shape[:2])
        return target

    def _value_pairs(self) -> list[tuple[int, int]]:
        if self.task == "multiclass":
            pairs = [(value, class_id) for class_id, value in enumerate(self.values)]
        else:
            pairs = [(value, 0) for value in self.background] + [(value, 1) for value in self.values]
        return pairs + [(value, IGNORE_INDEX) for value in self.ignored]

    def _color_pairs(self) -> list[tuple[Color, int]]:
        if self.task == "multiclass":
            pairs = [(color, class_id) for class_id, color in enumerate(self.colors)]
        else:
            pairs = [(color, 0) for color in self.background_colors] + [(color, 1) for color in self.colors]
        return pairs + [(color, IGNORE_INDEX) for color in self.ignored_colors]

    def _lookup_table(self, length: int) -> tuple[MaskArray, npt.NDArray[np.bool_]]:
        table = np.full(length, IGNORE_INDEX, np.uint8)
        known = np.zeros(length, bool)
        for value, class_id in self._value_pairs():
            if 0 <= value < length:
                table[value] = class_id
                known[value] = True
        return table, known

    def _unknown_values(self, strange: npt.NDArray[Any]) -> ClassMapError:
        values, counts = np.unique(strange, return_counts=True)
        listed = ", ".join(f"{value} ({count} px)" for value, count in zip(values[:5], counts[:5], strict=True))
        more = f" and {len(values) - 5} more" if len(values) > 5 else ""
        expected = ", ".join(str(value) for value, _ in self._value_pairs()[:20])
        return ClassMapError(
            f"the mask holds values that no class has: {listed}{more}; expected {expected}. "
            f"To leave such pixels out, type ignore=[{', '.join(str(value) for value in values[:5])}]."
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training step gets.

    Attributes:
        images: (N, C, H, W) uint8 in channels-last memory, RGB order, values 0..255.
        targets: (N, H, W) uint8 class ids, `IGNORE_INDEX` where nothing counts; multilabel: (N, classes, H, W).
        indices: each image's number in the dataset.
    """

    images: Tensor
    targets: Tensor
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: Any) -> Batch:
        """Return the batch on `device`; from pinned memory the copy runs beside the computation."""
        images = self.images.to(device, non_blocking=True)
        return replace(self, images=images, targets=self.targets.to(device, non_blocking=True))

    def pieces(self, count: int) -> list[Batch]:
        """Cut the batch into at most `count` batches of about the same size, in order."""
        size = -(-len(self) // count)
        starts = range(0, len(self), size)
        return [
            Batch(self.images[s : s + size], self.targets[s : s + size], self.indices[s : s + size]) for s in starts
        ]

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; torch's loader calls this."""
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())


class SegmentationModel(Protocol):
    """What the training loop and prediction ask of a model; anything that satisfies it can be trained."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named losses of a batch, each a scalar; the loop minimises their sum."""
        ...

    def infer(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) for images (N, C, H, W) with values 0..255."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return the model's parts by name, input side first: encoder[0] .. encoder[-1], decoder, head."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode, or out of it."""
        ...


def default_colors(count: int) -> tuple[Color, ...]:
    """Return `count` colours that are easy to tell apart, the same ones every time.

    A single class gets a warm colour, which stands out on most images. Beyond the twelve chosen by eye, the hue walks
    around the colour circle by the golden angle, so neighbours in the list lie far apart on it.
    """
    if count == 1:
        return (_CHOSEN_COLORS[1],)
    walked = (colorsys.hsv_to_rgb((0.1 + index * 0.381966) % 1.0, 0.6, 0.8) for index in range(count))
    colors = [(round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in walked]
    return (*_CHOSEN_COLORS[:count], *colors[len(_CHOSEN_COLORS) :])


def _path_or_array(value: Any, role: Literal["image", "mask"]) -> Path | npt.NDArray[Any]:
    """Return what a sample holds for a path, an array or a picture."""
    if isinstance(value, (np.ndarray, Path)):
        return value
    if isinstance(value, (str, os.PathLike)):
        return Path(value)
    if is_picture(value):
        return brightness_of(upright(value)) if role == "image" else ids_of(upright(value))
    raise DataError(
        f"The {role} of a Sample is a {type(value).__name__}; expected a file's path, a numpy array or a PIL image. Of "
        f"a tensor, give {'tensor.permute(1, 2, 0).numpy()' if role == 'image' else 'tensor.numpy()'}."
    )


def _packed(rgb: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    wide = rgb.astype(np.int64)
    packed: npt.NDArray[np.int64] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def _pack(color: Color) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]


def _unpack(code: int) -> Color:
    return (code >> 16, (code >> 8) & 255, code & 255)
