"""From names to a detector that is known to work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from easyseg.errors import ModelError, WeightsError
from easyseg.models import smp_zoo
from easyseg.models.assembly import check_pair, check_weights, in_turn, misfit
from easyseg.models.construction import Construction, Trial, drop_idle, try_out
from easyseg.models.hub import cannot_fetch, first_line
from easyseg.models.instance.coco import LAST_LAYERS, STRUCTURE_OF, check_coco, load_coco
from easyseg.models.instance.detector import Detector
from easyseg.models.instance.heads import build_heads
from easyseg.models.instance.model import InstanceModel, InstanceOrder
from easyseg.models.instance.plan import STRUCTURES, DetectorPlan, Held, StructureDetails
from easyseg.models.instance.proposals import build_proposals
from easyseg.models.instance.pyramid import REDUCTIONS, FeaturePyramid, SimpleFeaturePyramid
from easyseg.models.instance.starting_plan import plan_of_weights
from easyseg.models.instance.timm_encoder import ATTEMPTS, TimmEncoder, build_encoder
from easyseg.models.registry import EncoderEntry, ModelEntry, find_encoder, find_model
from easyseg.models.single_value import allow_single_values
from easyseg.models.strided_pointwise import avoid_strided_pointwise
from easyseg.models.weights import is_file, load_weights_file

_STRIDES = (REDUCTIONS[-1], 2 * REDUCTIONS[-1])
"""Multiples to pad images to that are tried in turn: some encoders halve the deepest features once more inside."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """How timm's encoder is built so that it takes images of any size.

    Attributes:
        encoder: with a random start.
        options: for timm.
        stride: of the images, in pixels.
        trial: what a trial image showed.
    """

    encoder: TimmEncoder
    options: dict[str, Any]
    stride: int
    trial: Trial


class _TrialNetwork(nn.Module):
    """An encoder with one number behind it that depends on all its features."""

    def __init__(self, encoder: TimmEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.feature_shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images)
        self.feature_shapes = [tuple(feature.shape[1:]) for feature in features]
        return torch.stack([feature.mean() for feature in features]).sum().expand(1, 1, 1, 1)


def build_instance(
    model: str,
    encoder: str | None = None,
    *,
    num_classes: int,
    in_channels: int = 3,
    weights: str | Path | None = "imagenet",
    plan: DetectorPlan | None = None,
) -> InstanceModel:
    """Build a detector and, with a trial image, prove that its encoder works.

    Its random start is decided by torch's seed. With `weights=None` there is no network call.

    Args:
        model: "mask_rcnn" or "faster_rcnn".
        encoder: see `list_encoders`; None takes one that suits the model.
        num_classes: without background, at least 1.
        in_channels: channels of the images, at least 1.
        weights: "imagenet" for the encoder, "coco" (resnet50 only; "coco_v1" is torchvision's first, quicker detector)
            for all but the last layers, None for a random start, or the path of a .safetensors file. Of a detector that
            easyseg saved, structure and held statistics are taken over.
        plan: anchors and the like; None: those of the file, or else the usual ones.

    Raises:
        UnknownNameError: no model or encoder has that name.
        ModelError: they do not fit together; the message names an encoder that does.
        WeightsError: the weights do not exist, cannot be fetched, or do not fit.
    """
    entry = find_model(model)
    if entry.task != "instance":
        raise ModelError(
            f"The model {entry.name!r} gives each pixel a class; to find objects, take 'mask_rcnn' or 'faster_rcnn'."
        )
    source = find_encoder(encoder, entry)
    if num_classes < 1 or in_channels < 1:
        raise ModelError(f"num_classes={num_classes} and in_channels={in_channels} must both be at least 1.")
    check_pair(entry, source)
    check_weights(entry, source, weights)
    name = None if weights is None or is_file(weights) else str(weights)
    plan = _completed(plan, entry, source, weights)
    known = smp_zoo.IMAGENET if name in STRUCTURE_OF else smp_zoo.statistics(source, None)
    order = InstanceOrder(entry, source, num_classes, in_turn(known, in_channels), plan)
    fit = _find_fit(order)
    built = _assembled(order, _pretrained(order, fit) if name == "imagenet" else fit)
    if weights is not None:
        built.weights_note = _load(built, order, weights)
    built.hold_statistics(_batch_norms(built.network, plan.held or "none"))
    return built


def _completed(
    wanted: DetectorPlan | None, model: ModelEntry, encoder: EncoderEntry, weights: str | Path | None
) -> DetectorPlan:
    """Return the plan with what follows from the weights."""
    known = plan_of_weights(weights)
    plan = wanted or known or DetectorPlan()
    if weights in STRUCTURE_OF:
        check_coco(model, encoder, str(weights), plan.structure)
    elif known is not None and plan.structure not in (None, known.structure):
        raise WeightsError(
            f"{weights}: the detector in it has structure={known.structure!r}, not {plan.structure!r}; leave structure "
            "out."
        )
    held: Held = "none" if weights is None else "encoder"
    if known is not None:
        plan = replace(plan, structure=known.structure, held=plan.held or known.held)
    return replace(plan, structure=plan.structure or "standard", held=plan.held or held)


def _find_fit(order: InstanceOrder) -> _Fit:
    """Build the encoder with a random start, so that what fails here is the encoder and not its weights."""
    failure: Exception | None = None
    for options in ATTEMPTS:
        try:
            built = build_encoder(order.encoder, in_channels=order.in_channels, pretrained=False, options=options)
        except ModelError as error:
            raise misfit(order.model, order.encoder, str(error)) from error
        except Exception as error:  # noqa: BLE001 - an option that timm does not know for this family
            failure = failure or error
            continue
        for stride in _STRIDES:
            try:
                return _Fit(built, options, stride, _try_out(built, order.in_channels, stride))
            except Exception as error:  # noqa: BLE001 - whatever timm raises, it does not take this size
                failure = failure or error
    reason = f"it does not take images of all sizes: {first_line(failure)}"
    raise misfit(order.model, order.encoder, reason) from failure


def _pretrained(order: InstanceOrder, fit: _Fit) -> _Fit:
    """Return the same encoder with timm's weights."""
    try:
        encoder = build_encoder(order.encoder, in_channels=order.in_channels, pretrained=True, options=fit.options)
    except Exception as error:
        raise cannot_fetch("imagenet", order.encoder, error, home="HF_HOME") from error
    return replace(fit, encoder=encoder, trial=_try_out(encoder, order.in_channels, fit.stride))


def _try_out(encoder: TimmEncoder, in_channels: int, stride: int) -> Trial:
    height, width = 3 * stride, 4 * stride  # neighbouring multiples, one of which is odd, stand for all sizes
    network = _TrialNetwork(encoder)
    trial = try_out(
        Construction(network, "encoder", (), (), feature_sources=("encoder",), stride=stride),
        in_channels,
        (height, width),
    )
    expected = [
        (channels, height // reduction, width // reduction)
        for channels, reduction in zip(encoder.channels, encoder.reductions, strict=True)
    ]
    if network.feature_shapes != expected:
        raise ModelError(f"its features have sizes {network.feature_shapes}, where {expected} are expected")
    return trial


def _assembled(order: InstanceOrder, fit: _Fit) -> InstanceModel:
    plan, encoder, trial = order.plan, fit.encoder, fit.trial
    details = STRUCTURES[plan.structure or "standard"]
    drop_idle(encoder, trial)  # before the replacement: the trial knows modules by identity
    allow_single_values(encoder, trial.single_value)
    avoid_strided_pointwise(encoder)
    _set_epsilon(encoder, details)
    detector = Detector(
        encoder,
        _pyramid(encoder, details),
        build_proposals(plan.anchors, depth=details.proposal_depth, most=plan.limits.per_image),
        build_heads(
            order.num_classes,
            limits=plan.limits,
            has_masks=order.model.name == "mask_rcnn",
            norm=details.head_norm,
            is_deep=details.has_deep_box_head,
        ),
    )
    return InstanceModel(detector, order, stride=fit.stride, stage_of=trial.stage_of)


def _pyramid(encoder: TimmEncoder, details: StructureDetails) -> nn.Module:
    if encoder.is_plain:
        return SimpleFeaturePyramid(encoder.channels[-1])
    return FeaturePyramid(encoder.channels, encoder.reductions, details.pyramid_norm)


def _set_epsilon(encoder: TimmEncoder, details: StructureDetails) -> None:
    if details.batch_norm_epsilon is not None:
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = details.batch_norm_epsilon


def _batch_norms(detector: Detector, held: Held) -> Iterator[str]:
    prefix = {"none": None, "encoder": "encoder.", "all": ""}[held]
    for name, module in detector.named_modules():
        if prefix is not None and name.startswith(prefix) and isinstance(module, nn.BatchNorm2d):
            yield name


def _load(built: InstanceModel, order: InstanceOrder, weights: str | Path) -> str:
    """Load what is not in the encoder already, and say in a sentence what the model starts from."""
    if is_file(weights):
        head = tuple(f"network.{name}" for name in LAST_LAYERS)
        anchors = ("network.rpn.anchor_generator.shapes",)  # they were chosen before; see `DetectorPlan`
        loaded = load_weights_file(built, weights, encoder="network.encoder.body.", head=head, kept=anchors)
        return f"{loaded}; structure {order.plan.structure}"
    if weights in STRUCTURE_OF:
        fresh = load_coco(built.network, order.model, order.encoder, str(weights))
        return f"{weights} weights" + (f"; {', '.join(fresh)} start at random" if fresh else "")
    return "imagenet weights for the encoder; fpn, rpn and roi_heads start at random and need a warm-up"
