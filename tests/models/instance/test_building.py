"""From names to detectors: what does not work is refused with words, and weights come from where they are said to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from detectors import build, save

from easyseg.errors import ModelError, UnknownNameError, WeightsError
from easyseg.io.checkpoints import save_checkpoint
from easyseg.models import assembly
from easyseg.models.assembly import check_pair, check_weights
from easyseg.models.instance import timm_encoder
from easyseg.models.instance.anchors import Anchors
from easyseg.models.instance.plan import DetectorPlan
from easyseg.models.instance.starting_plan import plan_of_weights
from easyseg.models.registry import MODELS, EncoderEntry, find_encoder, list_encoders, list_models
from easyseg.models.semantic import build_semantic
from easyseg.models.strided_pointwise import StridedPointwiseConv2d


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ("vit_small_patch14_dinov2", "patches of 14 pixels, and .* with patches of 16, such as vit_small_patch16_224"),
        ("xcit_nano_12_p8_224", "patches of 8 pixels"),
        ("hiera_tiny_224", "one image size only; of the Hiera encoders, SAM 2's take any, such as sam2_hiera_tiny"),
        ("maxvit_tiny_tf_224", "one image size only"),
        ("sequencer2d_s", "not exactly 1/4, 1/8, 1/16 and 1/32"),
        ("inception_v3", "not exactly 1/4"),
        ("mit_b0", "mit_b0 is not in timm"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(encoder: str, reason: str) -> None:
    """Without building them, with encoders that do fit."""
    words = rf"'mask_rcnn' does not go with the encoder '{encoder}': .*{reason}.*Segmenter\('mask_rcnn', 'resnet50'\)"
    with pytest.raises(ModelError, match=words):
        build("mask_rcnn", encoder)


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ("vit_small_patch14_dinov2", r"its patches are 14 pixels wide, and a pyramid needs 16"),
        ("sequencer2d_s", r"its features are \[7, 14, 14\] times smaller"),
        ("inception_v3", "its features have sizes"),
        ("test_maxvit", "it does not take images of all sizes: AssertionError"),
    ],
)
def test_what_the_rules_do_not_know_is_found_out(
    encoder: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Without the rules, building and a trial image tell."""
    monkeypatch.setattr(assembly, "why_not", lambda *_: None)
    with pytest.raises(ModelError, match=rf"does not go with the encoder '{encoder}': .*{reason}"):
        build("mask_rcnn", encoder)


def test_names_of_models_and_numbers_are_checked() -> None:
    """Semantic models are built elsewhere, and detectors here only."""
    with pytest.raises(ModelError, match="'unet' gives each pixel a class; to find objects, take 'mask_rcnn'"):
        build("unet", "resnet18")
    with pytest.raises(ModelError, match=r"'mask_rcnn' finds objects.*such as 'unet'"):
        build_semantic("mask_rcnn", "resnet18", num_classes=2, weights=None)
    with pytest.raises(UnknownNameError, match="Did you mean 'mask_rcnn'"):
        build("maskrcn", "resnet18")
    with pytest.raises(ModelError, match="num_classes=0 and in_channels=3 must both be at least 1"):
        build("mask_rcnn", "test_resnet", num_classes=0)
    with pytest.raises(ModelError, match="num_classes=2 and in_channels=0"):
        build("mask_rcnn", "test_resnet", in_channels=0)


def test_the_registry_tells_tasks_apart() -> None:
    """Lists of models can be had for either task, and spelling does not matter."""
    assert list_models(task="instance") == ["faster_rcnn", "mask_rcnn"]
    assert not set(list_models(task="semantic")) & {"faster_rcnn", "mask_rcnn"}
    assert set(list_models()) == set(list_models(task="semantic")) | set(list_models(task="instance"))
    assert build("Mask R-CNN", "Test_ResNet").model_name == "mask_rcnn"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("resnet50", "resnet50"),
        ("ResNet-50", "resnet50"),
        ("tu-resnet50", "resnet50"),
        ("efficientnet-b0", "efficientnet_b0"),
        ("convnext_tiny.fb_in22k", "convnext_tiny.fb_in22k"),
        (None, "resnet50"),
    ],
)
def test_encoders_are_timms(spelling: str | None, name: str) -> None:
    """The name found is timm's own, and leads back to the same encoder."""
    found = find_encoder(spelling, MODELS["mask_rcnn"])
    assert (found.name, found.zoo) == (name, "timm")
    assert found.zoo_name == name
    assert find_encoder(found.name, MODELS["mask_rcnn"]) == found


def test_encoders_that_fit_are_listed() -> None:
    """Pyramids and plain transformers of stride 16, by timm's names; nothing of smp's own."""
    assert list_encoders("resnet18", model="mask_rcnn") == ["resnet18"]
    assert list_encoders("mit_b?", model="mask_rcnn") == []
    assert list_encoders("vit_small_patch1?_*", model="mask_rcnn") == list_encoders(
        "vit_small_patch16_*", model="mask_rcnn"
    )
    assert {"swin_tiny_patch4_window7_224", "vit_small_patch16_dinov3"} <= set(list_encoders(model="faster_rcnn"))
    assert len(list_encoders(model="mask_rcnn")) > 900


@pytest.mark.parametrize("model", ["mask_rcnn", "faster_rcnn"])
def test_names_alone_tell_what_does_not_work(model: str) -> None:
    """The checks of semantic models answer for detectors, too, and nothing is built."""
    entry = MODELS[model]
    assert find_encoder(None, entry).name == "resnet50"
    for encoder in ("convnext_tiny", "vit_small_patch16_dinov3", None):
        check_pair(entry, find_encoder(encoder, entry))
        check_weights(entry, find_encoder(encoder, entry), "imagenet")
    with pytest.raises(ModelError, match=rf"'{model}' does not go with the encoder 'mit_b0'.*'{model}', 'resnet50'"):
        check_pair(entry, find_encoder("mit_b0", entry))
    with pytest.raises(WeightsError, match=rf"'coco' of '{model}' exist for the encoder 'resnet50' only"):
        check_weights(entry, find_encoder("convnext_tiny", entry), "coco")


def test_weights_that_do_not_exist_are_refused_at_once() -> None:
    """Before anything is built; the message names what there is."""
    model, encoder = MODELS["mask_rcnn"], find_encoder("resnet50", MODELS["mask_rcnn"])
    for name in (None, "imagenet", "coco", "coco_v1"):
        check_weights(model, encoder, name)
    with pytest.raises(WeightsError, match="Unknown weights 'swsl' for 'resnet50'"):
        check_weights(model, encoder, "swsl")
    with pytest.raises(WeightsError, match=r"none.safetensors: no such file"):
        check_weights(model, encoder, "none.safetensors")
    with pytest.raises(WeightsError, match="timm has no pretrained weights for the encoder 'cs3darknet_s'"):
        build("mask_rcnn", "cs3darknet_s", weights="imagenet")


def test_imagenet_weights_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked of timm for the encoder; pyramid and heads start at random, and statistics are held."""
    real = timm.create_model
    asked: list[bool] = []

    def create(name: str, *, pretrained: bool, **options: object) -> object:
        asked.append(pretrained)
        made = real(name, pretrained=False, **options)
        if pretrained:
            made.conv1[0].weight.data.fill_(0.5)
        return made

    monkeypatch.setattr(timm_encoder.timm, "create_model", create)
    model = build("mask_rcnn", "test_resnet", weights="imagenet")
    assert asked == [False, True]
    assert (model.network.get_parameter("encoder.body.conv1.0.weight") == 0.5).all()
    assert model.weights_note == (
        "imagenet weights for the encoder; fpn, rpn and roi_heads start at random and need a warm-up"
    )
    assert (model.plan.structure, model.plan.held) == ("standard", "encoder")
    assert not model.train().network.get_submodule("encoder.body.bn1").training


def test_imagenet_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Never a random start unasked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    words = re.compile(r"'imagenet' for 'test_resnet.r160_in1k' cannot be fetched: .*HF_HOME", re.S)
    with pytest.raises(WeightsError, match=words):
        build("mask_rcnn", "test_resnet.r160_in1k", weights="imagenet")


def test_a_file_of_our_own(tmp_path: Path) -> None:
    """What was saved comes back, and more classes start fresh; whatever the plan left open is as in the file."""
    plan = DetectorPlan(anchors=Anchors.of((8, 16, 32, 64, 128)), structure="coco_v2", held="all")
    source = build("mask_rcnn", "test_resnet", plan=plan)
    path = save_checkpoint(tmp_path / "whole", source.state_dict(), {"plan": source.plan.to_dict()})
    model = build("mask_rcnn", "test_resnet", seed=1, weights=path)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in source.state_dict().items())
    assert model.anchors == model.plan.anchors == plan.anchors
    assert model.plan == source.plan
    assert "175 of 175 tensors loaded" in model.weights_note
    assert model.weights_note.endswith("structure coco_v2")
    other = build("mask_rcnn", "test_resnet", seed=1, num_classes=5, weights=str(path))
    assert "last layer starts fresh" in other.weights_note
    assert torch.equal(
        other.network.get_parameter("fpn.inner_blocks.0.0.weight"),
        source.network.get_parameter("fpn.inner_blocks.0.0.weight"),
    )


def test_anchors_that_were_chosen_stay(tmp_path: Path) -> None:
    """Those of a file would be others than what was measured; the rest of it is taken over."""
    source = build("mask_rcnn", "test_resnet", plan=DetectorPlan(structure="coco_v2", held="all"))
    path = save_checkpoint(tmp_path / "whole", source.state_dict(), {"plan": source.plan.to_dict()})
    chosen = DetectorPlan(anchors=Anchors.of((8, 16, 32, 64, 128)))
    model = build("mask_rcnn", "test_resnet", weights=path, plan=chosen)
    assert model.anchors == chosen.anchors
    assert (model.plan.structure, model.plan.held) == ("coco_v2", "all")
    with pytest.raises(WeightsError, match="has structure='coco_v2', not 'standard'; leave structure out"):
        build("mask_rcnn", "test_resnet", weights=path, plan=DetectorPlan(structure="standard"))


def test_files_without_a_plan(tmp_path: Path) -> None:
    """Weights that somebody else saved are taken as they are; what cannot be read is named."""
    source = build("mask_rcnn", "test_resnet", plan=DetectorPlan(anchors=Anchors.of((8, 16, 32, 64, 128))))
    path = save(source.state_dict(), tmp_path / "plain.safetensors")
    model = build("mask_rcnn", "test_resnet", weights=path)
    assert model.plan == DetectorPlan(structure="standard", held="encoder")
    assert plan_of_weights(save_checkpoint(tmp_path / "semantic", source.state_dict(), {})) is None
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"broken\.safetensors cannot be read"):
        plan_of_weights(broken)
    with pytest.raises(WeightsError, match="no such file"):
        plan_of_weights("coco_town.safetensors")


def test_an_encoder_of_timms_as_a_file(tmp_path: Path) -> None:
    """A whole classifier of timm's gives the encoder, by names that differ a little."""
    source = timm.create_model("test_convnext", pretrained=False)
    path = save(source.state_dict(), tmp_path / "convnext.safetensors")
    model = build("mask_rcnn", "test_convnext", weights=path)
    loaded = model.network.get_parameter("encoder.body.stages_3.blocks.0.conv_dw.weight")
    assert torch.equal(loaded, source.stages[3].blocks[0].conv_dw.weight)


def test_layers_beyond_the_pyramid_are_left_out() -> None:
    """A stage at 1/64, which no level needs, would only swell files and counts."""
    model = build("mask_rcnn", "efficientvit_m0")
    assert model.network.encoder.reductions == (16, 32)
    assert not any("stages_2" in name for name, _ in model.network.named_parameters())
    assert model.stride == 32


def test_first_layers_that_damage_memory_are_replaced() -> None:
    """An encoder with a strided convolution of one pixel on the image itself; the names of its weights stay."""
    model = build("faster_rcnn", "repvgg_a0")
    convolution = model.network.get_submodule("encoder.body.stem.conv_1x1.conv")
    assert isinstance(convolution, StridedPointwiseConv2d)
    assert convolution.stride == (2, 2)


def test_encoders_that_need_larger_multiples_get_them() -> None:
    """One that halves the deepest features inside is padded to multiples of 64."""
    assert build("faster_rcnn", "mobilevitv2_050").stride == 64


def test_what_registry_and_timm_call_an_encoder() -> None:
    """An encoder that only smp has is an entry of smp's, which the rules then refuse."""
    assert find_encoder("mit_b0", MODELS["mask_rcnn"]) == EncoderEntry("mit_b0", "smp", "mit")
