"""Each kind of mistake, made on purpose, is named and costs what was worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from easyseg.metrics.instance import InstanceScorer, PredictedObjects, TruthObjects
from easyseg.metrics.instance.mistakes import Mistake, find_mistakes

KINDS = ["classification", "localisation", "both", "duplicate", "background", "missed"]
OBJECT = [0, 0, 10, 10]
HALF_OFF = [0, 4, 10, 14]  # shares 60 of 140 square pixels with it
FAR = [50, 50, 60, 60]


def _diagnosis(*images, num_classes=2):
    """Diagnose images of (class, box) truths and (class, score, box) predictions."""
    scorer = InstanceScorer(num_classes, masks=False)
    for image_id, (truth, predicted) in enumerate(images):
        scorer.add(
            image_id,
            TruthObjects([row[0] for row in truth], boxes=[row[1] for row in truth]),
            PredictedObjects(
                [row[0] for row in predicted], [row[1] for row in predicted], None, [r[2] for r in predicted]
            ),
        )
    diagnosis = scorer.diagnosis()
    ap50 = scorer.scores().overall.ap50
    assert diagnosis.ap50 == ap50 or (math.isnan(ap50) and math.isnan(diagnosis.ap50))
    assert [mistake.name for mistake in diagnosis.mistakes] == KINDS
    return diagnosis


def _costs(diagnosis):
    """Return counts and gains of the kinds that occur or cost anything."""
    rows = {mistake.name: (mistake.count, round(mistake.gain, 6)) for mistake in diagnosis.mistakes}
    return {name: row for name, row in rows.items() if row != (0, 0)}


def test_wrong_class():
    """The right class makes it right; the object does not count as missed."""
    diagnosis = _diagnosis(([(0, OBJECT)], [(1, 0.9, OBJECT)]))
    assert _costs(diagnosis) == {"classification": (1, 1.0)}
    assert diagnosis.worst.name == "classification"


def test_wrong_place():
    """Too little overlap with an object of its class."""
    assert _costs(_diagnosis(([(0, OBJECT)], [(0, 0.9, HALF_OFF)]))) == {"localisation": (1, 1.0)}


def test_wrong_class_and_place():
    """It cannot be corrected, so it is taken away; what it may have meant counts as missed."""
    diagnosis = _diagnosis(([(0, OBJECT)], [(1, 0.9, HALF_OFF)]))
    assert _costs(diagnosis) == {"both": (1, 0.0), "missed": (1, 1.0)}


def test_found_twice():
    """The second one goes. It stands before the next right one, where it costs a third of the precision."""
    images = [([(0, OBJECT), (0, FAR)], [(0, 0.9, OBJECT), (0, 0.8, OBJECT), (0, 0.7, FAR)])]
    diagnosis = _diagnosis(*images)
    # precision 1 at the 51 recalls up to one half, 2/3 at the 50 above
    assert diagnosis.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert _costs(diagnosis) == {"duplicate": (1, round(50 / 3 / 101, 6))}


def test_background():
    """A prediction where nothing is, with a higher score than the right one."""
    diagnosis = _diagnosis(([(0, OBJECT)], [(0, 0.9, FAR), (0, 0.8, OBJECT)]))
    assert _costs(diagnosis) == {"background": (1, 0.5)}


def test_missed():
    """Fewer objects to find stretch the curve: one of two found, without anything wrong, becomes all."""
    diagnosis = _diagnosis(([(0, OBJECT), (0, FAR)], [(0, 0.9, OBJECT)]))
    assert diagnosis.ap50 == pytest.approx(51 / 101)
    assert _costs(diagnosis) == {"missed": (1, round(50 / 101, 6))}
    assert (diagnosis.num_found, diagnosis.num_truths, diagnosis.num_predictions) == (1, 2, 1)


def test_a_class_that_is_never_found():
    """With nothing left to find it is perfect where nothing was predicted, and worth nothing otherwise."""
    assert _costs(_diagnosis(([(0, OBJECT)], []))) == {"missed": (1, 1.0)}
    assert _costs(_diagnosis(([(0, OBJECT)], [(0, 0.9, FAR)]))) == {"background": (1, 0.0), "missed": (1, 0.0)}


def test_the_mean_is_over_classes_with_objects():
    """A mistake in one of two classes costs half."""
    images = [([(0, OBJECT), (2, FAR)], [(0, 0.9, OBJECT), (1, 0.8, FAR)])]
    assert _costs(_diagnosis(*images, num_classes=4)) == {"classification": (1, 0.5)}


def test_of_several_corrected_ones_the_best_stays():
    """Two predictions too far off one object: corrected, they would be duplicates, so the worse one goes."""
    images = [([(0, OBJECT)], [(0, 0.7, HALF_OFF), (0, 0.9, HALF_OFF), (0, 0.8, FAR), (0, 0.6, HALF_OFF)])]
    assert _costs(_diagnosis(*images)) == {"localisation": (3, 1.0), "background": (1, 0.0)}


def test_an_object_is_found_once_only():
    """Corrected, a second prediction for the same object goes; it does not stand in for the one that is missed."""
    images = [([(0, OBJECT), (0, FAR)], [(0, 0.9, OBJECT), (0, 0.8, HALF_OFF)])]
    assert _costs(_diagnosis(*images)) == {"localisation": (1, 0.0), "missed": (1, round(50 / 101, 6))}


def test_a_corrected_one_replaces_a_worse_finder():
    """Corrected, a prediction with a higher score takes the object, and the one that found it goes."""
    images = [([(0, OBJECT)], [(0, 0.9, HALF_OFF), (0, 0.8, OBJECT)])]
    diagnosis = _diagnosis(*images)
    assert diagnosis.ap50 == 0.5
    assert _costs(diagnosis) == {"localisation": (1, 0.5)}


def test_a_corrected_one_with_a_lower_score_goes():
    """The better finder stays; nothing is missed, as the object is found."""
    images = [([(0, OBJECT), (0, FAR)], [(0, 0.9, OBJECT), (0, 0.8, HALF_OFF), (0, 0.7, FAR)])]
    assert _costs(_diagnosis(*images)) == {"localisation": (1, round(50 / 3 / 101, 6))}


def test_images_are_kept_apart():
    """Targets are those of the same image, in whatever order images are joined."""
    images = [([(0, FAR), (0, OBJECT)], [(0, 0.5, OBJECT)]), ([], []), ([(1, OBJECT)], [(0, 0.4, OBJECT)])]
    assert _costs(_diagnosis(*images))["classification"] == (1, 0.5)


def test_crowds_make_no_mistakes():
    """What lies in a crowd of its class does not count; of another class it lies on the background."""
    scorer = InstanceScorer(2, masks=False)
    truth = TruthObjects([0, 0], boxes=[OBJECT, FAR], is_crowd=[False, True])
    inside = [52, 52, 54, 54]
    scorer.add(0, truth, PredictedObjects([0, 0, 1], [0.5, 0.9, 0.8], boxes=[OBJECT, inside, inside]))
    diagnosis = scorer.diagnosis()
    assert diagnosis.ap50 == 1
    assert _costs(diagnosis) == {"background": (1, 0.0)}
    assert (diagnosis.num_truths, diagnosis.num_predictions) == (1, 2)


def test_touching_a_crowd_is_no_rough_outline():
    """A prediction with a fifth of it in a crowd of its class is wrong, but there is no object it could have meant."""
    scorer = InstanceScorer(1, masks=False)
    truth = TruthObjects([0, 0], boxes=[OBJECT, FAR], is_crowd=[False, True])
    scorer.add(0, truth, PredictedObjects([0, 0], [0.5, 0.9], boxes=[OBJECT, [58, 52, 68, 54]]))
    assert _costs(scorer.diagnosis()) == {"background": (1, 0.5)}


@pytest.mark.parametrize(
    ("same", "other", "expected"),
    [
        (0.5, 0.0, Mistake.DUPLICATE),
        (0.5, 0.5, Mistake.CLASSIFICATION),
        (np.nextafter(0.5, 0), 0.9, Mistake.LOCALISATION),
        (0.1, 0.0, Mistake.LOCALISATION),
        (np.nextafter(0.1, 0), 0.0, Mistake.BACKGROUND),
        (0.0, 0.5, Mistake.CLASSIFICATION),
        (0.0, np.nextafter(0.5, 0), Mistake.BOTH),
        (0.0, 0.1, Mistake.BACKGROUND),
        (0.0, np.nextafter(0.1, 1), Mistake.BOTH),
    ],
)
def test_limits_and_precedence(same, other, expected):
    """Where definitions meet or overlap, exactly one kind is named; only two kinds have a target."""
    iou, is_same_class = np.array([[other, same]]), np.array([[False, True]])
    mistakes, targets = find_mistakes(iou, is_same_class, np.zeros(2, bool), np.array([True]))
    assert mistakes.tolist() == [expected]
    expected_target = {Mistake.CLASSIFICATION: 0, Mistake.LOCALISATION: 1}.get(expected, -1)
    assert targets.tolist() == [expected_target]
    mistakes, targets = find_mistakes(iou, is_same_class, np.zeros(2, bool), np.array([False]))
    assert (mistakes.tolist(), targets.tolist()) == ([Mistake.NONE], [-1])


def test_no_object_at_all():
    """Everything predicted is background, and there is no AP50 to gain."""
    diagnosis = _diagnosis(([], [(0, 0.9, FAR)]))
    assert {mistake.name: mistake.count for mistake in diagnosis.mistakes if mistake.count} == {"background": 1}
    assert all(math.isnan(mistake.gain) for mistake in diagnosis.mistakes)
