"""Images that are there twice, in one split or, far worse, in two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from easyseg.data.check.comparing import Copy
from easyseg.data.check.frames import numbered_runs
from easyseg.data.check.near_copies import Groups, find_near_copies
from easyseg.data.check.sources import read_any_mask
from easyseg.data.check.survey import Survey, check
from easyseg.errors import SampleError
from easyseg.results.checkup import Case, Finding
from easyseg.results.words import counted
from easyseg.structures import SPLITS

SERIES = 5
"""So many pictures, each nearly the same as another of them, are a series: frames of a video, or many versions."""
_STRIDE = 2
_NUMBERS = re.compile(r"\d+")
_MOST_GROUPS = 500
_MOST_COPIES = 8
_MOST_NAMED = 4
_MOST_DIFFERENT = 0.001
"""Share of pixels in which masks of the same image may differ."""
_MOVE = "Keep one of them, or put all of them into one split; else the figures say how well images are remembered."


@check("exact duplicates")
def exact_duplicates(survey: Survey) -> Iterator[Finding]:
    """The very same file under two names."""
    groups = _equal_files(survey)
    splits = survey.splits
    leaks = [group for group in groups if _lies_across(group, splits)]
    inside = [group for group in groups if not _lies_across(group, splits)]
    if leaks:
        found = f"{counted(f'{len(leaks):,}', 'image')} in two splits at once: the same file."
        yield Finding.of("leaks", "error", [_group_case(survey, group) for group in leaks], found, _MOVE)
    if inside:
        found = f"{counted(f'{len(inside):,}', 'image')} several times in one split: the same file."
        cases = [_group_case(survey, group) for group in inside]
        yield Finding.of("duplicates", "warning", cases, found, "Keep one of each; the others only count it twice.")
    conflicts = [case for group in groups[:_MOST_GROUPS] if (case := _conflict(survey, group))]
    if conflicts:
        found = f"{counted(f'{len(conflicts):,}', 'image')} with two masks that differ: the same file, labelled twice."
        advice = "Find out which mask is right, and keep that one."
        yield Finding.of("conflicting_annotations", "error", conflicts, found, advice)


@check("near duplicates")
def near_duplicates(survey: Survey) -> Iterator[Finding]:
    """Copies that were scaled, compressed, cut, mirrored or lightened; and series of nearly equal pictures."""
    if not survey.settings.near_duplicates:
        return
    splits = survey.splits
    found = find_near_copies(survey, _one_of_each(survey), splits.astype(np.int64))
    places = _places_in_runs(survey)
    frames = [pair for pair in found.copies if _are_frames(survey, pair, found.groups, places)]
    single = [pair for pair in found.copies if pair not in frames]
    leaked = {int(sample) for group in _equal_files(survey) if _lies_across(group, splits) for sample in group}
    across = [
        pair for pair in single if splits[pair.first] != splits[pair.second] and not {pair.first, pair.second} & leaked
    ]
    inside = [pair for pair in single if splits[pair.first] == splits[pair.second]]
    more = f" {found.num_left:,} more pairs look alike and were not compared." if found.num_left else ""
    if across:
        words = f"{counted(f'{len(across):,}', 'pair')} of images in two splits that show the same picture.{more}"
        yield Finding.of("near_leaks", "warning", [_pair_case(survey, pair) for pair in across], words, _MOVE)
    if inside:
        words = f"{counted(f'{len(inside):,}', 'pair')} of images in one split that show the same picture.{more}"
        cases = [_pair_case(survey, pair) for pair in inside]
        advice = "Keep one of each, unless the copies are meant to be there."
        yield Finding.of("near_duplicates", "warning", cases, words, advice)
    yield from _series(survey, Groups(frames).members(), splits)


def _series(survey: Survey, series: Sequence[list[int]], splits: npt.NDArray[np.int8]) -> Iterator[Finding]:
    across = [group for group in series if _lies_across(group, splits)]
    inside = [group for group in series if not _lies_across(group, splits)]
    for groups, kind, severity in ((across, "series_leaks", "warning"), (inside, "series", "note")):
        if groups:
            total = sum(map(len, groups))
            where = "that lie in two splits" if kind == "series_leaks" else "within a split"
            words = (
                f"{counted(f'{len(groups):,}', 'run')} of nearly equal pictures {where}, {total:,} images in all, as "
                "neighbouring frames of a video are."
            )
            advice = (
                "Put each series into one split alone." if kind == "series_leaks" else "Fewer of them train as well."
            )
            cases = [_group_case(survey, np.array(group)) for group in groups]
            yield Finding.of(kind, severity, cases, words, advice)  # type: ignore[arg-type]


def _lies_across(group: Sequence[int] | npt.NDArray[np.intp], splits: npt.NDArray[np.int8]) -> bool:
    return len(set(splits[group].tolist())) > 1


def _places_in_runs(survey: Survey) -> dict[int, tuple[int, int]]:
    """Return for each sample whose name counts on with others: the number of their run, and its place there."""
    runs = enumerate(numbered_runs(survey.samples))
    return {sample: (run, place) for run, samples in runs for place, sample in enumerate(samples)}


def _are_frames(survey: Survey, pair: Copy, groups: Groups, places: dict[int, tuple[int, int]]) -> bool:
    """Whether two pictures look like frames of a video, of which only a number in their names tells one from another.

    Nearly equal names alone say little, for in many datasets all names are numbers: the pictures must follow each
    other, or be of a whole series.
    """
    names = [_NUMBERS.sub("", survey.samples[sample].name) for sample in (pair.first, pair.second)]
    one, other = (places.get(sample, (-1, 0)) for sample in (pair.first, pair.second))
    follow = one[0] == other[0] >= 0 and abs(one[1] - other[1]) <= _STRIDE  # in whatever split they lie
    return names[0] == names[1] and (follow or groups.size(pair.first) >= SERIES)


def _equal_files(survey: Survey) -> list[npt.NDArray[np.intp]]:
    """Return the groups of samples with the same file, each ascending."""
    rows = survey.readable_images.nonzero()[0]
    _, places, counts = np.unique(_keys(survey, rows), return_inverse=True, return_counts=True)
    repeated = counts[places] > 1
    order = np.argsort(places[repeated], kind="stable")
    members, groups = rows[repeated][order], places[repeated][order]
    cuts = np.flatnonzero(np.diff(groups)) + 1
    found = [group for group in np.split(members, cuts) if group.size]
    return sorted(found, key=lambda group: int(group[0]))


def _one_of_each(survey: Survey) -> npt.NDArray[np.int64]:
    """Return the readable samples, of equal files only the first."""
    rows = survey.readable_images.nonzero()[0]
    _, first = np.unique(_keys(survey, rows), return_index=True)
    return np.sort(rows[first]).astype(np.int64)


def _keys(survey: Survey, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
    """Return 64 bits of each image's sha256: of a million different files, two agree once in 37 million datasets."""
    return np.ascontiguousarray(survey.images.sha256[rows, :8]).view(np.uint64).reshape(-1)


def _group_case(survey: Survey, group: npt.NDArray[np.intp]) -> Case:
    splits = survey.splits
    # one of each split first, for these are to be seen
    _, first = np.unique(splits[group], return_index=True)
    ordered = [*group[np.sort(first)], *np.delete(group, first)]
    names = " = ".join(survey.image_name(int(sample)) for sample in ordered[:_MOST_NAMED])
    detail = f"{len(group)} images" if len(group) > _MOST_NAMED else ""
    return Case(names, detail, tuple(int(sample) for sample in ordered[:_MOST_NAMED]))


def _pair_case(survey: Survey, pair: Copy) -> Case:
    first, second = survey.samples[pair.first].split, survey.samples[pair.second].split
    parts = [pair.mirroring, f"{first} and {second}" if first != second and {first, second} <= {*SPLITS} else ""]
    names = f"{survey.image_name(pair.first)} = {survey.image_name(pair.second)}"
    return Case(names, ", ".join(part for part in parts if part), (pair.first, pair.second))


def _conflict(survey: Survey, group: npt.NDArray[np.intp]) -> Case | None:
    """Return the case of an image whose copies have masks that differ."""
    try:
        masks = [[read_any_mask(source).values for source in survey.masks_of(at)] for at in group[:_MOST_COPIES]]
    except SampleError:
        return None
    first, others = masks[0], [mask for mask in masks[1:] if mask]
    if not first:
        return None
    for other in others:
        pairs = list(zip(first, other, strict=False))
        if any(one.shape != two.shape or (one != two).mean() > _MOST_DIFFERENT for one, two in pairs):
            return _group_case(survey, group)
    return None
