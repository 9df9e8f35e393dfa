"""Build torchvision's segmentation networks, with weights trained on COCO images and Pascal VOC classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights, ResNet101_Weights, WeightsEnum
from torchvision.models import segmentation as zoo
from torchvision.models.segmentation.lraspp import LRASPPHead

from easyseg.errors import ModelError, WeightsError
from easyseg.models.construction import Construction
from easyseg.models.registry import EncoderEntry, ModelEntry
from easyseg.models.weights import change_input_channels

_COCO_CLASSES = 21
"""Pascal VOC's 20 classes and its background."""

_RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")
_MOBILENET_STAGES = ("3", "6", "12", "16")  # the last layers at 1/4, 1/8, 1/16, and the last one of all


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How torchvision names one network and its weights."""

    build: Callable[..., nn.Module]
    coco: WeightsEnum
    last_layers: tuple[str, ...]


_BACKBONES: dict[str, tuple[WeightsEnum, tuple[str, ...]]] = {
    "resnet50": (ResNet50_Weights.IMAGENET1K_V1, _RESNET_STAGES),
    "resnet101": (ResNet101_Weights.IMAGENET1K_V1, _RESNET_STAGES),
    "mobilenet_v3_large": (MobileNet_V3_Large_Weights.IMAGENET1K_V1, _MOBILENET_STAGES),
}

_RECIPES: dict[tuple[str, str], _Recipe] = {
    ("deeplabv3", "resnet50"): _Recipe(
        zoo.deeplabv3_resnet50, zoo.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1, ("4",)
    ),
    ("deeplabv3", "resnet101"): _Recipe(
        zoo.deeplabv3_resnet101, zoo.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1, ("4",)
    ),
    ("deeplabv3", "mobilenet_v3_large"): _Recipe(
        zoo.deeplabv3_mobilenet_v3_large,
        zoo.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
        ("4",),
    ),
    ("fcn", "resnet50"): _Recipe(zoo.fcn_resnet50, zoo.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1, ("4",)),
    ("fcn", "resnet101"): _Recipe(zoo.fcn_resnet101, zoo.FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1, ("4",)),
    ("lraspp", "mobilenet_v3_large"): _Recipe(
        zoo.lraspp_mobilenet_v3_large,
        zoo.LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
        ("low_classifier", "high_classifier"),
    ),
}


class MainOutput(nn.Module):
    """A torchvision segmentation network, returning its logits instead of a dictionary of them."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) for normalised images (N, C, H, W)."""
        features = self.backbone(images)
        wants_all = isinstance(self.classifier, LRASPPHead)
        logits = self.classifier(features if wants_all else features["out"])
        return F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)


def build(
    model: ModelEntry, encoder: EncoderEntry, *, num_classes: int, in_channels: int, weights: str | None
) -> Construction:
    """Build one of torchvision's networks, without its auxiliary classifier.

    Args:
        model: the architecture.
        encoder: one of its own.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        weights: None, "imagenet" for the encoder, or "coco" for all but the last layer.

    Raises:
        Exception: whatever torchvision raises where weights cannot be fetched.
    """
    recipe = _RECIPES[model.zoo_name, encoder.name]
    imagenet, stages = _BACKBONES[encoder.name]
    whole = recipe.build(weights=None, weights_backbone=None, num_classes=_COCO_CLASSES, aux_loss=False)
    network = MainOutput(whole.get_submodule("backbone"), whole.get_submodule("classifier"))
    if weights == "coco":
        state = recipe.coco.get_state_dict(progress=True, check_hash=True)
        network.load_state_dict({name: value for name, value in state.items() if not name.startswith("aux_")})
    elif weights == "imagenet":
        state = imagenet.get_state_dict(progress=True, check_hash=True)
        _load_backbone(network.backbone, state)
    for name in recipe.last_layers:
        _replace_last_layer(network.classifier, name, num_classes)
    change_input_channels(network.backbone, in_channels, keep_weights=weights is not None)
    layers = [name for name, _ in network.classifier.named_children()]
    return Construction(
        network=network,
        encoder="backbone",
        decoder=tuple(f"classifier.{name}" for name in layers if name not in recipe.last_layers),
        head=tuple(f"classifier.{name}" for name in recipe.last_layers),
        feature_sources=tuple(f"backbone.{name}" for name in stages),
        stride=1,  # it scales its logits back to any size itself
    )


def check_weights(model: ModelEntry, encoder: EncoderEntry, weights: str) -> None:
    """Check that the weights asked for exist, without any network call.

    Raises:
        WeightsError: they do not.
    """
    if weights not in ("imagenet", "coco"):
        raise WeightsError(
            f"{model.name} with {encoder.name} has no weights {weights!r}. "
            "Type weights='coco', weights='imagenet', weights=None, or weights='file.safetensors'."
        )


def _load_backbone(backbone: nn.Module, state: Mapping[str, Tensor]) -> None:
    known = backbone.state_dict().keys()
    plain = {name.removeprefix("features."): value for name, value in state.items()}
    backbone.load_state_dict({name: value for name, value in plain.items() if name in known})


def _replace_last_layer(classifier: nn.Module, name: str, num_classes: int) -> None:
    old = classifier.get_submodule(name)
    if not isinstance(old, nn.Conv2d):
        raise ModelError(f"torchvision's last layer is a {type(old).__name__}, not a convolution; easyseg is too old.")
    new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1)
    nn.init.kaiming_normal_(new.weight, nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    setattr(classifier, name, new)
