"""Which images are for training, which for validation, where the dataset does not say."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easyseg.data.sequences import annotated_places, splits_of, with_splits
from easyseg.structures import ImageWindow, Sample, Split

_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class SplitSamples:
    """Samples with a split each, and a line on how they came by it, empty where their files said so."""

    samples: Sequence[Sample]
    note: str = ""


def assign_splits(samples: Sequence[Sample], *, root: Path | None, fraction: float, seed: int) -> SplitSamples:
    """Give every sample a split.

    Without any split, images are put aside for validation by a hash of seed and file name: the same ones on every
    machine, whatever order the files are listed in. With a training split only, validation is drawn from it; a test
    split stays as it is.

    Args:
        samples: the samples; those without split become training images where others have one.
        root: the dataset's folder, which the names are relative to.
        fraction: share of the images put aside, 0 to below 1; at least one image where there are two.
        seed: decides which.
    """
    given = splits_of(samples)
    splits = Counter(given)
    if splits["val"] or not samples or (not splits["train"] and not splits[None]):
        return SplitSamples(with_splits(samples, [split or "train" for split in given]))
    pool = [at for at in annotated_places(samples) if given[at] in (None, "train")]
    num_val = min(max(1, round(len(pool) * fraction)), len(pool) - 1) if fraction > 0 and pool else 0
    by_hash = sorted(pool, key=lambda at: _hash(samples[at], at, root, seed))
    chosen = frozenset(by_hash[:num_val])
    assigned: list[Split | None] = [
        split if split == "test" else "val" if at in chosen else "train" for at, split in enumerate(given)
    ]
    origin = "the training split" if splits["train"] else "all images"
    note = (
        f"{num_val} of {len(pool)} images put aside for validation, drawn from {origin} by file name with seed {seed}"
    )
    return SplitSamples(with_splits(samples, assigned), note if num_val else "")


def note_on_no_split(samples: Sequence[Sample], root: Path) -> tuple[str, ...]:
    """Say which images are trained on because nothing says a split of them, while others have one.

    Args:
        samples: the samples as their files say.
        root: the dataset's folder.
    """
    given = splits_of(samples)
    without = [at for at, split in enumerate(given) if split is None]
    if not without or len(without) == len(given) or not any(split in ("train", "val") for split in given):
        return ()
    paths = [path for at in without[:_MOST_NAMED] if (path := samples[at].image_path) and path.is_relative_to(root)]
    folders = [path.relative_to(root).parts[0] for path in paths if path.parent != root]
    where = f", such as those in {folders[0]}/" if folders else ""
    count = f"{len(without)} images are" if len(without) > 1 else "1 image is"
    return (f"Note: {count} in no folder or list that is called by a split{where}; train counts them in",)


def _hash(sample: Sample, at: int, root: Path | None, seed: int) -> bytes:
    path = sample.image_path
    if path is None:
        name = sample.label or str(at)
    elif isinstance(sample.image, ImageWindow):
        name = f"{path.name} {sample.image.left} {sample.image.top}"
    elif root is not None and path.is_relative_to(root):
        name = path.relative_to(root).as_posix()
    else:
        name = path.as_posix()
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
