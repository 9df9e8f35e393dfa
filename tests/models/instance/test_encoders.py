"""Any encoder, any size, any batch."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from detectors import LOSSES, batch_of, build, check_found, check_parts, check_same, learn, save
from safetensors.torch import load_file

from easyseg.training.parts import names_by_part

FEW_ENCODERS = ("test_resnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_vit")
"""A chain of layers, one with normalisation of its own, one that names its features, rows before channels, plain."""

ENCODERS = (
    "resnet18",
    "resnet50",
    "convnext_atto",
    "convnextv2_atto",
    "efficientnet_b0",
    "mobilenetv2_050",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "pvt_v2_b0",
    "sam2_hiera_tiny",
    "hgnetv2_b0",
    "regnetx_002",
    "densenet121",
    "ghostnet_100",
    "repvit_m1",
    "fastvit_t8",
    "edgenext_xx_small",
    "poolformerv2_s12",
    "mobilevitv2_050",
    "mambaout_femto",
    "tiny_vit_5m_224",
    "vit_tiny_patch16_224",
    "vit_small_patch16_dinov3",
)
SIZES = ((1, 96, 96), (2, 97, 131), (1, 255, 256), (2, 333, 500), (1, 500, 500))
"""Images in the batch, height and width."""


def check_contract(encoder: str, sizes: tuple[tuple[int, int, int], ...], folder: Path) -> None:
    """Train, freeze, train, predict, save, load, and predict the same."""
    model = build("mask_rcnn", encoder).train()
    check_parts(model)
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    for count, height, width in sizes:
        losses = learn(model, batch_of(count, height, width))
        assert list(losses) == LOSSES
        assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    by_part = names_by_part(model)
    for part, names in by_part.items():
        assert any(not torch.equal(begun[name], model.state_dict()[name]) for name in names), part
    model.freeze(by_part["encoder[0]"])
    still = {name: value.clone() for name, value in model.parts()["encoder[0]"].state_dict().items()}
    deep = [parameter.detach().clone() for parameter in model.parts()["fpn"].parameters()]
    learn(model, batch_of(2))
    assert all(torch.equal(value, still[name]) for name, value in model.parts()["encoder[0]"].state_dict().items())
    assert any(not torch.equal(now, then) for now, then in zip(model.parts()["fpn"].parameters(), deep, strict=True))
    again = build("mask_rcnn", encoder, seed=1).eval()
    again.load_state_dict(load_file(save(model.state_dict(), folder / "weights.safetensors")))
    model.eval()
    for count, height, width in sizes:
        batch = batch_of(count, height, width)
        found = model.infer(batch.images)
        check_found(found, batch)
        check_same(found, again.infer(batch.images))


@pytest.mark.parametrize("encoder", FEW_ENCODERS)
def test_encoders_of_every_kind(encoder: str, tmp_path: Path) -> None:
    """A step, predictions, a frozen part, and the same again from a file: one image and two, odd sizes."""
    check_contract(encoder, ((1, 96, 96), (2, 97, 131)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_any_encoder_at_any_size(encoder: str, tmp_path: Path) -> None:
    """The same for encoders of many families, from 96 to 500 pixels."""
    started = time.perf_counter()
    check_contract(encoder, SIZES, tmp_path)
    print(f"{encoder}: {time.perf_counter() - started:.1f} s")
