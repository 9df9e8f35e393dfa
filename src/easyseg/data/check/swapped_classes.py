"""Classes that mean another thing in a part of the masks: numbered otherwise in one split, or black for white."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from easyseg.data.check.sources import DrawnMask, read_any_mask
from easyseg.data.check.survey import Rows, Survey, check
from easyseg.data.classes.mask_values import evenly_spread
from easyseg.data.threads import map_in_threads
from easyseg.errors import EasySegError
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted
from easyseg.structures import SPLITS

Shares = npt.NDArray[np.float64]

_LEAST_MASKS = 4
"""Fewer masks of a split do not tell what its shares are."""
_FAR = 0.35
"""Where so large a share of the pixels would have to change its class, two splits differ more than two drives do."""
_MUCH_NEARER = 1 / 3
_APART = 0.95
"""In so many pairs of masks, one of each split, the class covers more in the same split."""
_LEAST_SOUND = 10
_MOST_INVERTED = 0.3
_GAP = 0.25
"""Between the shares of inverted masks and all others lies as much of the image as no one object is apart."""
_MANY = 3
_TIGHT = 5.0
_CENTRED = 0.03
_MOST_OPENED = 50
_MOST_NAMED = 4


@check("exchanged classes")
def exchanged_classes(survey: Survey) -> Iterator[Finding]:
    """Splits in which classes cover what other classes cover in train, as after another numbering."""
    shares, rows = _shares(survey)
    names = _names(survey)
    splits = survey.splits[survey.mask_samples[rows]]
    cases = []
    for number, traded in _traded_in_splits(shares, splits).items():
        before, after = (shares[splits == at].mean(axis=0) for at in (0, number))
        words = [f"{names[at]} {after[at]:.0%} instead of {before[at]:.0%}" for at in traded[:_MOST_NAMED]]
        first = int(survey.mask_samples[rows[splits == number][0]])
        cases.append(Case(SPLITS[number], f"against train: {', '.join(words)}", (first,)))
    if cases:
        found = (
            f"In {counted(len(cases), 'split')}, classes cover what other classes cover in train: they have traded "
            "places, as where the masks were numbered otherwise, or black means what white does in train."
        )
        advice = "Look at masks of both splits; save those of one split anew with the other's values."
        yield Finding.of("exchanged_classes", "warning", cases, found, advice)


@check("inverted masks")
def inverted_masks(survey: Survey) -> Iterator[Finding]:
    """Masks of one class that cover what the others leave free."""
    shares, rows = _shares(survey)
    if shares.shape[1] != 2 or any(isinstance(source, DrawnMask) for source in survey.mask_sources[:1]):
        return
    covered = shares[:, 0] if survey.class_map is not None and survey.class_map.task == "binary" else shares[:, 1]
    splits = survey.splits[survey.mask_samples[rows]]
    rest = ~np.isin(splits, list(_traded_in_splits(shares, splits)))  # a whole split has been told of
    rows, covered = rows[rest], covered[rest]
    suspects = _mirrored(covered)
    if suspects.size and not _are_close_ups(survey, rows, covered, suspects):
        typical = float(np.median(np.delete(covered, suspects)))
        order = suspects[np.argsort(-abs(covered[suspects] - typical), kind="stable")]
        cases = [survey.mask_case(int(rows[at]), f"{covered[at]:.0%} covered") for at in order]
        found = (
            f"{counted(f'{len(cases):,}', 'mask')} that cover as much as the others leave free, which is "
            f"{1 - typical:.0%} in the middle: black and white may be exchanged."
        )
        advice = "Look at them; where they are inverted, save them anew as the others are."
        yield Finding.of("inverted_masks", "warning", cases, found, advice)


def _shares(survey: Survey) -> tuple[Shares, Rows]:
    """Return the share of each class and of the background in each readable mask, (R, classes), and its row (R,).

    There are none for overlapping classes, for their masks say nothing about each other.
    """
    pixels, class_map = survey.pixels, survey.class_map
    if pixels is None or class_map is None or class_map.task == "multilabel":
        return np.zeros((0, 0)), np.zeros(0, np.intp)
    columns = [pixels.of_class] if class_map.task == "multiclass" else [pixels.of_class, pixels.background[:, None]]
    counts = np.concatenate(columns, axis=1).astype(float)
    totals = counts.sum(axis=1)
    rows = (survey.readable_masks & (totals > 0) & (pixels.unknown == 0)).nonzero()[0]
    return counts[rows] / totals[rows, None], rows


def _names(survey: Survey) -> tuple[str, ...]:
    class_map = survey.class_map
    if class_map is None:
        return ()
    return class_map.names if class_map.task == "multiclass" else (*class_map.names, "background")


def _traded_in_splits(shares: Shares, splits: npt.NDArray[np.int8]) -> dict[int, list[int]]:
    """Return the classes that trade places with others, by the number of the split where they do."""
    found = {at: _traded(shares[splits == 0], shares[splits == at]) for at in range(1, len(SPLITS))}
    return {number: traded for number, traded in found.items() if traded}


def _traded(train: Shares, other: Shares) -> list[int]:
    """Return the classes that cover in a split what another class covers in train; none where nothing was exchanged.

    Splits differ by nature, too. After an exchange, however, the shares themselves are the same, only of other
    classes; and hardly a mask covers as much of such a class as the masks of train do.
    """
    if min(len(train), len(other)) < _LEAST_MASKS:
        return []
    before, after = train.mean(axis=0), other.mean(axis=0)
    distance = abs(before - after).sum() / 2
    # the best matching of numbers on a line pairs them in their order
    best = abs(np.sort(before) - np.sort(after)).sum() / 2
    if distance < _FAR or best > _MUCH_NEARER * distance:
        return []
    more = np.array([_share_above(other[:, at], train[:, at]) for at in range(len(before))])
    traded = [at for at in range(len(before)) if not 1 - _APART < more[at] < _APART]
    signs = set(np.sign(after[traded] - before[traded]).tolist())
    return sorted(traded, key=lambda at: -abs(float(before[at] - after[at]))) if {-1.0, 1.0} <= signs else []


def _share_above(these: Shares, those: Shares) -> float:
    """Return in how many pairs of numbers, one of each, the first is larger, as a share; equal ones count half."""
    ordered = np.sort(those)
    below = np.searchsorted(ordered, these, side="left") + np.searchsorted(ordered, these, side="right")
    return float(below.mean() / (2 * len(those)))


def _mirrored(covered: Shares) -> Rows:
    """Return which of the shares (R,) lie far from all others, but among them when taken from 1."""
    none = np.zeros(0, np.intp)
    if len(covered) < _LEAST_SOUND:
        return none
    is_high = covered > 0.5
    suspects = (is_high if is_high.mean() < 0.5 else ~is_high).nonzero()[0]
    others = np.sort(np.delete(covered, suspects))
    if not suspects.size or len(others) < _LEAST_SOUND or len(suspects) > _MOST_INVERTED * len(covered):
        return none
    gap = min(float(abs(others - share).min()) for share in covered[suspects])
    low, high = np.quantile(others, [0.25, 0.75])
    is_tight = gap > _TIGHT * (high - low) + _GAP
    mirrored = 1 - covered[suspects]
    is_among = (mirrored >= others[0] - 0.05) & (mirrored <= others[-1] + 0.05)
    if gap < _GAP or not is_among.all():
        return none
    return suspects if is_tight or len(suspects) >= _MANY else none


def _are_close_ups(survey: Survey, rows: Rows, covered: Shares, suspects: Rows) -> bool:
    """Whether large shares come of objects that fill their images.

    Objects lie in the middle: at the edges of an image there is less of them than in all of it. In an inverted mask
    there is more.
    """
    others = np.delete(np.arange(len(rows)), suspects)
    around = [
        np.array(map_in_threads(lambda at: _excess_at_edges(survey, int(rows[at]), covered[at]), part))
        for part in (evenly_spread(others.tolist(), _MOST_OPENED), evenly_spread(suspects.tolist(), _MOST_OPENED))
    ]
    sound, suspected = (float(np.median(part)) for part in around)
    return abs(sound) > _CENTRED and sound * suspected > 0


def _excess_at_edges(survey: Survey, row: int, covered: float) -> float:
    """Return by how much larger the class's share is at the edges of the image than in all of it."""
    class_map = survey.class_map
    if class_map is None:
        return 0.0
    try:
        raw = read_any_mask(survey.mask_sources[row])
        ids = class_map.encode(raw.as_rgb() if class_map.encoding == "colors" else raw.values)
    except EasySegError:
        return 0.0
    inside = (ids == 1).astype(np.uint8)
    edges = cv2.copyMakeBorder(np.zeros_like(inside)[1:-1, 1:-1], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1) > 0
    return float(inside[edges].mean()) - covered
