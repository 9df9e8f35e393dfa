"""Build the twelve architectures of segmentation-models-pytorch (smp) on its own and on timm's encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from huggingface_hub import hf_hub_download
from torch import nn

from easyseg.errors import WeightsError
from easyseg.models.construction import Construction
from easyseg.models.hub import quiet_hub
from easyseg.models.registry import EncoderEntry, ModelEntry
from easyseg.structures import SizeHW

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
DPN: Statistics = ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3)

_STATISTICS = {"inceptionresnetv2": INCEPTION, "inceptionv4": INCEPTION, "xception": INCEPTION, "dpn": DPN}


def build(
    model: ModelEntry,
    encoder: EncoderEntry,
    *,
    num_classes: int,
    in_channels: int,
    weights: str | None,
    options: dict[str, Any],
) -> Construction:
    """Build one of smp's architectures.

    Args:
        model: the architecture.
        encoder: from smp or timm.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        weights: None, "imagenet", or another name that smp gives to pretrained weights of this encoder.
        options: more for timm's `create_model`; see `option_attempts`.

    Raises:
        Exception: whatever smp or timm raise where things do not fit or cannot be fetched.
    """
    is_timm = encoder.zoo == "timm"
    # smp reads any value but None, False included, as a wish for timm's pretrained weights
    encoder_weights: str | bool | None = (True if is_timm else weights) if weights is not None else None
    with quiet_hub(is_used=weights is not None):
        network: nn.Module = getattr(smp, model.zoo_name)(
            encoder_name=f"tu-{encoder.zoo_name}" if is_timm else encoder.zoo_name,
            encoder_weights=encoder_weights,
            in_channels=in_channels,
            classes=num_classes,
            **options,
        )
    image_size: SizeHW | None = options.get("img_size")
    stride: Any = network.get_submodule("encoder").output_stride
    return Construction(
        network=network,
        encoder="encoder",
        decoder=("decoder",),
        head=("segmentation_head",),
        feature_sources=("encoder",),
        stride=image_size[0] if image_size else int(stride),
    )


def option_attempts(model: ModelEntry, encoder: EncoderEntry, image_size: SizeHW | None) -> list[dict[str, Any]]:
    """Return the options to try in turn until the network takes images of any size.

    Some of timm's encoders are made for one size. Most of those can be told to adapt, in one of three ways; the last
    one cuts the windows of its attention to measure for `image_size`.
    """
    if model.encoders == "plain":
        # the decoder scales features by powers of two, so patches of 14 pixels become 16; timm resamples the weights
        patch: dict[str, Any] = {"patch_size": 16} if "patch14" in encoder.zoo_name else {}
        return [patch | {"dynamic_img_size": True}, patch]
    config = None if encoder.zoo == "smp" else timm.get_pretrained_cfg(encoder.zoo_name, allow_unregistered=True)
    if config is None or not config.fixed_input_size:
        return [{}]
    longest = max(image_size or config.input_size[1:])
    side = -(-longest // 32) * 32
    return [{"strict_img_size": False}, {"img_size": (side, side)}]


def check_weights(encoder: EncoderEntry, weights: str) -> None:
    """Check that the weights asked for exist, without any network call.

    Raises:
        WeightsError: they do not; the message names what there is.
    """
    if encoder.zoo == "smp":
        available = sorted(smp.encoders.encoders[encoder.zoo_name]["pretrained_settings"])
        if weights not in available:
            raise WeightsError(
                f"The encoder {encoder.name!r} has no weights {weights!r}. Type weights="
                f"{' or weights='.join(map(repr, available))}, weights=None, or weights='file.safetensors'."
            )
        return
    if weights != "imagenet":
        raise WeightsError(
            f"Unknown weights {weights!r} for {encoder.name!r}. Type weights='imagenet', weights=None, or a file; "
            f"a pretrained variant goes into the encoder's name: {', '.join(_variants(encoder)) or 'it has none'}."
        )
    if not timm.models.is_model_pretrained(encoder.zoo_name):
        raise WeightsError(
            f"timm has no pretrained weights for the encoder {encoder.name!r}. Type weights=None to train from "
            f"scratch, or take an encoder that has them, such as {', '.join(_pretrained_like(encoder))}."
        )


def statistics(encoder: EncoderEntry, weights: str | None) -> Statistics:
    """Return mean and standard deviation per channel, for values 0..1, that the encoder was trained with.

    Makes no network call: smp's encoders state theirs in a file that came with the weights.
    """
    if encoder.zoo == "timm":
        config = timm.get_pretrained_cfg(encoder.zoo_name, allow_unregistered=True)
        return IMAGENET if config is None else (tuple(config.mean), tuple(config.std))
    if weights is not None:
        settings = smp.encoders.encoders[encoder.zoo_name]["pretrained_settings"][weights]
        return _cached_statistics(settings["repo_id"], settings["revision"])
    return _STATISTICS.get(encoder.family, IMAGENET)


def _cached_statistics(repository: str, revision: str) -> Statistics:
    try:
        path = hf_hub_download(repository, "config.json", revision=revision, local_files_only=True)
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return tuple(values["mean"]), tuple(values["std"])
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{repository}: its config.json with mean and standard deviation cannot be read ({error}). "
            "Delete its folder in the Hub's cache and fetch the weights again, or type weights=None."
        ) from error


def _variants(encoder: EncoderEntry) -> list[str]:
    return [str(name) for name in timm.list_pretrained(f"{encoder.zoo_name.partition('.')[0]}.*")][:5]


def _pretrained_like(encoder: EncoderEntry) -> list[str]:
    names = [str(name) for name in timm.list_models(pretrained=True, module=encoder.family)]
    return sorted({name.partition(".")[0] for name in names})[:3] or ["resnet34", "convnext_tiny"]
