"""The examination of a dataset, from its files to a checkup."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from easyseg.config import CheckSettings
from easyseg.data.check import (
    alignment,
    class_names,
    classes,
    drawn_objects,
    duplicates,
    exchanged,
    exif_turns,
    files,
    frames,
    objects,
    pairs,
    pixels,
    repeated_masks,
    smoothing,
    swapped_classes,
    values,
)
from easyseg.data.check.class_pixels import count_classes
from easyseg.data.check.classes import class_shares
from easyseg.data.check.gathering import gather
from easyseg.data.check.opening import Opened, open_folder, opened_dataset, refusal_of
from easyseg.data.check.sources import map_of_drawn, sources_of
from easyseg.data.check.survey import CHECKS, Survey, split_numbers
from easyseg.data.check.understanding import understand
from easyseg.data.dataset import Dataset
from easyseg.data.wording import parted
from easyseg.errors import OutputError
from easyseg.results.checkup import SEVERITIES, Checkup, Finding
from easyseg.structures import SPLITS, ClassMap

_FIRST = (
    "exchanged_folders", "refused", "layout", "masks_not_understood", "unusable_samples", "unusable_annotations",
    "unreadable", "truncated", "missing_masks", "conflicting_masks", "twin_images", "exif_rotation", "size_mismatch",
    "mixed_numbers", "mixed_encodings", "black_and_white_masks", "antialiased_masks", "inverted_masks",
    "misplaced_masks", "unknown_values", "rare_values", "merged_objects", "leaks", "conflicting_annotations",
    "near_leaks", "series_leaks",
)  # fmt: skip
"""The findings that are told first, in this order, among those of the same severity."""

CHECK_MODULES = (
    *(exchanged, pairs, files, exif_turns, values, smoothing, classes, class_names, swapped_classes),
    *(alignment, pixels, duplicates, frames, repeated_masks, objects, drawn_objects),
)
"""The modules whose checks there are, in their order."""


def examine(dataset: Dataset, settings: CheckSettings, *, html: str | Path | None = None) -> Checkup:
    """Examine a dataset that could be loaded; see `Dataset.check`."""
    with _quiet_decoders():
        return _examined(opened_dataset(dataset), settings, html, time.perf_counter())


def examine_folder(
    path: str | Path, given: Mapping[str, Any], settings: CheckSettings, *, html: str | Path | None = None
) -> Checkup:
    """Examine a dataset's folder, even where it cannot be loaded.

    Args:
        path: the folder.
        given: arguments of `load_dataset`.
        settings: of the checkup.
        html: a file for the report.

    Raises:
        DataError: there is no dataset, or it is not clear which files are what.
        OutputError: the report cannot be written.
    """
    begun = time.perf_counter()
    with _quiet_decoders():
        return _examined(open_folder(path, given), settings, html, begun)


@contextlib.contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Keep OpenCV from writing to the terminal what is reported anyway."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _examined(opened: Opened, settings: CheckSettings, html: str | Path | None, begun: float) -> Checkup:
    if html is not None:
        check_target(Path(html), opened.root)
    survey, findings = _surveyed(opened, settings)
    findings += [finding for check in CHECKS.values() for finding in check(survey)]
    refusal = opened.refusal or refusal_of(opened.dataset)
    if refusal and not any(finding.severity == "error" for finding in findings):
        findings.append(_refused(refusal))
    findings.sort(key=_importance)
    splits = [sample.split for sample in survey.samples]
    checkup = Checkup(
        name=opened.name,
        num_images=len(survey.samples),
        num_masks=len(survey.masks),
        splits={split: splits.count(split) for split in SPLITS if split in splits},
        classes=survey.class_map.names if survey.class_map else (),
        findings=tuple(findings),
        class_shares=tuple(class_shares(survey)),
        seconds=time.perf_counter() - begun,
        reading=opened.dataset.reading if opened.dataset is not None else (),
    )
    if html is not None:
        from easyseg.data.check.pictures import worst_pictures
        from easyseg.reports.checkup_page import write_checkup

        write_checkup(html, checkup, pictures=worst_pictures(survey, checkup), colors=_colors(survey.class_map))
    return checkup


def check_target(path: Path, root: Path | None) -> None:
    """Refuse to write a report where nothing can be written, or into the dataset, before time is spent on it.

    Raises:
        OutputError: it would lie in the dataset, or cannot be written.
    """
    place = path.resolve()
    if root is not None and place.is_relative_to(root.resolve()):
        raise OutputError(f"{path} lies in the dataset, and nothing is ever written there. Type another place.")
    existing = next(folder for folder in place.parents if folder.exists())
    if place.is_dir() or not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written. Type a file in a folder of your own.")


def _importance(finding: Finding) -> tuple[int, int]:
    """Return what orders findings: those that hide others and those that spoil most come first."""
    rank = _FIRST.index(finding.kind) if finding.kind in _FIRST else len(_FIRST)
    return SEVERITIES.index(finding.severity), rank


def _refused(refusal: str) -> Finding:
    """Say why a dataset cannot be loaded in which no check finds an error: it is not healthy all the same."""
    found, advice = parted(refusal)
    return Finding.of("refused", "error", [], f"{found}.", advice)


def _surveyed(opened: Opened, settings: CheckSettings) -> tuple[Survey, list[Finding]]:
    """Read all files once and find out what their values mean."""
    sources = [sources_of(sample, opened.class_map) for sample in opened.samples]
    flat = [source for of_sample in sources for source in of_sample]
    numbers = np.array([len(of_sample) for of_sample in sources], np.intp)
    mask_samples = np.repeat(np.arange(len(sources)), numbers)
    mask_planes = np.arange(len(flat)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    images = [sample.image for sample in opened.samples]
    image_digest, mask_digest = gather(images, flat, workers=settings.workers, verbose=settings.verbose)
    class_map, findings = understand(opened, mask_digest, flat)
    class_map = map_of_drawn(class_map) if class_map else None
    survey = Survey(
        samples=opened.samples,
        root=opened.root,
        class_map=class_map,
        has_names=class_map is not None and _are_names(class_map),
        settings=settings,
        images=image_digest,
        masks=mask_digest,
        mask_sources=flat,
        mask_samples=mask_samples,
        mask_planes=mask_planes,
        pixels=count_classes(mask_digest, mask_planes, class_map) if class_map else None,
        splits=split_numbers(opened.samples),
        without_sample=opened.dataset.without_sample if opened.dataset else frozenset(),
    )
    return survey, [*opened.findings, *findings]


def _are_names(class_map: ClassMap) -> bool:
    """Whether someone named the classes; otherwise they are called after their values."""
    return any(name != f"class_{value}" for name, value in zip(class_map.names, class_map.values, strict=False))


def _colors(class_map: ClassMap | None) -> dict[str, tuple[int, int, int]]:
    return dict(zip(class_map.names, class_map.colors, strict=True)) if class_map else {}
