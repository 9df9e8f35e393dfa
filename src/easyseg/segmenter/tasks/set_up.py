"""What a detector is set up with from the data: anchors, and how many objects it may find."""

from __future__ import annotations

from easyseg.data.dataset import Dataset
from easyseg.data.object_sizes import ObjectSizes
from easyseg.models.instance.anchors import AnchorFit, Anchors, choose_anchors, measure_anchors
from easyseg.models.instance.starting_plan import plan_of_weights
from easyseg.preprocessing import Preprocessing
from easyseg.structures import SizeHW

LEAST_RECALL = 0.9
"""Anchors that overlap fewer of the objects with an IoU of 0.5 are worth a warning."""

SHAPES_TRIED = (3, 5, 7)
"""So many shapes of anchors at each position, in turn, until they suit the objects: thin and wide ones need more."""

USUAL_DETECTIONS = 100
MOST_DETECTIONS = 1000


def canvas_of(dataset: Dataset, preprocessing: Preprocessing) -> SizeHW:
    """Return height and width of the images that anchors have to suit, in pixels."""
    if preprocessing.image_size is not None and preprocessing.resize != "crop":
        return preprocessing.image_size  # of crops, the whole images, whose boxes are known
    sizes = [dataset.size_hw(index) for index in range(len(dataset))]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def anchors_for(sizes: ObjectSizes, canvas_hw: SizeHW, weights: str | None) -> Anchors:
    """Return anchors for these objects; those that the weights of a detector were trained with, where they suit.

    Where they do not, there are as many again: the weights have a layer for each.
    """
    known = plan_of_weights(weights)
    if known is not None and measure_anchors(known.anchors, sizes.boxes, canvas_hw=canvas_hw).recall_50 >= LEAST_RECALL:
        return known.anchors
    for per_position in SHAPES_TRIED if known is None else (known.anchors.per_position,):
        fit = choose_anchors(sizes.boxes, canvas_hw=canvas_hw, per_position=per_position)
        if fit.recall_50 >= LEAST_RECALL:
            break
    return fit.anchors


def detections_for(sizes: ObjectSizes) -> int:
    """Return how many objects the model may find in an image: COCO's 100, or with some room what there is."""
    wanted = max(USUAL_DETECTIONS, -(-5 * sizes.most // 4))
    return min(MOST_DETECTIONS, -(-wanted // 50) * 50)


def anchor_note(fit: AnchorFit) -> str:
    """Say how well anchors suit the objects, and what to do where they do not."""
    recall = f"best possible recall {fit.recall_50:.1%} at IoU .5, {fit.recall_70:.1%} at IoU .7"
    if fit.recall_50 >= LEAST_RECALL:
        return f"Anchors fit the objects: {recall}."
    return (
        f"Note: anchors miss many objects: {recall}. As the network sees them, objects are too small, too thin or too "
        "large; another image_size or resize='crop' changes that."
    )
