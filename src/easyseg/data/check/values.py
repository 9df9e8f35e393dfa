"""Values in masks that mean nothing, or something else than in the other masks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from easyseg.data.check.digest import KINDS, Numbers
from easyseg.data.check.sources import DrawnMask
from easyseg.data.check.survey import Rows, Survey, check, is_ground
from easyseg.results.checkup import Finding, Severity
from easyseg.results.words import counted
from easyseg.structures import IGNORE_INDEX, SPLITS, Color

_NOTE: Severity = "note"
_ERROR: Severity = "error"
_MOST_NAMED = 6
_MOST_TYPED = 32
_RARE_MASKS = 0.1
_RARE_PIXELS = 1e-3
"""A value without a name in fewer masks and of fewer pixels than these shares, apart from the others, is a slip."""
_FEW_EMPTY = 0.05
"""Where fewer masks than this are empty, they may have been forgotten; where more are, it is the subject's nature."""

_OTHER_EMPTY = 0.4
_LEAST_OF_SPLIT = 8
"""Splits of so many masks whose shares of empty ones are so far apart were not annotated alike."""


@check("unknown values")
def unknown_values(survey: Survey) -> Iterator[Finding]:
    """Values that no class has, with their histogram per split."""
    pixels, masks = survey.pixels, survey.masks
    if pixels is None or not pixels.is_unknown.any():
        return
    unknown = pixels.is_unknown & ~_is_told_elsewhere(survey)[masks.rows]
    rows = np.unique(masks.rows[unknown])
    if not rows.size:
        return
    worst = _most_pixels_first(survey, rows, unknown)
    cases = [survey.mask_case(row, _values_in(survey, row, unknown)) for row in worst]
    splits = survey.splits[survey.mask_samples[masks.rows]]
    parts = []
    for number, split in enumerate(SPLITS):
        here = unknown & (splits == number)
        if here.any():
            parts.append(f"{split}: {_histogram(survey, here)}")
    found = f"{counted(f'{len(rows):,}', 'mask')} with values that no class has. {'; '.join(parts)}."
    leave_out = _ignore_too(survey, sorted(set(masks.values[unknown].tolist())))
    advice = (
        "Name them, too, with class_map={...}, or make one class of everything else: class_map={..., 'other': 'rest'}."
    )
    if leave_out:
        advice += f" Or type {leave_out} to leave such pixels out."
    yield Finding.of("unknown_values", "error", cases, found, advice)


@check("rare values")
def rare_values(survey: Survey) -> Iterator[Finding]:
    """Values far from all others that few pixels of few masks have, where the classes have no names to go by."""
    class_map, masks = survey.class_map, survey.masks
    if class_map is None or survey.has_names or class_map.encoding != "ids" or class_map.task != "multiclass":
        return
    readable = max(1, int(survey.readable_masks.sum()))
    pixels = max(1, int(masks.counts.sum()))
    known = sorted(class_map.values)
    gaps = [at for at in range(1, len(known)) if known[at] - known[at - 1] > 1]
    if not gaps:
        return
    suspects = []
    for value in known[gaps[0] :]:
        here = masks.values == value
        if here.sum() < _RARE_MASKS * readable and masks.counts[here].sum() < _RARE_PIXELS * pixels:
            suspects.append(value)
    is_suspect = np.isin(masks.values, suspects)
    rows = np.unique(masks.rows[is_suspect])
    if rows.size:
        worst = _most_pixels_first(survey, rows, is_suspect)
        cases = [survey.mask_case(row, _values_in(survey, row, is_suspect)) for row in worst]
        found = (
            f"{counted(f'{len(rows):,}', 'mask')} with values far from all others and of few pixels: "
            f"{_histogram(survey, is_suspect)}."
        )
        leave_out = _ignore_too(survey, suspects)
        advice = f"If they are slips, {f'type {leave_out}' if leave_out else 'mend them'}; "
        advice += "if classes, name them with classes=[...]."
        yield Finding.of("rare_values", "warning", cases, found, advice)


@check("encodings")
def encodings(survey: Survey) -> Iterator[Finding]:
    """Masks stored in another way than most: colours among ids, 0/255 among ids."""
    masks = survey.masks
    readable = survey.readable_masks
    kinds = Counter(masks.kind[readable].tolist())
    if len(kinds) > 1:
        most = kinds.most_common(1)[0][0]
        odd = (readable & (masks.kind != most)).nonzero()[0]
        is_harmful = KINDS.index("rgb") in kinds
        cases = [survey.mask_case(row, f"stored as {KINDS[masks.kind[row]]}") for row in odd]
        found = (
            f"{counted(f'{len(odd):,}', 'mask')} stored as {_kind_names(kinds, most)}, while most are {KINDS[most]}."
        )
        advice = "Save them as the others are: grey or palette values are class ids, RGB values are colours."
        yield Finding.of("mixed_encodings", "error" if is_harmful else "note", cases, found, advice)
    yield from _other_palettes(survey)
    odd = _black_and_white_among_ids(survey)
    if odd.size:
        cases = survey.mask_cases(odd, "0 and 255 only")
        found = f"{counted(f'{len(odd):,}', 'mask')} of 0 and 255 only, while the others hold class ids."
        advice = "Save them with class ids; 255 would be taken for pixels that do not count."
        yield Finding.of("black_and_white_masks", "error", cases, found, advice)


def _other_palettes(survey: Survey) -> Iterator[Finding]:
    """Palettes that have other colours for the same values, as programs make them that sort colours anew."""
    masks = survey.masks
    if survey.class_map is None or survey.class_map.encoding != "ids":
        return  # where colours are the classes, their order in the palette means nothing
    colors: dict[int, Counter[Color]] = defaultdict(Counter)
    used: dict[int, dict[int, Color]] = {}
    for row, palette in masks.palettes.items():
        first, last = np.searchsorted(masks.rows, [row, row + 1])
        used[row] = {int(value): palette[value] for value in masks.values[first:last] if value < len(palette)}
        for value, color in used[row].items():
            colors[value][color] += 1
    usual = {value: counts.most_common(1)[0][0] for value, counts in colors.items()}
    strange = {
        row: sum(color != usual[value] for value, color in held.items()) or _num_moved_greys(held, survey)
        for row, held in used.items()
    }
    rows = sorted((row for row, count in strange.items() if count), key=lambda row: -strange[row])
    if rows:
        cases = [survey.mask_case(row, f"{counted(str(strange[row]), 'value')} of other colours") for row in rows]
        found = f"{counted(f'{len(rows):,}', 'mask')} whose palette has other colours for the same values."
        advice = "Their values most likely mean other classes; save them anew with the others' palette."
        yield Finding.of("other_palettes", "error", cases, found, advice)


def _num_moved_greys(held: dict[int, Color], survey: Survey) -> int:
    """Return how many values of a palette are shown as the grey of another class: the palette of a quantised mask."""
    class_map = survey.class_map
    targets = class_map.value_targets() if class_map else {}
    known = {
        0,
        *(value for value, target in targets.items() if target or (class_map and class_map.task == "multiclass")),
    }
    greys = {value: color[0] for value, color in held.items() if color[0] == color[1] == color[2]}
    if len(greys) < len(held) or not set(greys.values()) <= known:
        return 0
    return sum(value != grey for value, grey in greys.items())


@check("antialiased masks")
def antialiased_masks(survey: Survey) -> Iterator[Finding]:
    """Grey levels between black and white, from smooth drawing or scaling; harmless for one class, else not."""
    class_map, masks = survey.class_map, survey.masks
    between = _is_between(survey)
    in_between = np.bincount(masks.rows[between], minlength=len(masks))
    if class_map is not None and class_map.encoding == "threshold":
        if class_map.threshold <= 1:
            return  # whatever is not 0 is the class, so nothing lies between
        rows, severity = (in_between > 0).nonzero()[0], _NOTE
        advice = f"They are read exactly enough: the class begins at {class_map.threshold}."
    else:
        rows, severity = has_too_many_levels(survey).nonzero()[0], _ERROR
        advice = "Save them anew without smoothing; scale masks by the nearest pixel only."
    if rows.size:
        among = between & np.isin(masks.rows, rows)
        share = masks.counts[among].sum() / max(1, masks.counts[np.isin(masks.rows, rows)].sum())
        worst = _most_pixels_first(survey, rows, among)
        cases = [survey.mask_case(row, f"{in_between[row]} levels of grey") for row in worst.tolist()]
        found = f"{counted(f'{len(rows):,}', 'mask')} with levels of grey, {share:.1%} of their pixels."
        yield Finding.of("antialiased_masks", severity, cases, found, advice)


@check("empty masks")
def empty_masks(survey: Survey) -> Iterator[Finding]:
    """Masks that show nothing: only background, or only pixels that do not count."""
    pixels = survey.pixels
    if pixels is None:
        return
    readable = survey.readable_masks
    counting = pixels.of_class.sum(axis=1) + pixels.background + pixels.unknown
    void = readable & (counting == 0)
    if void.any():
        cases = survey.mask_cases(void.nonzero()[0])
        found = f"{counted(f'{len(cases):,}', 'mask')} in which no pixel counts; nothing can be learnt from them."
        yield Finding.of("void_masks", "warning", cases, found, "Draw them, or remove them with their images.")
    empty = (readable & ~void & ~_is_told_elsewhere(survey) & _shows_nothing(survey)).nonzero()[0]
    if empty.size and empty.size == np.count_nonzero(readable):
        who = "The only mask shows" if len(empty) == 1 else f"All {len(empty):,} masks show"
        found = f"{who} background only, so there is nothing to learn."
        advice = "Annotate the images; or look whether the class names, or the files, are those of this dataset."
        yield Finding.of("empty_masks", "error", survey.mask_cases(empty), found, advice)
    elif empty.size:
        share = empty.size / max(1, int(readable.sum()))
        cases = survey.mask_cases(empty)
        shows = "shows" if len(cases) == 1 else "show"
        found = f"{counted(f'{len(cases):,}', 'mask')} that {shows} background only, {share:.1%} of all."
        advice = "Fine where the images really show nothing; else they were forgotten: draw them, or remove them."
        reason = _why_not_by_nature(survey, empty)
        is_suspicious = share < _FEW_EMPTY or bool(reason)
        yield Finding.of("empty_masks", "warning" if is_suspicious else "note", cases, found + reason, advice)


def _why_not_by_nature(survey: Survey, empty: Rows) -> str:
    """Return a sentence on what makes many empty masks look forgotten; empty where nothing does."""
    splits = survey.splits[survey.mask_samples]
    shares = {}
    for number, split in enumerate(SPLITS):
        here = (survey.readable_masks & (splits == number)).nonzero()[0]
        if len(here) >= _LEAST_OF_SPLIT:
            shares[split] = float(np.isin(here, empty).mean())
    if shares and max(shares.values()) - min(shares.values()) > _OTHER_EMPTY:
        return f" They differ: {', '.join(f'{share:.0%} in {split}' for split, share in shares.items())}."
    is_drawn = any(isinstance(source, DrawnMask) for source in survey.mask_sources[:1])
    return " In half of the images there is no object." if is_drawn and 2 * empty.size >= len(survey.masks) else ""


def _shows_nothing(survey: Survey) -> Numbers:
    """Return which masks hold background alone, (M,) bool."""
    class_map, pixels, masks = survey.class_map, survey.pixels, survey.masks
    if class_map is None or pixels is None:
        return np.zeros(len(masks), bool)
    if class_map.task == "multilabel":
        sums = np.zeros((len(survey.samples), class_map.num_classes), np.int64)
        np.add.at(sums, survey.mask_samples, pixels.of_class)
        return np.asarray((sums[survey.mask_samples].sum(axis=1) == 0) & (survey.mask_planes == 0))
    if class_map.task == "binary":
        return np.asarray((pixels.of_class.sum(axis=1) == 0) & (pixels.unknown == 0))
    grounds = [at for at, name in enumerate(class_map.names) if is_ground(name, is_drawn=survey.is_drawn)]
    other = pixels.of_class.sum(axis=1) - pixels.of_class[:, grounds].sum(axis=1) + pixels.unknown
    return np.asarray(other == 0) if grounds else _holds_zero_alone(survey)


def _holds_zero_alone(survey: Survey) -> Numbers:
    masks = survey.masks
    not_zero = np.bincount(masks.rows[masks.values != 0], minlength=len(masks))
    return np.asarray(not_zero == 0)


def _black_and_white_among_ids(survey: Survey) -> Rows:
    class_map, masks = survey.class_map, survey.masks
    if class_map is None or class_map.encoding != "ids" or class_map.task != "multiclass":
        return np.zeros(0, np.intp)
    extreme = (masks.values == 0) | (masks.values == 255)
    others = np.bincount(masks.rows[~extreme], minlength=len(masks))
    white = np.bincount(masks.rows[masks.values == 255], minlength=len(masks))
    black = np.bincount(masks.rows[masks.values == 0], minlength=len(masks))
    odd = survey.readable_masks & (others == 0) & (white > 0) & (black > 0)
    # where many masks are so beside others with such a border, it is how the dataset says void
    is_border = bool(((others > 0) & (white > 0)).any())
    is_rare = odd.sum() < (2 * _RARE_MASKS * odd.size if is_border else (others > 0).sum())
    is_void = class_map.value_targets().get(255) in (None, IGNORE_INDEX)
    return odd.nonzero()[0] if is_rare and is_void else np.zeros(0, np.intp)


def _ignore_too(survey: Survey, values: list[int]) -> str:
    """Return the argument that leaves out values, and those that are left out already; empty for too many.

    What is typed replaces what was typed before, and half a list would be taken for the whole.
    """
    class_map = survey.class_map
    is_colored = _is_colored(survey)
    ignored = () if class_map is None else class_map.ignored_colors if is_colored else class_map.ignored
    every = sorted({*ignored, *(_color(value) if is_colored else value for value in values)})
    return f"ignore={every}" if len(every) <= _MOST_TYPED else ""


def _is_told_elsewhere(survey: Survey) -> Numbers:
    """Return which masks hold strange values for a reason that has a finding of its own, (M,) bool."""
    masks = survey.masks
    told = has_too_many_levels(survey)
    told[_black_and_white_among_ids(survey)] = True
    kinds = np.bincount(masks.kind[survey.readable_masks], minlength=len(KINDS))
    if np.count_nonzero(kinds) > 1:
        told |= masks.kind != kinds.argmax()
    return told


def _is_between(survey: Survey) -> Numbers:
    """Return which values are grey levels between black and white, (V,) bool."""
    masks = survey.masks
    between = (masks.values > 0) & (masks.values < 255)
    return np.asarray(between & (masks.kind[masks.rows] == KINDS.index("grey")))


def has_too_many_levels(survey: Survey) -> Numbers:
    """Return which masks hold more grey levels than there can be classes, (M,) bool."""
    class_map, masks = survey.class_map, survey.masks
    if class_map is not None and class_map.encoding == "threshold":
        return np.zeros(len(masks), bool)
    levels = np.bincount(masks.rows[_is_between(survey)], minlength=len(masks))
    return np.asarray(levels > _levels_of_classes(survey))


def _levels_of_classes(survey: Survey) -> int:
    """Return how many grey levels between 0 and 255 the classes may have."""
    class_map = survey.class_map
    if class_map is None or class_map.encoding == "colors":
        return 64
    return max(64, 2 * class_map.num_classes)


def _is_colored(survey: Survey) -> bool:
    return survey.class_map is not None and survey.class_map.encoding == "colors"


def _most_pixels_first(survey: Survey, rows: Rows, chosen: Numbers) -> Rows:
    """Return rows in the order of the share of their pixels that have chosen values, (V,) bool."""
    masks = survey.masks
    pixels = np.bincount(masks.rows[chosen], masks.counts[chosen], minlength=len(masks))
    shares = pixels / np.maximum(1, masks.size_hw.prod(axis=1, dtype=np.int64))
    return np.asarray(rows[np.argsort(-shares[rows], kind="stable")])


def _values_in(survey: Survey, row: int, chosen: Numbers) -> str:
    masks = survey.masks
    first, last = np.searchsorted(masks.rows, [row, row + 1])
    part = [at for at in range(first, last) if chosen[at]]
    named = [f"{_shown(survey, masks.values[at])}: {masks.counts[at]} px" for at in part[:_MOST_NAMED]]
    return ", ".join(named) + (f" and {len(part) - len(named)} more" if len(part) > len(named) else "")


def _histogram(survey: Survey, chosen: Numbers) -> str:
    """Return values with how many masks hold them and their pixels."""
    masks = survey.masks
    values, places, holders = np.unique(masks.values[chosen], return_inverse=True, return_counts=True)
    pixels = np.bincount(places, masks.counts[chosen], minlength=len(values)).astype(np.int64)
    order = np.argsort(-holders, kind="stable")[:_MOST_NAMED]
    named = [
        f"{_shown(survey, values[at])} in {counted(f'{holders[at]:,}', 'mask')} ({pixels[at]:,} px)" for at in order
    ]
    return ", ".join(named) + (f" and {len(values) - len(named)} more values" if len(values) > len(named) else "")


def _shown(survey: Survey, value: int) -> str:
    return str(_color(int(value))) if _is_colored(survey) else str(value)


def _color(value: int) -> tuple[int, int, int]:
    return (value >> 16, (value >> 8) & 255, value & 255)


def _kind_names(kinds: Counter[int], most: int) -> str:
    return " or ".join(KINDS[kind] for kind in sorted(kinds) if kind != most)
