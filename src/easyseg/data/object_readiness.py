"""What must be known before the first step of a training on objects: faults by name, and what is worth a note."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from easyseg.data.classes.mask_values import evenly_spread
from easyseg.data.dataset import Dataset
from easyseg.data.object_sizes import ObjectSizes
from easyseg.data.threads import map_in_threads
from easyseg.errors import DataError
from easyseg.preprocessing import Preprocessing
from easyseg.results.words import counted

_MOST_DRAWN = 50
"""Of so many evenly spread images with a single object, the object is drawn and looked at."""

_LARGE_PART = 0.1
"""Parts that are smaller than this share of the largest may be noise at an object's edge."""

_MOST_NAMED = 5
_SMALL_SHARE = 0.1
_SMALL_SIDE = 8.0
"""Two places of the finest features. Where a tenth of the objects is smaller on the canvas, a larger one is named."""

_CANVAS_STEP, _LARGEST_CANVAS = 64, 1536
"""Canvases to choose from, in pixels; a training on larger ones takes too long for advice."""


def refuse_unlearnable(sizes: ObjectSizes, *, num_classes: int) -> None:
    """Refuse objects that nothing can be learnt from; `measure_objects` has refused what cannot be read.

    Args:
        sizes: of the training split.
        num_classes: of the model, without background.

    Raises:
        DataError: there is no object, or nothing but crowds; or one is of a class that the model has not.
    """
    images = counted(len(sizes.counts), "image")
    if not len(sizes.boxes):
        is_one = len(sizes.counts) == 1
        hold = "The only image of the training split holds" if is_one else f"The {images} of the training split hold"
        if sizes.num_crowds:
            raise DataError(
                f"{hold} {counted(sizes.num_crowds, 'crowd')} or regions that do not count, and not a single object "
                "to learn from. Annotate objects one by one, or take back ignore=."
            )
        if sizes.num_specks:
            raise DataError(
                f"{hold} only specks: {counted(sizes.num_specks, 'region')} of masks "
                "of classes, too small to be taken for objects. Type load_dataset(path, smallest_pixels=1)."
            )
        vanished = ""
        if sizes.num_vanished:
            covers = "covers no pixel" if sizes.num_vanished == 1 else "cover no pixels"
            vanished = f" ({counted(sizes.num_vanished, 'object')} {covers}: outside of the image, or too small)"
        has = f"None of the {images} of the training split has an object"
        has = "The only image of the training split has no object" if is_one else has
        raise DataError(
            f"{has}{vanished}, so there is nothing to learn. Check the annotation and its class "
            "names: dataset.check(instances=True)."
        )
    wrong = np.flatnonzero((sizes.class_ids < 0) | (sizes.class_ids >= num_classes))
    if wrong.size:
        image = int(np.searchsorted(np.cumsum(sizes.counts), wrong[0], side="right"))
        raise DataError(
            f"Image {sizes.names[image]} has an object of class {sizes.class_ids[wrong[0]]}; the model has "
            f"{counted(num_classes, 'class', 'classes')}, numbered from 0 on without background. Type classes=[...] as "
            "the model was trained with, or build a new Segmenter."
        )


def refuse_unmeasurable(sizes: ObjectSizes) -> None:
    """Refuse validation images by which no model can be told from another.

    Args:
        sizes: of the validation split.

    Raises:
        DataError: there is no single object in them.
    """
    if not len(sizes.boxes):
        has = f"None of the {len(sizes.counts)} validation images has an object"
        has = "The only validation image has no object" if len(sizes.counts) == 1 else has
        raise DataError(
            f"{has}, so nothing tells which epoch is best. Type validation=... with other "
            "images, or another seed where the split was drawn."
        )


def notes_on_unseen(learnt: ObjectSizes, measured: ObjectSizes, names: Sequence[str]) -> tuple[str, ...]:
    """Return a line on classes that are measured although no training image shows one of them.

    Args:
        learnt: of the training split.
        measured: of the validation split.
        names: of the classes.
    """
    unseen = np.setdiff1d(measured.class_ids, learnt.class_ids)
    if not unseen.size:
        return ()
    listed = ", ".join(names[place] for place in unseen[:_MOST_NAMED]) + ("" if unseen.size <= _MOST_NAMED else ", ...")
    return (
        f"Note: no training image shows {listed}, and validation images do: it cannot be learnt and pulls the figures "
        "down. Type another seed where the split was drawn, or leave it out of classes=[...].",
    )


def notes_on_objects(sizes: ObjectSizes, *, detections_per_image: int, most_objects: int) -> tuple[str, ...]:
    """Return lines for people on what the data means for the training; those to act on begin with "Note: ".

    Args:
        sizes: of the training split.
        detections_per_image: how many objects the model finds in an image at the most.
        most_objects: how many objects of an image are learnt from at once, see `most_learnt`.
    """
    images = counted(len(sizes.counts), "image")
    middle = sizes.count_quantile(0.5)
    lines = [f"{len(sizes.boxes):,} objects in {images}, {middle} in the middle, {sizes.most} at the most."]
    if sizes.num_empty:
        lines.append(f"{counted(sizes.num_empty, 'image')} without objects: examples of what is none.")
    if sizes.num_crowds:
        crowds = counted(f"{sizes.num_crowds:,}", "crowd or void region", "crowds and void regions")
        lines.append(f"{crowds}: found or not, nothing is learnt there.")
    if sizes.num_specks:
        doubt = "Note: " if sizes.num_specks > len(sizes.boxes) else ""
        lines.append(
            f"{doubt}{counted(f'{sizes.num_specks:,}', 'connected region')} too small to be an object left out as "
            "specks; if they are objects, type load_dataset(path, smallest_pixels=1)."
        )
    if sizes.num_vanished:
        lines.append(
            f"Note: {counted(f'{sizes.num_vanished:,}', 'object')} without any pixel left out, drawn without area or "
            "too small for the canvas; dataset.check() names those drawn so."
        )
    above = int(np.count_nonzero(sizes.counts > detections_per_image))
    if above:
        lines.append(
            f"Note: {counted(above, 'image')} with more than {detections_per_image} objects, the most that the model "
            f"finds in one. Cut images into tiles; a new Segmenter takes its limit from the data, up to 1000."
        )
    crowded = int(np.count_nonzero(sizes.counts > most_objects))
    if crowded:
        lines.append(
            f"Note: {counted(crowded, 'image')} with more than {most_objects} objects. So many of each, others in "
            "every epoch, are learnt from; where the others are, nothing is learnt meanwhile. Crops of such images "
            "hold fewer: resize='crop'."
        )
    return tuple(lines)


def note_on_size(sizes: ObjectSizes, preprocessing: Preprocessing) -> str:
    """Return a line on how large the objects are for the network, and where they are too small, what to type.

    Args:
        sizes: of the training split, one object at least.
        preprocessing: what they were measured by.
    """
    small, middle = sizes.side_quantile(_SMALL_SHARE), sizes.side_quantile(0.5)
    is_scaled = preprocessing.image_size is not None and preprocessing.resize in ("pad", "stretch")
    height, width = preprocessing.image_size if preprocessing.image_size and is_scaled else (0, 0)
    where = f"on the canvas of {height} × {width} pixels" if is_scaled else "in the images"
    found = f"The shorter side of the objects: {middle:.0f} pixels (median), nine in ten at least {small:.0f}, {where}"
    if preprocessing.resize == "crop" and preprocessing.image_size and middle > min(preprocessing.image_size):
        return f"Note: {found[0].lower()}{found[1:]}. Most do not fit into a crop; type resize='pad', or larger crops."
    if small >= _SMALL_SIDE:
        return f"{found}."
    problem = f"Note: {found[0].lower()}{found[1:]}. Those under {_SMALL_SIDE:.0f} pixels are hardly found"
    if not is_scaled:
        return f"{problem}; type resize='pad' and an image_size larger than the images."
    wanted = tuple(_larger_canvas(side, small) for side in (height, width))
    if max(wanted) > _LARGEST_CANVAS:
        return f"{problem}; type resize='crop', which trains on parts of images at their full size."
    return f"{problem}; type image_size={wanted[0] if wanted[0] == wanted[1] else wanted}, or resize='crop'."


def _larger_canvas(side: int, small: float) -> int:
    """Return a side of the canvas at which objects of a `small` side are large enough."""
    return _CANVAS_STEP * math.ceil(side * _SMALL_SIDE / max(small, 1) / _CANVAS_STEP)


def note_on_merged(dataset: Dataset, sizes: ObjectSizes) -> tuple[str, ...]:
    """Return a line where most images hold one object in several separate parts: all their objects in one mask.

    Args:
        dataset: the training split.
        sizes: of it.

    Raises:
        SampleError: an object cannot be drawn.
    """
    lone = np.flatnonzero(sizes.counts == 1).tolist()
    if 2 * len(lone) <= np.count_nonzero(sizes.counts):
        return ()
    chosen = evenly_spread(lone, _MOST_DRAWN)
    merged = sum(count > 1 for count in map_in_threads(lambda index: _num_parts(dataset, index), chosen))
    if 2 * merged <= len(chosen):
        return ()
    return (
        f"Note: in {merged} of {counted(len(chosen), 'image')} looked at, the only object has several separate parts: "
        "each mask seems to hold all objects of its image, and the model will learn to find them as one. Give each "
        "object a mask of its own; where they never touch, type dataset.to_masks('new_folder') and train on that "
        "folder, whose connected regions are taken for objects. See dataset.check(instances=True).",
    )


def _num_parts(dataset: Dataset, index: int) -> int:
    """Return how many large separate parts the only object of an image has."""
    truth = dataset.truth(index)
    single = np.flatnonzero(~truth.is_crowd)[:1]
    if truth.masks is None or not single.size:
        return 0
    patch, _ = truth.masks[single[0]].to_patch()
    _, _, figures, _ = cv2.connectedComponentsWithStats(patch.astype(np.uint8), connectivity=8)
    areas = figures[1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero(areas >= _LARGE_PART * areas.max(initial=0)))
