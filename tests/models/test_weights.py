"""Weights: from a file, from a cache, and the error where they cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from easyseg.errors import ModelError, WeightsError
from easyseg.models import hub, smp_zoo
from easyseg.models.registry import MODELS, find_encoder
from easyseg.models.semantic import SemanticModel, build_semantic
from easyseg.models.weights import fit_channels, load_weights_file


def save(state: dict[str, Tensor], path: Path) -> Path:
    """Write tensors to a .safetensors file."""
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def build(model: str, encoder: str, weights: str | Path | None, **settings: int) -> SemanticModel:
    """Build with three classes."""
    return build_semantic(model, encoder, **{"num_classes": 3, **settings}, weights=weights)


def test_a_whole_model_of_our_own(tmp_path: Path) -> None:
    """What was saved comes back, tensor by tensor."""
    source = build("unet", "resnet18", None)
    path = save(source.state_dict(), tmp_path / "whole.safetensors")
    model = build("unet", "resnet18", path)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in source.state_dict().items())
    total = len([name for name in source.state_dict() if not name.endswith("num_batches_tracked")])
    assert f"whole.safetensors: {total} of {total} tensors loaded" in model.weights_note


@pytest.mark.parametrize("wrap", ["{}", "encoder.{}", "module.backbone.{}", "state.model.encoder.{}"])
def test_an_encoder_under_any_prefix(tmp_path: Path, wrap: str) -> None:
    """An encoder's file works as other programs write it; its classifier is left aside."""
    encoder = smp.encoders.get_encoder("resnet18", weights=None)
    state = {wrap.format(name): value for name, value in encoder.state_dict().items()}
    path = save(state | {wrap.format("fc.weight"): torch.zeros(10, 512)}, tmp_path / "encoder.safetensors")
    model = build("unet", "resnet18", str(path))
    loaded = model.network.get_submodule("encoder").state_dict()
    for name, value in encoder.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(loaded[name], value)
    assert "encoder 100 of 100" in model.weights_note


def test_a_whole_timm_network(tmp_path: Path) -> None:
    """The feature extractor calls the same layers by slightly other names; they are found."""
    source = timm.create_model("convnext_atto", pretrained=False)
    path = save(source.state_dict(), tmp_path / "convnext.safetensors")
    model = build("fpn", "convnext_atto", path)
    loaded = model.network.get_submodule("encoder.model.stages_3.blocks.0.conv_dw").weight
    assert torch.equal(loaded, source.stages[3].blocks[0].conv_dw.weight)


def test_a_torchvision_network(tmp_path: Path) -> None:
    """Torchvision's own names fit its models."""
    source = build("torchvision_lraspp", "mobilenet_v3_large", None, num_classes=21)
    path = save(source.network.state_dict(), tmp_path / "lraspp.safetensors")
    model = build("torchvision_lraspp", "mobilenet_v3_large", path)
    assert torch.equal(model.network.get_submodule("classifier.cbr.0").weight, source.network.classifier.cbr[0].weight)
    assert "last layer starts fresh" in model.weights_note


def test_other_numbers_of_channels_and_classes(tmp_path: Path) -> None:
    """First and last layer may differ: the first is fitted, the last starts fresh."""
    source = build("unet", "resnet18", None)
    path = save(source.state_dict(), tmp_path / "rgb.safetensors")
    model = build("unet", "resnet18", path, num_classes=5, in_channels=4)
    first = model.network.get_submodule("encoder.conv1").weight
    assert torch.allclose(first, fit_channels(source.network.get_submodule("encoder.conv1").weight, 4))
    assert model.pixel_mean.shape[1] == 4
    assert "first layer fitted to the number of channels, last layer starts fresh" in model.weights_note
    assert model(torch.zeros(1, 4, 32, 32)).shape == (1, 5, 32, 32)


def test_fitting_channels() -> None:
    """A grey image gives the first layer what it gave as RGB; further channels take the weights in turn."""
    weight = torch.rand(8, 3, 7, 7)
    grey = torch.rand(1, 1, 16, 16)
    as_rgb = nn.functional.conv2d(grey.expand(1, 3, 16, 16), weight)
    assert torch.allclose(nn.functional.conv2d(grey, fit_channels(weight, 1)), as_rgb, atol=1e-5)
    assert torch.allclose(nn.functional.conv2d(grey.expand(1, 6, 16, 16), fit_channels(weight, 6)), as_rgb, atol=1e-4)
    assert torch.equal(fit_channels(weight, 4)[:, 3], weight[:, 0] * 0.75)


def test_a_file_for_another_encoder_is_refused(tmp_path: Path) -> None:
    """Too little in common: the message shows names from both sides."""
    path = save(smp.encoders.get_encoder("mobilenet_v2", weights=None).state_dict(), tmp_path / "mobile.safetensors")
    with pytest.raises(WeightsError, match=r"mobile\.safetensors: only \d+ of the encoder's 100 .*'features.*'bn1"):
        build("unet", "resnet18", path)


def test_conflicting_shapes_are_refused(tmp_path: Path) -> None:
    """The same names with other shapes belong to another network."""
    state = smp.encoders.get_encoder("resnet18", weights=None).state_dict()
    state["layer3.0.conv1.weight"] = torch.zeros(8, 8, 3, 3)
    path = save(state, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=r"'layer3.0.conv1.weight' has shape \(8, 8, 3, 3\), expected .*\(256, 128"):
        build("unet", "resnet18", path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.pth", b"x", "read from .safetensors files only.*Convert"),
        ("missing.safetensors", None, "missing.safetensors: no such file.*weights=None"),
        ("broken.safetensors", b"not at all", "broken.safetensors: this is no readable"),
        ("empty.safetensors", b"", "empty.safetensors: this is no readable"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """Pickled, missing and broken files are refused with what to do instead."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        build("unet", "resnet18", str(tmp_path / name))


def test_an_empty_file_matches_nothing(tmp_path: Path) -> None:
    """A file without tensors does not count as weights."""
    path = save({}, tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="only 0 of the encoder's"):
        load_weights_file(build("unet", "resnet18", None), path, encoder="network.encoder.", head=("network.head.",))


@pytest.mark.parametrize(
    ("model", "encoder", "home"),
    [
        ("unet", "resnet18", "HF_HOME"),
        ("unet", "convnext_atto", "HF_HOME"),
        ("torchvision_lraspp", "mobilenet_v3_large", "TORCH_HOME"),
    ],
)
def test_weights_that_cannot_be_fetched(
    model: str, encoder: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without network the error says how to go on; the network never starts from random weights unasked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(WeightsError, match=rf"^The weights 'imagenet' for '{encoder}' cannot be fetched: ") as caught:
        build(model, encoder, "imagenet")
    what, first, *others = str(caught.value).splitlines()
    assert len(what) < 220
    assert what.endswith(". Ways on:")
    assert first == "  - weights=None starts from random weights"
    assert any(home in line for line in others)


def test_a_proxy_is_trusted_to_look_names_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy this machine cannot look names up, and need not."""
    monkeypatch.setattr(hub, "getproxies", dict)
    assert not hub.can_look_up("https://example.org")
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
    assert hub.can_look_up("https://example.org")
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy"})
    assert hub.can_look_up("https://example.org")


def test_cached_weights_are_used_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights lying in the Hub's cache are taken, with the statistics that came with them."""
    settings = smp.encoders.encoders["resnet18"]["pretrained_settings"]["ssl"]
    folder = tmp_path / f"models--{settings['repo_id'].replace('/', '--')}" / "snapshots" / settings["revision"]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}))
    source = smp.encoders.get_encoder("resnet18", weights=None)
    save(
        source.state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
        folder / "model.safetensors",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = build("unet", "resnet18", "ssl")
    assert torch.equal(model.network.get_submodule("encoder.layer4.1.conv2").weight, source.layer4[1].conv2.weight)
    assert model.pixel_mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.pixel_std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert model.weights_note == "ssl weights"


def test_damaged_statistics_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network must not run on statistics it was not trained with."""
    path = tmp_path / "config.json"
    path.write_text("{}")
    monkeypatch.setattr(smp_zoo, "hf_hub_download", lambda *_, **__: str(path))
    with pytest.raises(WeightsError, match=r"config\.json with mean.*weights=None"):
        smp_zoo.statistics(find_encoder("resnet18", MODELS["unet"]), "imagenet")


@pytest.mark.parametrize(
    ("model", "encoder", "weights", "message"),
    [
        ("unet", "resnext101_32x4d", "imagenet", r"no weights 'imagenet'. Type weights='ssl' or weights='swsl'"),
        ("unet", "cs3darknet_s", "imagenet", r"no pretrained weights.*weights=None.*such as cs3darknet_"),
        ("unet", "dpn48b", "imagenet", r"no pretrained weights.*such as dpn"),
        ("unet", "convnext_atto", "advprop", r"Unknown weights 'advprop'.*convnext_atto.d2_in1k"),
        ("unet", "resnet18", "coco", r"Segmenter\('torchvision_deeplabv3', 'resnet50', weights='coco'\)"),
        ("torchvision_fcn", "resnet50", "ssl", r"torchvision_fcn with resnet50 has no weights 'ssl'.*weights='coco'"),
    ],
)
def test_weights_that_do_not_exist(model: str, encoder: str, weights: str, message: str) -> None:
    """The message names what exists instead."""
    with pytest.raises(WeightsError, match=message):
        build(model, encoder, weights)


def test_a_misfit_is_told_before_weights_are_fetched() -> None:
    """Nobody waits for a download to learn that the pair does not work."""
    with pytest.raises(ModelError, match="does not go with") as caught:
        build("unetplusplus", "mit_b0", "imagenet")
    assert not isinstance(caught.value, WeightsError)
