"""Names of models and encoders: what exists, how it may be spelt, and what fits together."""

from __future__ import annotations

import subprocess
import sys

import pytest
import segmentation_models_pytorch as smp
import timm

from easyseg.errors import UnknownNameError
from easyseg.models import families
from easyseg.models.registry import MODELS, find_encoder, find_model, list_encoders, list_models, why_not


def test_all_architectures_are_listed() -> None:
    """The twelve of smp, the three of torchvision and the two detectors, in alphabetical order."""
    assert list_models() == sorted(MODELS)
    assert len(list_models()) == 17
    assert list_models("UNET*") == ["unet", "unetplusplus"]
    assert list_models("torchvision_*") == ["torchvision_deeplabv3", "torchvision_fcn", "torchvision_lraspp"]


def test_listing_models_loads_nothing_heavy() -> None:
    """`easyseg list` for models answers without torch, timm or smp."""
    code = (
        "import sys; from easyseg.models.registry import list_models; list_models();"
        "print({'torch', 'timm', 'segmentation_models_pytorch', 'torchvision'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("unet", "unet"),
        ("UNet", "unet"),
        ("U-Net", "unet"),
        ("unet++", "unetplusplus"),
        ("UNet PlusPlus", "unetplusplus"),
        ("DeepLabV3+", "deeplabv3plus"),
        ("DeepLabV3", "deeplabv3"),
        ("Torchvision-DeepLabV3", "torchvision_deeplabv3"),
    ],
)
def test_models_are_found_by_any_spelling(spelling: str, name: str) -> None:
    """Case, hyphens and plus signs do not matter."""
    assert find_model(spelling).name == name


def test_an_unknown_model_offers_the_nearest() -> None:
    """A typing error is answered with what was probably meant."""
    with pytest.raises(UnknownNameError, match=r"No model named 'unnet'\. Did you mean 'unet'"):
        find_model("unnet")


def test_the_table_of_smp_encoders_is_what_smp_has() -> None:
    """The static table, which saves an import, does not drift from the library."""
    ours = set(families.SMP_FAMILY_OF)
    assert ours == {name for name in smp.encoders.get_encoder_names() if not name.startswith("timm-")}


def test_every_timm_family_in_the_rules_exists() -> None:
    """A rule for a family that timm does not have would never apply."""
    modules = {timm.models.model_entrypoint(name).__module__.rpartition(".")[2] for name in timm.list_models()}
    assert modules >= families.TIMM_PLAIN | families.TIMM_UNUSABLE | families.TIMM_DILATABLE


def test_encoders_of_both_libraries_are_listed_once_and_without_prefix() -> None:
    """People see one flat list of names."""
    names = list_encoders()
    assert len(names) == len(set(names)) > 1000
    assert {"resnet18", "mit_b0", "efficientnet-b0", "convnext_atto", "vit_small_patch16_dinov3"} <= set(names)
    assert not [name for name in names if name.startswith(("tu-", "timm-"))]
    assert "crossvit_9_240" not in names, "it fits no model"


def test_patterns_narrow_the_list() -> None:
    """Wildcards work in either case; a dot asks for pretrained variants."""
    assert list_encoders("ResNet1?") == ["resnet18"]
    assert "convnext_tiny.fb_in22k" in list_encoders("convnext_tiny.*")


def test_encoders_that_fit_a_model() -> None:
    """With a model, only what goes with it is listed."""
    assert list_encoders("mit_b?", model="linknet") == []
    assert "mit_b0" in list_encoders("mit_b?", model="unet")
    assert list_encoders("resnet*", model="torchvision_fcn") == ["resnet101", "resnet50"]
    assert list_encoders("vit_small_patch16_224", model="unet") == []
    assert list_encoders("vit_small_patch16_224", model="dpt") == ["vit_small_patch16_224"]
    assert list_encoders("densenet121", model="deeplabv3plus") == []
    assert list_encoders("swin_tiny*", model="pan") == []
    assert list_encoders("coatnet_0*") == [], "one size only"
    assert list_encoders("inception_v3", model="unet") == ["inception_v3"]
    assert list_encoders("inception_v3", model="fpn") == []
    with pytest.raises(UnknownNameError, match="unet"):
        list_encoders(model="unnet")


@pytest.mark.parametrize(
    ("spelling", "name", "zoo"),
    [
        ("resnet50", "resnet50", "smp"),
        ("ResNet-50", "resnet50", "smp"),
        ("tu-resnet50", "tu-resnet50", "timm"),
        ("efficientnet-b0", "efficientnet-b0", "smp"),
        ("efficientnet_b0", "efficientnet_b0", "timm"),
        ("timm-efficientnet-b0", "efficientnet_b0", "timm"),
        ("timm-mobilenetv3_large_minimal_100", "tf_mobilenetv3_large_minimal_100", "timm"),
        ("MiT-B0", "mit_b0", "smp"),
        ("ConvNeXt_Tiny", "convnext_tiny", "timm"),
        ("convnext_tiny.fb_in22k", "convnext_tiny.fb_in22k", "timm"),
        (None, "resnet34", "smp"),
    ],
)
def test_encoders_are_found_by_any_spelling(spelling: str | None, name: str, zoo: str) -> None:
    """The name found leads back to the same encoder."""
    found = find_encoder(spelling, MODELS["unet"])
    assert (found.name, found.zoo) == (name, zoo)
    assert find_encoder(found.name, MODELS["unet"]) == found


def test_unknown_encoders_offer_the_nearest() -> None:
    """So do unknown variants, and encoders that torchvision's models lack."""
    with pytest.raises(UnknownNameError, match=r"'resnt18'. Did you mean 'resnet18'\? See easyseg.list_encoders"):
        find_encoder("resnt18", MODELS["unet"])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'convnext_tiny.fb_in22k'"):
        find_encoder("convnext_tiny.fb_in22", MODELS["unet"])
    with pytest.raises(UnknownNameError, match=r"encoder of torchvision_lraspp named 'mobilnet'.*mobilenet_v3_large"):
        find_encoder("mobilnet", MODELS["torchvision_lraspp"])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_what_a_refusal_suggests_fits(name: str) -> None:
    """The alternatives in error messages are ones that the rules allow."""
    model = MODELS[name]
    assert len(model.suggestions) >= 1
    for encoder in model.suggestions:
        assert why_not(model, find_encoder(encoder, model)) is None
