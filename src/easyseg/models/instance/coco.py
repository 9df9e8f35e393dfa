"""Torchvision's detectors that were trained on COCO, as weights for ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models import detection as zoo

from easyseg.errors import WeightsError
from easyseg.models.hub import cannot_fetch
from easyseg.models.instance.plan import Structure
from easyseg.models.registry import EncoderEntry, ModelEntry
from easyseg.models.weights import fit_channels

ENCODER = "resnet50"
"""The encoder that torchvision's weights are for."""

STRUCTURE_OF: dict[str, Structure] = {"coco": "coco_v2", "coco_v1": "coco_v1", "coco_v2": "coco_v2"}
"""Names of weights -> the structure that they need."""

LAST_LAYERS = (
    "rpn.head.cls_logits.",
    "rpn.head.bbox_pred.",
    "roi_heads.box_predictor.",
    "roi_heads.mask_predictor.mask_fcn_logits.",
)
"""Layers whose size depends on the numbers of classes and anchors."""

_FIRST_LAYER = "encoder.body.conv1.weight"
_PREFIXES = (("backbone.body.", "encoder.body."), ("backbone.fpn.", "fpn."))


@dataclass(frozen=True, slots=True)
class _Recipe:
    build: Callable[..., nn.Module]
    weights: WeightsEnum


_RECIPES: dict[tuple[str, Structure], _Recipe] = {
    ("mask_rcnn", "coco_v1"): _Recipe(
        zoo.maskrcnn_resnet50_fpn, zoo.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    ),
    ("mask_rcnn", "coco_v2"): _Recipe(
        zoo.maskrcnn_resnet50_fpn_v2, zoo.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    ),
    ("faster_rcnn", "coco_v1"): _Recipe(
        zoo.fasterrcnn_resnet50_fpn, zoo.FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    ),
    ("faster_rcnn", "coco_v2"): _Recipe(
        zoo.fasterrcnn_resnet50_fpn_v2, zoo.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    ),
}  # fmt: skip


def check_coco(model: ModelEntry, encoder: EncoderEntry, weights: str, structure: Structure | None = None) -> Structure:
    """Return the structure that weights need.

    Raises:
        WeightsError: there are none for this encoder, or another structure is asked for.
    """
    needed = STRUCTURE_OF[weights]
    if encoder.name != ENCODER:
        raise WeightsError(
            f"weights={weights!r} of {model.name!r} exist for the encoder {ENCODER!r} only, not for {encoder.name!r}. "
            f"Type Segmenter({model.name!r}, {ENCODER!r}, weights={weights!r}), or weights='imagenet'."
        )
    if structure not in (None, needed):
        raise WeightsError(f"weights={weights!r} need structure={needed!r}, not {structure!r}; leave structure out.")
    return needed


def load_coco(detector: nn.Module, model: ModelEntry, encoder: EncoderEntry, weights: str) -> tuple[str, ...]:
    """Copy torchvision's weights into a detector of the same structure, and return the layers that start fresh.

    Args:
        detector: is changed in place.
        model: mask_rcnn or faster_rcnn.
        encoder: resnet50.
        weights: one of `STRUCTURE_OF`.

    Raises:
        WeightsError: they cannot be fetched.
    """
    recipe = _RECIPES[model.name, STRUCTURE_OF[weights]]
    try:
        state = recipe.weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        raise cannot_fetch(weights, encoder, error, home="TORCH_HOME") from error
    # torchvision's own network knows the names that its files had in earlier years
    theirs = recipe.build(weights=None, weights_backbone=None)
    theirs.load_state_dict(state)
    own = detector.state_dict()
    values: dict[str, Tensor] = {}
    for name, value in theirs.state_dict().items():
        ours = _renamed(name)
        wanted = own[ours].shape
        if ours == _FIRST_LAYER and value.shape != wanted:
            values[ours] = fit_channels(value, wanted[1])
        elif value.shape == wanted:
            values[ours] = value
        elif not ours.startswith(LAST_LAYERS):
            raise WeightsError(
                f"torchvision's {name!r} has shape {tuple(value.shape)}, and {tuple(wanted)} is expected; "
                "easyseg is too old for this torchvision. Type weights='imagenet'."
            )
    detector.load_state_dict(values, strict=False)
    learnt = {name for name, _ in detector.named_parameters()}
    return tuple(sorted({name.rpartition(".")[0] for name in learnt - values.keys()}))


def _renamed(name: str) -> str:
    for theirs, ours in _PREFIXES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
