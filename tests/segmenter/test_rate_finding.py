"""`Segmenter.find_learning_rate`: a curve comes back, and the model is as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from easyseg import Segmenter, load_dataset
from easyseg.data.batches.loaders import TrainingLoader
from easyseg.errors import ConfigError
from easyseg.segmenter import rate_finding
from easyseg.structures import Batch


def everything(segmenter: Segmenter) -> list[Any]:
    """Return all that a sweep could have changed: weights, buffers, gradients, modes, switches, loss and chance."""
    network = segmenter.network
    return [
        {name: value.clone() for name, value in network.state_dict().items()},
        [(name, weight.requires_grad, weight.grad) for name, weight in network.named_parameters()],
        [(name, module.training) for name, module in network.named_modules()],
        network.criterion,
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    ]


def assert_same(before: list[Any], after: list[Any]) -> None:
    """Check that nothing differs, to the bit."""
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:4] == after[1:4]
    assert torch.equal(before[4], after[4])
    assert before[5:] == after[5:]


def noisy_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss that draws from the global generator, as dropout does."""
    return F.cross_entropy(logits, targets.long(), ignore_index=255) * (1 + 0.1 * torch.rand(()))


def test_a_new_model_gets_a_curve_and_stays_untrained(shapes: Path) -> None:
    """Before the first `fit` the sweep uses the model that `fit` would build, and there is still none afterwards."""
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    curve = segmenter.find_learning_rate(shapes, batch_size=2, steps=12, lowest=1e-4, highest=1.0, loss=noisy_loss)
    assert curve.learning_rates[0] == pytest.approx(1e-4)
    assert 0 < len(curve.losses) <= 12
    assert all(np.isfinite(curve.losses))
    assert segmenter.class_map is None
    again = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    sweep = {"batch_size": 2, "steps": 12, "lowest": 1e-4, "highest": 1.0}
    assert again.find_learning_rate(shapes, loss=noisy_loss, **sweep) == curve


def test_the_next_training_is_the_same_with_and_without_a_sweep(
    fit: Callable[..., Any], shapes: Path, weights_hash: Callable[[Segmenter], str]
) -> None:
    """A sweep before `fit` does not change what `fit` comes to, to the last bit."""
    plain, _ = fit(shapes)
    swept = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    swept.find_learning_rate(shapes, batch_size=2, steps=10)
    swept.fit(shapes, epochs=2, batch_size=2, run_dir=None, verbose=False, learning_rate=0.01)
    assert weights_hash(swept) == weights_hash(plain)


def test_a_trained_model_is_exactly_as_before(fit: Callable[..., Any], shapes: Path) -> None:
    """Weights, buffers, gradients, modes, frozen parts, the loss and all generators of chance are untouched."""
    segmenter, _ = fit(shapes)
    for weight in segmenter.network.parts()["encoder[0]"].parameters():
        weight.requires_grad_(False)
    segmenter.network.parts()["head"].train()
    before = everything(segmenter)
    curve = segmenter.find_learning_rate(shapes, batch_size=2, steps=10, loss=noisy_loss, highest=100.0)
    assert len(curve.losses) > 1
    assert_same(before, everything(segmenter))


def test_frozen_parts_have_no_share_in_a_sweep(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was frozen before the first `fit` does not learn in the sweep; decoder and head do, at the rate itself."""
    swept: list[tuple[Any, Any]] = []
    whole = rate_finding.sweep_learning_rates

    def watched(model: Any, batches: Any, **settings: Any) -> Any:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        curve = whole(model, batches, **settings)
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        swept.append((changed, {group["max_learning_rate"] for group in settings["optimizer"].param_groups}))
        return curve

    monkeypatch.setattr(rate_finding, "sweep_learning_rates", watched)
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    segmenter.freeze("encoder")
    segmenter.find_learning_rate(shapes, batch_size=2, steps=10)
    ((changed, shares),) = swept
    assert changed
    assert not any("encoder" in name for name in changed)
    assert 1.0 in shares


def test_ctrl_c_leaves_the_model_exactly_as_before(
    fit: Callable[..., Any], shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that is interrupted in its middle has changed nothing either."""
    segmenter, _ = fit(shapes)
    before = everything(segmenter)
    whole = TrainingLoader.epoch

    def interrupted(self: TrainingLoader, number: int, **settings: Any) -> Iterator[Batch]:
        batches = whole(self, number, **settings)
        yield next(batches)
        yield next(batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoader, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segmenter.find_learning_rate(shapes, batch_size=2, steps=10)
    assert_same(before, everything(segmenter))


def test_more_steps_than_batches_begin_a_new_epoch(shapes: Path) -> None:
    """Eight images in batches of four are enough for any number of steps."""
    segmenter = Segmenter("unet", "test_resnet", weights=None, image_size=32)
    curve = segmenter.find_learning_rate(shapes, batch_size=4, steps=10, lowest=1e-9, highest=1e-8)
    assert len(curve.losses) == 10


def test_rates_must_rise(shapes: Path) -> None:
    """A highest rate below the lowest is refused with both."""
    with pytest.raises(ConfigError, match=r"highest=1e-05 is not above lowest=0.001"):
        Segmenter("unet", "test_resnet", weights=None).find_learning_rate(shapes, lowest=1e-3, highest=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_real_streets_get_a_rate_that_trains_well(shared_data: Path, seed: int) -> None:
    """On CamVid, 1e-3 to 2e-3 train best over five epochs, and 4e-3 and more worse; the suggestion is near."""
    camvid = load_dataset(shared_data / "camvid", ignore=[11])
    segmenter = Segmenter("unet", "resnet18", weights=None, image_size=(96, 128), seed=seed)
    suggestion = segmenter.find_learning_rate(camvid, batch_size=8).suggestion
    assert suggestion is not None
    assert 5e-4 <= suggestion <= 4e-3
