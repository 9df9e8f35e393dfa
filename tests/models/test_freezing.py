"""Frozen parts stand still: parameters, statistics, dropout, in every mode, and learn again when they are freed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from easyseg.errors import ModelError
from easyseg.models.freezing import still_modules
from easyseg.models.semantic import SemanticModel, build_semantic

ENCODERS = ["mit_b0", "efficientnet_b0", "tu-convnext_atto", "resnet18"]


def new_model(encoder: str) -> SemanticModel:
    """Return a network that drops many paths, where its encoder drops any: one in a hundred would show nothing."""
    torch.manual_seed(0)
    model = build_semantic("unet", encoder, num_classes=2, weights=None)
    for module in model.modules():
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.5
    return model


def names_of(model: SemanticModel, *parts: str) -> set[str]:
    """Return the names of the parameters in all parts that begin so."""
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    modules = [module for part, module in model.parts().items() if part.startswith(parts)]
    return {name_of[parameter] for module in modules for parameter in module.parameters()}


def images(seed: int = 0) -> torch.Tensor:
    """Return two images of noise."""
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def train_some_steps(model: SemanticModel, steps: int = 3) -> None:
    """Train with everything in the optimizer, weight decay and momentum included, as a stage does."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    model.train()
    for step in range(steps):
        loss = F.cross_entropy(model(images(step)), torch.zeros(2, 64, 64, dtype=torch.long))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def features(model: SemanticModel) -> list[torch.Tensor]:
    """Return what the encoder makes of some images, in the mode it is in."""
    with torch.no_grad():
        return [feature.clone() for feature in model.network.encoder(images().float() / 255)]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_frozen_encoder_stays_bit_for_bit(encoder: str) -> None:
    """Training the head changes neither the encoder's outputs nor its buffers nor its weights, in training mode."""
    model = new_model(encoder)
    model.freeze(names_of(model, "encoder"))
    inner = model.network.encoder
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    model.train()
    seen = features(model)
    head = [parameter.detach().clone() for parameter in model.parts()["head"].parameters()]
    train_some_steps(model)
    assert all(torch.equal(value, before[name]) for name, value in inner.state_dict().items())
    assert all(torch.equal(now, then) for now, then in zip(features(model), seen, strict=True))
    assert any(not torch.equal(now, then) for now, then in zip(model.parts()["head"].parameters(), head, strict=True))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_predictions_with_a_frozen_encoder_repeat(encoder: str) -> None:
    """In evaluation, the same images give the same logits, bit for bit, before and after a look at others."""
    model = new_model(encoder)
    model.freeze(names_of(model, "encoder"))
    train_some_steps(model, steps=1)
    model.eval()
    first = model.infer(images())
    model.infer(images(seed=1))
    assert torch.equal(model.infer(images()), first)


def test_the_tests_above_can_fail() -> None:
    """Without freezing, statistics move, and dropped paths change the features from call to call."""
    model = new_model("efficientnet_b0")
    for parameter in model.network.encoder.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in model.network.encoder.named_buffers()}
    train_some_steps(model, steps=1)
    assert any(not torch.equal(value, before[name]) for name, value in model.network.encoder.named_buffers())
    model = new_model("mit_b0").train()
    assert any(not torch.equal(one, other) for one, other in zip(features(model), features(model), strict=True))


@pytest.mark.parametrize("wrap", [False, True])
def test_no_mode_wakes_what_is_frozen(wrap: bool) -> None:
    """Whatever `train` and `eval` are called on the model or around it, frozen modules are in evaluation mode."""
    model = new_model("resnet18")
    frozen = names_of(model, "encoder[0]")
    model.freeze(frozen)
    outer = nn.ModuleDict({"inner": nn.Sequential(model)}) if wrap else model
    stage, next_stage = list(model.parts().values())[:2]
    for mode in (True, False, True):
        outer.train(mode)
        assert not any(module.training for module in stage.modules() if not isinstance(module, nn.ModuleList))
        assert all(module.training == mode for module in model.network.encoder.layer2.modules())
    assert len(list(next_stage.parameters())) > 0
    assert model.frozen == frozen


def test_freed_parts_are_back_to_normal() -> None:
    """Freed, a part learns, its statistics move, and it has the mode of the model, without a call of `train`."""
    model = new_model("resnet18").train()
    model.freeze(names_of(model, "encoder"))
    model.freeze(())
    assert model.frozen == frozenset()
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_some_steps(model, steps=1)
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert "network.encoder.bn1.running_mean" in moved
    assert "network.encoder.conv1.weight" in moved
    model.eval()
    model.freeze(names_of(model, "head"))
    model.freeze(())
    assert not any(module.training for module in model.modules())


def test_only_whole_modules_are_still() -> None:
    """A pattern over names freezes a norm where it holds all of it; half a norm goes on learning its statistics."""
    model = new_model("resnet18").train()
    whole = {name for name, _ in model.named_parameters() if ".bn1." in name}
    half = {name for name, _ in model.named_parameters() if name.endswith("bn2.weight")}
    model.freeze(whole | half)
    for name, module in model.network.encoder.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.training == (not name.endswith("bn1"))


def test_modules_without_parameters_go_with_their_part() -> None:
    """Dropout inside a frozen block, and between the blocks of a frozen part, is off; elsewhere it is at work."""
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5))
    between, behind = nn.Dropout(0.5), nn.Dropout(0.5)
    network = nn.Sequential(block, between, nn.Conv2d(4, 4, 3), behind, nn.Conv2d(4, 2, 1))
    parts = {"encoder[0]": nn.ModuleList([block, between]), "head": nn.ModuleList([*network[2:]])}
    still = still_modules(network, parts, list(block.parameters()))
    assert {block, *block, between} <= still.keys()
    assert not {network, network[2], behind, network[4]} & still.keys()
    still = still_modules(network, parts, [*network[2].parameters()])
    assert set(still) == {network[2]}
    assert set(network.modules()) <= still_modules(network, parts, list(network.parameters())).keys()
    assert not still_modules(network, parts, [])
    whole = {"encoder[0]": nn.ModuleList([block, between, network[2]]), "head": network[4]}
    assert still_modules(network, whole, list(block.parameters())).keys() == {block, *block}, "a block of a part"


def test_gradients_from_before_are_gone() -> None:
    """A gradient that was there when a part is frozen does not move it any more."""
    model = new_model("resnet18").train()
    model(images()).sum().backward()
    model.freeze(names_of(model, "encoder"))
    assert all(parameter.grad is None for parameter in model.network.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.parts()["head"].parameters())


def test_what_never_learned_does_not_begin_to() -> None:
    """A parameter that is fixed by its encoder stays fixed when everything is frozen and freed."""
    model = new_model("resnet18")
    fixed = model.network.encoder.conv1.weight
    model._fixed = frozenset({"network.encoder.conv1.weight"})
    fixed.requires_grad_(False)
    model.freeze([name for name, _ in model.named_parameters()])
    model.freeze(())
    assert [parameter for parameter in model.parameters() if not parameter.requires_grad] == [fixed]


def test_a_copy_is_frozen_on_its_own() -> None:
    """A deep copy holds its own modules still, and freeing it leaves the first one frozen."""
    model = new_model("resnet18")
    model.freeze(names_of(model, "encoder"))
    other = copy.deepcopy(model).train()
    assert not other.network.encoder.bn1.training
    other.freeze(())
    assert other.network.encoder.bn1.training
    assert not model.train().network.encoder.bn1.training


def test_unknown_parameters_are_refused() -> None:
    """A name that no parameter has is an error, and nothing is changed."""
    model = new_model("resnet18")
    with pytest.raises(ModelError, match=r"no parameter 'network\.encodr' to freeze"):
        model.freeze(["network.encodr", "network.encoder.conv1.weight"])
    assert model.frozen == frozenset()
    assert all(parameter.requires_grad for parameter in model.parameters())
