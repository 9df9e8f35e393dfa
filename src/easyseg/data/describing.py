"""Datasets in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easyseg.errors import DataError
from easyseg.results.words import counted

if TYPE_CHECKING:
    from easyseg.data.dataset import Dataset


def description(dataset: Dataset) -> str:
    """Return a few lines for people: where from, images per split, classes, and what the mask values mean."""
    splits = ", ".join(f"{count} {split}" for split, count in dataset.splits().items())
    source = f"{dataset.path} (format {dataset.format})" if dataset.path else "data from memory"
    classes, hints = dataset.classes, dataset.class_map.hints
    lines = [
        f"{source}: {counted(len(dataset), 'image')}" + (f", {splits}" if splits else ""),
        f"task {dataset.task}, {counted(len(classes), 'class', 'classes')}: {', '.join(classes)}",
    ]
    lines += [line for line in (dataset.class_map.note, *dataset.notes) if line and line not in hints]
    # last and not indented, for they are what a reader may have to act on
    return "\n".join(["\n  ".join(lines), *(hint for hint in hints if hint in dataset.notes)])


def empty_split(dataset: Dataset, name: str) -> DataError:
    """Say that a split has no images."""
    splits = dataset.splits()
    have = ", ".join(f"{split} {count}" for split, count in splits.items()) or "no splits at all"
    other = next(iter(splits), "train")
    advice = f"Type split={other!r} (evaluate also takes split='all'), or add images to it."
    if name == "val":
        advice = (
            "Training needs at least one image to train on and one to validate on: add images, or type "
            f"validation=...; to evaluate, type split={other!r} or split='all'."
        )
    return DataError(f"The split {name!r} of {dataset.path or 'the data'} is empty; there is: {have}. {advice}")


def no_masks(dataset: Dataset) -> DataError:
    """Say that no image has a mask."""
    splits = dataset.splits()
    of_split = f" of the split {next(iter(splits))!r}" if len(splits) == 1 else ""
    other = "train" if "val" in splits else "val"
    return DataError(
        f"No image{of_split} of {dataset.path or 'the data'} has a mask (of {len(dataset)}), so nothing can be trained "
        "or measured on them; they can only be predicted. Add masks, or choose a split that has them, "
        f"such as split={other!r}."
    )


def no_folder(data: object) -> DataError:
    """Say that something else was given in place of a folder's path."""
    return DataError(
        f"load_dataset takes a folder's path, but was given a {type(data).__name__}. Data in memory go to fit(...) "
        "and evaluate(...) as they are; their classes are named by Segmenter(..., classes=[...])."
    )


def read_already(dataset: Dataset) -> DataError:
    """Say that a dataset was given in place of a folder."""
    return DataError(
        "load_dataset takes a folder's path, but was given a Dataset, which is read already. Use it as it is; or "
        f"read its folder anew: load_dataset({str(dataset.path or 'folder')!r}, ...)."
    )
