"""Which images of Open Images are fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.open_images.mask_index import MaskIndex
from easyseg.errors import DownloadError, unknown_name

_IMAGE_ID = re.compile(r"[0-9a-f]{16}")
_MASK_NAME = re.compile(r"([0-9a-f]{16})_[0-9a-z_]{1,32}_[0-9a-z]{1,32}\.png")


def machine_names(classes: Sequence[str], titles: Mapping[str, str]) -> tuple[str, ...]:
    """Return the machine names of classes, sorted.

    Args:
        classes: names or machine names.
        titles: the name of each machine name.

    Raises:
        UnknownNameError: there is no such class.
    """
    by_title = {title.casefold(): label for label, title in titles.items()}
    found = set()
    for name in classes:
        label = name if name in titles else by_title.get(name.casefold())
        if label is None:
            raise unknown_name("class of Open Images", name, titles.values(), see="https://g.co/dataset/openimages")
        found.add(label)
    return tuple(sorted(found))


def choose_images(index: MaskIndex, labels: Iterable[str] | None, limit: int | None) -> npt.NDArray[np.int64]:
    """Return the numbers of the images to fetch, ascending.

    The ids of images are random numbers, so the first ones are a fair sample, and their masks lie in few archives. A
    larger limit only adds images.

    Args:
        index: the masks there are.
        labels: the classes asked for; None: all.
        limit: most images; None: all that have a mask of the classes.
    """
    wanted = wanted_labels(index, labels)[index.label_ids]
    images = index.image_numbers()[wanted]
    # each class and image once, by class, then by image
    pairs = np.unique(index.label_ids[wanted].astype(np.int64) * index.num_images + images)
    classes, images = np.divmod(pairs, index.num_images)
    starts = np.searchsorted(classes, classes)
    ranks = np.arange(len(pairs)) - starts
    best = np.full(index.num_images, np.iinfo(np.int64).max)
    np.minimum.at(best, images, ranks)
    candidates = np.unique(images)
    by_turns = candidates[np.argsort(best[candidates], kind="stable")]
    return np.sort(by_turns[:limit])


def choose_masks(
    index: MaskIndex, images: npt.NDArray[np.int64], labels: Iterable[str] | None
) -> npt.NDArray[np.int64]:
    """Return the numbers of the images' masks of some classes, ascending."""
    return index.masks_of_all(images, wanted_labels(index, labels))


def wanted_labels(index: MaskIndex, labels: Iterable[str] | None) -> npt.NDArray[np.bool_]:
    """Return which of an index's labels are asked for, (labels,) bool."""
    asked = set(index.labels if labels is None else labels)
    return np.array([label in asked for label in index.labels], bool)


def checked_image_id(name: str) -> str:
    """Return the id of an image, which becomes a file's name.

    Raises:
        DownloadError: it is no id.
    """
    if not _IMAGE_ID.fullmatch(name):
        raise DownloadError(
            f"The table of masks names the image {name!r}; expected 16 hexadecimal digits. It is not that of Open "
            "Images: check the address, or delete it and fetch it again."
        )
    return name


def checked_mask_name(name: str, image_id: str) -> str:
    """Return the name of an image's mask, which becomes a file's name.

    Raises:
        DownloadError: it is no such name.
    """
    found = _MASK_NAME.fullmatch(name)
    if found is None or found[1] != image_id:
        raise DownloadError(
            f"The table of masks names the mask {name!r} of the image {image_id}; expected a name such as "
            f"{image_id}_m01yrx_0123abcd.png. It is not that of Open Images: check the address, or delete it and fetch "
            "it again."
        )
    return name
