"""Families of encoders: what those within one have in common decides what they fit.

Within a family all networks are built alike. timm's families are its source modules.
"""

from __future__ import annotations

SMP_FAMILIES: dict[str, tuple[str, ...]] = {
    "resnet": (
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        "resnext50_32x4d",
        *(f"resnext101_32x{width}d" for width in (4, 8, 16, 32, 48)),
    ),
    "dpn": ("dpn68", "dpn68b", "dpn92", "dpn98", "dpn107", "dpn131"),
    "vgg": tuple(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "senet": (
        "senet154",
        *(f"se_resnet{depth}" for depth in (50, 101, 152)),
        *(f"se_resnext{depth}_32x4d" for depth in (50, 101)),
    ),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "inceptionresnetv2": ("inceptionresnetv2",),
    "inceptionv4": ("inceptionv4",),
    "efficientnet": tuple(f"efficientnet-b{size}" for size in range(8)),
    "mobilenet": ("mobilenet_v2",),
    "xception": ("xception",),
    "mit": tuple(f"mit_b{size}" for size in range(6)),
    "mobileone": tuple(f"mobileone_s{size}" for size in range(5)),
}
"""smp's own encoders by family; a test holds this against what smp has. Its "timm-" ones are reached through timm."""

SMP_FAMILY_OF = {name: family for family, names in SMP_FAMILIES.items() for name in names}
SMP_WITHOUT_DILATION = frozenset({"vgg", "densenet", "inceptionresnetv2", "inceptionv4", "xception"})

TIMM_PLAIN = frozenset(
    {
        "deit",
        "eva",
        "gemma4_vit",
        "naflexvit",
        "qwen3_vit",
        "vision_transformer",
        "vision_transformer_hybrid",
        "vision_transformer_sam",
        "vitamin",
    }
)
# no feature maps, strides other than 2, 4, .. 32, or one input size only
TIMM_UNUSABLE = frozenset(
    {
        "beit",
        "cait",
        "coat",
        "convit",
        "convmixer",
        "crossvit",
        "csatv2",
        "deepseek_vit",
        "efficientformer",
        "efficientformer_v2",
        "efficientvim",
        "efficientvit_msra",
        "gcvit",
        "hiera",
        "levit",
        "mlp_mixer",
        "mvitv2",
        "nest",
        "pit",
        "sequencer",
        "shvit",
        "swiftformer",
        "tnt",
        "twins",
        "vision_transformer_relpos",
        "visformer",
        "volo",
        "xcit",
    }
)
TIMM_ONE_SIZE = ("aimv2", "botne", "coatne", "haloregnetz", "lambda_")
"""Parts of names of encoders that take one image size only, in families whose others take any."""

# their first layers do not pad, so features are a pixel or two short of a half, a quarter, ..
TIMM_UNALIGNED = frozenset({"inception_resnet_v2", "inception_v3", "inception_v4", "nasnet", "pnasnet", "xception"})

TIMM_DILATABLE = frozenset(
    {
        "byoanet",
        "byobnet",
        "convnext",
        "cspnet",
        "cspnext",
        "efficientnet",
        "hardcorenas",
        "inception_next",
        "mobilenetv3",
        "mobilevit",
        "nfnet",
        "regnet",
        "res2net",
        "resnest",
        "resnet",
        "resnetv2",
        "rexnet",
        "sknet",
        "xception_aligned",
    }
)

TIMM_FIXED = frozenset(
    {
        "beit",
        "cait",
        "coat",
        "convit",
        "deepseek_vit",
        "efficientformer",
        "efficientformer_v2",
        "gcvit",
        "gemma4_vit",
        "hiera",
        "levit",
        "maxxvit",
        "mlp_mixer",
        "nest",
        "pit",
        "tnt",
        "visformer",
        "vision_transformer_relpos",
        "volo",
    }
)
"""Families whose networks, as timm builds their feature extractors, take no images of other sizes, or not of any."""

TIMM_NO_PYRAMID = frozenset({"convmixer", "crossvit", "sequencer"})
"""Families whose features are no power of two smaller than the image."""
