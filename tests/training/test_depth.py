"""How deep parameters lie: the layers of real encoders, in order."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from torch import nn

from easyseg.models.semantic import build_semantic
from easyseg.training.depth import layers_of


@pytest.mark.parametrize(
    ("model", "encoder", "layers_of_stages"),
    [
        ("unet", "resnet18", [3, 2, 2, 2]),
        ("unet", "mit_b0", [3, 3, 3, 3]),
        ("unet", "efficientnet_b0", [4, 2, 6, 5]),
        ("unet", "tu-convnext_atto", [3, 3, 7, 3]),
        ("unet", "tu-regnety_002", [2, 1, 4, 7]),
        ("unet", "tu-pvt_v2_b0", [3, 3, 3, 3]),
        ("unet", "vgg11_bn", [4, 2, 2]),
        ("unet", "mobilenet_v2", [4, 3, 7, 5]),
        ("dpt", "tu-vit_tiny_patch16_224", [4, 3, 3, 3]),
        ("torchvision_deeplabv3", "resnet50", [4, 4, 6, 3]),
    ],
)
def test_encoders_have_their_real_depth(model, encoder, layers_of_stages):
    """A stem and each block is a layer; they come in the order of the network, and hold every parameter once."""
    network = build_semantic(model, encoder, num_classes=2, weights=None)
    layers = layers_of(network.parts())
    counts = Counter(layer.part for layer in layers if layer.part.startswith("encoder"))
    assert list(counts.values()) == layers_of_stages
    depth = sum(layers_of_stages)
    assert [layer.distance for layer in layers] == [*range(depth, 0, -1), 0, 0]
    held = [parameter for layer in layers for parameter in layer.parameters]
    assert Counter(map(id, held)) == Counter(map(id, network.parameters()))
    assert len({layer.name for layer in layers}) == len(layers)


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0", "efficientnet_b0", "tu-convnext_atto"])
def test_layers_follow_the_flow_of_an_image(encoder):
    """No parameter is used before those of the layers before it: the order is that of the work, not of names."""
    network = build_semantic("unet", encoder, num_classes=2, weights=None).eval()
    layer_of = {
        id(parameter): number
        for number, layer in enumerate(layers_of(network.parts()))
        for parameter in layer.parameters
        if layer.part.startswith("encoder")
    }
    seen = []

    def note(module, *_):
        seen.extend(layer_of[id(parameter)] for parameter in module.parameters(recurse=False))

    for module in network.network.encoder.modules():
        module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert all(before <= after for before, after in itertools.pairwise(seen))
    assert len(set(seen)) == len(set(layer_of.values()))


def test_layers_have_names_for_people():
    """Layers are numbered in their part; a part with one layer is called as it is."""
    parts = {
        "encoder[0]": nn.ModuleList([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)]),
        "encoder[1]": nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        "head": nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 2, 1)),
    }
    layers = layers_of(parts)
    assert [(layer.name, layer.distance, len(layer.parameters)) for layer in layers] == [
        ("encoder[0] layer 0", 3, 4),
        ("encoder[0] layer 1", 2, 2),
        ("encoder[1]", 1, 4),
        ("head", 0, 6),
    ]


def test_free_parameters_belong_to_what_follows():
    """The embedding of positions is one layer with the stem; parts without parameters have no layer."""
    stage = nn.ModuleList([nn.ParameterList([torch.zeros(1, 4, 8)]), nn.Linear(8, 8), nn.Linear(8, 8)])
    layers = layers_of({"encoder[0]": stage, "encoder[1]": nn.ReLU(), "head": nn.Linear(8, 1)})
    assert [(layer.name, len(layer.parameters)) for layer in layers] == [
        ("encoder[0] layer 0", 3),
        ("encoder[0] layer 1", 2),
        ("head", 2),
    ]
