"""Files that cannot be read, or not as what they are meant to be."""

from __future__ import annotations

from collections.abc import Iterator

from easyseg.data.check.digest import Trouble
from easyseg.data.check.sources import DrawnMask
from easyseg.data.check.survey import Survey, check
from easyseg.data.wording import parted
from easyseg.io.jpeg_masks import REFUSED_JPEG
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted

_TURNED = 5
"""EXIF orientations from this on exchange height and width."""


@check("readable files")
def unreadable_files(survey: Survey) -> Iterator[Finding]:
    """Images and masks that are missing, empty, cut off, damaged, or no pictures."""
    cut_off: list[Case] = []
    broken: list[Case] = []
    lossy: list[Case] = []
    unusable: list[Case] = []
    for trouble in survey.images.troubles:
        (cut_off if trouble.is_cut_off else broken).append(survey.image_case(trouble.row, _reason(trouble)))
    unreadable = {trouble.row for trouble in survey.images.troubles}
    for trouble in survey.masks.troubles:
        if isinstance(survey.mask_sources[trouble.row], DrawnMask):
            if int(survey.mask_samples[trouble.row]) not in unreadable:  # else it is told already
                unusable.append(survey.mask_case(trouble.row, _reason(trouble)))
            continue
        is_lossy = trouble.problem.startswith(REFUSED_JPEG)
        kind = cut_off if trouble.is_cut_off else lossy if is_lossy else broken
        kind.append(survey.mask_case(trouble.row, _reason(trouble)))
    if cut_off:
        found = f"{counted(f'{len(cut_off):,}', 'file')} cut off before the end, as by a copy that was interrupted."
        yield Finding.of("truncated", "error", cut_off, found, "Copy them again from where they came from.")
    if broken:
        found = f"{counted(f'{len(broken):,}', 'file')} that cannot be read."
        advice = _advice(survey) or "Copy or save them anew, or remove them with their masks."
        yield Finding.of("unreadable", "error", broken, found, advice)
    if unusable:
        found = f"{counted(f'{len(unusable):,}', 'image')} whose objects cannot be drawn."
        advice = "Mend the annotations, or bring back the images they were made for."
        yield Finding.of("unusable_annotations", "error", unusable, found, advice)
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
        found = (
            f"{counted(f'{len(cases):,}', 'mask')} lying across: an EXIF block turns only the image, or only the mask."
        )
        advice = "Save image and mask upright, without EXIF orientation."
        yield Finding.of("exif_rotation", "error", cases, found, advice)
    other = (differs & ~by_exif).nonzero()[0]
    if other.size:
        cases = [survey.mask_case(row, _sizes(survey, row)) for row in other]
        found = f"{counted(f'{len(cases):,}', 'mask')} of another size than the image."
        advice = "Save each mask at its image's size (scale masks by the nearest pixel, never smoothly)."
        yield Finding.of("size_mismatch", "error", cases, found, advice)


def _advice(survey: Survey) -> str:
    """Return what helps with the first file that cannot be read, where more is known than that it is damaged."""
    troubles = [*survey.images.troubles, *survey.masks.troubles]
    advices = (parted(trouble.problem)[1] for trouble in troubles if not trouble.is_cut_off)
    return next((advice for advice in advices if "Type: " in advice), "")


def _reason(trouble: Trouble) -> str:
    """Return in a few words why a file cannot be used."""
    if trouble.is_cut_off:
        return "the end is missing"
    if trouble.problem.startswith(REFUSED_JPEG):
        return parted(trouble.problem.split(", but ")[-1])[0]
    return parted(trouble.problem)[0]


def _jpeg_masks(survey: Survey, refused: list[Case]) -> Iterator[Finding]:
    """Masks saved as JPEG: those of one class can be restored, those of several cannot."""
    restored = survey.mask_cases(survey.masks.is_lossy.nonzero()[0], "read as 0 and 255")
    cases = refused + restored
    if not cases:
        return
    found = f"{counted(f'{len(cases):,}', 'mask')} saved as JPEG, whose compression changes the values of pixels"
    found += f"; {len(refused):,} cannot be used." if refused else "; all are near 0 and 255 and are read as these."
    yield Finding.of(
        "jpeg_masks", "error" if refused else "warning", cases, found, "Save the masks as PNG, from their source."
    )


def _sizes(survey: Survey, row: int) -> str:
    mask, image = survey.masks.size_hw[row], survey.images.size_hw[survey.mask_samples[row]]
    return f"{mask[1]} x {mask[0]} pixels, the image {image[1]} x {image[0]}"
