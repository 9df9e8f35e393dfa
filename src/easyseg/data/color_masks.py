"""Class maps of masks in which colours stand for classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from easyseg.data.class_wishes import ClassWishes
from easyseg.data.mask_values import Scan
from easyseg.errors import ClassMapError
from easyseg.structures import ClassMap, Color

MOST_COLORS = 64
"""More colours than this are no classes but the marks of smoothing or JPEG compression."""

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
        return _binary(wishes.name, color, [_BLACK], wishes, counts)
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


def _mapped(colors: dict[str, Color], counts: Counter[Color], border: Counter[Color], wishes: ClassWishes) -> ClassMap:
    if not counts.keys() & set(colors.values()):
        raise ClassMapError(
            f"None of the colours in class_map{_source(wishes)} is in the masks. Found: {_shares(counts)}. Type "
            f"class_map={_template(colors, counts)} with each class's own colour."
        )
    if len(colors) == 1 and wishes.task != "multiclass":
        ((name, color),) = colors.items()
        return _binary(name, color, [other for other in counts if other != color], wishes, counts)
    unmapped = Counter({color: count for color, count in counts.items() if color not in colors.values()})
    if unmapped:
        raise _unnamed_colors(colors, unmapped, counts, border, wishes)
    absent = [name for name, color in colors.items() if color not in counts]
    note = f"RGB masks: each of {len(colors)} classes has a colour"
    note += f"; not found: {', '.join(absent)}" if absent else ""
    return _multiclass(tuple(colors), list(colors.values()), wishes, note)


def _unnamed_colors(
    colors: dict[str, Color],
    unmapped: Counter[Color],
    counts: Counter[Color],
    border: Counter[Color],
    wishes: ClassWishes,
) -> ClassMapError:
    background = _background(counts, border)
    ordered = [color for color, _ in unmapped.most_common()]
    added = {
        "background" if color == background and "background" not in colors else f"name_{at + 1}": color
        for at, color in enumerate(ordered[:8])
    }
    hint = _background_hint(counts, border) if background in unmapped else ""
    return ClassMapError(
        f"The masks hold colours that class_map{_source(wishes)} does not name, {len(unmapped)} in all: "
        f"{_shares(unmapped, total=counts.total())}.{hint} Name them, too: type class_map={colors | added}"
        f"{' and so on' if len(ordered) > 8 else ''}. Or leave such pixels out: type ignore={ordered[:8]}."
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


def _binary(name: str, color: Color, others: Iterable[Color], wishes: ClassWishes, counts: Counter[Color]) -> ClassMap:
    share = counts[color] / counts.total()
    return ClassMap(
        "binary",
        (name,),
        "colors",
        colors=(color,),
        ignored_colors=wishes.ignored_colors,
        background_colors=tuple(sorted({*others, _BLACK} - {color})),
        note=f"RGB masks: the colour {color} is {name!r} ({share:.1%} of the pixels)",
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
