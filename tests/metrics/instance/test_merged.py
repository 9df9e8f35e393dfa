"""A truth that draws several objects as one shows, from its own shapes or from what was predicted within it."""

from __future__ import annotations

import cv2
import numpy as np

from easyseg.geometry import RunLengths
from easyseg.io.images import read_mask
from easyseg.metrics.instance import InstanceScorer, PredictedObjects, TruthObjects

SIZE_HW = (60, 80)


def _blocks(*lefts, side=8):
    mask = np.zeros(SIZE_HW, bool)
    for left in lefts:
        mask[10 : 10 + side, left : left + side] = True
    return mask


def _boxed(left, side=8):
    return [left, 10, left + side, 10 + side]


def _merged(*images, masks=True):
    """Return how many images look merged, and the median number of parts."""
    scorer = InstanceScorer(2, masks=masks)
    for image_id, sides in enumerate(images):
        scorer.add(image_id, *sides)
    diagnosis = scorer.diagnosis()
    return diagnosis.num_merged_images, diagnosis.median_merged_parts


def _truth(*masks, class_ids=None, **columns):
    return TruthObjects(class_ids or [0] * len(masks), [RunLengths.from_mask(mask) for mask in masks], **columns)


NOTHING = PredictedObjects([], [])


def test_shapes_of_a_single_object_are_counted():
    """Three apart are several objects; two may be one behind a post; touching at a corner is together."""
    assert _merged((_truth(_blocks(0, 20, 40)), NOTHING)) == (1, 3)
    assert _merged((_truth(_blocks(0, 20)), NOTHING)) == (0, 0)
    corner = _blocks(0, 20)
    corner[18:26, 8:16] = corner[18:26, 28:36] = True
    assert _merged((_truth(corner), NOTHING)) == (0, 0)


def test_specks_are_no_shapes():
    """Less than a tenth of the largest shape may be noise."""
    mask = _blocks(0)
    mask[0, 30:50:2] = True
    assert _merged((_truth(mask), NOTHING)) == (0, 0)


def test_only_an_object_alone_in_its_class_is_suspected():
    """Of two objects, someone told them apart; a crowd is no single object, and does not count as a second one."""
    merged = _blocks(0, 20, 40)
    assert _merged((_truth(merged, _blocks(60)), NOTHING)) == (0, 0)
    assert _merged((_truth(merged, _blocks(60), class_ids=[0, 1]), NOTHING)) == (1, 3)
    assert _merged((_truth(merged, is_crowd=[True]), NOTHING)) == (0, 0)
    assert _merged((_truth(_blocks(60), merged, is_crowd=[True, False]), NOTHING)) == (1, 3)


def test_separate_predictions_within_an_object_are_counted():
    """With boxes only, what the model tells apart is the sign."""
    truth = TruthObjects([0], boxes=[[0, 0, 80, 60]])

    def found(scores, boxes, class_ids=None):
        return truth, PredictedObjects(class_ids or [0] * len(boxes), scores, boxes=boxes)

    apart = [_boxed(0), _boxed(20), _boxed(40), _boxed(60)]
    assert _merged(found([0.9, 0.8, 0.7, 0.6], apart), masks=False) == (1, 4)
    assert _merged(found([0.9, 0.8, 0.7, 0.1], apart), masks=False) == (1, 3)  # the last one is a mere guess
    assert _merged(found([0.9] * 4, apart, [0, 0, 1, 1]), masks=False) == (0, 0)
    assert _merged(found([0.9] * 4, [_boxed(0), _boxed(1), _boxed(40), _boxed(41)]), masks=False) == (0, 0)
    outside = [_boxed(0), _boxed(20), _boxed(78), _boxed(79)]
    assert _merged(found([0.9] * 4, outside), masks=False) == (0, 0)
    assert _merged(found([0.9] * 4, [*apart[:2], [0, 0, 80, 60], [0, 0, 60, 60]]), masks=False) == (0, 0)
    assert _merged(found([0.9] * 4, [[5, 5, 5, 5]] * 4), masks=False) == (0, 0)


def test_an_empty_object_has_no_shape():
    """An empty mask is measured like any other."""
    assert _merged((_truth(np.zeros(SIZE_HW, bool)), NOTHING)) == (0, 0)


def test_images_and_median():
    """Every image counts once, however many classes look merged in it."""
    merged = (_truth(_blocks(0, 20, 40), _blocks(0, 20, 40, 60), class_ids=[0, 1]), NOTHING)
    images = [merged, (_truth(_blocks(0)), NOTHING), (_truth(_blocks(0, 15, 30, 45, 60)), NOTHING)]
    assert _merged(*images) == (2, 4)


def test_real_roofs_as_one_object(shared_data):
    """All roofs of an image as one object are found out; each roof by itself is not."""
    files = sorted((shared_data / "rooftops/train/labels").glob("*.png"))
    united, single = [], []
    for file in files:
        mask = read_mask(file).values > 127
        count, labels = cv2.connectedComponents(mask.view(np.uint8))
        united.append((_truth(mask), NOTHING))
        single.append((_truth(*(labels == number for number in range(1, count))), NOTHING))
    assert _merged(*united)[0] >= 0.8 * len(files)
    assert _merged(*united)[1] >= 3
    assert _merged(*single) == (0, 0)
