"""Open Images: a table of masks for each split, one mask file per object, images by their ids.

Read as it is published (`train-annotations-object-segmentation.csv`, `class-descriptions-boxable.csv`, mask PNGs in
folders or in the original zip files, images anywhere below), and in the form people prepare from it: `images/<split>/`,
`masks/<split>/`, and one table with the columns MaskPath, ImageID, DisplayName and data_split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.layout import DEFAULTS, Layout, ReadOptions
from easyseg.data.formats.open_images.class_titles import read_class_titles, titles_of
from easyseg.data.formats.open_images.file_table import FoundFiles, find_files
from easyseg.data.formats.open_images.index_cache import open_mask_index
from easyseg.data.formats.open_images.mask_index import NO_SPLIT, MaskIndex
from easyseg.data.formats.open_images.sample_building import ImagesOfTable, SampleBuilder
from easyseg.data.formats.open_images.tables import find_tables, split_of_table
from easyseg.errors import FormatError, SampleError
from easyseg.structures import SPLITS, LazySamples

NAME = "open_images"
LOOKS_FOR = (
    "a table of masks such as train-annotations-object-segmentation.csv, with the columns MaskPath, ImageID, and "
    "LabelName or DisplayName"
)
OVERRULES = ("folders", "txt_splits")

_MOST_TABLES = 255


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """What is read of one table of I images and M masks.

    Attributes:
        path: the CSV file.
        index: what it says.
        titles: what each of its labels is called.
        wanted: (labels,) bool, those that count.
        image_files: (I,) int64, the number of each image's file, -1 where it is not there.
        mask_files: (M,) int64, likewise of the masks.
        images: (K,) numbers of the images that are read.
        num_without: images that are there, but have no mask of the classes asked for.
        incomplete: (L,) numbers of images of which a mask is missing.
        missing: (J,) numbers of the masks that are missing.
    """

    path: Path
    index: MaskIndex
    titles: tuple[str, ...]
    wanted: npt.NDArray[np.bool_]
    image_files: npt.NDArray[np.int64]
    mask_files: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    num_without: int
    incomplete: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]

    def num_absent(self) -> int:
        """Return how many images of the table are not in the folder."""
        return int(np.count_nonzero(self.image_files < 0))

    def read_part(self, files: FoundFiles) -> ImagesOfTable:
        """Return the images that are read; the rest of a table of millions need not be kept."""
        masks = self.index.masks_of_all(self.images, self.wanted)
        return ImagesOfTable(
            self.index.part(self.images, masks),
            self.titles,
            files.by_stem.files(self.image_files[self.images]),
            files.by_name.files(self.mask_files[masks]),
        )


def recognises(path: Path, annotations: str | None = None) -> bool:
    """Return whether there is a table of masks in the folder or close below it."""
    return path.is_dir() and bool(find_tables(path, annotations).masks)


def read(
    path: Path, *, images: Path | None = None, masks: Path | None = None, options: ReadOptions = DEFAULTS
) -> Layout:
    """Find the images of the tables and their masks; samples are built when they are asked for.

    Images that are not in the folder are left out, and so are those without any mask of the classes asked for.

    Args:
        path: the dataset's folder.
        images: the folder of the images, where they are not to be looked for everywhere.
        masks: likewise the folder of the masks, or of their zip files.
        options: the table to use; the classes that count, which are called as they were asked for, by display name or
            machine name; what to do where a mask is missing; `unlabelled="background"` keeps images without any mask
            of the classes; `unverified="ignore"` lets pixels outside of all masks not count.

    Raises:
        FormatError: there is no table, there are none of its images or masks, or two tables are of the same images.
        SampleError: a table or an archive cannot be read, or a mask is missing.
    """
    found = find_tables(path, options.annotations)
    if not found.masks:
        raise FormatError(f"{path}: no table of masks found. Expected {LOOKS_FOR}.")
    if len(found.masks) > _MOST_TABLES:
        raise FormatError(f"{path}: {len(found.masks)} tables of masks. Name those to use: annotations='train-*.csv'.")
    titles = read_class_titles(found.class_names)
    files = find_files(path, images=images, masks=masks)
    chosen = [_choose(table, path, titles, files, options) for table in found.masks]
    _refuse_nothing(path, chosen)
    _refuse_twice(path, chosen)
    _set_aside_incomplete(chosen, options)
    tables = tuple(part.read_part(files) for part in chosen)
    starts = np.cumsum([0, *(table.index.num_images for table in tables)])[:-1].astype(np.int64)
    builder = SampleBuilder(NAME, tables, starts, is_verified=options.unverified == "background")
    return Layout(
        LazySamples(builder, np.concatenate([table.index.splits for table in tables])),
        names=_class_names(chosen),
        names_source="the table of masks",
        notes=_notes(chosen, files, options),
        labels="objects",
        skipped=tuple(options.bad_samples.skipped),
    )


def _choose(table: Path, root: Path, titles: dict[str, str], files: FoundFiles, options: ReadOptions) -> _Chosen:
    index = open_mask_index(table)
    split = split_of_table(table, root)
    if split is not None:
        splits = np.where(index.splits == NO_SPLIT, SPLITS.index(split), index.splits).astype(np.uint8)
        index = replace(index, splits=splits)
    called = titles_of(index.labels, titles, options.classes or ())
    wanted = _wanted(called, options)
    images = files.by_stem.find(index.image_ids)
    masks = files.by_name.find(index.names)
    image_of_mask = index.image_numbers()
    counts = wanted[index.label_ids] & (images[image_of_mask] >= 0)
    missing = np.flatnonzero(counts & (masks < 0))
    num_masks = np.bincount(image_of_mask[counts], minlength=index.num_images)
    incomplete = np.unique(image_of_mask[missing])
    is_read = images >= 0
    num_without = int(np.count_nonzero(is_read & (num_masks == 0)))
    if options.unlabelled != "background":
        is_read &= num_masks > 0
    is_read[incomplete] = False
    return _Chosen(
        table,
        index,
        called,
        wanted,
        images,
        masks,
        np.flatnonzero(is_read).astype(np.int64),
        num_without=num_without,
        incomplete=incomplete,
        missing=missing,
    )


def _wanted(called: tuple[str, ...], options: ReadOptions) -> npt.NDArray[np.bool_]:
    """Return which labels count, (L,) bool."""
    asked = set(options.classes or called)
    wanted = np.array([title in asked for title in called], bool)
    # where there is none of those asked for, the class map says what is wrong
    return wanted if wanted.any() else np.ones(len(called), bool)


def _refuse_nothing(root: Path, chosen: list[_Chosen]) -> None:
    """Refuse a folder that has tables, but none of their images or masks."""
    images = sum(int(np.count_nonzero(part.image_files >= 0)) for part in chosen)
    first = chosen[0]
    if not images:
        example = first.index.image_ids[0].decode()
        raise FormatError(
            f"{root}: none of the images in {first.path.name} is here, such as {example}.jpg. Put the images anywhere "
            "below the folder, or type images='...' where they lie elsewhere."
        )
    if all(len(part.missing) and not (part.mask_files >= 0).any() for part in chosen):
        example = first.index.names[0].decode()
        raise FormatError(
            f"{root}: none of the masks in {first.path.name} is here, such as {example}. Put the mask files or their "
            "zip files anywhere below the folder, or type masks='...' where they lie elsewhere."
        )


def _refuse_twice(root: Path, chosen: list[_Chosen]) -> None:
    """Refuse tables that have masks of the same image, which would be there twice."""
    owners: list[tuple[_Chosen, npt.NDArray[np.int64]]] = []
    for part in chosen:
        files = part.image_files[part.images]
        for other, earlier in owners:
            shared = np.intersect1d(earlier, files)
            if len(shared):
                at = int(np.flatnonzero(part.image_files == shared[0])[0])
                names = [table.path.relative_to(root).as_posix() for table in (other, part)]
                raise FormatError(
                    f"{root}: {names[0]} and {names[1]} both have masks of {len(shared):,} images that are here, such "
                    f"as {part.index.image_ids[at].decode()}. Choose the table to use: type annotations={names[0]!r} "
                    f"or annotations={names[1]!r}."
                )
        owners.append((part, files))


def _set_aside_incomplete(chosen: Iterable[_Chosen], options: ReadOptions) -> None:
    """Leave out images of which a mask is missing, or raise: its object would be taken for background."""
    for part in chosen:
        index = part.index
        image_of_mask = index.image_numbers()
        seen = -1
        for mask in part.missing.tolist():
            image = int(image_of_mask[mask])
            if image == seen:
                continue
            seen = image
            name = index.names[mask].decode()
            options.bad_samples.add(
                SampleError(
                    part.path,
                    f"the mask {name} of the image {index.image_ids[image].decode()} is not in the folder; so it is "
                    f"with {len(part.missing):,} masks of {len(part.incomplete):,} images.{_complete_classes(part)} "
                    "Add the masks, or leave these images out with on_bad_sample='skip'.",
                )
            )


def _complete_classes(part: _Chosen) -> str:
    """Offer the classes of which no mask is missing."""
    broken = np.unique(part.index.label_ids[part.missing])
    present = np.unique(part.index.label_ids[part.mask_files >= 0])
    whole = [part.titles[label] for label in np.setdiff1d(present, broken).tolist() if part.wanted[label]]
    return f" No mask is missing of the classes {', '.join(whole)}: type classes={whole}." if 0 < len(whole) < 9 else ""


def _class_names(chosen: Iterable[_Chosen]) -> tuple[str, ...]:
    """Return the classes of the images in the folder, in the order of their names; the order of rows says nothing.

    They are all of them, also where only some are asked for: of a misspelt one, the nearest is offered.
    """
    names: set[str] = set()
    for part in chosen:
        is_here = part.image_files >= 0
        is_here[part.incomplete] = False
        labels = np.unique(part.index.label_ids[np.repeat(is_here, np.diff(part.index.starts))])
        names |= {part.titles[label] for label in labels}
    return tuple(sorted(names))


def _notes(chosen: list[_Chosen], files: FoundFiles, options: ReadOptions) -> tuple[str, ...]:
    has_boxes = any(bool(np.isfinite(part.index.boxes).all()) for part in chosen)
    order = "the smaller over the larger, by their boxes" if has_boxes else "in the order of the table's rows"
    notes = [f"The masks of an image are drawn over each other, {order}, at the image's size."]
    absent, without = sum(part.num_absent() for part in chosen), sum(part.num_without for part in chosen)
    if absent:
        notes.append(f"Images in the tables that are not in the folder are left out: {absent:,}.")
    if without and options.unlabelled != "background":
        notes.append(
            f"Images without any mask of the classes are left out: {without:,}; unlabelled='background' keeps them."
        )
    if options.unverified == "background":
        notes.append("Pixels outside of all masks are background; unverified='ignore' lets them not count.")
    if files.links_out:
        example = files.links_out[0].name
        notes.append(f"Links that lead out of the folder are left out: {len(files.links_out)}, such as {example}.")
    return tuple(notes)
