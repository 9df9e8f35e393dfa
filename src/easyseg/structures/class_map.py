"""How the values in mask files, or the names of objects, become class ids."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from easyseg.errors import ClassMapError
from easyseg.structures.kinds import IGNORE_INDEX, MAX_CLASSES, Color, MaskArray, Task
from easyseg.structures.objects import UNNAMED

VOID_NAMES = frozenset(["void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled"])
"""Class names that say that such pixels do not count, in lower case."""

BACKGROUND_NAMES = frozenset(["background", "_background_", "__background__", "bg"])
"""Class names that say that there is nothing, in lower case."""


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
            `threshold` (0/255 and antialiased masks); "colors", each class has one RGB colour; "names", masks are drawn
            from objects, and each class has names of objects.
        values: with "ids", the mask value of each class (binary: of the one class).
        ignored: with "ids", mask values that become `IGNORE_INDEX`; with "threshold", likewise.
        background: binary "ids" only, mask values that become 0; any other value is an error.
        threshold: with "threshold", the smallest grey value that counts as the class.
        inverted: with "threshold", the class is where the grey value stays *below* the threshold.
        colors: the RGB colour of each class: for drawing, and with "colors" for reading.
        ignored_colors: with "colors", RGB colours that become `IGNORE_INDEX`.
        background_colors: binary "colors" only, RGB colours that become 0.
        object_names: with "names", the names of each class's objects; none for a background.
        ignored_names: with "names", the names of objects whose pixels become `IGNORE_INDEX` where nothing else is.
        background_names: with "names", the names of objects of no class; they cover what lies below them.
        uncovered: with "names", what pixels become that no object covers: 0, or `IGNORE_INDEX`.
        stuff: names of classes that are ground, such as road or sky, and have no objects.
        note: one sentence for people on how this map came about.
        hints: lines for people on what may be meant otherwise, with the argument to type; not stored in files.
    """

    task: Task
    names: tuple[str, ...]
    encoding: Literal["ids", "threshold", "colors", "names"] = "ids"
    values: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    background: tuple[int, ...] = (0,)
    threshold: int = 128
    inverted: bool = False
    colors: tuple[Color, ...] = ()
    ignored_colors: tuple[Color, ...] = ()
    background_colors: tuple[Color, ...] = ((0, 0, 0),)
    object_names: tuple[tuple[str, ...], ...] = ()
    ignored_names: tuple[str, ...] = ()
    background_names: tuple[str, ...] = ()
    uncovered: int = 0
    stuff: tuple[str, ...] = ()
    note: str = field(default="", compare=False)
    hints: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.names:
            raise ClassMapError("A class map needs at least one class; type classes=['name', ...].")
        if len(self.names) > MAX_CLASSES:
            raise ClassMapError(
                f"{len(self.names)} classes; at most {MAX_CLASSES} fit into one byte per pixel. Type classes=[...] "
                "with those that count."
            )
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
            colors = tuple((0, 0, 0) if name.lower() in BACKGROUND_NAMES else color for name, color in pairs)
            object.__setattr__(self, "colors", colors)
        if self.encoding == "ids" and self.task != "multilabel" and len(self.values) != len(self.names):
            raise ClassMapError(f"{len(self.names)} class names but {len(self.values)} mask values; give as many.")
        if self.encoding == "names" and len(self.object_names) != len(self.names):
            raise ClassMapError(f"{len(self.names)} class names but names of objects for {len(self.object_names)}.")
        if len(self.colors) != len(self.names):
            raise ClassMapError(f"{len(self.names)} class names but {len(self.colors)} colours; give as many.")

    @property
    def num_classes(self) -> int:
        """How many classes there are; a background counts only where it is one of the user's classes."""
        return len(self.names)

    @property
    def object_classes(self) -> tuple[str, ...]:
        """The names of the classes that objects can have: all but a background, and stuff."""
        return tuple(self.names[at] for at in self._object_places())

    def class_of_object(self, name: str) -> int | None:
        """Return the class of the objects of a name.

        Returns:
            its place in `names`; `IGNORE_INDEX` where such objects do not count; None where they are background.

        Raises:
            ClassMapError: there is no such class.
        """
        place = self._place_of_object(name)  # first, so that a class may have any name
        if place is not None:
            return place
        if name in self.ignored_names or name.lower() in VOID_NAMES:
            return IGNORE_INDEX
        if name in self.background_names or name.lower() in BACKGROUND_NAMES:
            return None
        raise ClassMapError(
            f"there is an object of class {name!r}, which is none of {', '.join(self.object_classes)}. To leave "
            f"such objects out, type ignore=[{name!r}], or classes=[...] with the classes that count."
        )

    def place_among_objects(self, name: str) -> int | None:
        """Return the place in `object_classes` of the objects of a name; None where they are no class of their own.

        Raises:
            ClassMapError: there is no such class.
        """
        found = self.class_of_object(name)
        return None if found is None or found == IGNORE_INDEX else self._object_places().index(found)

    def encode(self, mask: npt.NDArray[Any]) -> MaskArray:
        """Translate a mask from the files' values into class ids.

        Args:
            mask: (H, W) integers as stored, or (H, W, 3) uint8 RGB with the "colors" encoding.

        Returns:
            (H, W) uint8: class ids (binary: 0 and 1), `IGNORE_INDEX` where ignored.

        Raises:
            ClassMapError: the mask has another shape than the encoding needs, or a value no class has.
        """
        if self.encoding == "names":
            raise ClassMapError(
                "the classes are known by the names of objects, and this is a mask of values. Say which value each "
                f"class has: type class_map={{{self.names[-1]!r}: value, ...}}."
            )
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
        of_objects = {
            "object_names": [list(names) for names in self.object_names],
            "ignored_names": list(self.ignored_names),
            "background_names": list(self.background_names),
            "uncovered": self.uncovered,
        }
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
            **({"stuff": list(self.stuff)} if self.stuff else {}),
            **(of_objects if self.encoding == "names" else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassMap:
        """Read what `to_dict` wrote."""
        known = dict(values)
        for key in ("names", "values", "ignored", "background", "ignored_names", "background_names", "stuff"):
            known[key] = tuple(known.get(key, ()))
        for key in ("colors", "ignored_colors", "background_colors"):
            known[key] = tuple(tuple(int(part) for part in color) for color in known.get(key, ()))
        known["object_names"] = tuple(tuple(names) for names in known.get("object_names", ()))
        try:
            return cls(**known)
        except TypeError as error:
            raise ClassMapError(f"This is not a class map: {error}.") from error

    def _reading(self) -> tuple[Any, ...]:
        colors = self.colors if self.encoding == "colors" else ()
        objects = (self.object_names, self.uncovered)
        return (self.task, self.names, self.encoding, self.values, self.threshold, self.inverted, colors, objects)

    def _object_places(self) -> list[int]:
        if self.encoding == "names":
            places = [at for at, names in enumerate(self.object_names) if names]
        else:
            places = [at for at, name in enumerate(self.names) if name.lower() not in BACKGROUND_NAMES]
        return [at for at in places if self.names[at] not in self.stuff]

    def _place_of_object(self, name: str) -> int | None:
        places = self._object_places()
        if name == UNNAMED and len(places) == 1:
            return places[0]
        if self.encoding == "names":
            return next((at for at in places if name in self.object_names[at]), None)
        return next((at for at in places if name == self.names[at]), None)

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


def _packed(rgb: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    wide = rgb.astype(np.int64)
    packed: npt.NDArray[np.int64] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def _pack(color: Color) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]


def _unpack(code: int) -> Color:
    return (code >> 16, (code >> 8) & 255, code & 255)
