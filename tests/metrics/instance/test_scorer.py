"""The scorer: what it refuses, that order and processes change nothing, and that it forgets masks."""

from __future__ import annotations

import gc
import math
import sys

import numpy as np
import pytest

from easyseg.errors import ConfigError, DataError
from easyseg.geometry import RunLengths
from easyseg.metrics import InstanceScorer, PredictedObjects, TruthObjects
from easyseg.metrics.instance.precision import plain_figures

SIZE_HW = (20, 30)


def _mask(left, width=4, size_hw=SIZE_HW):
    mask = np.zeros(size_hw, bool)
    mask[2:12, left : left + width] = True
    return RunLengths.from_mask(mask)


def _image(seed):
    """Return truth and prediction of an image with a few bars that partly agree."""
    generator = np.random.default_rng(seed)
    lefts, class_ids = generator.integers(0, 25, 5), generator.integers(0, 3, 5)
    truth = TruthObjects(class_ids, tuple(map(_mask, lefts)), is_crowd=generator.random(5) < 0.2)
    moved = lefts + generator.integers(-1, 2, 5)
    scores = np.round(generator.random(5), 1)
    return truth, PredictedObjects(class_ids, scores, tuple(_mask(max(left, 0)) for left in moved))


def _scorer(image_ids, **settings):
    scorer = InstanceScorer(3, **settings)
    for image_id in image_ids:
        scorer.add(image_id, *_image(image_id))
    return scorer


def _everything(scorer):
    """Return all figures of a scorer, to be compared exactly."""
    rows = [scorer.diagnosis(kind) for kind in scorer.kinds]
    for kind in scorer.kinds:
        scores = scorer.scores(kind)
        rows += [scores.to_dict(["a", "b", "c"]), scores.precision.tolist(), scores.num_truths.tolist()]
    return str(rows)


def test_perfect_predictions_score_one():
    """Every figure that can be measured is 1, no mistake costs anything; sizes without objects have no figure."""
    truth = TruthObjects([0, 1, 1], (_mask(0), _mask(8), _mask(20)))
    scorer = InstanceScorer(3)
    scorer.add(7, truth, PredictedObjects([1, 0, 1], [0.9, 0.8, 0.7], (_mask(8), _mask(0), _mask(20))))
    for kind in ("mask", "box"):
        overall = scorer.scores(kind).overall
        figures = plain_figures(overall)
        assert {name for name, value in figures.items() if math.isnan(value)} == {
            "ap_medium",
            "ap_large",
            "ar_medium",
            "ar_large",
        }
        assert figures["ar1"] == 0.75  # one of the two objects of class 1 is all that one prediction can find
        assert {value for name, value in figures.items() if name != "ar1" and not math.isnan(value)} == {1.0}
        diagnosis = scorer.diagnosis(kind)
        assert {mistake.gain for mistake in diagnosis.mistakes} == {0.0}
        assert diagnosis.worst is None
        assert (diagnosis.num_found, diagnosis.num_truths, diagnosis.num_predictions) == (3, 3, 3)


def test_a_class_without_objects_has_no_figure():
    """Nor does it pull down the mean, though something was predicted as it."""
    scorer = InstanceScorer(2)
    scorer.add(0, TruthObjects([0], (_mask(0),)), PredictedObjects([0, 1], [0.5, 0.9], (_mask(0), _mask(9))))
    scores = scorer.scores()
    assert scores.overall.ap == 1
    assert all(math.isnan(value) for value in plain_figures(scores.classes[1]).values())
    assert np.isnan(scores.precision[1]).all()
    assert (scores.precision[0] == 1).all()
    assert scores.num_truths.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]


def test_nothing_at_all_has_no_figure():
    """No image, an empty image, or one with a crowd only."""
    scorer = InstanceScorer(1)
    for image_id in range(3):
        assert all(math.isnan(value) for value in scorer.scores().to_dict(["a"]).values())
        diagnosis = scorer.diagnosis()
        assert math.isnan(diagnosis.ap50)
        assert diagnosis.worst is None
        assert scorer.scores().num_images == scorer.num_images == image_id
        crowd = [True] if image_id else []
        masks = (_mask(3),) * len(crowd)
        scorer.add(image_id, TruthObjects([0] * len(crowd), masks, is_crowd=crowd), PredictedObjects([], []))


def test_predictions_on_empty_images_cost_precision():
    """A higher score where nothing is halves the precision."""
    scorer = InstanceScorer(1)
    scorer.add(0, TruthObjects([0], (_mask(0),)), PredictedObjects([0], [0.5], (_mask(0),)))
    scorer.add(1, TruthObjects([], ()), PredictedObjects([0], [0.9], (_mask(0),)))
    assert scorer.scores().overall.ap == 0.5


@pytest.mark.parametrize("masks", [True, False])
def test_crowds_of_every_class_are_a_crowd_of_each(masks):
    """Figures and diagnosis are those with as many crowds as classes in each place, which is how COCO would say it."""
    short, long, without = (InstanceScorer(3, masks=masks) for _ in range(3))
    for image_id in range(12):
        truth, prediction = _image(image_id)
        void = _mask(9 + image_id, 6)
        short.add(
            image_id,
            TruthObjects(
                [*truth.class_ids, 0],
                (*truth.masks, void),
                is_crowd=[*truth.is_crowd, True],
                is_of_every_class=[False] * len(truth) + [True],
            ),
            prediction,
        )
        each = TruthObjects(
            [*truth.class_ids, 0, 1, 2], (*truth.masks, *[void] * 3), is_crowd=[*truth.is_crowd, *[True] * 3]
        )
        long.add(image_id, each, prediction)
        without.add(image_id, truth, prediction)
    assert _everything(short) == _everything(long) != _everything(without)


def test_finding_what_does_not_count_is_no_mistake():
    """Of whatever class; without the crowd it would be on the background."""
    truth = TruthObjects([0, 0], (_mask(0), _mask(20)), is_crowd=[False, True], is_of_every_class=[False, True])
    scorer = InstanceScorer(2)
    found = PredictedObjects([1, 0, 0], [0.9, 0.8, 0.7], (_mask(20), _mask(20), _mask(0)))
    scorer.add(0, truth, found)
    assert scorer.scores().overall.ap == 1
    assert not any(one.count for one in scorer.diagnosis().mistakes)
    assert scorer.images()[0].num_wrong == 0


def test_void_pixels_hide_what_lies_on_them_only():
    """Their box spans the image; a wrong box where nothing is void is wrong, for boxes as for masks."""
    size_hw = (40, 60)

    def mask(left, top, right, bottom):
        pixels = np.zeros(size_hw, bool)
        pixels[top:bottom, left:right] = True
        return pixels

    void = mask(0, 0, 60, 40) & ~mask(4, 4, 56, 36)  # a frame around everything
    places = [mask(10, 10, 20, 20), mask(30, 10, 40, 20), mask(0, 0, 4, 30)]
    objects = tuple(RunLengths.from_mask(each) for each in (places[0], void))
    flags = {"is_crowd": [False, True], "is_of_every_class": [False, True]}
    found = PredictedObjects([0, 0, 0], [0.7, 0.8, 0.9], tuple(RunLengths.from_mask(each) for each in places))
    for is_void, box_ap50 in ((True, 0.5), (False, 1.0)):
        scorer = InstanceScorer(1)
        scorer.add(0, TruthObjects([0, 0], objects, **flags, is_void=[False, is_void]), found)
        assert scorer.scores("mask").overall.ap50 == pytest.approx(0.5, abs=0.01)
        assert scorer.scores("box").overall.ap50 == pytest.approx(box_ap50, abs=0.01)


def test_boxes_may_be_all_there_is():
    """With masks=False, records need none, and masks cannot be asked for."""
    scorer = InstanceScorer(1, masks=False)
    box = [[0.5, 0.5, 9, 9]]
    scorer.add(0, TruthObjects([0], boxes=box), PredictedObjects([0], [1.0], boxes=box))
    assert scorer.kinds == ("box",)
    assert scorer.scores().to_dict()["box_ap"] == 1
    assert scorer.scores().kind == "box"
    for ask in (scorer.scores, scorer.diagnosis):
        with pytest.raises(ConfigError, match="kind='mask'; this scorer measures 'box'"):
            ask("mask")


def test_predicted_boxes_are_measured_as_given():
    """A detector's boxes need not be those around its masks."""
    scorer = InstanceScorer(1)
    scorer.add(0, TruthObjects([0], (_mask(0),)), PredictedObjects([0], [1.0], (_mask(0),), [[15, 15, 18, 18]]))
    assert (scorer.scores("mask").overall.ap, scorer.scores("box").overall.ap) == (1, 0)


def test_figures_have_names_with_and_without_classes():
    """They begin with what was measured; classes come after a stroke."""
    flat = _scorer([1]).scores("box").to_dict(["a", "b", "c"])
    assert {"box_ap", "box_ap50", "box_ar10", "box_ar_small", "box_ap/a", "box_ap75/c"} <= flat.keys()
    assert len(flat) == 12 * 4
    assert len(_scorer([1]).scores().to_dict()) == 12


def test_more_predictions_than_the_limit_do_not_count():
    """The best of each class count, and objects beyond the limit are told."""
    lefts = [2 * place for place in range(12)]
    truth = TruthObjects([0] * 12, [_mask(left, 2) for left in lefts])
    prediction = PredictedObjects([0] * 12, np.linspace(1, 0.5, 12), [_mask(left, 2) for left in lefts])
    for limit, ar, beyond in ((10, 10 / 12, 2), (12, 1, 0)):
        scorer = InstanceScorer(1, max_detections=limit)
        scorer.add(0, truth, prediction)
        assert scorer.scores().overall.ar == pytest.approx(ar)
        assert scorer.scores().max_detections == limit
        assert scorer.diagnosis().num_beyond_limit == beyond
        assert scorer.diagnosis().num_predictions == limit


def test_neither_order_nor_processes_change_anything():
    """Added forwards, backwards, in two merged scorers, or sent as arrays: the same to the last bit."""
    expected = _everything(_scorer(range(12)))
    assert _everything(_scorer(reversed(range(12)))) == expected
    first, second = _scorer(range(1, 12, 2)), _scorer(range(0, 12, 2))
    first.merge(second)
    assert _everything(first) == expected
    assert first.num_images == 12
    received = InstanceScorer(3)
    for part in (_scorer(range(6, 12)), InstanceScorer(3), _scorer(range(6))):
        arrays = part.to_arrays()
        assert all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays.values())
        received.add_arrays(arrays)
    assert _everything(received) == expected


def test_merging_refuses_what_does_not_fit():
    """Other settings, or an image that both measured."""
    scorer = _scorer([1, 2])
    with pytest.raises(DataError, match=r"different settings .* create both alike"):
        scorer.merge(InstanceScorer(2))
    with pytest.raises(DataError, match="different settings"):
        scorer.merge(InstanceScorer(3, masks=False))
    with pytest.raises(DataError, match="Both scorers measured image 2"):
        scorer.merge(_scorer([2, 3]))
    with pytest.raises(DataError, match="Both scorers measured image 2"):
        scorer.add_arrays(_scorer([2]).to_arrays())
    assert scorer.num_images == 2


def test_masks_are_forgotten():
    """Nothing holds on to the masks of an image, and a few hundred bytes per object stay."""
    scorer = InstanceScorer(3)
    truth, prediction = _image(0)
    mask = prediction.masks[0]
    gc.collect()
    before = sys.getrefcount(mask)
    scorer.add(0, truth, prediction)
    gc.collect()
    assert sys.getrefcount(mask) == before
    kept = sum(array.nbytes for array in scorer.to_arrays().values())
    assert kept <= 10 * 200


def test_images_have_numbers():
    """A name would fail only when everything is joined, far from where it was given."""
    scorer = InstanceScorer(1)
    with pytest.raises(DataError, match=r"image_id='a.png'; expected the image's number"):
        scorer.add("a.png", TruthObjects([], []), PredictedObjects([], []))
    scorer.add(np.int64(3), TruthObjects([], []), PredictedObjects([], []))
    assert scorer.to_arrays()["image_ids"].tolist() == [3]


def test_bad_settings_are_refused():
    """At least one class, and at least the ten predictions that AR10 needs."""
    with pytest.raises(ConfigError, match="num_classes=0"):
        InstanceScorer(0)
    with pytest.raises(ConfigError, match=r"max_detections=9; .* type 100"):
        InstanceScorer(1, max_detections=9)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (TruthObjects([2], (_mask(0),)), PredictedObjects([], []), "true object has the class id 2; expected 0 to 1"),
        (TruthObjects([-1], (_mask(0),)), PredictedObjects([], []), "class id -1"),
        (TruthObjects([], []), PredictedObjects([2], [1.0], (_mask(0),)), "predicted object has the class id 2"),
        (
            TruthObjects([0], boxes=[[0, 0, 1, 1]]),
            PredictedObjects([], []),
            "true objects have no masks; .*masks=False",
        ),
        (TruthObjects([], []), PredictedObjects([0], [1.0], boxes=[[0, 0, 1, 1]]), "predicted objects have no masks"),
        (
            TruthObjects([0], (_mask(0),)),
            PredictedObjects([0], [1.0], (_mask(0, size_hw=(20, 31)),)),
            r"True masks of \(20, 30\) pixels .* predicted ones of \(20, 31\); bring the prediction back",
        ),
    ],
)
def test_bad_images_are_refused_and_leave_no_trace(truth, prediction, message):
    """The message says what to do, and the image can be given again."""
    scorer = InstanceScorer(2)
    with pytest.raises(DataError, match=message):
        scorer.add(5, truth, prediction)
    assert scorer.num_images == 0
    scorer.add(5, TruthObjects([], []), PredictedObjects([], []))
    with pytest.raises(DataError, match="Image 5 was measured before"):
        scorer.add(5, TruthObjects([], []), PredictedObjects([], []))
