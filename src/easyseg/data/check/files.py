"""Files that cannot be read, or not as what they are meant to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from easyseg.data.check.digest import Trouble
from easyseg.data.check.survey import Survey, check
from easyseg.data.check.wording import parted
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
_TURNED = 5
"""EXIF orientations from this on exchange height and width."""


@check("readable files")
def unreadable_files(survey: Survey) -> Iterator[Finding]:
    """Images and masks that are missing, empty, cut off, damaged, or no pictures."""
    cut_off, broken, lossy = [], [], []
    for trouble, case, source in _troubles(survey):
        if trouble.is_cut_off:
            cut_off.append(case("the end is missing"))
        elif source == "mask" and _is_jpeg(survey.mask_sources[trouble.row]) and "JPEG" in trouble.problem:
            lossy.append(case(parted(trouble.problem.split(", but ")[-1])[0]))
        else:
            broken.append(case(parted(trouble.problem)[0]))
    if cut_off:
        found = f"{counted(f'{len(cut_off):,}', 'file')} cut off before the end, as by a copy that was interrupted."
        yield Finding.of("truncated", "error", cut_off, found, "Copy them again from where they came from.")
    if broken:
        found = f"{counted(f'{len(broken):,}', 'file')} that cannot be read."
        yield Finding.of("unreadable", "error", broken, found, "Copy or save them anew, or remove them with their masks.")
    yield from _jpeg_masks(survey, lossy)


@check("sizes")
def sizes(survey: Survey) -> Iterator[Finding]:
    """Masks that do not have their image's size; where an EXIF turn explains it, that is said."""
    images, masks = survey.images, survey.masks
    of_mask = survey.mask_samples
    readable = survey.readable_masks & survey.readable_images[of_mask]
    differs = readable & (masks.size_hw != images.size_hw[of_mask]).any(axis=1)
    turned = (images.orientation[of_mask] >= _TURNED) != (masks.orientation >= _TURNED)
    exchanged = (masks.size_hw == images.size_hw[of_mask][:, ::-1]).all(axis=1)
    by_exif = differs & turned & exchanged
    if by_exif.any():
        cases = survey.mask_cases(by_exif.nonzero()[0], "only one of image and mask is turned by EXIF")
        found = f"{counted(f'{len(cases):,}', 'mask')} lying across, because an EXIF block turns only the image or only the mask."
        advice = "Save image and mask upright, without EXIF orientation."
        yield Finding.of("exif_rotation", "error", cases, found, advice)
    other = (differs & ~by_exif).nonzero()[0]
    if other.size:
        cases = [survey.mask_case(row, _sizes(survey, row)) for row in other]
        found = f"{counted(f'{len(cases):,}', 'mask')} of another size than the image."
        advice = "Save each mask at its image's size (scale masks by the nearest pixel, never smoothly)."
        yield Finding.of("size_mismatch", "error", cases, found, advice)


def _troubles(survey: Survey) -> Iterator[tuple[Trouble, Callable[[str], Case], str]]:
    """Yield each trouble with what makes a case of it and whether it is an image or a mask."""
    for trouble in survey.images.troubles:
        yield trouble, lambda detail, row=trouble.row: survey.image_case(row, detail), "image"
    for trouble in survey.masks.troubles:
        yield trouble, lambda detail, row=trouble.row: survey.mask_case(row, detail), "mask"


def _jpeg_masks(survey: Survey, refused: list[Case]) -> Iterator[Finding]:
    """Masks saved as JPEG: those of one class can be restored, those of several cannot."""
    restored = survey.mask_cases(survey.masks.is_lossy.nonzero()[0], "read as 0 and 255")
    cases = refused + restored
    if not cases:
        return
    found = f"{counted(f'{len(cases):,}', 'mask')} saved as JPEG, whose compression changes the values of pixels"
    found += f"; {len(refused):,} cannot be used." if refused else "; all are near 0 and 255 and are read as these."
    severity = "error" if refused else "warning"
    yield Finding.of("jpeg_masks", severity, cases, found, "Save the masks as PNG, from their source.")


def _is_jpeg(source: object) -> bool:
    return isinstance(source, Path) and source.suffix.lower() in _JPEG_SUFFIXES


def _sizes(survey: Survey, row: int) -> str:
    mask, image = survey.masks.size_hw[row], survey.images.size_hw[survey.mask_samples[row]]
    return f"{mask[1]} x {mask[0]} pixels, the image {image[1]} x {image[0]}"
