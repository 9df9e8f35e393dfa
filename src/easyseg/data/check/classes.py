"""Classes that a split lacks, and classes that are rare."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from easyseg.data.check.survey import Survey, check
from easyseg.data.class_weights import weights_of
from easyseg.results.checkup import Case, ClassShare, Finding
from easyseg.results.words import counted
from easyseg.structures import SPLITS

_RARE = 0.01
"""A class of fewer pixels than this share is rare."""


@check("absent classes")
def absent_classes(survey: Survey) -> Iterator[Finding]:
    """Classes that are not in the split to train on, or not in one to measure on; and those that are nowhere."""
    shares = class_shares(survey)
    lacking, unused = [], []
    for name in dict.fromkeys(share.name for share in shares):
        of_class = [share for share in shares if share.name == name]
        without = [share.split for share in of_class if not share.pixels]
        if len(without) == len(of_class):
            unused.append(Case(name))
        elif without:
            there = ", ".join(
                f"{counted(share.images, 'image')} of {share.split}" for share in of_class if share.pixels
            )
            lacking.append(Case(name, f"not in {', '.join(without)}; in {there}"))
    if lacking:
        found = f"{counted(len(lacking), 'class', 'classes')} that not all splits have."
        advice = (
            "A class that is not in train is never learnt, one that is not in val or test never measured: divide the "
            "images anew, or add some."
        )
        yield Finding.of("absent_classes", "warning", lacking, found, advice)
    if unused:
        found = f"{counted(len(unused), 'class', 'classes')} that no mask has."
        advice = "Nothing is learnt of them; leave them out unless masks with them are to come."
        yield Finding.of("unused_classes", "note", unused, found, advice)


@check("class imbalance")
def class_imbalance(survey: Survey) -> Iterator[Finding]:
    """Classes of very few pixels, with weights for the loss that make up for it."""
    pixels = survey.pixels
    if pixels is None or survey.class_map is None or len(_names(survey)) < 2:
        return
    rows = survey.readable_masks & _trains(survey)[survey.mask_samples]
    of_class, names = pixels.of_class[rows].sum(axis=0), _names(survey)
    if not of_class.sum():
        return
    share_of = of_class / of_class.sum()
    rare = [at for at in np.argsort(share_of).tolist() if 0 < share_of[at] < _RARE]
    if rare:
        is_multilabel = survey.class_map.task == "multilabel"
        weights = weights_of(of_class, _background_of_planes(survey, rows) if is_multilabel else None)
        cases = [Case(names[at], f"{share_of[at]:.2%} of the pixels, balanced weight {weights[at]:.2f}") for at in rare]
        what = counted(len(rare), "class", "classes")
        found = f"Of {len(names)} classes, {what} with less than {_RARE:.0%} of the pixels."
        advice = (
            "Type class_weights='balanced' to train with such weights; loss='ce+dice' and oversample=0.5 help, too."
        )
        yield Finding.of("class_imbalance", "note", cases, found, advice)


def _trains(survey: Survey) -> npt.NDArray[np.bool_]:
    """Return which samples a training learns from, (N,): those of train, or all where there are no splits yet."""
    of_train = survey.splits == SPLITS.index("train")
    return np.asarray(of_train if of_train.any() else np.ones(len(of_train), bool))


def _background_of_planes(survey: Survey, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the pixels of each class's masks that count and are not of it, (classes,)."""
    background = np.zeros(len(_names(survey)), np.int64)
    if survey.pixels is not None:
        np.add.at(background, survey.mask_planes[rows], survey.pixels.background[rows])
    return background


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


def _names(survey: Survey) -> tuple[str, ...]:
    return survey.class_map.names if survey.class_map is not None else ()
