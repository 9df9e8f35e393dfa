"""Checks on the files of a sample that need none of its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easyseg.data.classes.mask_values import mask_sources
from easyseg.data.threads import map_in_threads
from easyseg.errors import SampleError
from easyseg.io.image_sources import check_source
from easyseg.structures import (
    ArchivedFile,
    BoxShape,
    ConnectedRegions,
    EmbeddedImage,
    ImageWindow,
    MaskPart,
    NumberedObjects,
    Polygons,
    Sample,
    Shape,
    SizeHW,
)

MOST_LISTED = 5
"""So many broken files are named in one message."""


def problems_of(samples: Iterable[Sample]) -> list[SampleError]:
    """Return what is wrong with the samples' files as far as their headers tell, in the order of the samples."""
    return [error for error in map_in_threads(find_problem, tuple(samples)) if error]


def listed(problems: Sequence[SampleError]) -> SampleError:
    """Return one error for several broken files: the first one, with others listed in its message.

    Args:
        problems: one or more errors; of several on one file, the first counts.
    """
    by_path: dict[str, SampleError] = {}
    for problem in problems:
        by_path.setdefault(str(problem.path), problem)
    first, *others = by_path.values()
    if not others:
        return first
    lines = [f"{len(by_path)} files have problems; the others:"]
    # their first sentence says what is wrong; what to do stands with the first file
    lines += [f"  {other.path}: {other.problem.split('. ')[0].rstrip('.')}" for other in others[: MOST_LISTED - 1]]
    rest = len(by_path) - MOST_LISTED
    lines += [f"  and {rest} more"] if rest > 0 else []
    return SampleError(first.path, "\n".join([first.problem, *lines]))


def find_problem(sample: Sample) -> SampleError | None:
    """Return what is wrong with a sample's files as far as their headers tell, None where nothing is."""
    try:
        image = sample.image
        size_hw = (image.shape[0], image.shape[1]) if isinstance(image, np.ndarray) else check_source(image)
        refuse_other_image(sample, size_hw)
        if not sample.is_annotated:
            return SampleError(place_of(image, sample), "this image has no mask. Add one, or choose another split.")
        for part in _scaled_parts(sample):
            check_source(part)
        for source in (*mask_sources(sample), *_mask_sources_of_objects(sample, are_whole=True)):
            mask_hw = source.shape[:2] if isinstance(source, np.ndarray) else check_source(source)
            refuse_other_size(sample, source, mask_hw, size_hw)
    except SampleError as error:
        return error
    return None


def _scaled_parts(sample: Sample) -> Iterator[Path | ArchivedFile]:
    """Yield the mask files of a sample that need not have the image's size."""
    for item in sample.objects if isinstance(sample.objects, tuple) else ():
        shape = item.shape
        if isinstance(shape, MaskPart) and shape.is_scaled and isinstance(shape.mask, (Path, ArchivedFile)):
            yield shape.mask


def refuse_other_size(sample: Sample, source: object, mask_hw: tuple[int, ...], image_hw: SizeHW) -> None:
    """Raise a `SampleError` that names both files and sizes unless a mask is as large as its image."""
    if tuple(mask_hw) != image_hw:
        raise SampleError(
            place_of(source, sample),
            f"the mask has {mask_hw[1]} x {mask_hw[0]} pixels, its image {place_of(sample.image, sample)} "
            f"{image_hw[1]} x {image_hw[0]}; expected the same size. Save the mask at the image's size.",
        )


def refuse_other_image(sample: Sample, image_hw: SizeHW) -> None:
    """Raise a `SampleError` where the annotation was made for an image of another size."""
    stated = sample.size_hw
    if stated is None or stated == image_hw:
        return
    turned = (
        " The image is turned by its EXIF block and the annotation is not: save the image anew without EXIF."
        if stated == image_hw[::-1]
        else " Put the image beside it that was annotated."
    )
    raise SampleError(
        place_of(sample.image, sample),
        f"the image has {image_hw[1]} x {image_hw[0]} pixels, its annotation is for {stated[1]} x {stated[0]}.{turned}",
    )


def objects_identity(sample: Sample, identity: Callable[[object], bytes]) -> bytes:
    """Return what tells whether a sample's objects have changed; empty where it has none.

    Args:
        sample: an image with objects.
        identity: what tells a mask file or array from another.

    Raises:
        SampleError: the file of one is gone.
    """
    if sample.objects is None:
        return b""
    digest = hashlib.sha256()
    if isinstance(sample.objects, NumberedObjects):
        numbers = sample.objects
        facts = (numbers.class_name, numbers.class_names, numbers.numbers_per_class, numbers.void)
        digest.update(repr(facts).encode())
    elif isinstance(sample.objects, ConnectedRegions):
        digest.update(repr(sample.objects).encode())
    else:
        for item in sample.objects:
            digest.update(f"{item.class_name} {item.is_crowd}{' stuff' if item.is_stuff else ''}\n".encode())
            digest.update(_shape_bytes(item.shape))
    for source in _mask_sources_of_objects(sample):
        digest.update(identity(source))
    return digest.digest()


def _shape_bytes(shape: Shape) -> bytes:
    if isinstance(shape, Polygons):
        return b"".join(ring.tobytes() for part in shape.parts for ring in part)
    if isinstance(shape, MaskPart):
        inside = shape.mask if isinstance(shape.mask, bytes) else b""
        return inside + repr((shape.value, shape.offset_xy)).encode()
    return repr(shape).encode() if isinstance(shape, BoxShape) else shape.counts.tobytes()


def _mask_sources_of_objects(
    sample: Sample, *, are_whole: bool = False
) -> Iterator[Path | ArchivedFile | npt.NDArray[Any]]:
    """Yield the masks of a sample's objects; with `are_whole`, those that should be as large as the image."""
    objects = sample.objects
    if isinstance(objects, NumberedObjects):
        yield objects.mask
        return
    for item in objects if isinstance(objects, tuple) else ():
        shape = item.shape
        is_whole = isinstance(shape, MaskPart) and isinstance(shape.mask, Path) and not shape.is_scaled
        if isinstance(shape, MaskPart) and not isinstance(shape.mask, bytes) and (is_whole or not are_whole):
            yield shape.mask


def place_of(source: object, sample: Sample) -> str:
    """Return how messages call an image or mask: by its path, or its sample's name where it is an array."""
    if isinstance(source, (EmbeddedImage, ImageWindow)):
        return str(source.path)
    return str(source) if isinstance(source, Path) else sample.name


def identity_of(source: object, root: Path | None) -> bytes:
    """Return what tells whether a file or array has changed: name, size and time, or all bytes.

    Raises:
        SampleError: the file is gone.
    """
    if isinstance(source, (EmbeddedImage, ImageWindow)):
        return f"{source.name} ".encode() + identity_of(source.path, root)
    if isinstance(source, ArchivedFile):
        return f"{source.name} {source.num_bytes} {source.checksum}\n".encode()
    if not isinstance(source, Path):
        array = np.ascontiguousarray(source)
        return f"{array.shape} {array.dtype}\n".encode() + hashlib.sha256(array.tobytes()).digest()
    try:
        status = source.stat()
    except OSError as error:
        raise SampleError(source, f"the file cannot be found ({error.strerror}). Check the folder.") from error
    name = source.relative_to(root).as_posix() if root and source.is_relative_to(root) else source.name
    return f"{name} {status.st_size} {status.st_mtime_ns}\n".encode()
