"""The figures of an instance segmentation in words: what holds the model back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from easyseg.metrics.instance import Diagnosis, InstanceScores, Kind, MistakeFigures
from easyseg.results.words import counted

_MERGED_SHARE = 0.5  # of the images, from which on a truth of many parts is no chance
_FEWEST_MERGED = 2  # images; a single one proves nothing about a dataset
_LITTLE = 0.05  # of AP or AP50; less is no reason to act
_FOUND = 0.8  # AP50 from which on it is the outlines or boxes that are left to improve
_LEARNED_BY_HEART = 0.75  # of the AP on training images, below which the rest is worse for being new
_LEARNED = 0.3  # AP on training images, from which on they are known well enough to speak of learning by heart
_NOT_LEARNED = 0.5  # AP on training images, below which even these are not known yet
_MANY_SMALL = 0.2  # share of small objects, from which on they matter for the whole

_CAUSES: Mapping[str, tuple[str, str]] = {
    "classification": ("Wrong classes hold", "{count} with a good {outline} under another class"),
    "localisation": ("Rough {outlines} hold", "{count} with less than half of the overlap"),
    "both": ("Rough {outlines} under wrong classes hold", "{count} near objects of another class only"),
    "duplicate": ("Repeated predictions hold", "{count} of objects that were found already"),
    "background": ("Predictions where nothing is hold", "{count} on the background"),
    "missed": ("Missed objects hold", "{count} that no prediction fits"),
}
"""For each kind of mistake: who is to blame, and what was counted. Of `{outline}`, see `_OUTLINES`."""

_OUTLINES: Mapping[Kind, tuple[str, str]] = {"mask": ("outline", "outlines"), "box": ("box", "boxes")}
"""What goes around an object, one and many of it, by what was measured."""


def verdict(scores: InstanceScores, diagnosis: Diagnosis, training: InstanceScores | None = None) -> str:
    """Return one or two sentences on what holds a model back most.

    Args:
        scores: the figures of the images that were measured.
        diagnosis: the cost of each kind of mistake on them, of the same kind of overlap.
        training: the figures of the same model on images it was trained on.
    """
    if not diagnosis.num_truths:
        return "There is nothing to diagnose: the images hold no true object that counts."
    first = _merged_truth(diagnosis)
    main = _main_mistake(scores, diagnosis)
    if first:
        return f"{first} {main}"
    return " ".join(filter(None, [main, _against_training(scores, training) or _by_size(scores)]))


def _merged_truth(diagnosis: Diagnosis) -> str:
    merged, images = diagnosis.num_merged_images, diagnosis.num_images_with_truth
    if merged < max(_FEWEST_MERGED, _MERGED_SHARE * images):
        return ""
    return (
        f"The truth draws several objects as one: in {merged} of {images} images, the only object of its class has "
        f"{diagnosis.median_merged_parts} separate parts (median), so draw each object by itself before anything else."
    )


def _main_mistake(scores: InstanceScores, diagnosis: Diagnosis) -> str:
    name, worst, ap = f"{scores.kind} AP50", diagnosis.worst, scores.overall.ap
    if not diagnosis.num_predictions:
        objects = counted(diagnosis.num_truths, "object")
        return f"Nothing was predicted, of {objects}: train longer; it is sure of none yet."
    if worst is None or worst.gain < _LITTLE:
        if not diagnosis.num_found:
            objects = counted(diagnosis.num_truths, "object")
            return f"None of {objects} is found: {_most_frequent(scores, diagnosis)}. Train longer."
        if diagnosis.ap50 >= _FOUND and diagnosis.ap50 - ap >= 2 * _LITTLE:
            _, outlines = _OUTLINES[scores.kind]
            return (
                f"The objects are found ({name} {diagnosis.ap50:.2f}), but their {outlines} are not close enough: "
                f"averaged over stricter thresholds it is AP {ap:.2f}."
            )
        return f"No kind of mistake holds the model back by itself ({name} {diagnosis.ap50:.2f}, AP {ap:.2f})."
    noun = "true object" if worst.name == "missed" else "prediction"
    subject, detail = _cause(worst, scores.kind, counted(worst.count, noun))
    return (
        f"{subject} the model back most: {detail}; without this, {name} would be "
        f"{diagnosis.ap50 + worst.gain:.2f} instead of {diagnosis.ap50:.2f}."
    )


def _cause(mistake: MistakeFigures, kind: Kind, count: str) -> tuple[str, str]:
    """Return who is to blame, and what was counted, in the words for what was measured."""
    outline, outlines = _OUTLINES[kind]
    subject, detail = _CAUSES[mistake.name]
    return subject.format(outlines=outlines), detail.format(count=count, outline=outline)


def _most_frequent(scores: InstanceScores, diagnosis: Diagnosis) -> str:
    """Return the most frequent mistake; where nothing is right, correcting a single kind shows nothing."""
    of_predictions = [mistake for mistake in diagnosis.mistakes if mistake.name != "missed"]
    most: MistakeFigures = max(of_predictions, key=lambda mistake: mistake.count)
    _, detail = _cause(most, scores.kind, str(most.count))
    return f"{counted(diagnosis.num_predictions, 'prediction')}, {detail}"


def _against_training(scores: InstanceScores, training: InstanceScores | None) -> str:
    """Compare with the training images, where that explains something."""
    if training is None or math.isnan(training.overall.ap):
        return ""
    here, there = scores.overall.ap, training.overall.ap
    figures = f"AP {there:.2f} on training images against {here:.2f} here"
    if there >= _LEARNED and there - here >= _LITTLE and here < _LEARNED_BY_HEART * there:
        return f"It has learned its images by heart ({figures}): more of them or stronger augmentation help."
    if there < _NOT_LEARNED:
        return f"Even its training images are not learned yet ({figures}): train longer, or with pretrained weights."
    return ""


def _by_size(scores: InstanceScores) -> str:
    """Say that small objects are the hard ones, where there are many of them."""
    all_sizes, num_small = scores.num_truths.sum(axis=0)[:2].tolist()
    small = scores.overall.ap_small
    others = (scores.overall.ap_medium, scores.overall.ap_large)
    larger = max((ap for ap in others if not math.isnan(ap)), default=math.nan)
    if num_small < _MANY_SMALL * all_sizes or not (larger - small >= _LITTLE and small < larger / 2):
        return ""
    return (
        f"Small objects, of up to 32 x 32 pixels, are {num_small / all_sizes:.0%} of all and reach AP {small:.2f} "
        f"against {larger:.2f} of larger ones: a larger image_size helps them."
    )
