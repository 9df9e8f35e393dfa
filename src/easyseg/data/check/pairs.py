"""Images without masks, and masks without images."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from easyseg.data.check.sources import MaskSource
from easyseg.data.check.survey import Survey, check
from easyseg.data.formats.folder_names import mask_stem_keys
from easyseg.io.decoding import near_name
from easyseg.io.images import IMAGE_SUFFIXES
from easyseg.results.checkup import MOST_CASES, Case, Finding
from easyseg.results.words import counted
from easyseg.structures import MaskPart, NumberedObjects, Sample

_NO_DIGITS = re.compile(r"\D")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_FEW = 0.2
"""Where fewer images than this lack an annotation, it may have been lost; where more do, that is how the data are."""
_MOST_COMPARED = 50
"""For so many files the nearest name is sought; each search looks at all names."""


@check("missing masks")
def missing_masks(survey: Survey) -> Iterator[Finding]:
    """Images without a mask in a split whose other images have one; a split without any is there to predict."""
    annotated = {sample.split for sample in survey.samples if sample.is_annotated}
    missing = [at for at, sample in enumerate(survey.samples) if not sample.is_annotated and sample.split in annotated]
    if not missing:
        return
    orphans = [path.name for path in unused_files(survey.samples, survey.mask_sources)[:MOST_CASES]]
    cases = []
    for number, at in enumerate(missing):
        near = _nearest(survey.samples[at].name, orphans) if number < _MOST_COMPARED else None
        cases.append(survey.image_case(at, f"the nearest unused file is {near}" if near else ""))
    found = f"{counted(f'{len(cases):,}', 'image')} without a mask, in splits where other images have one."
    advice = "Add the masks under the images' names, or move the images out of the dataset."
    yield Finding.of("missing_masks", "error", cases, found, advice)


@check("orphan masks")
def orphan_masks(survey: Survey) -> Iterator[Finding]:
    """Files among the masks that belong to no image, and files among the images that the dataset does not use."""
    unused = [path for path in unused_files(survey.samples, survey.mask_sources) if path not in survey.without_sample]
    if not unused:
        return
    masks_in_use = [*survey.mask_sources, *_files_of_objects(survey.samples)]
    mask_folders = {source.parent for source in masks_in_use if isinstance(source, Path)}
    image_folders = {sample.image.parent for sample in survey.samples if isinstance(sample.image, Path)}
    # a second mask of an image is no orphan, but a conflict, which is reported as such
    stems = {source.with_suffix("") for source in masks_in_use if isinstance(source, Path)}
    unused = [path for path in unused if path.with_suffix("") not in stems]
    masks = [path for path in unused if path.parent in mask_folders - image_folders]
    second = [path for path in masks if any(path.with_name(key) in stems for key in mask_stem_keys(path.stem)[1:])]
    if second:
        found = f"{counted(f'{len(second):,}', 'mask file')} beside the mask of the same image, by their names."
        advice = "Keep one mask for each image, and move the rest."
        yield Finding.of("second_masks", "error", [Case(survey.name(path, 0)) for path in second], found, advice)
    masks = [path for path in masks if path not in second]
    lonely = [sample.name for sample in survey.samples if not sample.is_annotated]
    cases = []
    for number, path in enumerate(masks):
        near = _nearest(path.name, lonely) if number < _MOST_COMPARED else None
        cases.append(Case(survey.name(path, 0), f"the nearest image without a mask is {near}" if near else ""))
    if cases:
        found = f"{counted(f'{len(cases):,}', 'mask file')} that belong to no image."
        advice = "Add the images under the masks' names, rename the masks, or remove them."
        yield Finding.of("orphan_masks", "warning", cases, found, advice)
    others = [Case(survey.name(path, 0)) for path in unused if path.parent not in mask_folders - image_folders]
    if others and all(sample.objects is not None for sample in survey.samples[:_MOST_COMPARED]):
        yield _unannotated(others, len(survey.samples))
    elif others:
        found = f"{counted(f'{len(others):,}', 'file')} beside the images that the dataset does not use."
        yield Finding.of("unused_files", "note", others, found, "Nothing to do, unless they should be used.")


def _unannotated(cases: list[Case], num_images: int) -> Finding:
    """Say which images no annotation names; a few of them may have lost theirs."""
    share = len(cases) / (len(cases) + num_images)
    found = (
        f"{counted(f'{len(cases):,}', 'image')} without annotation, {share:.1%} of all; the dataset leaves them out."
    )
    advice = "Where they show background only, type unlabelled='background'; else annotate them, or look for the file."
    return Finding.of("unannotated_images", "warning" if share < _FEW else "note", cases, found, advice)


def _files_of_objects(samples: Sequence[Sample]) -> Iterator[Path]:
    """Yield the mask files that objects lie in."""
    for sample in samples:
        if isinstance(sample.objects, NumberedObjects):
            if isinstance(sample.objects.mask, Path):
                yield sample.objects.mask
            continue
        for item in sample.objects if isinstance(sample.objects, tuple) else ():
            if isinstance(item.shape, MaskPart) and isinstance(item.shape.mask, Path):
                yield item.shape.mask


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that another may be a slip of; names of different numbers are not, but 7 is 007, and O is 0."""
    plain = _plain(name)
    for other in names:
        if _plain(other) == plain:
            return other
    digits = _NO_DIGITS.sub("", name)
    return near_name(name, (other for other in names if _NO_DIGITS.sub("", other) == digits))


def _plain(name: str) -> str:
    """Return a name's stem with a zero for each letter O, and then without leading zeros."""
    return _LEADING_ZEROS.sub("", Path(name).stem.casefold().replace("o", "0"))


def unused_files(samples: Sequence[Sample], masks: Sequence[MaskSource]) -> list[Path]:
    """Return the picture files that lie in the dataset's folders but are neither image nor mask of any sample.

    Args:
        samples: the images.
        masks: all their masks.
    """
    used: dict[str, set[str]] = defaultdict(set)
    for source in (*(sample.image for sample in samples), *masks, *_files_of_objects(samples)):
        if isinstance(source, Path):
            folder, _, name = str(source).rpartition(os.sep)  # `Path.parent` takes seconds for very many
            used[folder].add(name)
    unused: list[Path] = []
    for folder, names in sorted(used.items()):
        try:
            present = [
                entry.name
                for entry in os.scandir(folder or os.curdir)
                if entry.name not in names and not entry.is_dir()
            ]
        except OSError:
            continue  # what cannot be read is reported with its files
        pictures = (name for name in present if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES))
        unused += [Path(folder, name) for name in sorted(pictures)]
    return unused
