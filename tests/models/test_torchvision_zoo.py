"""Torchvision's networks and their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_large, segmentation

from easyseg.errors import ModelError, WeightsError
from easyseg.models import torchvision_zoo
from easyseg.models.semantic import build_semantic

LRASPP = ("torchvision_lraspp", "mobilenet_v3_large")
FILE_NAMES = {"coco": "lraspp_mobilenet_v3_large-d234d4ea.pth", "imagenet": "mobilenet_v3_large-8738ca79.pth"}


def checkpoint_folder(home: Path) -> Path:
    """Return the folder below TORCH_HOME where torchvision looks for weights."""
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_logits_are_torchvisions() -> None:
    """Without resizing or padding, our network is the library's, to the last bit."""
    source = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3).eval()
    model = build_semantic(*LRASPP, num_classes=3, weights=None).eval()
    model.network.load_state_dict(source.state_dict())
    images = torch.randint(0, 256, (2, 3, 71, 97), dtype=torch.uint8)
    assert torch.equal(model(images), source(model._normalise(images))["out"])


def test_the_auxiliary_classifier_is_dropped() -> None:
    """Only the main logits are trained and saved."""
    names = build_semantic("torchvision_deeplabv3", "mobilenet_v3_large", num_classes=3, weights=None).state_dict()
    assert not [name for name in names if "aux" in name]


def test_coco_weights_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the last layer comes from the file; the last layer fits the user's classes."""
    source = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    torch.save(source.state_dict(), checkpoint_folder(tmp_path) / FILE_NAMES["coco"])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = build_semantic(*LRASPP, num_classes=4, weights="coco")
    state = model.network.state_dict()
    for name, value in source.state_dict().items():
        if "_classifier" not in name:
            assert torch.equal(state[name], value), name
    assert state["classifier.low_classifier.weight"].shape[0] == 4
    assert state["classifier.high_classifier.bias"].tolist() == [0.0] * 4
    assert model.weights_note == "coco weights"


def test_imagenet_weights_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder comes from the file of the whole classifier, fitted to the number of channels."""
    source = mobilenet_v3_large(weights=None)
    torch.save(source.state_dict(), checkpoint_folder(tmp_path) / FILE_NAMES["imagenet"])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = build_semantic(*LRASPP, num_classes=4, in_channels=1, weights="imagenet")
    backbone = model.network.get_submodule("backbone")
    assert torch.equal(backbone.get_submodule("16.0").weight, source.features[16][0].weight)
    assert torch.allclose(backbone.get_submodule("0.0").weight, source.features[0][0].weight.sum(1, keepdim=True))


def test_auxiliary_weights_are_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's auxiliary classifier has no place in the network."""
    source = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    weights = segmentation.DeepLabV3_MobileNet_V3_Large_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda *_, **__: source.state_dict())
    model = build_semantic("torchvision_deeplabv3", "mobilenet_v3_large", num_classes=2, weights="coco")
    assert torch.equal(model.network.get_submodule("classifier.1").weight, source.classifier[1].weight)


def test_a_damaged_download_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no network's state is not silently skipped."""
    (checkpoint_folder(tmp_path) / FILE_NAMES["coco"]).write_bytes(b"half a download")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"'coco' for 'mobilenet_v3_large' cannot be fetched: (?s:.*)TORCH_HOME"):
        build_semantic(*LRASPP, num_classes=2, weights="coco")


def test_a_last_layer_of_another_kind_is_an_error() -> None:
    """Should torchvision change its heads, nothing is replaced by guesswork."""
    with pytest.raises(ModelError, match="last layer is a Linear"):
        torchvision_zoo._replace_last_layer(nn.Sequential(nn.Linear(2, 2)), "0", 3)
