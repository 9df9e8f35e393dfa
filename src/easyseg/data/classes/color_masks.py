"""Class maps of masks in which colours stand for classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from easyseg.data.classes.class_wishes import ClassWishes
from easyseg.data.classes.mask_values import Scan
from easyseg.data.formats.class_values import as_written
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Color, default_colors
from easyseg.structures.class_map import BACKGROUND_NAMES

MOST_COLORS = 64
"""More colours than this are no classes but the marks of smoothing or JPEG compression."""

_MOST_TYPED = 16
_BLACK: Color = (0, 0, 0)


def class_map_of_colors(scan: Scan, wishes: ClassWishes) -> ClassMap:
    """Return the map of colour-coded masks.

    Raises:
        ClassMapError: there are too many colours, or it is not clear which colour is which class.
    """
    # a palette entry or grey value may be ignored by its number, too
    numbered = [scan.palette.get(value, (value, value, value)) for value in wishes.ignored]
    wishes = replace(wishes, ignored=(), ignored_colors=(*wishes.ignored_colors, *numbered))
    counts, border = scan.color_counts(), scan.color_counts(border=True)
    for color in wishes.ignored_colors:
        counts.pop(color, None)
        border.pop(color, None)
    if wishes.values:
        raise ClassMapError(
            f"The masks hold colours, but class_map gives numbers{_source(wishes)}. Found: {_shares(counts)}. Type "
            f"class_map={_template(wishes.values, counts)} with each class's own colour."
        )
    if wishes.colors:
        return _mapped(wishes.colors, counts, border, wishes)
    if len(counts) > MOST_COLORS:
        raise ClassMapError(
            f"The masks hold {len(counts)} different colours; at most {MOST_COLORS} are taken for classes. Were they "
            "smoothed, resized or once saved as JPEG? Save them anew from their source with their exact colours."
        )
    if len(counts) < 2:
        raise ClassMapError(f"The masks hold one colour only ({_shares(counts)}); there is nothing to tell apart.")
    is_binary = wishes.task != "multiclass" and len(counts) == 2 and _BLACK in counts
    if wishes.names and not (is_binary and len(wishes.names) == 1):
        raise ClassMapError(
            f"The masks hold colours, and the names{_source(wishes)} do not say which is which. Found: "
            f"{_shares(counts)}. Type class_map={_template(_with_background(wishes.names, counts), counts)} with each "
            f"class's own colour.{_background_hint(counts, border)}"
        )
    if is_binary:
        (color,) = (color for color in counts if color != _BLACK)
        return _binary(wishes.name, (color,), [_BLACK], wishes, counts)
    if wishes.task == "binary":
        raise ClassMapError(
            f"task='binary', but the masks hold {_shares(counts)}. Type class_map={{'name': (r, g, b)}} with the "
            "colour of the one class."
        )
    colors = sorted(counts)  # black, the usual background, comes first
    names = tuple("black" if color == _BLACK else hex_name(color) for color in colors)
    note = f"RGB masks with {len(colors)} colours, named after them: {_shares(counts)}"
    return replace(_multiclass(names, colors, wishes, note), hints=(_naming_hint(counts, border),))


def hex_name(color: Color) -> str:
    """Return a colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _mapped(
    colors: dict[str, tuple[Color, ...]], counts: Counter[Color], border: Counter[Color], wishes: ClassWishes
) -> ClassMap:
    named = {color for own in colors.values() for color in own}
    if not counts.keys() & named:
        raise ClassMapError(
            f"None of the colours in class_map{_source(wishes)} is in the masks. Found: {_shares(counts)}. Type "
            f"class_map={_template(colors, counts)} with each class's own colour."
        )
    if len(colors) == 1 and wishes.task != "multiclass":
        ((name, own),) = colors.items()
        return _binary(name, own, [other for other in counts if other not in own], wishes, counts)
    unnamed = Counter({color: count for color, count in counts.items() if color not in named})
    if unnamed and wishes.rest is None:
        raise _unnamed_colors(colors, unnamed, counts, border, wishes)
    absent = [name for name, own in colors.items() if name != wishes.rest and not counts.keys() & set(own)]
    note = f"RGB masks: each of {len(colors)} classes has a colour"
    note += "".join(f"; {name!r} is {', '.join(map(str, own))}" for name, own in colors.items() if len(own) > 1)
    if wishes.rest is not None:
        note += f"; {wishes.rest!r} is every other colour ({_shares(unnamed, total=counts.total()) or 'none seen'})"
    note += f"; not found: {', '.join(absent)}" if absent else ""
    groups = {name: own or (_free_color(name, named),) for name, own in colors.items()}
    found = _multiclass(tuple(groups), [own[0] for own in groups.values()], wishes, note)
    more = tuple(own[1:] for own in groups.values())
    rest = None if wishes.rest is None else list(colors).index(wishes.rest)
    return replace(found, more_colors=more if any(more) else (), rest=rest)


def _free_color(name: str, named: set[Color]) -> Color:
    """Return a colour for the class of everything else that no other class has."""
    drawn = default_colors(len(named) + 2)
    candidates = (_BLACK, *drawn) if name.lower() in BACKGROUND_NAMES else drawn
    return next(color for color in candidates if color not in named)


def _unnamed_colors(
    colors: dict[str, tuple[Color, ...]],
    unnamed: Counter[Color],
    counts: Counter[Color],
    border: Counter[Color],
    wishes: ClassWishes,
) -> ClassMapError:
    background = _background(counts, border)
    ordered = [color for color, _ in unnamed.most_common()]
    added = {
        "background" if color == background and "background" not in colors else f"name_{at + 1}": color
        for at, color in enumerate(ordered[:8])
    }
    hint = _background_hint(counts, border) if background in unnamed else ""
    rest = "background" if "background" not in colors else "other"
    ignore = [*wishes.ignored_colors, *ordered]
    # half a list would be typed as it stands
    leave_out = f" Or leave such pixels out: type ignore={ignore}." if len(ignore) <= _MOST_TYPED else ""
    return ClassMapError(
        f"The masks hold colours that {wishes.source or 'class_map'} does not name, {len(unnamed)} in all: "
        f"{_shares(unnamed, total=counts.total())}.{hint} Name them, too: type class_map={as_written(colors) | added}"
        f"{' and so on' if len(ordered) > 8 else ''}.{leave_out} Or make one class of everything else: type "
        f"class_map={as_written(colors, rest)}."
    )


def _naming_hint(counts: Counter[Color], border: Counter[Color]) -> str:
    named = _template((f"name_{at + 1}" for at in range(len(counts))), counts)
    hint = f"Note: the colours have no names. To name the classes, type class_map={named}."
    return hint + _background_hint(counts, border)


def _background(counts: Counter[Color], border: Counter[Color]) -> Color | None:
    """Return the colour that covers most of the pixels or of the masks' edges, None where none does."""
    for each, least in ((counts, 0.5), (border, 0.6)):
        color, count = each.most_common(1)[0] if each else (None, 0)
        if color is not None and count > least * each.total():
            return color
    return None


def _background_hint(counts: Counter[Color], border: Counter[Color]) -> str:
    color = _background(counts, border)
    if color is None:
        return ""
    return (
        f" {color} covers {counts[color] / counts.total():.1%} of the pixels and "
        f"{border[color] / (border.total() or 1):.1%} of the masks' edges; it may be the background."
    )


def _with_background(names: tuple[str, ...], counts: Counter[Color]) -> tuple[str, ...]:
    """Put a background first where there is one colour more than names; the most frequent one is offered for it."""
    return ("background", *names) if len(counts) == len(names) + 1 and "background" not in names else names


def _binary(
    name: str, own: tuple[Color, ...], others: Iterable[Color], wishes: ClassWishes, counts: Counter[Color]
) -> ClassMap:
    share = sum(counts[color] for color in own) / counts.total()
    listed = f"the colour {own[0]}" if len(own) == 1 else f"the colours {', '.join(map(str, own))}"
    return ClassMap(
        "binary",
        (name,),
        "colors",
        colors=own[:1],
        more_colors=(own[1:],) if own[1:] else (),
        ignored_colors=wishes.ignored_colors,
        background_colors=tuple(sorted({*others, _BLACK} - set(own))),
        rest=None if wishes.rest is None else 0,
        note=f"RGB masks: {listed} {'is' if len(own) == 1 else 'are'} {name!r} ({share:.1%} of the pixels)",
    )


def _multiclass(names: tuple[str, ...], colors: list[Color], wishes: ClassWishes, note: str) -> ClassMap:
    ignored = wishes.ignored_colors
    return ClassMap("multiclass", names, "colors", colors=tuple(colors), ignored_colors=ignored, note=note)


def _template(names: Iterable[str], counts: Counter[Color]) -> str:
    colors = [color for color, _ in counts.most_common()]
    pairs = [f"{name!r}: {color}" for name, color in zip(names, colors, strict=False)]
    return "{" + ", ".join(pairs[:12]) + (", ..." if len(pairs) > 12 else "") + "}"


def _shares(counts: Counter[Color], *, total: int | None = None) -> str:
    pixels = total or counts.total() or 1
    listed = [f"{color} {count / pixels:.1%}" for color, count in counts.most_common(8)]
    return ", ".join(listed) + (f" and {len(counts) - 8} more" if len(counts) > 8 else "")


def _source(wishes: ClassWishes) -> str:
    return f" from {wishes.source}" if wishes.source else ""
