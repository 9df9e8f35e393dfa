"""The confusion matrix and the scores, against scikit-learn and by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from easyseg.errors import ConfigError, DataError, UnknownNameError
from easyseg.metrics import CLASS_METRICS, METRICS, ConfusionMatrix, direction_of, scores
from easyseg.metrics.semantic import _count_arrays, _count_on_device
from easyseg.structures import IGNORE_INDEX

TOLERANCE = 1e-12


def _random_masks(generator, ids):
    """Draw a prediction and a target: often tiny, with ignored pixels, absent classes and absent predictions."""
    shape = (1, 1) if generator.random() < 0.1 else tuple(generator.integers(1, 12, 2))
    in_target = generator.choice(ids, generator.integers(1, ids + 1), replace=False)
    in_prediction = generator.choice(ids, generator.integers(1, ids + 1), replace=False)
    target = generator.choice(in_target, shape).astype(np.uint8)
    prediction = generator.choice(in_prediction, shape).astype(np.uint8)
    agree = generator.random(shape) < generator.random()
    prediction[agree] = target[agree]
    target[generator.random(shape) < generator.choice([0.0, 0.3, 1.0], p=[0.5, 0.45, 0.05])] = IGNORE_INDEX
    return prediction, target


def _expected_class(truth, guess):
    """Score one class as scikit-learn does, from flat bool arrays; all NaN where the class is not in the truth."""
    if not truth.any():
        return dict.fromkeys(CLASS_METRICS, math.nan)
    precision, recall, dice, _ = sklearn_metrics.precision_recall_fscore_support(
        truth, guess, average="binary", zero_division=0
    )
    return {
        "iou": sklearn_metrics.jaccard_score(truth, guess),
        "dice": dice,
        "precision": precision if guess.any() else math.nan,
        "recall": recall,
        "accuracy": sklearn_metrics.accuracy_score(truth, guess),
    }


def _compare(found, rows, supports):
    """Compare scores with the expected rows of each class, their means included."""
    for metric in CLASS_METRICS:
        expected = np.array([row[metric] for row in rows])
        np.testing.assert_allclose(getattr(found, metric), expected, rtol=0, atol=TOLERANCE)
        known = expected[~np.isnan(expected)]
        mean = known.mean() if known.size else math.nan
        np.testing.assert_allclose(getattr(found, f"mean_{metric}"), mean, rtol=0, atol=TOLERANCE)
    assert found.support.tolist() == supports
    if sum(supports):
        weighted = sum(row["iou"] * support for row, support in zip(rows, supports, strict=True) if support)
        assert found.frequency_weighted_iou == pytest.approx(weighted / sum(supports), abs=TOLERANCE)
    else:
        assert math.isnan(found.frequency_weighted_iou)


def test_binary_agrees_with_scikit_learn():
    """700 random binary cases score as scikit-learn scores them."""
    generator = np.random.default_rng(1)
    for _ in range(700):
        prediction, target = _random_masks(generator, 2)
        matrix = ConfusionMatrix(1, task="binary")
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
        counts = target != IGNORE_INDEX
        truth, guess = target[counts] == 1, prediction[counts] == 1
        _compare(matrix.scores(), [_expected_class(truth, guess)], [int(truth.sum())])
        accuracy = sklearn_metrics.accuracy_score(truth, guess) if truth.size else math.nan
        np.testing.assert_allclose(matrix.scores().pixel_accuracy, accuracy, rtol=0, atol=TOLERANCE)


def test_multiclass_agrees_with_scikit_learn():
    """700 random multiclass cases score as scikit-learn scores them."""
    generator = np.random.default_rng(2)
    for _ in range(700):
        num_classes = int(generator.integers(2, 6))
        prediction, target = _random_masks(generator, num_classes)
        matrix = ConfusionMatrix(num_classes)
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
        counts = target != IGNORE_INDEX
        truth, guess = target[counts], prediction[counts]
        rows = [_expected_class(truth == c, guess == c) for c in range(num_classes)]
        _compare(matrix.scores(), rows, [int((truth == c).sum()) for c in range(num_classes)])
        accuracy = sklearn_metrics.accuracy_score(truth, guess) if truth.size else math.nan
        np.testing.assert_allclose(matrix.scores().pixel_accuracy, accuracy, rtol=0, atol=TOLERANCE)


def test_multilabel_agrees_with_scikit_learn():
    """600 random multilabel cases, each class with ignored pixels of its own, score as scikit-learn scores them."""
    generator = np.random.default_rng(3)
    for _ in range(600):
        num_classes = int(generator.integers(1, 4))
        shape = (num_classes, *generator.integers(1, 12, 2))
        target = (generator.random(shape) < generator.random((num_classes, 1, 1))).astype(np.uint8)
        prediction = np.where(generator.random(shape) < 0.7, target, generator.integers(0, 2, shape)).astype(np.uint8)
        target[generator.random(shape) < 0.2] = IGNORE_INDEX
        matrix = ConfusionMatrix(num_classes, task="multilabel")
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(target))
        pairs = [(t[t != IGNORE_INDEX], p[t != IGNORE_INDEX]) for p, t in zip(prediction, target, strict=True)]
        _compare(matrix.scores(), [_expected_class(*pair) for pair in pairs], [int(truth.sum()) for truth, _ in pairs])
        right = sum(int((truth == guess).sum()) for truth, guess in pairs)
        counted = sum(truth.size for truth, _ in pairs)
        expected = right / counted if counted else math.nan
        np.testing.assert_allclose(matrix.scores().pixel_accuracy, expected, rtol=0, atol=TOLERANCE)


def test_update_returns_its_own_counts_and_adds_them_up():
    """Each update returns what it counted itself; `counts` is the sum; `reset` empties it."""
    matrix = ConfusionMatrix(2)
    target = torch.tensor([[0, 1], [1, IGNORE_INDEX]])
    first = matrix.update(torch.tensor([[0, 1], [0, 1]]), target)
    second = matrix.update(torch.tensor([[1, 1], [1, 1]]), target)
    assert first.tolist() == [[1, 0], [1, 1]]
    assert second.tolist() == [[0, 1], [0, 2]]
    assert matrix.counts.tolist() == [[1, 1], [1, 3]]
    assert first.dtype == matrix.counts.dtype == torch.int64
    matrix.reset()
    assert matrix.counts.sum() == 0


def test_merging_parts_equals_counting_all():
    """Matrices of parts of the data, merged, hold the same counts as one matrix of all of it."""
    generator = torch.Generator().manual_seed(0)
    masks = [torch.randint(0, 3, (2, 5, 7), generator=generator) for _ in range(4)]
    whole, one, other = (ConfusionMatrix(3) for _ in range(3))
    for index, (prediction, target) in enumerate(masks):
        whole.update(prediction, target)
        (one if index < 2 else other).update(prediction, target)
    one.merge(other)
    assert torch.equal(one.counts, whole.counts)
    assert whole.counts.sum() == 4 * 35


def test_the_way_of_accelerators_counts_the_same():
    """The counting meant for accelerators, run here on the CPU, equals the counting meant for CPUs."""
    generator = np.random.default_rng(4)
    for _ in range(50):
        ids = int(generator.integers(2, 9))
        prediction, target = _random_masks(generator, ids)
        on_device = _count_on_device(torch.from_numpy(prediction), torch.from_numpy(target), ids)
        assert on_device.tolist() == _count_arrays(prediction, target, ids).tolist()


def test_counts_on_another_device_take_that_way():
    """Tensors that are not on the CPU are counted without reading a value back; the meta device has none to read."""
    matrix = ConfusionMatrix(3, device="meta")
    counted = matrix.update(torch.zeros(4, 4, device="meta"), torch.zeros(4, 4, device="meta"))
    assert counted.shape == (3, 3)
    assert counted.device.type == "meta"


def test_all_255_classes_fit():
    """The largest number of classes is counted without the codes running over."""
    ids = torch.arange(255, dtype=torch.uint8).view(15, 17)
    matrix = ConfusionMatrix(255)
    matrix.update(ids, ids)
    assert torch.equal(matrix.counts, torch.eye(255, dtype=torch.int64))


def test_large_counts_stay_exact():
    """Counts beyond what a float32 or a 32-bit integer holds are scored exactly."""
    counts = np.array([[2**53 - 1, 1], [0, 2**40]])
    assert scores(counts, task="multiclass").recall[1] == 1.0
    assert scores(counts, task="multiclass").support.tolist() == [2**53, 2**40]


def test_absent_class_is_left_out_of_the_means():
    """A class that is not in the target is NaN and no part of a mean, whether it was predicted or not."""
    found = scores(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]), task="multiclass")
    assert found.iou[0] == 0.75
    assert np.isnan(found.iou[1:]).all()
    assert np.isnan(found.accuracy[1:]).all()
    assert found.mean_iou == 0.75


def test_class_never_predicted_has_no_precision_but_an_iou_of_zero():
    """A class in the target that was never predicted has IoU, Dice and recall 0, and no precision."""
    found = scores(np.array([[5, 0], [5, 0]]), task="multiclass")
    assert (found.iou[1], found.dice[1], found.recall[1]) == (0, 0, 0)
    assert math.isnan(found.precision[1])
    assert found.mean_precision == 0.5
    assert found.mean_iou == 0.25


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_all_ignored_scores_nan_without_a_warning(task):
    """Where every pixel is ignored, all figures are NaN, and no warning is given."""
    num_classes = 1 if task == "binary" else 2
    mask = torch.zeros((2, 4, 4) if task == "multilabel" else (4, 4), dtype=torch.uint8)
    matrix = ConfusionMatrix(num_classes, task=task)
    matrix.update(mask, torch.full_like(mask, IGNORE_INDEX))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = matrix.scores().to_dict()
    assert all(math.isnan(value) for value in figures.values())


def test_empty_masks_count_nothing():
    """A mask without a pixel counts nothing and is no error."""
    matrix = ConfusionMatrix(2)
    assert matrix.update(torch.zeros(0, 4, dtype=torch.uint8), torch.zeros(0, 4, dtype=torch.uint8)).sum() == 0


def test_to_dict_names_every_figure():
    """The flat record has a figure for each metric, and with names for each class, too."""
    found = scores(np.array([[3, 1], [0, 4]]), task="multiclass")
    assert set(found.to_dict()) == {name for name in METRICS if "loss" not in name}
    flat = found.to_dict(("sky", "road"))
    assert flat["iou/road"] == 0.8
    assert len(flat) == 7 + 2 * len(CLASS_METRICS)
    assert all(type(value) is float for value in flat.values())


def test_binary_takes_one_class():
    """A binary matrix of two classes is refused, with what to type."""
    with pytest.raises(ConfigError, match="one class, not 2; type task='multiclass'"):
        ConfusionMatrix(2, task="binary")


def test_shapes_must_agree():
    """A prediction of another size than the target is refused, and both are named."""
    with pytest.raises(DataError, match=r"\(4, 4\) and target \(4, 5\)"):
        ConfusionMatrix(2).update(torch.zeros(4, 4), torch.zeros(4, 5))


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4)])
def test_multilabel_needs_a_plane_per_class(shape):
    """A multilabel mask without one plane per class is refused."""
    with pytest.raises(DataError, match=r"2 classes has shape \(\.\.\., 2, H, W\)"):
        ConfusionMatrix(2, task="multilabel").update(torch.zeros(shape), torch.zeros(shape))


def test_matrices_of_different_classes_do_not_merge():
    """Counts of other classes cannot be added."""
    with pytest.raises(DataError, match="same classes"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (2, 0, "prediction holds the class id 2; expected 0 to 1"),
        (-1, 0, "prediction holds the class id -1"),
        (0, 7, r"target holds ids of no class, \[7\]; expected 0 to 1, or 255"),
        (0, 300, "target holds the class id 300; expected 0 to 1, or 255"),
        (0, -1, "target holds the class id -1"),
    ],
)
def test_ids_out_of_range_are_named(prediction, target, message):
    """An id that no class has is refused and named, never counted as another class."""
    with pytest.raises(DataError, match=message):
        ConfusionMatrix(2).update(torch.full((3, 3), prediction), torch.full((3, 3), target))


def test_direction_of_known_names():
    """More of a score is better, less of a loss; figures of single classes have a direction, too."""
    assert direction_of("mean_iou") == "max"
    assert direction_of("val_loss") == "min"
    assert direction_of("iou/road", ["sky", "road"]) == "max"


def test_direction_of_unknown_name_offers_the_nearest():
    """A name that is no metric is refused with the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'mean_iou'"):
        direction_of("miou")
    with pytest.raises(UnknownNameError, match="Did you mean 'iou/road'"):
        direction_of("iou/raod", ["road"])
