"""Class maps of masks in which grey or palette values stand for classes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from easyseg.data.classes.class_wishes import ClassWishes
from easyseg.data.classes.grey_levels import is_black_and_white
from easyseg.data.classes.mask_values import Scan
from easyseg.data.classes.object_numbers import refuse_object_numbers
from easyseg.data.formats.class_values import as_written
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Color

MOST_VALUES = 64
"""More grey values than this are taken for classes only where their names say so."""

_MOST_TYPED = 32
_VOID = 255
_HALF = 128


def class_map_of_values(scan: Scan, wishes: ClassWishes) -> ClassMap:
    """Return the map of masks with one number per pixel.

    Raises:
        ClassMapError: values and names do not fit together, or the values can be read in two ways.
    """
    if wishes.ignored_colors:
        raise ClassMapError(
            f"ignore={list(wishes.ignored_colors)} names colours, but the masks hold numbers. Found: "
            f"{shares(scan.value_counts())}. Type ignore=[value, ...]."
        )
    counts = scan.value_counts()
    for value in wishes.ignored:
        counts.pop(value, None)
    if not counts:
        raise ClassMapError(f"The masks hold ignored values only; ignore={list(wishes.ignored)} leaves none.")
    values = _Values(scan, counts, wishes)
    if wishes.values is not None:
        return values.mapped(wishes.values)
    if wishes.task == "binary" or (wishes.names is not None and len(wishes.names) == 1):
        return values.binary()
    if wishes.names is not None:
        return values.named(wishes.names)
    return values.unnamed()


def multilabel_class_map(scan: Scan, wishes: ClassWishes, *, count: int) -> ClassMap:
    """Return the map of masks that come one per class.

    Args:
        scan: the values in them.
        wishes: the names, in the order of the masks.
        count: masks per image.

    Raises:
        ClassMapError: the names are not as many, or a mask holds more than one class.
    """
    names = wishes.names or tuple(f"class_{at}" for at in range(count))
    if len(names) != count:
        raise ClassMapError(f"{count} masks per image but {len(names)} names; type classes=[...] with {count} names.")
    if wishes.task not in ("auto", "multilabel"):
        raise ClassMapError(f"task={wishes.task!r}, but every class has masks of its own. Leave task out.")
    counts = scan.value_counts()
    if is_black_and_white(scan, counts):
        note = f"one 0/255 mask for each of {count} classes"
        return ClassMap("multilabel", names, "threshold", ignored=wishes.ignored, note=note)
    others = sorted(counts.keys() - {0, *wishes.ignored})
    if len(others) > 1:
        rest = f"ignore=[{_VOID}]" if _VOID in others else "ignore=[...]"
        raise ClassMapError(
            f"Masks of one class each should hold 0 and one more value; found {shares(counts)}. If one of these does "
            f"not count, type {rest}; else save each class's masks with 0 and 255."
        )
    value = others[0] if others else 1
    note = f"one mask for each of {count} classes, {value} where it is"
    return ClassMap("multilabel", names, values=(value,), ignored=wishes.ignored, note=note)


def shares(counts: Counter[int], *, total: int | None = None) -> str:
    """Return values with their share of the pixels, such as "0 93.1%, 255 6.9%"."""
    pixels = total or counts.total() or 1
    listed = [f"{value} {counts[value] / pixels:.1%}" for value in sorted(counts)[:12]]
    return ", ".join(listed) + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")


class _Values:
    """The mask values that count, and the ways to read them."""

    def __init__(self, scan: Scan, counts: Counter[int], wishes: ClassWishes) -> None:
        self._scan = scan
        self._counts = counts
        self._wishes = wishes
        self._total = counts.total()
        self._is_black_and_white = is_black_and_white(scan, counts)
        self._found = sorted(counts)

    def unnamed(self) -> ClassMap:
        """Read values of which nothing is known."""
        self._refuse_single_value()
        if self._wishes.task != "multiclass" and (self._is_black_and_white or self._is_binary()):
            return self.binary()
        self._refuse_smooth()
        ids = self._without_void()
        if self._wishes.task == "auto":
            refuse_object_numbers(self._scan, ids)
        if len(ids) > MOST_VALUES:
            raise ClassMapError(
                f"The masks hold {len(ids)} different values ({shares(self._counts)}){self._odd_one()}, too many for "
                "classes without names. If they are class ids, type classes=[...] or class_map={'name': value, ...}; "
                "if every value but 0 is one class, type task='binary'."
            )
        is_gapless = ids == list(range(ids[0], ids[-1] + 1))
        note = "mask values are class ids" if is_gapless else "each mask value is a class, named after it"
        note += f": {shares(self._counts)}"
        hint = (
            f"Note: the {len(ids)} classes are named after their mask values. For names, type classes=[...] with "
            f"{len(ids)} of them"
        )
        if not self._ignored(ids):
            hint += f"; if a value such as {ids[-1]} stands for no class, leave it out: type ignore=[{ids[-1]}]"
        found = self._multiclass(tuple(f"class_{value}" for value in ids), ids, note)
        return replace(found, hints=(hint,))

    def named(self, names: tuple[str, ...]) -> ClassMap:
        """Give names to values in ascending order."""
        self._refuse_smooth()
        ids = self._without_void()
        if ids and ids[-1] < len(names):
            self._refuse_nameless_white(names, ids)
            return self._multiclass(names, range(len(names)), f"mask values are the numbers of the {len(names)} names")
        # 255 is a class, too, where there is a name for it
        ids = self._found if len(self._found) == len(names) else ids
        if len(ids) == len(names):
            pairs = ", ".join(f"{value} {name}" for value, name in zip(ids, names, strict=True))
            return self._multiclass(names, ids, f"mask values are named in ascending order: {pairs}")
        raise self._too_few_names(names, ids)

    def mapped(self, values: dict[str, tuple[int, ...]]) -> ClassMap:
        """Use the values of each class as given."""
        if len(values) == 1 and self._wishes.task != "multiclass":
            ((name, own),) = values.items()
            return self._one_class(name, own)
        rest = self._wishes.rest
        named = {value for own in values.values() for value in own}
        unnamed = Counter({value: count for value, count in self._counts.items() if value not in named})
        if len(unnamed) == len(self._counts):
            raise ClassMapError(
                f"None of the values in class_map={as_written(values, rest)}{self._source()} is in the masks. Found: "
                f"{shares(self._counts)}. Type class_map={_template(values, self._found)}."
            )
        # 255 alone beside the classes is everything else; with other values, it is the usual border
        void = (_VOID,) if (rest is None or len(unnamed) > 1) and unnamed.pop(_VOID, 0) else ()
        if rest is None and unnamed:
            raise self._unnamed_values(values, unnamed)
        if rest is not None:
            self._refuse_smooth()
        return self._grouped(values, unnamed, void)

    def _grouped(self, values: dict[str, tuple[int, ...]], unnamed: Counter[int], void: tuple[int, ...]) -> ClassMap:
        """Return the map of classes with any number of values each, and perhaps one of everything else."""
        rest = self._wishes.rest
        named = {value for own in values.values() for value in own}
        free = next(value for value in itertools.count() if value not in named)
        groups = {name: own or (free,) for name, own in values.items()}  # the rest needs one of its values
        note = f"{len(values)} classes by their mask values"
        note += "".join(f"; {name!r} is {_listed(own)}" for name, own in values.items() if len(own) > 1)
        if rest is not None:
            note += f"; {rest!r} is every other value ({shares(unnamed, total=self._total) or 'none seen'})"
        found = self._multiclass(tuple(groups), [own[0] for own in groups.values()], note, void=void)
        hint = f"Note: {_VOID} does not count; if it is {rest!r}, too, type "
        hint += f"class_map={as_written({**values, str(rest): (_VOID, *values.get(str(rest), ()))}, rest)}"
        return replace(
            found,
            more_values=tuple(own[1:] for own in groups.values())
            if any(len(own) > 1 for own in groups.values())
            else (),
            rest=None if rest is None else list(values).index(rest),
            hints=(hint,) if rest is not None and void else (),
        )

    def _unnamed_values(self, values: dict[str, tuple[int, ...]], unnamed: Counter[int]) -> ClassMapError:
        rest = "background" if "background" not in values else "other"
        ignore = [*self._wishes.ignored, *sorted(unnamed)]
        # half a list would be typed as it stands
        leave_out = f" to leave such pixels out, type ignore={ignore};" if len(ignore) <= _MOST_TYPED else ""
        return ClassMapError(
            f"The masks hold values that {self._wishes.source or 'class_map'} does not name: "
            f"{shares(unnamed, total=self._total)}. Add them;{leave_out} or make one class of everything else: "
            f"type class_map={as_written(values, rest)}."
        )

    def binary(self) -> ClassMap:
        """Read one class and its background."""
        names = self._wishes.names
        if names is not None and len(names) > 1:
            raise ClassMapError(f"task='binary' has one class, but {len(names)} names are given: {', '.join(names)}.")
        name = self._wishes.name
        self._refuse_single_value()
        if self._is_black_and_white:
            return self._one_class(name, (_VOID,))
        ids = self._without_void()
        if self._ones_and_whites():
            note = f"some masks store {name!r} as 1, others as 255; both are taken for it"
            return ClassMap("binary", (name,), "threshold", ignored=self._wishes.ignored, threshold=1, note=note)
        if len(ids) == 2 and ids[0] == 0:
            return self._one_class(name, (ids[-1],))
        if self._wishes.task != "binary":
            refuse_object_numbers(self._scan, ids, name=name)
        if ids[0] != 0 or self._wishes.task != "binary":
            raise ClassMapError(
                f"One class is expected, but the masks hold {shares(self._counts)}. Type class_map={{{name!r}: value}} "
                "with the value of the class; or task='binary' if every value but 0 is the class."
            )
        ignored = self._ignored(ids)
        note = f"every value but 0 is {name!r} ({1 - self._counts[0] / self._total:.1%} of the pixels)"
        return ClassMap("binary", (name,), "threshold", ignored=ignored, threshold=1, note=note)

    def _one_class(self, name: str, own: tuple[int, ...]) -> ClassMap:
        value, *more = own
        if not more and value in (0, _VOID) and (self._is_black_and_white or self._found == [0]):
            return self._thresholded(name, inverted=value == 0)
        self._refuse_smooth()
        if not self._counts.keys() & set(own) and self._found != [0]:
            raise ClassMapError(
                f"The masks do not hold the value {_listed(own)} of {name!r}{self._source()}. Found: "
                f"{shares(self._counts)}. Type class_map={{{name!r}: value}} with one of these."
            )
        others = set(self._found) - set(own)
        ignored = set(self._wishes.ignored)
        if len(others) > 1 and _VOID in others:
            ignored.add(_VOID)
        background = {*range(256), *others} - set(own) - ignored
        share = sum(self._counts[value] for value in own) / self._total
        note = f"{_listed(own)} is {name!r} ({share:.1%} of the pixels), every other value background"
        note += f"; {_VOID} does not count" if _VOID in ignored else ""
        return ClassMap(
            "binary",
            (name,),
            values=(value,),
            more_values=(tuple(more),) if more else (),
            ignored=tuple(sorted(ignored)),
            background=tuple(sorted(background)),
            rest=None if self._wishes.rest is None else 0,
            colors=self._colors([value]),
            note=note,
            hints=self._hints(name, value, share) if 0 in others else (),
        )

    def _thresholded(self, name: str, *, inverted: bool) -> ClassMap:
        between = sum(count for value, count in self._counts.items() if 0 < value < _VOID)
        above = sum(count for value, count in self._counts.items() if value >= _HALF)
        share = (self._total - above if inverted else above) / self._total
        rule = f"< {_HALF}" if inverted else f">= {_HALF}"
        if between:
            note = f"grey masks with {between / self._total:.1%} in-between values (antialiased): "
            note += f"values {rule} are {name!r}"
        else:
            note = f"0/255 masks: {0 if inverted else 255} is {name!r}"
        note += f" ({share:.1%} of the pixels)"
        hints = self._hints(name, _VOID, share)
        return ClassMap(
            "binary", (name,), "threshold", ignored=self._wishes.ignored, inverted=inverted, note=note, hints=hints
        )

    def _hints(self, name: str, value: int, share: float) -> tuple[str, ...]:
        """Point to the other reading where the class was not chosen by the user and covers most of the pixels."""
        if share <= 0.5 or self._wishes.values is not None:
            return ()
        return (
            f"Note: the value {value}, {share:.1%} of the pixels, is taken for {name!r}; if the class is the black "
            f"part (0), type class_map={{{name!r}: 0}}",
        )

    def _multiclass(
        self, names: tuple[str, ...], ids: Iterable[int], note: str, *, void: tuple[int, ...] | None = None
    ) -> ClassMap:
        ids = list(ids)
        ignored = self._ignored(ids) if void is None else (*self._wishes.ignored, *void)
        note += f"; {', '.join(map(str, ignored))} does not count" if ignored else ""
        return ClassMap("multiclass", names, values=tuple(ids), ignored=ignored, colors=self._colors(ids), note=note)

    def _ignored(self, ids: Iterable[int]) -> tuple[int, ...]:
        is_void = _VOID in self._counts and _VOID not in set(ids)
        return tuple(dict.fromkeys((*self._wishes.ignored, *((_VOID,) if is_void else ()))))

    def _without_void(self) -> list[int]:
        """Return the values without 255, the usual border, unless it is the last of evenly spaced grey levels."""
        if _VOID not in self._counts or len(self._found) < 3 or self._found[-1] != _VOID:
            return self._found
        step = _VOID / (len(self._found) - 1)
        if all(abs(value - at * step) <= 1 for at, value in enumerate(self._found)):
            return self._found
        return self._found[:-1]

    def _is_binary(self) -> bool:
        ids = self._without_void()
        return (len(ids) == 2 and ids[0] == 0) or self._ones_and_whites()

    def _ones_and_whites(self) -> bool:
        """Whether some masks hold 0 and 1, others 0 and 255, and none both."""
        if set(self._found) != {0, 1, _VOID}:
            return False
        return not any(1 in file.counts and _VOID in file.counts for file in self._scan.files)

    def _colors(self, ids: list[int]) -> tuple[Color, ...]:
        """Return the palette's colours where they tell the classes apart, else none."""
        colors = [self._scan.palette.get(value) for value in ids]
        known = tuple(color for color in colors if color is not None)
        return known if len(set(known)) == len(ids) and (len(ids) > 1 or known[0] != (0, 0, 0)) else ()

    def _refuse_single_value(self) -> None:
        if len(self._found) == 1:
            found = self._found[0]
            raise ClassMapError(
                f"The masks hold one value only ({shares(self._counts)}); there is nothing to tell apart. If masks "
                f"to come hold more, type class_map={{{self._wishes.name!r}: {found or _VOID}}} with the class's value."
            )

    def _refuse_smooth(self) -> None:
        if self._is_black_and_white and len(self._found) > 2:
            raise ClassMapError(
                f"The masks hold {len(self._counts)} grey values from 0 to 255 ({shares(self._counts)}): antialiased "
                "masks of one class. Type task='binary', or save masks with exact values."
            )

    def _refuse_nameless_white(self, names: tuple[str, ...], ids: list[int]) -> None:
        """Refuse 255 after all numbers but the last: either that class is absent, or its value is 255."""
        if len(self._found) == len(names) > len(ids) and ids == list(range(len(ids))):
            raise ClassMapError(
                f"The masks hold {shares(self._counts)}: 255 may be {names[-1]!r}{self._source()}, or a border of no "
                f"class where the masks lack {names[-1]!r}. Type ignore=[255] if it does not count, or "
                f"class_map={_template(names, self._found)}."
            )

    def _too_few_names(self, names: tuple[str, ...], ids: list[int]) -> ClassMapError:
        extra = [value for value in ids if value >= len(names)] or ids[len(names) :]
        problem = f"{len(ids)} mask values ({shares(self._counts)}) but {len(names)} class names{self._source()}."
        if len(ids) != len(names) + 1:
            advice = f"Type class_map={_template(names, ids)}, with ignore=[...] for values that do not count."
            return ClassMapError(f"{problem} {advice}")
        options = [
            f"{extra[-1]} is in the masks{self._example(extra[-1])} but has no class; to leave it out, type "
            f"ignore={[*self._wishes.ignored, extra[-1]]}."
        ]
        # a background covers more than any class does; otherwise 0 is a class like the others
        is_background = ids[0] == 0 and self._counts[0] == max(self._counts.values())
        if is_background and "background" not in names:
            options.append(f"If 0 is the background, type classes={['background', *names]}.")
        return ClassMapError(" ".join([problem, *options]))

    def _example(self, value: int) -> str:
        """Name the file of a mask that holds the value."""
        path = next((file.path for file in self._scan.files if value in file.counts), None)
        return f" (as in {path})" if path else ""

    def _odd_one(self) -> str:
        """Name the one mask that most of the values come from, if there is one: it may be no mask at all."""
        holders = Counter(value for file in self._scan.files for value in file.counts)
        for file in self._scan.files:
            alone = sum(holders[value] == 1 for value in file.counts)
            if 2 * alone > len(holders) and len(self._scan.files) > 2:
                return f", {alone} of them in {file.path or 'one mask'} alone"
        return ""

    def _source(self) -> str:
        return f" from {self._wishes.source}" if self._wishes.source else ""


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


def _template(names: Iterable[str], values: list[int]) -> str:
    pairs = [f"{name!r}: {value}" for name, value in zip(names, values, strict=False)]
    return "{" + ", ".join(pairs[:20]) + (", ..." if len(pairs) > 20 else "") + "}"
