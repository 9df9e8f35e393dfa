"""Choosing from samples, and giving them splits, without building those of long sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from easyseg.structures import LazySamples, Sample, Split


def splits_of(samples: Sequence[Sample]) -> list[Split | None]:
    """Return each sample's split."""
    return samples.splits() if isinstance(samples, LazySamples) else [sample.split for sample in samples]


def chosen(samples: Sequence[Sample], places: Sequence[int]) -> Sequence[Sample]:
    """Return the samples at these places, in their order."""
    return samples.chosen(places) if isinstance(samples, LazySamples) else tuple(samples[at] for at in places)


def with_splits(samples: Sequence[Sample], splits: Sequence[Split | None]) -> Sequence[Sample]:
    """Return the samples, each with a split of its own."""
    if isinstance(samples, LazySamples):
        return samples.with_splits(splits)
    return tuple(replace(sample, split=split) for sample, split in zip(samples, splits, strict=True))


def annotated_places(samples: Sequence[Sample]) -> list[int]:
    """Return the places of the samples that can be trained on."""
    if isinstance(samples, LazySamples):
        return list(range(len(samples)))
    return [at for at, sample in enumerate(samples) if sample.is_annotated]
