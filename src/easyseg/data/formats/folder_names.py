"""What folder names mean: images, masks, or a split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from easyseg.structures import Split

Role = Literal["image", "mask"]

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "trainvalid": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_IMAGE_WORDS = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "pngimages",
        "tifimages",
        "rgb",
        "photo",
        "photos",
        "picture",
        "pictures",
        "pics",
        "frame",
        "frames",
        "input",
        "inputs",
        "leftimg8bit",
        "sat",
        "satellite",
        "tile",
        "tiles",
        "scans",
    ]
)
_MASK_WORDS = frozenset(
    [
        "mask",
        "masks",
        "label",
        "labels",
        "gt",
        "gts",
        "groundtruth",
        "groundtruths",
        "truth",
        "annot",
        "annots",
        "anno",
        "annos",
        "annotation",
        "annotations",
        "segmentationclass",
        "segmentationclassraw",
        "segmentationclasspng",
        "segmentation",
        "segmentations",
        "seg",
        "segs",
        "segm",
        "target",
        "targets",
        "output",
        "outputs",
        "pedmasks",
        "labelmap",
        "labelmaps",
        "labelimages",
        "semantic",
        "gtfine",
        "manual",
        "1stmanual",
    ]
)
_FILLERS = frozenset(["", "data", "dataset", "set", "split", "list", "files", "ids", "names", "imageset"])

_MASK_AFFIX = "masks?|labels?|labelids|gt|ground_?truth|seg|segm|segmentation|annot|annotation|anno|target|manual1|l|p"
_IMAGE_AFFIX = "images?|img|rgb|sat|photo|input|leftimg8bit"
_SUFFIX_OF_MASK = re.compile(rf"(?i)^(.+?)(?:[_\-. ]+(?:{_MASK_AFFIX}|gtfine_labelids|gtfine_labeltrainids))+$")
_PREFIX_OF_MASK = re.compile(r"(?i)^(?:masks?|labels?|gt|seg|annot|annotation|target)[_\-. ]+(.+)$")
_SUFFIX_OF_IMAGE = re.compile(rf"(?i)^(.+?)[_\-. ]+(?:{_IMAGE_AFFIX})$")
_PREFIX_OF_IMAGE = re.compile(rf"(?i)^(?:{_IMAGE_AFFIX})[_\-. ]+(.+)$")
_FILE_SUFFIX = re.compile(r"(?i)^(.+)[._](?:png|jpe?g|tiff?|bmp|webp)$")


@dataclass(frozen=True, slots=True)
class FolderMeaning:
    """What a folder's name says.

    Attributes:
        role: whether it holds images or masks, None where the name does not say.
        split: the split it belongs to, None where the name does not say.
        is_known: the name says nothing beside role and split, so it is no part of a file's identity.
    """

    role: Role | None
    split: Split | None
    is_known: bool


def folder_meaning(name: str) -> FolderMeaning:
    """Read a folder name such as "masks", "train", "trainannot", "val_images" or "TEST_SET"."""
    lowered = name.lower()
    words = [word for word in re.split(r"[^a-z0-9]+", lowered) if word]
    splits = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    rest = "".join(word for word in words if word not in _SPLIT_WORDS)
    if not splits and words:
        for word, split in _SPLIT_WORDS.items():  # written together, as in "trainannot"
            tail = lowered.removeprefix(word)
            if tail != lowered and (tail in _MASK_WORDS or tail in _IMAGE_WORDS):
                splits, rest = [split], tail
                break
    # "TRAIN_VAL_SET" is all that is there to train with; validation images are then drawn from it
    split_found: Split | None = None if not splits else "train" if "train" in splits else splits[0]
    role = _role(rest)
    return FolderMeaning(role, split_found, role is not None or (split_found is not None and rest in _FILLERS))


def split_of_list(stem: str) -> Split | None:
    """Return the split that a list file's name without suffix says, such as "val" or "training_dataset"."""
    words = [word for word in re.split(r"[^a-z0-9]+", stem.lower()) if word]
    splits = [_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS]
    rest = {word for word in words if word not in _SPLIT_WORDS}
    if not splits or rest - _FILLERS - _IMAGE_WORDS:
        return None
    return "train" if "train" in splits else splits[0]


def mask_stem_keys(stem: str) -> list[str]:
    """Return the image stems that a mask file of this stem may belong to, the most literal first."""
    keys = [stem]
    for pattern in (_FILE_SUFFIX, _SUFFIX_OF_MASK, _PREFIX_OF_MASK):
        found = pattern.match(stem)
        if found:
            keys.append(found.group(1))
    return keys


def image_stem_keys(stem: str) -> list[str]:
    """Return the names under which an image's mask may be looked up, the most literal first."""
    keys = [stem]
    for pattern in (_SUFFIX_OF_IMAGE, _PREFIX_OF_IMAGE):
        found = pattern.match(stem)
        if found:
            keys.append(found.group(1))
    return keys


def has_mask_affix(stem: str) -> bool:
    """Return whether a file's stem ends or begins with a word for mask, as in "street_mask"."""
    return len([key for key in mask_stem_keys(stem) if key != stem]) > 0 and not _FILE_SUFFIX.match(stem)


def _role(word: str) -> Role | None:
    if word in _IMAGE_WORDS:
        return "image"
    if word in _MASK_WORDS:
        return "mask"
    if word.endswith(("masks", "labels", "annotations")):
        return "mask"
    return "image" if word.endswith("images") else None
