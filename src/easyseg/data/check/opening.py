"""Opening a dataset that may be broken: what `load_dataset` refuses at the first fault becomes findings here."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyseg.data.bad_samples import NothingLeftError
from easyseg.data.classes.class_maps import read_class_map, refuse_names_of_objects
from easyseg.data.classes.class_wishes import ClassWishes, gather_wishes
from easyseg.data.dataset import Dataset
from easyseg.data.formats import Layout, find_format
from easyseg.data.formats.class_names import read_class_names
from easyseg.data.formats.pairing import MaskIndex, Roles, assign_roles, class_folders, with_labels
from easyseg.data.formats.scanning import FoundFile, existing_folder, find_files
from easyseg.data.reading import load_dataset
from easyseg.data.sequences import splits_of
from easyseg.data.splitting import assign_splits
from easyseg.data.wording import parted, way_out
from easyseg.errors import DataError, SampleError
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted
from easyseg.structures import ClassMap, Sample, SkippedSample

_OF_THE_FILES = ("format", "images", "masks")
_OF_THE_CLASSES = ("classes", "ignore", "task")
_PAIRED = ("folders", "txt_splits")
"""Formats of images and masks that belong together by their names, or by lists."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset as far as it could be opened.

    Attributes:
        samples: the images; those without a mask have none.
        name: what a report calls the dataset.
        root: its folder, None for data from memory.
        class_map: what its masks hold; None where that is still to be found out, by `wishes`.
        wishes: what the user and the dataset's files say about classes.
        findings: why it could not simply be loaded.
        refusal: what `load_dataset` says to it; empty where it could be loaded.
        dataset: as it was loaded; None where it could not be.
    """

    samples: Sequence[Sample]
    name: str
    root: Path | None
    class_map: ClassMap | None
    wishes: ClassWishes
    findings: tuple[Finding, ...] = ()
    refusal: str = ""
    dataset: Dataset | None = None


def opened_dataset(dataset: Dataset) -> Opened:
    """Return a dataset that is loaded already."""
    name = str(dataset.path or "data from memory")
    findings = tuple(_left_out(dataset.skipped, dataset.path, num_left=len(dataset)))
    return Opened(dataset.samples, name, dataset.path, dataset.class_map, ClassWishes(), findings, "", dataset)


def refusal_of(dataset: Dataset | None) -> str:
    """Return what a training would say to a dataset that could be loaded, empty where nothing.

    Mask files have been read by then; of objects, their files are asked.
    """
    if dataset is None:
        return ""
    try:
        parted = dataset if dataset.splits().keys() >= {"train", "val"} else dataset.with_splits()
        for name in ("train", "val"):
            at = next((at for at, split in enumerate(splits_of(parted.samples)) if split == name), None)
            if at is None or parted[at].objects is not None:
                parted.split(name).verify()
    except DataError as error:
        return str(error)
    return ""


def open_folder(path: str | Path, given: Mapping[str, Any]) -> Opened:
    """Open a dataset's folder, broken or not.

    Args:
        path: the folder.
        given: arguments of `load_dataset`.

    Raises:
        DataError: there is no dataset at all, or it is not clear which files are what.
        ConfigError: an argument is wrong.
    """
    folder = existing_folder(path)
    try:
        return opened_dataset(load_dataset(folder, **given))
    except NothingLeftError as error:
        return opened_dataset(error.dataset)
    except DataError as error:
        if (opened := _without_unusable(folder, given)) is not None:
            return opened
        refusal = error
    layout, findings = _loose_layout(folder, {name: given[name] for name in _OF_THE_FILES if name in given})
    class_map = read_class_map(given.get("class_map"))
    known = {name: given[name] for name in _OF_THE_CLASSES if name in given}
    wishes = gather_wishes(class_map=None if isinstance(class_map, ClassMap) else class_map, layout=layout, **known)
    if all(sample.objects is None for sample in layout.samples[:1]):
        refuse_names_of_objects(wishes)  # a wrong argument is not the dataset's fault
    fraction, seed = given.get("validation_fraction", 0.2), given.get("seed", 0)
    samples = assign_splits(layout.samples, root=folder, fraction=fraction, seed=seed).samples
    if given.get("split"):
        samples = tuple(sample for sample in samples if sample.split == given["split"])
    ready = class_map if isinstance(class_map, ClassMap) else None
    return Opened(samples, str(folder), folder, ready, wishes, tuple(findings), str(refusal))


def _without_unusable(folder: Path, given: Mapping[str, Any]) -> Opened | None:
    """Open a dataset of annotation files without what cannot be used of it; None where it is none.

    Images and masks that are paired by their names are opened in full, whatever state they are in.
    """
    try:
        if find_format(folder, given.get("format", "auto")).NAME in _PAIRED:
            return None
        return opened_dataset(load_dataset(folder, **{**given, "on_bad_sample": "skip"}))
    except NothingLeftError as error:
        return opened_dataset(error.dataset)
    except DataError:
        return None


def _left_out(skipped: Sequence[SkippedSample], root: Path | None, *, num_left: int) -> Iterator[Finding]:
    """Say what cannot be used of a dataset."""
    if skipped:
        cases = [Case(_below(Path(each.path), root or Path()), parted(each.problem)[0]) for each in skipped]
        found = f"{counted(f'{len(cases):,}', 'sample')} that cannot be used as annotated."
        advice = "Mend them; or type on_bad_sample='skip' to train without them." if num_left > 1 else "Mend them."
        further = next((way for each in skipped if (way := way_out(each.problem))), "")
        yield Finding.of("unusable_samples", "error", cases, found, f"{advice} {further}".rstrip())


def _loose_layout(folder: Path, given: Mapping[str, Any]) -> tuple[Layout, list[Finding]]:
    """Return the files of a dataset, paired as far as they can be."""
    images, masks = (Path(given[name]) if given.get(name) else None for name in ("images", "masks"))
    names_folders = images is not None or masks is not None
    format_name = given.get("format", "auto")
    reader = find_format(folder, "folders" if names_folders and format_name == "auto" else format_name)
    try:
        return reader.read(folder, images=images, masks=masks), []
    except DataError as error:
        roles = assign_roles(find_files(folder, images=images, masks=masks))
        if not roles.images or not roles.masks:
            raise
        of_classes = class_folders(roles)
        samples, findings = _loose_pairs(roles, of_classes, folder, reader.NAME)
        if not findings and all(sample.mask is not None for sample in samples):
            findings.append(_layout_finding(error, folder))
    labelled, names = with_labels(samples, folder), read_class_names(folder)
    if of_classes and names.names is None and names.class_values is None:
        return Layout(labelled, tuple(of_classes), None, "the mask folders' names"), findings
    return Layout(labelled, names.names, names.class_values, names.source), findings


def _layout_finding(error: DataError, folder: Path) -> Finding:
    """Say what a reader refuses where all files have their partners, such as a line of a list."""
    place, problem = (error.path, error.problem) if isinstance(error, SampleError) else (folder, str(error))
    found, advice = parted(problem)
    case = Case(_below(Path(place), folder))
    return Finding.of("layout", "error", [case], f"The dataset's files cannot be read as they are: {found}.", advice)


def _loose_pairs(
    roles: Roles, folders: Sequence[str], root: Path, source_format: str
) -> tuple[list[Sample], list[Finding]]:
    """Give each image its mask where there is exactly one; the rest becomes findings, or has no mask."""
    index = MaskIndex(roles.masks)
    samples: list[Sample] = []
    conflicts: list[Case] = []
    for image in roles.images:
        try:
            found = [index.find(image, within=(name,)) for name in folders] if folders else [index.find(image)]
        except SampleError as error:
            detail = parted(error.problem)[0].replace(f"{root}{os.sep}", "")
            conflicts.append(Case(_below(image.path, root), detail, (len(samples),)))
            found = [_any_mask(image, roles.masks)]
        masks = tuple(mask.path for mask in found if mask is not None)
        whole = len(masks) == max(1, len(folders))
        mask = None if not whole else masks if folders else masks[0]
        samples.append(Sample(image.path, mask, image.split, source_format))
    return samples, [*_conflicts(conflicts), *_twins(roles.images, root)]


def _any_mask(image: FoundFile, masks: Sequence[FoundFile]) -> FoundFile | None:
    """Return one of several masks of an image: the one whose name is nearest to its own."""
    fitting = [mask for mask in masks if mask.stem.casefold().startswith(image.stem.casefold())]
    return min(fitting, key=lambda mask: (len(mask.stem), str(mask.path)), default=None)


def _conflicts(cases: list[Case]) -> list[Finding]:
    if not cases:
        return []
    found = f"For {_images(len(cases))} there are several masks."
    return [Finding.of("conflicting_masks", "error", cases, found, "Keep one mask for each image, and move the rest.")]


def _twins(images: Sequence[FoundFile], root: Path) -> list[Finding]:
    by_key: dict[object, list[int]] = defaultdict(list)
    for at, image in enumerate(images):
        by_key[image.split, image.place, image.stem].append(at)
    groups = [numbers for numbers in by_key.values() if len(numbers) > 1]
    if not groups:
        return []
    cases = [Case(" = ".join(_below(images[at].path, root) for at in group), "", tuple(group)) for group in groups]
    who = "1 name stands" if len(groups) == 1 else f"{len(groups)} names stand"
    found = f"{who} for several images, so their masks cannot be told apart."
    return [Finding.of("twin_images", "error", cases, found, "Rename or remove all but one image of each name.")]


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _images(count: int) -> str:
    return f"{count:,} images" if count != 1 else "1 image"
