"""Names and numbers as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import compress

MOST_ABSENT_ROWS = 5
"""So many classes that are not in the data have rows in tables, and are named in sentences."""


def counted(count: object, noun: str, plural: str = "") -> str:
    """Return "1 image", "2 images"; `plural` is for nouns that take more than an s."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {plural or f'{noun}s'}"


def rows_to_show(is_absent: Sequence[bool]) -> list[int]:
    """Return the places of the classes that a table has rows for.

    A few classes without anything to measure keep their rows, which say so; many of them would bury the others.

    Args:
        is_absent: of each class, whether there is nothing to measure.
    """
    all_places = list(range(len(is_absent)))
    return all_places if sum(is_absent) <= MOST_ABSENT_ROWS else [place for place in all_places if not is_absent[place]]


def absent_line(names: Sequence[str], is_absent: Sequence[bool], split: str) -> str:
    """Return a sentence on the classes with nothing to measure, the first of them by name; empty where all have some.

    Args:
        names: of the classes.
        is_absent: of each class, whether there is nothing to measure.
        split: the part of the dataset that was measured.
    """
    absent = list(compress(names, is_absent))
    if not absent:
        return ""
    more = f" and {len(absent) - MOST_ABSENT_ROWS} more" if len(absent) > MOST_ABSENT_ROWS else ""
    where = "these images" if split == "all" else f"the {split} split"
    return f"Not in {where}, so not measured: {', '.join(absent[:MOST_ABSENT_ROWS])}{more}."


def timing_line(count: int, seconds: float, timing: Mapping[str, float], *, rest: str = "other") -> str:
    """Return one line on how fast images went, and the share of the time that each thing took.

    Args:
        count: how many images.
        seconds: wall time in all, above 0.
        timing: seconds by what they went into.
        rest: what the seconds that are left went into.
    """
    line = f"{counted(count, 'image')} in {seconds:.1f} s, {count / seconds:.1f} a second"
    if not timing:
        return line
    parts = {**timing, rest: max(0.0, seconds - sum(timing.values()))}
    return f"{line}: " + ", ".join(f"{name} {value / seconds:.0%}" for name, value in parts.items())


def metric_title(name: str) -> str:
    """Return a metric's name as a title: "mean_iou" is "Mean IoU", "iou/road" is "IoU of road"."""
    metric, _, class_name = name.partition("/")
    words = metric.replace("_", " ").replace("iou", "IoU").replace("dice", "Dice").replace("val ", "validation ")
    words = re.sub(r"\b(ap|ar)(\d*)\b", lambda found: found[0].upper(), words)
    words = words[:1].upper() + words[1:]
    return f"{words} of {class_name}" if class_name else words


def time_left(seconds: float) -> str:
    """Return such as "4:07 left"; "" at the end, where nothing is."""
    return "" if seconds < 0.5 else f"{clock_time(seconds)} left"


def clock_time(seconds: float) -> str:
    """Return such as "4:07" or "1:02:33"; "?" where unknown."""
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
