"""Semantic networks: every architecture, any size, any batch, and the same again from a file."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from easyseg.errors import ModelError
from easyseg.models import assembly
from easyseg.models.construction import Construction
from easyseg.models.registry import MODELS
from easyseg.models.semantic import SemanticModel, build_semantic
from easyseg.models.strided_pointwise import StridedPointwiseConv2d
from easyseg.structures import Batch

SMALL_ENCODERS = ("resnet18", "mobilenet_v2", "convnext_atto", "mit_b0")
REFUSED = {("unetplusplus", "mit_b0"), ("linknet", "mit_b0")}
SMP_PAIRS = [
    (model.name, encoder)
    for model in MODELS.values()
    for encoder in SMALL_ENCODERS
    if model.encoders == "pyramid" and (model.name, encoder) not in REFUSED
]
OTHER_PAIRS = [
    ("dpt", "test_vit"),
    ("dpt", "vit_tiny_patch16_dinov3_qkvb"),
    ("torchvision_deeplabv3", "mobilenet_v3_large"),
    ("torchvision_deeplabv3", "resnet50"),
    ("torchvision_fcn", "resnet50"),
    ("torchvision_lraspp", "mobilenet_v3_large"),
]
HEAVY_PAIRS = {
    ("manet", "mobilenet_v2"),
    ("dpt", "vit_tiny_patch16_dinov3_qkvb"),
    ("torchvision_deeplabv3", "resnet50"),
    ("torchvision_fcn", "resnet50"),
}
MISFITS = [
    *REFUSED,
    *(("dpt", encoder) for encoder in SMALL_ENCODERS),
    *((model.name, encoder) for model in MODELS.values() for encoder in SMALL_ENCODERS if model.encoders == "own"),
]


def images_of(batch: int, height: int, width: int, *, channels: int = 3, seed: int = 0) -> Tensor:
    """Return (batch, channels, height, width) uint8 noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=generator)


def build(model: str, encoder: str, *, seed: int = 0, **settings: object) -> SemanticModel:
    """Build with a random start of that seed."""
    torch.manual_seed(seed)
    arguments: dict[str, Any] = {"num_classes": 3, "weights": None, **settings}
    return build_semantic(model, encoder, **arguments)


def train_one_step(model: SemanticModel, images: Tensor) -> None:
    """Take one step on a loss that has a gradient everywhere, and check that it is one."""
    model.train()
    logits = model(images)
    assert logits.shape == (len(images), 3, *images.shape[2:])
    loss = logits.float().square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    for parameter in model.parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all()
            parameter.data.sub_(1e-4 * parameter.grad)
            parameter.grad = None


def check_contract(name: str, encoder: str, sizes: tuple[int, ...]) -> None:
    """Train, infer, save, load, and infer the same."""
    model = build(name, encoder)
    before = next(iter(model.parameters())).clone()
    for size in sizes:
        for batch in (1, 2):
            train_one_step(model, images_of(batch, size, size))
    assert not torch.equal(before, next(iter(model.parameters())))
    model.eval()
    data = save({key: value.contiguous() for key, value in model.state_dict().items()})
    again = build(name, encoder, seed=1)
    again.load_state_dict(load(data))
    again.eval()
    for size in sizes:
        images = images_of(2, size, size + 5)
        logits = model.infer(images)
        assert logits.shape == (2, 3, size, size + 5)
        assert not logits.requires_grad
        assert torch.isfinite(logits).all()
        assert torch.equal(logits, again.infer(images))
    check_parts(model)


def check_parts(model: SemanticModel) -> None:
    """Parts come in order and hold every parameter exactly once."""
    parts = model.parts()
    stages = [part for part in parts if part.startswith("encoder")]
    assert list(parts) == [*(f"encoder[{number}]" for number in range(len(stages))), "decoder", "head"]
    held = [id(parameter) for part in parts.values() for parameter in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in model.parameters()}
    assert all(any(True for _ in part.parameters()) for part in parts.values())


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        pytest.param(*pair, marks=[pytest.mark.slow] if pair in HEAVY_PAIRS else [])
        for pair in (*SMP_PAIRS, *OTHER_PAIRS)
    ],
)
def test_every_pair_trains_predicts_and_loads_equal(name: str, encoder: str) -> None:
    """Sizes below, at and above a multiple of the stride; one image and two."""
    check_contract(name, encoder, (33, 64, 97))


@pytest.mark.parametrize(("name", "encoder"), sorted(MISFITS))
def test_pairs_that_do_not_fit_are_refused_with_an_alternative(name: str, encoder: str) -> None:
    """The refusal comes at construction and names pairs that work."""
    with pytest.raises(ModelError, match=rf"{name}.*{encoder}.*These work: Segmenter\('{name}', '\w+'\)"):
        build(name, encoder)


@pytest.mark.parametrize(
    ("name", "encoder", "stages"),
    [
        ("unet", "resnet18", ["conv1", "layer2", "layer3", "layer4"]),
        ("unet", "convnext_atto", ["model.stem_0", "model.stages_1", "model.stages_2", "model.stages_3"]),
        ("unet", "mit_b0", ["patch_embed1", "patch_embed2", "patch_embed3", "patch_embed4"]),
        ("pspnet", "resnet18", ["conv1", "layer2"]),
        ("deeplabv3", "resnet18", ["conv1", "layer2", "layer3", "layer4"]),
        ("dpt", "test_vit", ["model.pos_embed", "model.blocks.1"]),
        ("torchvision_fcn", "resnet50", ["conv1", "layer2", "layer3", "layer4"]),
        ("torchvision_lraspp", "mobilenet_v3_large", ["0", "4", "7", "13"]),
    ],
)
def test_encoder_stages_follow_the_structure(name: str, encoder: str, stages: list[str]) -> None:
    """The stem belongs to the first stage, and each further stage starts where the encoder's own does."""
    model = build(name, encoder)
    root = model.network.get_submodule("backbone" if name.startswith("torchvision") else "encoder")
    name_of = {id(parameter): path for path, parameter in root.named_parameters()}
    found = [part for part in model.parts().items() if part[0].startswith("encoder")]
    for (part, module), first in zip(found, stages, strict=False):
        names = [name_of[id(parameter)] for parameter in module.parameters()]
        assert any(path.startswith(first) for path in names), f"{part}: {names[:5]}"
        assert not any(path.startswith(tuple(other for other in stages if other != first)) for path in names)


def test_freezing_a_part_reaches_dropout_and_normalisation() -> None:
    """Parts hold the modules that have no parameters, too, so a frozen stage can be put into evaluation mode whole."""
    model = build("unet", "mit_b0")
    held = {id(module) for part in model.parts().values() for module in part.modules()}
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.BatchNorm2d, nn.LayerNorm)) or type(module).__name__ == "DropPath":
            assert id(module) in held


def test_parts_belong_to_a_copy_of_the_model() -> None:
    """A deep copy, as a moving average needs it, has parts of its own."""
    model = build("unet", "resnet18")
    check_parts(copy.deepcopy(model))


def test_layers_that_are_never_used_are_left_out() -> None:
    """PSPNet uses three of the encoder's stages; the others would only swell files and counts."""
    model = build("pspnet", "resnet18")
    assert not any(name.startswith("network.encoder.layer3") for name in model.state_dict())


def test_layers_that_are_read_but_not_called_stay() -> None:
    """Attention that adds its own bias to a projection reads the weights without calling the layer."""
    names = build("dpt", "vit_tiny_patch16_dinov3_qkvb").state_dict()
    assert "network.encoder.model.blocks.0.attn.qkv.weight" in names


def test_normalisation_happens_inside() -> None:
    """Pixels 0..255 are scaled by the encoder's own mean and standard deviation, padding is cut off again."""
    model = build("unet", "resnet18").eval()
    images = images_of(2, 64, 96)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = model.network((images / 255 - mean) / std)
    assert torch.allclose(model(images), expected, atol=1e-5)
    assert torch.allclose(model(images.float()), expected, atol=1e-5)
    assert torch.allclose(model(images.double()), expected, atol=1e-5)


def test_results_are_those_of_the_bare_network() -> None:
    """In training mode too, nothing but normalisation stands between pixels and smp's network."""
    model = build("deeplabv3plus", "resnet18")
    torch.manual_seed(0)
    bare = smp.DeepLabV3Plus("resnet18", encoder_weights=None, classes=3)
    bare.load_state_dict(model.network.state_dict())
    images = images_of(2, 96, 64)
    normalised = model._normalise(images)
    torch.manual_seed(1)
    expected = bare.train()(normalised)
    torch.manual_seed(1)
    assert torch.equal(model.train()(images), expected)


def test_statistics_follow_the_encoder() -> None:
    """Encoders trained on other statistics bring theirs, without a network call."""
    assert build("unet", "xception").pixel_mean.flatten().tolist() == [0.5, 0.5, 0.5]
    timm_mean = build("dpt", "vit_tiny_patch16_224").pixel_mean.flatten().tolist()
    assert timm_mean == pytest.approx([0.5, 0.5, 0.5])
    assert build("unet", "convnext_atto").pixel_std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("name", "encoder"), [("unet", "resnet18"), ("fpn", "convnext_atto"), ("torchvision_lraspp", "mobilenet_v3_large")]
)
def test_any_number_of_channels(name: str, encoder: str, channels: int) -> None:
    """Statistics repeat in turn, and so does everything else."""
    model = build(name, encoder, in_channels=channels)
    assert model.pixel_mean.shape == (1, channels, 1, 1)
    assert model.pixel_mean.flatten()[:4].tolist() == pytest.approx([0.485, 0.456, 0.406, 0.485][:channels])
    train_one_step(model, images_of(1, 40, 40, channels=channels))
    assert model.in_channels == channels


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 3), (31, 65)])
def test_the_smallest_images_work(size: tuple[int, int]) -> None:
    """A single pixel is padded by its own value."""
    for name, encoder in (("unet", "resnet18"), ("pan", "resnet18"), ("torchvision_lraspp", "mobilenet_v3_large")):
        model = build(name, encoder)
        train_one_step(model, images_of(1, *size))
        assert model.eval().infer(images_of(2, *size)).shape == (2, 3, *size)


def test_channels_last_memory_is_kept() -> None:
    """The layout the training loop chose is not undone by normalisation and padding."""
    model = build("unet", "resnet18").to(memory_format=torch.channels_last)
    layouts: list[bool] = []
    model.network.register_forward_pre_hook(
        lambda _module, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    for height in (64, 70):
        model(images_of(2, height, 64).to(memory_format=torch.channels_last))
    assert layouts == [True, True]


def test_half_precision_works() -> None:
    """Under autocast the logits come out in its precision, finite."""
    model = build("unet", "resnet18")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images_of(1, 33, 47))
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("encoder", ["swin_tiny_patch4_window7_224", "test_maxvit", "skresnet18"])
def test_encoders_with_habits_of_their_own(encoder: str) -> None:
    """Fixed windows adapt to the image size, and normalisation behind pooling to a single image."""
    model = build("fpn", encoder, image_size=(80, 96))
    train_one_step(model, images_of(1, 80, 96))
    again = build("fpn", encoder, image_size=(80, 96), seed=1)
    again.load_state_dict(model.state_dict())
    images = images_of(1, 100, 60)
    assert torch.equal(model.eval().infer(images), again.eval().infer(images))


def test_patches_of_14_pixels_become_16() -> None:
    """DINOv2's transformers work with DPT, whose decoder needs powers of two."""
    model = build("dpt", "vit_small_patch14_dinov2")
    assert model.network.get_submodule("encoder.model.patch_embed.proj").weight.shape[2:] == (16, 16)


def test_the_seed_decides_the_random_start() -> None:
    """The same seed gives the same weights, another one others."""
    first, same, other = (build("fpn", "mobilenet_v2", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("encoder", ["mobileone_s0", "tu-repvgg_a0"])
def test_first_layers_that_damage_memory_are_replaced(encoder: str) -> None:
    """Strided convolutions of one pixel on few channels crash in training; there is none left, names and all stay."""
    model = build("unet", encoder)
    pointwise = [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.in_channels < 16
    ]
    strided = [module for module in pointwise if max(module.stride) > 1]
    assert strided
    assert all(isinstance(module, StridedPointwiseConv2d) for module in strided)
    check_parts(model)


def test_the_criterion_is_no_part_of_the_state() -> None:
    """Class weights of a loss are not saved with the network, even where the loss is a module."""

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("class_weights", torch.ones(3))

        def forward(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
            return {"ce": nn.functional.cross_entropy(logits, targets.long(), weight=self.class_weights)}

    model = build("unet", "resnet18")
    names = set(model.state_dict())
    batch = Batch(images_of(2, 40, 40), torch.zeros(2, 40, 40, dtype=torch.uint8), (0, 1))
    with pytest.raises(ModelError, match=r"Set model\.criterion"):
        model.losses(batch)
    model.criterion = Weighted()
    assert set(model.state_dict()) == names
    losses = model.losses(batch)
    assert list(losses) == ["ce"]
    losses["ce"].backward()
    assert next(model.parameters()).grad is not None
    check_parts(model)


def test_objects_are_refused() -> None:
    """A batch for a detector is told apart from masks of classes."""
    with pytest.raises(ModelError, match=r"holds objects.*such as 'mask_rcnn'"):
        build("unet", "resnet18").losses(Batch(images_of(1, 40, 40), (), (0,)))


def test_images_that_do_not_fit_are_refused() -> None:
    """The message says what shape is expected."""
    model = build("unet", "resnet18")
    with pytest.raises(ModelError, match=r"\(1, 4, 64, 64\).*\(N, 3, H, W\) is expected.*in_channels"):
        model(images_of(1, 64, 64, channels=4))
    with pytest.raises(ModelError, match=r"\(3, 64, 64\)"):
        model(images_of(1, 64, 64)[0])
    with pytest.raises(ModelError, match=r"\(1, 3, 0, 64\)"):
        model(torch.zeros(1, 3, 0, 64))


def test_other_figures_to_normalise_by() -> None:
    """Mean and deviation of one's own bring these images to 0 and 1; they must be one above 0 for each channel."""
    model = build("unet", "resnet18", in_channels=2)
    model.normalize_by([100.0, 5.0], [20.0, 1.0])
    normalised = model._normalise(torch.tensor([100.0, 5, 120, 4]).view(1, 2, 2, 1).transpose(1, 2))
    assert torch.allclose(normalised.flatten(), torch.tensor([0.0, 1, 0, -1]), atol=1e-5)
    for means, deviations in (([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.0, 0.0])):
        with pytest.raises(ModelError, match="do not fit 2 channels; give one of each"):
            model.normalize_by(means, deviations)


@pytest.mark.parametrize("settings", [{"num_classes": 0}, {"in_channels": 0}])
def test_numbers_below_one_are_refused(settings: dict[str, int]) -> None:
    """A network without classes or channels is no network."""
    with pytest.raises(ModelError, match="must both be at least 1"):
        build("unet", "resnet18", **settings)


def test_what_the_rules_do_not_know_is_refused_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a library raises becomes a ModelError with alternatives, and so do logits of a wrong size."""
    monkeypatch.setattr(assembly, "why_not", lambda *_: None)
    with pytest.raises(ModelError, match=r"'linknet' does not go with .*'mit_b0'.*ValueError.*Segmenter\('linknet'"):
        build("linknet", "mit_b0")

    def build_shrinking(*_: object, **__: object) -> Construction:
        network = nn.Sequential()
        network.encoder, network.decoder, network.head = (nn.Conv2d(3, 3, 1) for _ in range(3))
        network.append(nn.AvgPool2d(2))
        return Construction(network, "encoder", ("decoder",), ("head",), ("encoder",), 32)

    monkeypatch.setattr(assembly, "_build", build_shrinking)
    with pytest.raises(ModelError, match=r"an image of \(64, 96\) pixels gives logits of \(32, 48\)"):
        build("unet", "resnet18")


def test_a_transformer_in_a_pyramid_model_is_sent_to_dpt() -> None:
    """The message names the model that takes it."""
    with pytest.raises(ModelError, match="fit the model 'dpt' only"):
        build("unet", "vit_tiny_patch16_224")


def test_loading_needs_neither_network_nor_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is opened on a machine that is cut off, and nothing in it is executed."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    model = build("unet", "convnext_atto")
    data = save(model.state_dict())
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    again = build("unet", "convnext_atto", seed=1)
    again.load_state_dict(load(data))
    assert torch.equal(model.eval().infer(images_of(1, 64, 64)), again.eval().infer(images_of(1, 64, 64)))
