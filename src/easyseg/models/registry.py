"""Which models and encoders there are, how a person may spell them, and which of them fit together.

Listing models loads nothing heavy. Listing encoders loads timm, which alone knows its own names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from easyseg.errors import unknown_name
from easyseg.models import families


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One architecture.

    Attributes:
        name: what `Segmenter(...)` takes.
        zoo: the library that has it.
        zoo_name: its name in that library.
        task: "semantic" gives each pixel a class, "instance" finds objects.
        encoders: "pyramid" takes encoders that halve the size stage by stage; "plain" takes vision transformers of one
            size throughout; "timm" takes both, from timm; "own" takes only those in `own_encoders`.
        dilated: it needs an encoder whose last stages can trade stride for dilation.
        aligned: it needs features that are exact halves of each other in size.
        refused: families of smp's own encoders that smp does not join with it.
        own_encoders: with "own", the encoders there are.
        suggestions: encoders that fit, small ones first.
        minimum_size: smallest height and width, in pixels, that its layers can work on.
    """

    name: str
    zoo: Literal["smp", "torchvision"]
    zoo_name: str
    task: Literal["semantic", "instance"] = "semantic"
    encoders: Literal["pyramid", "plain", "timm", "own"] = "pyramid"
    dilated: bool = False
    aligned: bool = True
    refused: tuple[str, ...] = ()
    own_encoders: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ("resnet34", "mobilenet_v2", "convnext_tiny")
    minimum_size: int = 64


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """One encoder.

    Attributes:
        name: the name shown to people; for timm it may carry a tag, as in "convnext_tiny.fb_in22k".
        zoo: the library that has it.
        family: what it is built like; rules about fitting go by it.
    """

    name: str
    zoo: Literal["smp", "timm", "torchvision"]
    family: str

    @property
    def zoo_name(self) -> str:
        """Its name in its library."""
        return self.name.removeprefix("tu-")


_DILATABLE_SUGGESTIONS = ("resnet34", "mobilenet_v2", "efficientnet_b0")
_DETECTOR_SUGGESTIONS = ("resnet50", "convnext_tiny", "swin_tiny_patch4_window7_224")
_VIT_SUGGESTIONS = ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_small_patch16_dinov3")

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry("unet", "smp", "Unet", aligned=False),
        ModelEntry("unetplusplus", "smp", "UnetPlusPlus", refused=("mit",)),
        ModelEntry("manet", "smp", "MAnet"),
        ModelEntry("linknet", "smp", "Linknet", refused=("mit",)),
        ModelEntry("fpn", "smp", "FPN"),
        ModelEntry("pspnet", "smp", "PSPNet"),
        # its attention pools the deepest features, at a sixteenth of the size, three times by two
        ModelEntry("pan", "smp", "PAN", dilated=True, suggestions=_DILATABLE_SUGGESTIONS, minimum_size=128),
        ModelEntry("deeplabv3", "smp", "DeepLabV3", dilated=True, suggestions=_DILATABLE_SUGGESTIONS),
        ModelEntry("deeplabv3plus", "smp", "DeepLabV3Plus", dilated=True, suggestions=_DILATABLE_SUGGESTIONS),
        ModelEntry("upernet", "smp", "UPerNet"),
        ModelEntry("segformer", "smp", "Segformer", aligned=False, suggestions=("mit_b0", "resnet34", "convnext_tiny")),
        ModelEntry("dpt", "smp", "DPT", encoders="plain", suggestions=_VIT_SUGGESTIONS),
        ModelEntry(
            "torchvision_deeplabv3",
            "torchvision",
            "deeplabv3",
            encoders="own",
            own_encoders=("resnet50", "resnet101", "mobilenet_v3_large"),
            suggestions=("resnet50", "resnet101", "mobilenet_v3_large"),
        ),
        ModelEntry(
            "torchvision_fcn",
            "torchvision",
            "fcn",
            encoders="own",
            own_encoders=("resnet50", "resnet101"),
            suggestions=("resnet50", "resnet101"),
        ),
        ModelEntry(
            "torchvision_lraspp",
            "torchvision",
            "lraspp",
            encoders="own",
            own_encoders=("mobilenet_v3_large",),
            suggestions=("mobilenet_v3_large",),
        ),
        *(
            ModelEntry(
                name, "torchvision", zoo_name, task="instance", encoders="timm", suggestions=_DETECTOR_SUGGESTIONS
            )
            for name, zoo_name in (("mask_rcnn", "MaskRCNN"), ("faster_rcnn", "FasterRCNN"))
        ),
    )
}


def list_models(pattern: str = "*", task: Literal["semantic", "instance"] | None = None) -> list[str]:
    """Return the names of the models that match, in alphabetical order.

    Args:
        pattern: such as "unet*".
        task: "semantic" for models that give each pixel a class, "instance" for those that find objects, None for all.
    """
    models = [name for name, entry in MODELS.items() if task in (None, entry.task)]
    return sorted(name for name in models if fnmatchcase(name, pattern.lower()))


def list_encoders(pattern: str = "*", model: str | None = None) -> list[str]:
    """Return the names of the encoders that match, in alphabetical order.

    Args:
        pattern: such as "resnet*"; with a dot in it, as in "convnext_tiny.*", the pretrained variants.
        model: only encoders that fit this model, as far as that can be told without building it.

    Raises:
        UnknownNameError: no model has that name.
    """
    entry = None if model is None else find_model(model)
    pattern = pattern.lower()
    names = {name.lower(): name for name in (_timm_variants() if "." in pattern else _encoder_names())}
    matching = [found for lower, found in names.items() if fnmatchcase(lower, pattern)]
    if entry is None:
        return sorted(name for name in matching if why_unusable(_entry(name)) is None)
    if entry.encoders == "own":
        return sorted(name for name in entry.own_encoders if fnmatchcase(name, pattern))
    entry_of = _plain_timm_entry if entry.encoders == "timm" else _entry
    return sorted(name for name in matching if why_not(entry, entry_of(name)) is None)


def find_model(name: str) -> ModelEntry:
    """Return the model a person means: "UNet", "U-Net" and "unet" are one, and so are "unet++" and "unetplusplus".

    Raises:
        UnknownNameError: no model has that name; the message offers the nearest.
    """
    by_key = {_key(known): known for known in MODELS}
    known = by_key.get(_key(str(name)))
    if known is None:
        raise unknown_name("model", name, MODELS)
    return MODELS[known]


def find_encoder(name: str | None, model: ModelEntry) -> EncoderEntry:
    """Return the encoder a person means.

    Args:
        name: any spelling in upper or lower case, with or without smp's "tu-" or "timm-"; None is the model's first
            suggestion.
        model: decides which library is asked.

    Raises:
        UnknownNameError: no encoder has that name; the message offers the nearest.
    """
    if name is None:
        name = model.suggestions[0]
    if model.encoders == "own":
        own_by_key = {_key(own): own for own in model.own_encoders}
        if (own := own_by_key.get(_key(name))) is not None:
            return EncoderEntry(own, "torchvision", "torchvision")
    given = str(name).strip().lower()
    plain = re.sub(r"^(tu|timm)-", "", given)
    if model.encoders == "timm" and (found := _find_in_timm(plain)) is not None:
        return found
    if plain != given:
        for spelling in (plain, plain.replace("-", "_"), f"tf_{plain.replace('-', '_')}"):
            if _is_timm(spelling):
                return _timm_entry(spelling)
    if _exists(plain):
        return _entry(plain)
    if (known := _by_key().get(_key(plain))) is not None:
        return _entry(known)
    base, dot, tag = plain.partition(".")
    if dot and base in _timm_names():
        tagged = [variant for variant in _timm_variants() if variant.partition(".")[0] == base]
        raise unknown_name("pretrained variant", f"{base}.{tag}", tagged)
    if model.encoders == "own":
        raise unknown_name(f"encoder of {model.name}", name, model.own_encoders)
    raise unknown_name("encoder", name, _encoder_names(), see="easyseg.list_encoders()")


def _find_in_timm(name: str) -> EncoderEntry | None:
    for spelling in (name, name.replace("-", "_")):
        if _is_timm(spelling):
            return _plain_timm_entry(spelling)
    known = _timm_by_key().get(_key(name))
    return None if known is None else _plain_timm_entry(known)


def why_unusable(encoder: EncoderEntry) -> str | None:
    """Return why no model can use this encoder, or None."""
    name = encoder.zoo_name
    if encoder.zoo != "timm":
        return None
    if encoder.family in families.TIMM_UNUSABLE:
        return f"{name} gives no feature maps that halve in size from 1/4 to 1/32, or takes one image size only"
    if any(word in name for word in families.TIMM_ONE_SIZE):
        return f"{name} takes one image size only"
    return None


def why_not(model: ModelEntry, encoder: EncoderEntry) -> str | None:
    """Return why this encoder does not fit this model, or None where no rule speaks against it."""
    name, family, is_timm = encoder.name, encoder.family, encoder.zoo == "timm"
    if model.encoders == "own":
        return None if encoder.zoo == "torchvision" else f"torchvision has no {model.zoo_name} with {name}"
    if model.encoders == "timm":
        return _why_no_pyramid(encoder)
    if (unusable := why_unusable(encoder)) is not None:
        return unusable
    is_plain = is_timm and family in families.TIMM_PLAIN
    if model.encoders == "plain":
        return None if is_plain else f"{model.name} takes plain vision transformers only, and {name} is none"
    if is_plain:
        return f"{name} is a plain vision transformer: all its features have one size. They fit the model 'dpt' only"
    if not is_timm and family in model.refused:
        return f"{name} has no features at half the image size, which {model.name} needs"
    if is_timm and model.aligned and family in families.TIMM_UNALIGNED:
        return f"the features of {name} are no exact halves of each other, which {model.name} needs"
    can_be_dilated = family in families.TIMM_DILATABLE if is_timm else family not in families.SMP_WITHOUT_DILATION
    if model.dilated and not can_be_dilated:
        return f"{model.name} needs an encoder that can be dilated, and {name} cannot"
    return None


def _why_no_pyramid(encoder: EncoderEntry) -> str | None:
    """Return why none of the pyramids of `models.instance` can be built on an encoder, or None."""
    name = encoder.zoo_name
    if encoder.zoo != "timm":
        return f"{name} is not in timm, from which it takes its encoders"
    if encoder.family in families.TIMM_FIXED:
        reason = f"{name} takes one image size only"
        is_hiera = encoder.family == "hiera"
        return f"{reason}; of the Hiera encoders, SAM 2's take any, such as sam2_hiera_tiny" if is_hiera else reason
    if encoder.family in families.TIMM_UNALIGNED | families.TIMM_NO_PYRAMID:
        return f"the features of {name} are not exactly 1/4, 1/8, 1/16 and 1/32 of the image"
    patch = re.search(r"(?:patch|xcit.*_p)(\d+)", name)
    if patch is not None and patch[1] != "16" and encoder.family in families.TIMM_PLAIN | {"xcit"}:
        return (
            f"{name} cuts images into patches of {patch[1]} pixels, and of plain vision transformers it takes those "
            "with patches of 16, such as vit_small_patch16_224 and vit_small_patch16_dinov3"
        )
    return None


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def _entry(name: str) -> EncoderEntry:
    family = families.SMP_FAMILY_OF.get(name)
    return _timm_entry(name) if family is None else EncoderEntry(name, "smp", family)


def _timm_entry(name: str) -> EncoderEntry:
    # where smp has another encoder of that name, the prefix stays, so that the name leads back here
    shown = f"tu-{name}" if name in families.SMP_FAMILY_OF else name
    return EncoderEntry(shown, "timm", _timm_family(name))


def _plain_timm_entry(name: str) -> EncoderEntry:
    # without a prefix, as it leads back here in models that take timm's encoders only; not in timm: what smp has
    return EncoderEntry(name, "timm", _timm_family(name)) if _is_timm(name) else _entry(name)


def _exists(name: str) -> bool:
    return name in families.SMP_FAMILY_OF or _is_timm(name)


def _is_timm(name: str) -> bool:
    return name in _timm_variants() if "." in name else name in _timm_names()


@lru_cache(maxsize=1)
def _timm_names() -> frozenset[str]:
    import timm  # seconds to import, and most of easyseg never asks for it

    return frozenset(timm.list_models())


@lru_cache(maxsize=1)
def _timm_variants() -> frozenset[str]:
    import timm

    return frozenset(timm.list_pretrained())


@lru_cache(maxsize=4096)
def _timm_family(name: str) -> str:
    from timm.models import model_entrypoint

    return str(model_entrypoint(name.partition(".")[0]).__module__).rpartition(".")[2]


@lru_cache(maxsize=1)
def _encoder_names() -> tuple[str, ...]:
    return tuple(sorted(_timm_names() | families.SMP_FAMILY_OF.keys()))


@lru_cache(maxsize=1)
def _timm_by_key() -> dict[str, str]:
    return {_key(name): name for name in sorted(_timm_names())}


@lru_cache(maxsize=1)
def _by_key() -> dict[str, str]:
    # smp's own names come last, so they win where both libraries have one spelling
    return {_key(name): name for name in (*sorted(_timm_names()), *families.SMP_FAMILY_OF)}
