"""Stages and frozen parts as `Segmenter` takes them."""

from __future__ import annotations

import pytest
import torch

from easyseg import Segmenter, Stage
from easyseg.config import FitSettings, ModelSettings
from easyseg.errors import ConfigError, UnknownNameError
from easyseg.models.semantic import build_semantic
from easyseg.segmenter import facade
from easyseg.segmenter.staging import work_out_stages

HEAD_ONLY = {
    "stages": [Stage("one", train="head")],
    "batch_size": 1,
    "learning_rate": 1.0,
    "encoder_learning_rate": 1.0,
}


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[FitSettings]:
    """The settings of every `fit`, none of which trains."""
    settings: list[FitSettings] = []
    monkeypatch.setattr(facade, "run_training", lambda data, validation, given, **_: settings.append(given))
    return settings


def test_parts_may_be_frozen_before_there_is_a_model(caught: list[FitSettings]) -> None:
    """What is frozen and freed before the first `fit` is remembered, and comes before what `fit` itself freezes."""
    segmenter = Segmenter("unet", "resnet18", weights=None)
    segmenter.fit("x")
    segmenter.freeze("encoder")
    segmenter.unfreeze("encoder[-1]")
    segmenter.fit("x")
    segmenter.fit("x", freeze=["*.bn1.*"])
    segmenter.unfreeze()
    segmenter.fit("x", freeze="head")
    frozen = [settings.freeze for settings in caught]
    assert frozen == [
        None,
        ("encoder", "not encoder[-1]"),
        ("encoder", "not encoder[-1]", "*.bn1.*"),
        ("head",),
    ]


def test_words_for_parts_are_checked_at_once() -> None:
    """A misspelt part is refused by `freeze` itself, not after the data has been read."""
    segmenter = Segmenter("unet", "resnet18", weights=None)
    for verb in (segmenter.freeze, segmenter.unfreeze):
        with pytest.raises(UnknownNameError, match="Did you mean 'encoder'"):
            verb("encodr")
    with pytest.raises(UnknownNameError, match="Did you mean 'head'"):
        segmenter.fit("x", stages=[{"title": "top", "train": "haed"}])


def test_a_model_is_frozen_when_there_is_one(fitted: Segmenter) -> None:
    """On a trained model, freezing acts at once; a part that it lacks is refused, and nothing changes."""
    segmenter = fitted
    network = segmenter.network
    try:
        segmenter.freeze("encoder")
        network.train()
        assert network.frozen == {name for name, _ in network.named_parameters() if ".encoder." in name}
        assert not any(module.training for module in network.network.encoder.modules())
        segmenter.unfreeze("encoder[-1]")
        assert 0 < len(network.frozen) < sum(".encoder." in name for name, _ in network.named_parameters())
        with pytest.raises(UnknownNameError, match=r"freeze: this model has no part 'rpn'"):
            segmenter.freeze("rpn")
        segmenter.unfreeze()
        assert network.frozen == frozenset()
        assert network.network.encoder.training
    finally:
        segmenter.unfreeze()
        network.eval()


@pytest.mark.parametrize(
    ("weights", "goes_on", "forgotten"),
    [
        ("imagenet", False, "decoder"),
        ("coco", False, None),
        (None, False, "encoder, decoder"),
        ("mine.safetensors", False, None),
        ("imagenet", True, None),
        (None, True, None),
    ],
)
def test_what_starts_random_must_learn(weights: str | None, goes_on: bool, forgotten: str | None) -> None:
    """Which parts start random follows from the weights; in a second `fit` none does."""
    torch.manual_seed(0)
    model = build_semantic("unet", "resnet18", num_classes=1, weights=None)
    settings, made_from = FitSettings.of(HEAD_ONLY), ModelSettings(weights=weights)
    if forgotten is None:
        (stage,) = work_out_stages(settings, model, made_from, goes_on=goes_on)
        assert all(".segmentation_head." in name for name in stage.trained)
    else:
        with pytest.raises(ConfigError, match=f"^No stage trains {forgotten}, which would stay random"):
            work_out_stages(settings, model, made_from, goes_on=goes_on)
