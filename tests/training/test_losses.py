"""Losses against brute force: loops over pixels and classes in double precision."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from easyseg.errors import ConfigError, TrainingError, UnknownNameError
from easyseg.training.losses import build_loss, list_losses

TASKS = ("binary", "multiclass", "multilabel")
CHANNELS = {"binary": 1, "multiclass": 4, "multilabel": 3}
CASES = [
    (task, loss)
    for task, loss in itertools.product(TASKS, ("bce", "ce", "dice", "focal", "jaccard", "lovasz", "tversky"))
    if loss != ("ce" if task != "multiclass" else "bce")
]


def example(task, *, void=0.0, seed=0, absent=None, size=(2, 5, 7), dtype=torch.float64):
    """Draw logits and targets; `void` is the share of ignored pixels, `absent` a class the truth lacks."""
    generator = np.random.default_rng(seed)
    images, height, width = size
    channels = CHANNELS[task]
    logits = torch.tensor(generator.normal(0, 2, (images, channels, height, width)), dtype=dtype)
    if task == "multiclass":
        targets = generator.integers(0, channels, (images, height, width))
        if absent is not None:
            targets[targets == absent] = (absent + 1) % channels
    else:
        targets = generator.integers(0, 2, (images, channels, height, width))
        if absent is not None:
            targets[:, absent] = 0
        if task == "binary":
            targets = targets[:, 0]
    targets[generator.random(targets.shape) < void] = 255
    return logits, torch.tensor(targets, dtype=torch.uint8)


def pixel_table(logits, targets, task):
    """Yield (class scores, class truth 0/1, class logits, counts) of every pixel, one row per class and pixel."""
    logits, targets = logits.double().numpy(), targets.numpy()
    if task == "binary":
        targets = targets[:, None]
    for image, row, column in itertools.product(range(logits.shape[0]), range(logits.shape[2]), range(logits.shape[3])):
        values = [float(value) for value in logits[image, :, row, column]]
        if task == "multiclass":
            truth = int(targets[image, row, column])
            largest = max(values)
            total = sum(math.exp(value - largest) for value in values)
            scores = [math.exp(value - largest) / total for value in values]
            yield scores, [int(c == truth) for c in range(len(values))], values, [truth != 255] * len(values)
        else:
            scores = [1 / (1 + math.exp(-value)) for value in values]
            truths = [int(truth) for truth in targets[image, :, row, column]]
            yield scores, [int(truth == 1) for truth in truths], values, [truth != 255 for truth in truths]


def brute_force_pixel_loss(loss, logits, targets, task, weights):
    """Add up the cross-entropy or focal loss pixel by pixel."""
    total, norm = 0.0, 0.0
    gamma = 2.0 if loss == "focal" else 0.0
    for scores, truths, _, counts in pixel_table(logits, targets, task):
        for c, (score, truth, counted) in enumerate(zip(scores, truths, counts, strict=True)):
            if not counted or (task == "multiclass" and not truth):
                continue
            right = score if truth else 1 - score
            weight = weights[c] if truth else 1.0
            total += weight * (1 - right) ** gamma * -math.log(right)
            norm += weight
    return total / norm if norm else 0.0


def brute_force_lovasz(errors, truths):
    """Add up each error times what the Jaccard loss gains when it joins the larger ones."""
    order = sorted(range(len(errors)), key=lambda place: -errors[place])
    total, before = 0.0, 0.0
    for rank in range(1, len(order) + 1):
        wrong = set(order[:rank])
        union = sum(truths) + sum(1 for place in wrong if not truths[place])
        kept = sum(1 for place, truth in enumerate(truths) if truth and place not in wrong)
        jaccard_loss = 1 - kept / union
        total += max(0.0, errors[order[rank - 1]]) * (jaccard_loss - before)
        before = jaccard_loss
    return total


def brute_force_overlap_loss(loss, logits, targets, task, weights):
    """Compute an overlap loss class by class."""
    false_positives, false_negatives = {"dice": (0.5, 0.5), "jaccard": (1, 1), "tversky": (0.3, 0.7)}.get(loss, (0, 0))
    total, norm = 0.0, 0.0
    table = list(pixel_table(logits, targets, task))
    for c in range(logits.shape[1]):
        pixels = [(scores[c], truths[c], values[c]) for scores, truths, values, counts in table if counts[c]]
        true = sum(truth for _, truth, _ in pixels)
        if true == 0:
            continue
        if loss == "lovasz":
            hinge = [1 - value * (2 * truth - 1) for _, truth, value in pixels]
            softmax = [abs(truth - score) for score, truth, _ in pixels]
            value = brute_force_lovasz(softmax if task == "multiclass" else hinge, [t for _, t, _ in pixels])
        else:
            both = sum(score * truth for score, truth, _ in pixels)
            only_predicted = sum(score * (1 - truth) for score, truth, _ in pixels)
            value = 1 - both / (both + false_positives * only_predicted + false_negatives * (true - both))
        total += weights[c] * value
        norm += weights[c]
    return total / norm if norm else 0.0


def brute_force(loss, logits, targets, task, weights):
    """Return what the loss should be."""
    if loss in ("ce", "bce", "focal"):
        return brute_force_pixel_loss(loss, logits, targets, task, weights)
    return brute_force_overlap_loss(loss, logits, targets, task, weights)


@pytest.mark.parametrize("weights", [None, (0.5, 3.0, 1.0, 2.0)], ids=["even", "weighted"])
@pytest.mark.parametrize("void", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize(("task", "loss"), CASES)
def test_loss_equals_brute_force(task, loss, void, weights):
    """Every loss is what a loop over all pixels and classes computes, for any share of ignored pixels."""
    channels = CHANNELS[task]
    weights = None if weights is None else weights[:channels]
    criterion = build_loss(loss, task=task, num_classes=channels, class_weights=weights)
    for seed, absent in enumerate([None, 0, None]):
        logits, targets = example(task, void=void, seed=seed, absent=absent)
        expected = brute_force(loss, logits, targets, task, weights or [1.0] * channels)
        assert criterion(logits, targets)[loss].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weights", [None, (0.5, 3.0, 1.0, 2.0)], ids=["even", "weighted"])
@pytest.mark.parametrize(("task", "loss"), CASES)
def test_gradient_is_the_derivative(task, loss, weights):
    """The gradient of every loss agrees with finite differences in double precision."""
    channels = CHANNELS[task]
    weights = None if weights is None else weights[:channels]
    criterion = build_loss(loss, task=task, num_classes=channels, class_weights=weights)
    for void, absent in ((0.0, None), (0.4, 0)):
        logits, targets = example(task, void=void, absent=absent, size=(2, 3, 3))
        assert torch.autograd.gradcheck(lambda z, t=targets: criterion(z, t)[loss], logits.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("task", "loss"), CASES)
def test_all_void_batch_costs_exactly_nothing(task, loss, dtype):
    """A batch without a pixel that counts gives 0, and gradients that are 0, never NaN."""
    logits, targets = example(task, void=1.0, dtype=dtype)
    logits.requires_grad_()
    value = build_loss(loss, task=task, num_classes=CHANNELS[task])(logits, targets)[loss]
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_void_pixels_receive_no_gradient(task, loss):
    """Ignored pixels neither pull nor are pulled: their gradient is 0 and their logits change nothing."""
    logits, targets = example(task, void=0.5)
    criterion = build_loss(loss, task=task, num_classes=CHANNELS[task])
    void = targets == 255 if task == "multilabel" else (targets == 255)[:, None].expand_as(logits)
    logits.requires_grad_()
    value = criterion(logits, targets)[loss]
    value.backward()
    assert (logits.grad[void] == 0).all()
    assert (logits.grad[~void] != 0).any()
    elsewhere = torch.where(void, logits.detach() + 5, logits.detach())
    assert criterion(elsewhere, targets)[loss].item() == pytest.approx(value.item(), abs=1e-12)


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_computed_in_float32_whatever_the_logits(task, loss):
    """bfloat16 and channels-last logits, under autocast too, give what their float32 copies give."""
    logits, targets = example(task, void=0.2, dtype=torch.float32)
    half = logits.bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    criterion = build_loss(loss, task=task, num_classes=CHANNELS[task])
    expected = criterion(half.detach().float().contiguous(), targets)[loss]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = criterion(half, targets)[loss]
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
    assert half.grad.dtype == torch.bfloat16


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_extreme_logits_stay_finite(task, loss):
    """Logits so large that probabilities round to 0 and 1 give finite losses and gradients."""
    logits, targets = example(task, void=0.2, dtype=torch.float32)
    logits = (logits * 1000).requires_grad_()
    value = build_loss(loss, task=task, num_classes=CHANNELS[task])(logits, targets)[loss]
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_background_only_batch_still_teaches():
    """Without foreground Dice has nothing to say, but the default loss still pushes foreground scores down."""
    logits = torch.zeros(1, 1, 4, 4, requires_grad=True)
    parts = build_loss("auto", task="binary", num_classes=1)(logits, torch.zeros(1, 4, 4, dtype=torch.uint8))
    sum(parts.values()).backward()
    assert parts["dice"].item() == 0.0
    assert parts["bce"].item() == pytest.approx(math.log(2))
    assert (logits.grad > 0).all()


def test_perfect_prediction_costs_nothing():
    """Certain and right logits cost nearly 0 in every loss."""
    _, targets = example("multiclass")
    logits = 100.0 * torch.nn.functional.one_hot(targets.long(), 4).permute(0, 3, 1, 2).float()
    for loss in ("ce", "dice", "focal", "jaccard", "lovasz", "tversky"):
        assert build_loss(loss, task="multiclass", num_classes=4)(logits, targets)[loss].item() < 1e-6


def test_sums_and_weights_of_losses():
    """A sum names its parts, each already multiplied by its weight."""
    logits, targets = example("multiclass")
    parts = build_loss("0.5*CE + 1.5 * lovasz", task="multiclass", num_classes=4)(logits, targets)
    assert list(parts) == ["ce", "lovasz"]
    for name, weight in (("ce", 0.5), ("lovasz", 1.5)):
        alone = build_loss(name, task="multiclass", num_classes=4)(logits, targets)[name]
        assert parts[name].item() == pytest.approx(weight * alone.item())


@pytest.mark.parametrize(
    ("task", "names"), [("binary", "bce dice"), ("multiclass", "ce dice"), ("multilabel", "bce dice")]
)
def test_auto_picks_by_task(task, names):
    """The default is cross-entropy of the task's kind, plus Dice."""
    assert list(build_loss("auto", task=task, num_classes=CHANNELS[task])(*example(task))) == names.split()


def test_listed_names_can_be_built():
    """Every listed loss can be built for some task."""
    assert list_losses() == ["bce", "ce", "dice", "focal", "jaccard", "lovasz", "tversky"]
    assert {loss for _, loss in CASES} == set(list_losses())


@pytest.mark.parametrize(
    ("loss", "task", "error", "message"),
    [
        ("dise", "multiclass", UnknownNameError, "No loss named 'dise'. Did you mean 'dice'?"),
        ("ce+", "multiclass", UnknownNameError, "No loss named ''"),
        ("ce", "binary", ConfigError, "does not suit the binary task; type 'bce'"),
        ("bce+dice", "multiclass", ConfigError, "does not suit the multiclass task; type 'ce'"),
        ("dice+dice", "multiclass", ConfigError, "twice; give it one weight, such as '2[*]dice'"),
        ("x*dice", "multiclass", ConfigError, "'x' is no positive number"),
        ("-1*dice", "multiclass", ConfigError, "'-1' is no positive number"),
        ("nan*dice", "multiclass", ConfigError, "'nan' is no positive number"),
    ],
)
def test_wrong_names_are_explained(loss, task, error, message):
    """A loss that cannot be built says what to type instead."""
    with pytest.raises(error, match=message):
        build_loss(loss, task=task, num_classes=4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0, 2.0], "has 2 numbers; give 4"), ([1, 1, 1, 0], "positive"), ([1, 1, 1, math.inf], "positive")],
)
def test_wrong_class_weights_are_refused(weights, message):
    """Class weights must be positive numbers, one per class."""
    with pytest.raises(ConfigError, match=message):
        build_loss("ce", task="multiclass", num_classes=4, class_weights=weights)


def test_targets_of_another_size_are_refused():
    """Masks that do not fit the logits are named with both shapes."""
    logits, _ = example("multiclass")
    with pytest.raises(TrainingError, match=r"\(2, 5, 6\), but logits of shape \(2, 4, 5, 7\) need \(2, 5, 7\)"):
        build_loss("ce", task="multiclass", num_classes=4)(logits, torch.zeros(2, 5, 6, dtype=torch.uint8))


def test_own_function_as_loss():
    """A user's function gets float32 logits and integer targets, and its value carries its name."""
    logits, targets = example("multiclass", void=0.3, dtype=torch.float32)

    def weighted(logits, targets):
        assert logits.dtype == torch.float32
        return nn.functional.cross_entropy(logits, targets, ignore_index=255)

    own = build_loss(weighted, task="multiclass", num_classes=4)(logits.bfloat16(), targets)
    named = build_loss("ce", task="multiclass", num_classes=4)(logits.bfloat16(), targets)
    assert own["weighted"].item() == pytest.approx(named["ce"].item(), rel=1e-6)


def test_own_module_as_loss_of_binary_task():
    """A module works too; binary targets come in the shape and type of the logits, as torch's own losses want them."""
    logits, targets = example("binary")
    own = build_loss(nn.BCEWithLogitsLoss(), task="binary", num_classes=1)(logits.float(), targets)
    named = build_loss("bce", task="binary", num_classes=1)(logits.float(), targets)
    assert own["BCEWithLogitsLoss"].item() == pytest.approx(named["bce"].item(), rel=1e-6)
    assert list(build_loss(lambda z, t: z.mean(), task="binary", num_classes=1)(logits, targets)) == ["loss"]


@pytest.mark.parametrize(("value", "found"), [(1.0, "float"), (torch.zeros(2), r"shape \(2,\)")])
def test_own_function_must_return_one_number(value, found):
    """Anything but a scalar tensor is refused, and named."""
    criterion = build_loss(lambda z, t: value, task="multiclass", num_classes=4)
    with pytest.raises(TrainingError, match=found):
        criterion(*example("multiclass"))


def test_own_function_takes_no_class_weights():
    """Class weights beside an own function would be ignored, so they are refused."""
    with pytest.raises(ConfigError, match="class_weights go with a loss by name"):
        build_loss(lambda z, t: z.mean(), task="binary", num_classes=1, class_weights=[2.0])


@pytest.mark.parametrize("task", TASKS)
def test_class_weights_go_to_the_device_once(task, monkeypatch):
    """Not in every step, where a copy would stop a GPU; and whether training or an evaluation comes first."""
    made = []
    build = torch.tensor

    def noted(*arguments, **settings):
        made.append(arguments)
        return build(*arguments, **settings)

    logits, targets = example(task, dtype=torch.float32)
    criterion = build_loss("auto", task=task, num_classes=CHANNELS[task], class_weights=[2.0] * CHANNELS[task])
    monkeypatch.setattr(torch, "tensor", noted)
    monkeypatch.setattr(torch.Tensor, "new_tensor", None)
    with torch.inference_mode():
        measured = sum(criterion(logits, targets).values())
    logits.requires_grad_()
    for _ in range(3):
        trained = sum(criterion(logits, targets).values())
        trained.backward()
    assert len(made) == 1
    assert float(trained.detach()) == float(measured)
    criterion(logits.double(), targets)
    assert len(made) == 2
