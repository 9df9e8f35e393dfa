"""How the values in mask files, or the names of objects, become class ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy.typing as npt

from easyseg.errors import ClassMapError
from easyseg.structures.class_colors import default_colors
from easyseg.structures.kinds import IGNORE_INDEX, MAX_CLASSES, Color, MaskArray, Task
from easyseg.structures.mask_encoding import encode_colors, encode_threshold, encode_values
from easyseg.structures.objects import UNNAMED

ValueT = TypeVar("ValueT")

VOID_NAMES = frozenset(["void", "ignore", "ignored", "__ignore__", "unlabeled", "unlabelled"])
"""Class names that say that such pixels do not count, in lower case."""

BACKGROUND_NAMES = frozenset(["background", "_background_", "__background__", "bg"])
"""Class names that say that there is nothing, in lower case."""


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
        more_values: with "ids", further mask values of each class; empty where none has any.
        ignored: with "ids", mask values that become `IGNORE_INDEX`; with "threshold", likewise.
        background: binary "ids" only, mask values that become 0; any other value is an error.
        threshold: with "threshold", the smallest grey value that counts as the class.
        inverted: with "threshold", the class is where the grey value stays *below* the threshold.
        colors: the RGB colour of each class: for drawing, and with "colors" for reading.
        more_colors: with "colors", further RGB colours of each class; empty where none has any.
        ignored_colors: with "colors", RGB colours that become `IGNORE_INDEX`.
        background_colors: binary "colors" only, RGB colours that become 0.
        rest: with "ids" or "colors", the target of every value that stands nowhere here, seen or not: the id of the
            class "everything else", for the binary task 0; None: such a value is an error. The value or colour of that
            class is one of them.
        object_names: with "names", the names of each class's objects; none for a background.
        ignored_names: with "names", the names of objects whose pixels become `IGNORE_INDEX` where nothing else is.
        background_names: with "names", the names of objects of no class; they cover what lies below them.
        uncovered: with "names", what pixels become that no object covers: 0, or `IGNORE_INDEX`.
        stuff: names of classes that are ground, such as road or sky, and have no objects.
        smallest_pixels: where connected regions of a mask are objects, those of fewer pixels are specks; None where
            objects come another way, or nobody has asked for them.
        note: one sentence for people on how this map came about.
        hints: lines for people on what may be meant otherwise, with the argument to type; not stored in files.
    """

    task: Task
    names: tuple[str, ...]
    encoding: Literal["ids", "threshold", "colors", "names"] = "ids"
    values: tuple[int, ...] = ()
    more_values: tuple[tuple[int, ...], ...] = ()
    ignored: tuple[int, ...] = ()
    background: tuple[int, ...] = (0,)
    threshold: int = 128
    inverted: bool = False
    colors: tuple[Color, ...] = ()
    more_colors: tuple[tuple[Color, ...], ...] = ()
    ignored_colors: tuple[Color, ...] = ()
    background_colors: tuple[Color, ...] = ((0, 0, 0),)
    rest: int | None = None
    object_names: tuple[tuple[str, ...], ...] = ()
    ignored_names: tuple[str, ...] = ()
    background_names: tuple[str, ...] = ()
    uncovered: int = 0
    stuff: tuple[str, ...] = ()
    smallest_pixels: int | None = None
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
        self._refuse_wrong_groups()

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
            f"such objects out, type ignore={[*self.ignored_names, name]}, or classes=[...] with the classes that "
            "count."
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
            return encode_colors(mask, self.color_targets(), self.rest)
        if mask.ndim != 2:
            raise ClassMapError(
                f"the mask has shape {mask.shape}; an (H, W) mask of class ids is expected. "
                "If colours stand for classes, type class_map={'name': (r, g, b), ...}."
            )
        if self.encoding == "threshold":
            return encode_threshold(mask, self.threshold, inverted=self.inverted, ignored=self.ignored)
        return encode_values(mask, self.value_targets(), self.rest)

    def value_targets(self) -> dict[int, int]:
        """Return what each mask value that stands here becomes: a class id (binary: 0 or 1), or `IGNORE_INDEX`."""
        return self._targets(self.values, self.more_values, self.background, self.ignored)

    def color_targets(self) -> dict[Color, int]:
        """Return what each colour that stands here becomes, as `value_targets` does."""
        return self._targets(self.colors, self.more_colors, self.background_colors, self.ignored_colors)

    def reads_like(self, other: ClassMap) -> bool:
        """Return whether both find the same classes by the same values; those that do not count may differ."""
        return self._reading() == other._reading()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or YAML; `from_dict` reads them back."""
        of_groups = {
            "more_values": [list(values) for values in self.more_values],
            "more_colors": [[list(color) for color in colors] for colors in self.more_colors],
            "rest": self.rest,
        }
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
            **({"smallest_pixels": self.smallest_pixels} if self.smallest_pixels is not None else {}),
            **{name: value for name, value in of_groups.items() if value not in ([], None)},
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
        known["more_values"] = tuple(tuple(group) for group in known.get("more_values", ()))
        known["more_colors"] = tuple(
            tuple(tuple(int(part) for part in color) for color in group) for group in known.get("more_colors", ())
        )
        known["object_names"] = tuple(tuple(names) for names in known.get("object_names", ()))
        try:
            return cls(**known)
        except TypeError as error:
            raise ClassMapError(f"This is not a class map: {error}.") from error

    def _refuse_wrong_groups(self) -> None:
        """Refuse further values that no class or two classes have, and a rest that is no target."""
        for word, first, further in (
            ("values", self.values, self.more_values),
            ("colours", self.colors, self.more_colors),
        ):
            if further and len(further) != len(self.names):
                raise ClassMapError(f"{len(self.names)} class names but further {word} of {len(further)} classes.")
            listed: list[Any] = [*first, *(value for group in further for value in group)]
            twice = sorted({value for value in listed if listed.count(value) > 1})
            if further and twice:
                raise ClassMapError(f"{word} of two classes: {', '.join(map(str, twice))}; each belongs to one.")
        if self.rest is not None and not 0 <= self.rest < self.num_classes:
            raise ClassMapError(f"rest={self.rest}: expected the id of a class, 0..{self.num_classes - 1}.")

    def _targets(
        self,
        first: tuple[ValueT, ...],
        further: tuple[tuple[ValueT, ...], ...],
        background: tuple[ValueT, ...],
        ignored: tuple[ValueT, ...],
    ) -> dict[ValueT, int]:
        """Return targets by value; of a value that stands twice, the later meaning counts, to ignore it above all."""
        is_multiclass = self.task == "multiclass"
        groups = [(value, *more) for value, more in zip(first, further or ((),) * len(first), strict=True)]
        targets = {} if is_multiclass else dict.fromkeys(background, 0)
        for class_id, group in enumerate(groups):
            targets |= dict.fromkeys(group, class_id if is_multiclass else 1)
        return targets | dict.fromkeys(ignored, IGNORE_INDEX)

    def _reading(self) -> tuple[Any, ...]:
        values = self._groups(self.values, self.more_values)
        colors = self._groups(self.colors, self.more_colors) if self.encoding == "colors" else ()
        rest = self.rest if self.task == "multiclass" else None  # of one class, what is beside it does not tell
        objects = (self.object_names, self.uncovered)
        return (self.task, self.names, self.encoding, values, self.threshold, self.inverted, colors, rest, objects)

    def _groups(
        self, first: tuple[ValueT, ...], further: tuple[tuple[ValueT, ...], ...]
    ) -> tuple[frozenset[ValueT], ...]:
        """Return what each class is read from, in whatever order; which values the rest has does not matter."""
        groups = zip(first, further or ((),) * len(first), strict=True)
        is_rest = self.rest if self.task == "multiclass" else None
        return tuple(frozenset(() if at == is_rest else (value, *more)) for at, (value, more) in enumerate(groups))

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
