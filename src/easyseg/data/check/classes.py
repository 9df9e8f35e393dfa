"""Classes that a split lacks, and classes that are rare."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from easyseg.data.check.survey import Survey, check
from easyseg.results.checkup import Case, ClassShare, Finding
from easyseg.structures import SPLITS

_RARE = 0.01
"""A class of fewer pixels than this share is rare."""


@check("absent classes")
def absent_classes(survey: Survey) -> Iterator[Finding]:
    """Classes that occur nowhere, or not in the split to train on or to validate on."""
    shares = class_shares(survey)
    splits = list(dict.fromkeys(share.split for share in shares))
    cases = []
    for name in dict.fromkeys(share.name for share in shares):
        without = [share.split for share in shares if share.name == name and not share.pixels]
        if without:
            cases.append(Case(name, "in no split" if len(without) == len(splits) else f"not in {', '.join(without)}"))
    if cases:
        found = f"{len(cases)} of {len(shares) // len(splits)} classes occur in no mask of a split."
        advice = (
            "A class that is not in train is never learnt, one that is not in val or test never measured: divide the "
            "images anew, add some, or leave the class out."
        )
        yield Finding.of("absent_classes", "warning", cases, found, advice)


@check("class imbalance")
def class_imbalance(survey: Survey) -> Iterator[Finding]:
    """Classes of very few pixels, with weights for the loss that make up for it."""
    shares = class_shares(survey)
    totals = {name: sum(share.pixels for share in shares if share.name == name) for name in _names(survey)}
    pixels = np.array(list(totals.values()), float)
    if len(totals) < 2 or not pixels.sum():
        return
    share_of = pixels / pixels.sum()
    rare = [at for at in np.argsort(share_of) if 0 < share_of[at] < _RARE]
    if rare:
        weights = [round(weight, 2) for weight in balanced_weights(pixels)]
        cases = [Case(list(totals)[at], f"{share_of[at]:.2%} of the pixels, weight {weights[at]:g}") for at in rare]
        found = f"{len(rare)} of {len(totals)} classes cover less than {_RARE:.0%} of the pixels each."
        advice = f"Type class_weights='balanced', which is {weights} here; loss='ce+dice' and oversample=0.5 help, too."
        yield Finding.of("class_imbalance", "note", cases, found, advice)


def class_shares(survey: Survey) -> list[ClassShare]:
    """Return how often each class occurs in each split that has masks; empty without a class map."""
    pixels = survey.pixels
    if pixels is None:
        return []
    splits = survey.splits[survey.mask_samples]
    rows = []
    for number, split in enumerate(SPLITS):
        of_split = pixels.of_class[(splits == number) & survey.readable_masks]
        if not len(of_split):
            continue
        background = pixels.background[(splits == number) & survey.readable_masks].sum()
        total = max(1, int(of_split.sum() + background))
        for at, name in enumerate(_names(survey)):
            count, images = int(of_split[:, at].sum()), int(np.count_nonzero(of_split[:, at]))
            rows.append(ClassShare(split, name, count, count / total, images))
    return rows


def balanced_weights(pixels: npt.NDArray[np.float64]) -> list[float]:
    """Return the weights that class_weights='balanced' stands for, of the pixels of each class (C,)."""
    weights = 1 / np.sqrt(np.maximum(pixels, 1) / max(1.0, pixels.sum()))
    return [float(weight) for weight in weights / weights.mean()]


def _names(survey: Survey) -> tuple[str, ...]:
    return survey.class_map.names if survey.class_map is not None else ()
