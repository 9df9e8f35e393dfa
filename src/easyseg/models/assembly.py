"""From names to a network that is known to work: options are tried until a trial image passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from easyseg.errors import ModelError, WeightsError
from easyseg.models import smp_zoo, torchvision_zoo
from easyseg.models.construction import Construction, Trial, drop_idle, try_out
from easyseg.models.hub import cannot_fetch, first_line
from easyseg.models.instance.coco import STRUCTURE_OF, check_coco
from easyseg.models.registry import EncoderEntry, ModelEntry, why_not
from easyseg.models.single_value import allow_single_values
from easyseg.models.strided_pointwise import avoid_strided_pointwise
from easyseg.models.weights import check_file, is_file
from easyseg.structures import SizeHW

_LARGEST_RAISED_STRIDE = 32
"""Up to this stride a network that fails is tried on multiples of it: some decoders halve the deepest features."""


@dataclass(frozen=True, slots=True)
class Order:
    """What network is wanted.

    Attributes:
        model: the architecture.
        encoder: the encoder.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        weights: the name of pretrained weights, or None.
        image_size: height and width in pixels that images mostly have, or None.
    """

    model: ModelEntry
    encoder: EncoderEntry
    num_classes: int
    in_channels: int
    weights: str | None
    image_size: SizeHW | None


@dataclass(frozen=True, slots=True)
class Assembly:
    """A network that works.

    Attributes:
        construction: the network and its parts.
        stage_of: names of the encoder's parameters -> number of their stage.
        statistics: mean and standard deviation of each channel, for values 0..1.
    """

    construction: Construction
    stage_of: dict[str, int]
    statistics: smp_zoo.Statistics


def check_pair(model: ModelEntry, encoder: EncoderEntry) -> None:
    """Refuse a pair of which it is known without building it that it does not work.

    Raises:
        ModelError: they do not fit together; the message names what does.
    """
    if (reason := why_not(model, encoder)) is not None:
        raise misfit(model, encoder, reason)


def assemble(order: Order) -> Assembly:
    """Build what is ordered.

    Raises:
        ModelError: the model is no semantic one, or the encoder does not fit; the message names what does.
        WeightsError: the weights do not exist, or cannot be fetched.
    """
    if order.model.task != "semantic":
        raise ModelError(
            f"The model {order.model.name!r} finds objects, and a semantic model is expected here, such as 'unet'; see "
            "list_models(task='semantic'). Objects are found by easyseg.models.instance.building.build_instance."
        )
    check_pair(order.model, order.encoder)
    check_weights(order.model, order.encoder, order.weights)
    construction, options = _find_options(order)
    if order.weights is not None:
        construction = replace(construction, network=_fetch(order, options).network)
    trial = _trial(construction, order)
    # before the replacement below: the trial knows modules by identity
    drop_idle(construction.network.get_submodule(construction.encoder), trial)
    allow_single_values(construction.network, trial.single_value)
    avoid_strided_pointwise(construction.network)
    return Assembly(construction, trial.stage_of, _statistics(order))


def _build(order: Order, weights: str | None, options: dict[str, Any]) -> Construction:
    model, encoder, classes, channels = order.model, order.encoder, order.num_classes, order.in_channels
    if model.zoo == "torchvision":
        return torchvision_zoo.build(model, encoder, num_classes=classes, in_channels=channels, weights=weights)
    return smp_zoo.build(model, encoder, num_classes=classes, in_channels=channels, weights=weights, options=options)


def _find_options(order: Order) -> tuple[Construction, dict[str, Any]]:
    """Build with a random start, so that what fails here is the pair and not the weights."""
    attempts: list[dict[str, Any]] = [{}]
    if order.model.zoo == "smp":
        attempts = smp_zoo.option_attempts(order.model, order.encoder, order.image_size)
    failure: Exception | None = None
    for options in attempts:
        try:
            construction = _build(order, None, options)
            return _with_working_stride(construction, order), options
        except Exception as error:  # noqa: BLE001 - whatever a zoo raises, it means that the two do not fit
            failure = error
    raise misfit(order.model, order.encoder, f"building it fails with: {first_line(failure)}") from failure


def _with_working_stride(construction: Construction, order: Order) -> Construction:
    factors = (1, 2, 4, 8) if 1 < construction.stride <= _LARGEST_RAISED_STRIDE else (1,)
    failure: Exception | None = None
    for factor in factors:
        candidate = replace(construction, stride=construction.stride * factor)
        try:
            _trial(candidate, order)
        except Exception as error:  # noqa: BLE001 - see above
            failure = failure or error
        else:
            return candidate
    raise failure or ModelError("no stride was tried")


def _trial(construction: Construction, order: Order) -> Trial:
    stride = construction.stride
    # neighbouring multiples of the stride, one of which is odd, stand for all sizes
    shorter = -(-order.model.minimum_size // stride) * stride
    size_hw = (shorter, shorter + stride)
    trial = try_out(construction, order.in_channels, size_hw)
    if trial.output_hw != size_hw:
        raise ModelError(f"an image of {size_hw} pixels gives logits of {trial.output_hw}")
    return trial


def check_weights(model: ModelEntry, encoder: EncoderEntry, weights: str | Path | None) -> None:
    """Refuse weights of which it is known without reading or fetching anything that they cannot be had.

    Args:
        model: the architecture.
        encoder: the encoder.
        weights: the name of pretrained weights, the path of a file, or None.

    Raises:
        WeightsError: there are none of that name, or no such file; the message names what there is.
    """
    if weights is None:
        return
    if is_file(weights):
        check_file(weights)
        return
    weights = str(weights)
    if model.task == "instance" and weights in STRUCTURE_OF:
        check_coco(model, encoder, weights)
    elif model.task == "instance":
        smp_zoo.check_weights(encoder, weights)
    elif model.zoo == "torchvision":
        torchvision_zoo.check_weights(model, encoder, weights)
    elif weights == "coco":
        raise WeightsError(
            f"weights='coco' exist for torchvision's models only, not for {model.name!r}. Type "
            "Segmenter('torchvision_deeplabv3', 'resnet50', weights='coco'), or weights='imagenet'."
        )
    else:
        smp_zoo.check_weights(encoder, weights)


def _fetch(order: Order, options: dict[str, Any]) -> Construction:
    try:
        return _build(order, order.weights, options)
    except Exception as error:
        home: Literal["TORCH_HOME", "HF_HOME"] = "TORCH_HOME" if order.model.zoo == "torchvision" else "HF_HOME"
        raise cannot_fetch(str(order.weights), order.encoder, error, home=home) from error


def _statistics(order: Order) -> smp_zoo.Statistics:
    is_torchvision = order.model.zoo == "torchvision"
    known = smp_zoo.IMAGENET if is_torchvision else smp_zoo.statistics(order.encoder, order.weights)
    return in_turn(known, order.in_channels)


def in_turn(statistics: smp_zoo.Statistics, in_channels: int) -> smp_zoo.Statistics:
    """Return mean and standard deviation for as many channels, of which those beyond three take the three in turn."""
    means, deviations = statistics
    turns = range(in_channels)
    return (
        tuple(means[channel % len(means)] for channel in turns),
        tuple(deviations[channel % len(deviations)] for channel in turns),
    )


def misfit(model: ModelEntry, encoder: EncoderEntry, reason: str) -> ModelError:
    """Return the error that says why model and encoder do not go together, and what does."""
    fitting = ", ".join(f"Segmenter({model.name!r}, {name!r})" for name in model.suggestions)
    return ModelError(
        f"The model {model.name!r} does not go with the encoder {encoder.name!r}: {reason.rstrip('.')}. "
        f"These work: {fitting}; more: easyseg.list_encoders(model={model.name!r})."
    )
