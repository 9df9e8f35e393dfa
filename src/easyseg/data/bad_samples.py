"""Leaving out samples that cannot be used, and saying so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from easyseg.data.dataset import Dataset
from easyseg.data.formats.layout import Layout
from easyseg.data.sample_files import MOST_LISTED, find_problem
from easyseg.data.threads import map_in_threads
from easyseg.data.wording import parted, way_out
from easyseg.errors import FormatError
from easyseg.results.words import counted
from easyseg.structures import SkippedSample


class NothingLeftError(FormatError):
    """All annotated samples of a dataset have been left out.

    Attributes:
        dataset: what is left of it.
    """

    def __init__(self, dataset: Dataset) -> None:
        count = counted(f"{len(dataset.skipped):,}", "sample")
        first = dataset.skipped[0]
        further = next((way for each in dataset.skipped if (way := way_out(each.problem))), "Mend them.")
        super().__init__(
            f"{dataset.path}: nothing annotated is left, for {count} cannot be used as annotated, such as "
            f"{first.path}: {parted(first.problem)[0]}. {further}"
        )
        self.dataset = dataset


def with_left_out(dataset: Dataset, layout: Layout) -> Dataset:
    """Return a dataset that says what was left out of its layout.

    Raises:
        NothingLeftError: only images without objects or masks are left.
    """
    dataset = replace(dataset, skipped=layout.skipped, without_sample=layout.without_sample)
    if dataset.skipped and not any(sample.mask is not None or sample.objects for sample in dataset.samples):
        raise NothingLeftError(dataset)
    return dataset


def without_bad_samples(layout: Layout) -> Layout:
    """Return a layout without the samples whose files are missing, cut off, or of other sizes, by their headers.

    Images that are not annotated stay.
    """
    problems = map_in_threads(find_problem, layout.samples)
    bad = {at for at, problem in enumerate(problems) if problem and layout.samples[at].is_annotated}
    if not bad:
        return layout
    kept = tuple(sample for at, sample in enumerate(layout.samples) if at not in bad)
    skipped = [
        SkippedSample(str(problem.path), problem.problem)
        for at, problem in enumerate(problems)
        if problem and at in bad
    ]
    return replace(layout, samples=kept, skipped=(*layout.skipped, *skipped))


def notes_on_skipped(skipped: Sequence[SkippedSample]) -> tuple[str, ...]:
    """Return lines that say how many samples were left out, and why some of them were."""
    if not skipped:
        return ()
    lines = [f"Samples left out because they cannot be used: {len(skipped)}; see dataset.skipped."]
    # their first sentence says what is wrong
    lines += [f"  {sample.path}: {sample.problem.split('. ')[0].rstrip('.')}" for sample in skipped[:MOST_LISTED]]
    return tuple(lines)
