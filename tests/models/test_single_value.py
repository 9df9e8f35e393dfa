"""Batch normalisation of a single value per channel."""

from __future__ import annotations

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from easyseg.models.single_value import SingleValueBatchNorm2d, allow_single_values


def test_a_single_value_uses_running_statistics() -> None:
    """Torch refuses it in training mode; here it gives what evaluation gives, and statistics stay."""
    norm = nn.BatchNorm2d(4)
    norm.running_mean.uniform_()
    features = torch.randn(1, 4, 1, 1)
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        norm(features)
    safe = SingleValueBatchNorm2d.replacing(norm)
    before = safe.running_mean.clone()
    assert torch.equal(safe(features), norm.eval()(features))
    assert torch.equal(safe.running_mean, before)


def test_more_values_are_normalised_as_ever() -> None:
    """In both modes, and with the statistics updated, the replacement equals the original."""
    norm = nn.BatchNorm2d(4)
    safe = SingleValueBatchNorm2d.replacing(norm)
    features = torch.randn(2, 4, 1, 1)
    assert torch.equal(safe(features), norm(features))
    assert torch.equal(safe.running_var, norm.running_var)
    assert torch.equal(safe.eval()(features), norm.eval()(features))


def test_timm_norms_keep_their_activation() -> None:
    """The variant with an activation behind the normalisation stays one."""
    norm = BatchNormAct2d(4).eval()
    safe = SingleValueBatchNorm2d.replacing(norm)
    assert not safe.training
    features = torch.randn(1, 4, 1, 1)
    assert torch.equal(safe(features), norm(features))
    assert torch.equal(safe.train()(features), norm(features))
    assert (safe(features) >= 0).all()


def test_only_named_norms_are_replaced() -> None:
    """Names and values of the state stay, and other layers are not touched."""
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
    names = list(network.state_dict())
    inner = network.get_submodule("1")
    allow_single_values(network, frozenset({id(inner.get_submodule("0")), id(inner.get_submodule("1"))}))
    assert type(network.get_submodule("0")) is nn.BatchNorm2d
    assert type(network.get_submodule("1.0")) is nn.Conv2d
    assert type(network.get_submodule("1.1")) is SingleValueBatchNorm2d
    assert list(network.state_dict()) == names
