"""Taking datasets that are read already: checking them against what is asked, and putting two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from easyseg.data.classes.class_maps import contradicting
from easyseg.data.classes.class_wishes import gather_wishes
from easyseg.errors import DataError, SampleError
from easyseg.structures import ClassMap, Ignored, Sample, Split, Task

if TYPE_CHECKING:
    from easyseg.data.dataset import Dataset


def checked(
    dataset: Dataset,
    *,
    classes: Sequence[str] | None = None,
    class_map: Mapping[Any, Any] | ClassMap | None = None,
    ignore: Ignored | None = None,
    task: Task | Literal["auto"] = "auto",
) -> Dataset:
    """Return a dataset that is read already, if it is what is asked for.

    Args:
        dataset: the dataset.
        classes: the classes' names in their order.
        class_map: a `ClassMap` with these names.
        ignore: mask values or RGB colours that must not count in it.
        task: its task, or "auto".

    Raises:
        DataError: an argument would change the meaning of its masks.
    """
    wanted = list(class_map.names) if isinstance(class_map, ClassMap) else None if classes is None else list(classes)
    if class_map is not None and not isinstance(class_map, ClassMap):
        raise DataError("class_map= is for load_dataset(...); this dataset is read already.")
    if wanted is not None and wanted != dataset.classes:
        raise DataError(
            f"The dataset has the classes {', '.join(dataset.classes)}; expected {', '.join(wanted)}. "
            f"Type load_dataset(..., {'class_map=segmenter.class_map' if class_map else f'classes={wanted}'})."
        )
    known = dataset.class_map
    if wrong := contradicting(known, gather_wishes(ignore=ignore, task=task)):
        ignored = ", ".join(map(str, (*known.ignored, *known.ignored_colors, *known.ignored_names))) or "nothing"
        given = {"ignore=": f"ignore={ignore!r}", "task=": f"task={task!r}"}
        raise DataError(
            f"The dataset is read already, for the task {known.task!r} and ignoring {ignored}; {' and '.join(wrong)} "
            f"would change that. Type load_dataset(..., {', '.join(given[name] for name in wrong)})."
        )
    return dataset


READ_OF_VALIDATION = 8
"""So many validation masks are read before training starts: what they hold is known before the first epoch ends."""


def joined(training: Dataset, validation: Dataset) -> Dataset:
    """Return the training images of one dataset with the validation images of another.

    Raises:
        DataError: their masks differ in meaning.
    """
    if not validation.class_map.reads_like(training.class_map):
        raise DataError(
            f"The masks of the validation data have another meaning ({validation.class_map.note}) than those of the "
            f"training data ({training.class_map.note}). If they hold the same values, type "
            "validation=load_dataset(..., class_map=training.class_map); else save them with those values."
        )
    _refuse_strange_masks(validation)
    first, second = _part(training, "train"), _part(validation, "val")
    samples = [replace(sample, split="train") for sample in first] + [replace(sample, split="val") for sample in second]
    # who parts a dataset and gives both parts leaves its recipe true
    is_parted = training.validation_is_drawn and "val" not in training.splits()
    fraction = training.validation_fraction if is_parted else 0.0
    return replace(training, samples=tuple(samples), validation_fraction=fraction, validation_is_drawn=False)


def _refuse_strange_masks(validation: Dataset) -> None:
    """Raise a `DataError` where the first masks cannot be read with the training's classes."""
    for index, sample in enumerate(validation.samples[:READ_OF_VALIDATION]):
        try:
            if sample.is_annotated:
                validation.mask(index)
        except SampleError as error:
            raise DataError(
                f"The validation data does not fit the classes of the training data, {', '.join(validation.classes)}. "
                f"{error} If its masks mean the same by other values, type "
                "validation=load_dataset(..., class_map=...)."
            ) from error


def _part(dataset: Dataset, split: Split) -> Sequence[Sample]:
    """Return a split where the dataset's files have it, else all images."""
    if dataset.validation_is_drawn or split not in dataset.splits():
        return dataset.samples
    return dataset.split(split).samples
