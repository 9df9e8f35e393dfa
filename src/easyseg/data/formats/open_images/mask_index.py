"""A table of masks, as Open Images ships one for each split, read into a few arrays.

The table of the training split has 2.7 million rows; as arrays it takes some 200 MB, and nothing of it is read twice.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

from easyseg.data.formats.folder_names import folder_meaning
from easyseg.errors import SampleError
from easyseg.structures import SPLITS, Split

Names: TypeAlias = npt.NDArray[np.bytes_]

NO_SPLIT = 255
"""Stands in `MaskIndex.splits` where a table does not say."""

_BATCH_LETTERS = 1 << 18
"""Some thousand rows: what fits into the processor's cache is read a third faster than more."""
_LONGEST_BATCH = 4096
_LONGEST_LINE = 1 << 20
_LONGEST_NAME = 128
_MOST_LABELS = 65_536
_BOX_COLUMNS = ("boxxmin", "boxymin", "boxxmax", "boxymax")


@dataclass(frozen=True, slots=True, eq=False)
class MaskIndex:
    """The masks of I images, M in all, sorted by image; those of an image keep the order of their rows.

    Attributes:
        image_ids: (I,) ASCII bytes, ascending, each once.
        starts: (I + 1,) int64; the masks of image i are those from starts[i] to before starts[i + 1].
        splits: (I,) uint8, places in `SPLITS`, `NO_SPLIT` where the table does not say.
        labels: classes in the words of the table, machine names ("/m/01yrx") or display names ("Cat"), ascending.
        label_ids: (M,) uint16, places in `labels`.
        names: (M,) ASCII bytes, the masks' file names without folders.
        boxes: (M, 4) float32, x1, y1, x2, y2 as shares 0..1 of width and height; NaN where the table has none.
        predicted_ious: (M,) float32, how good the annotation tool took the mask to be; NaN where the table has none.
    """

    image_ids: Names
    starts: npt.NDArray[np.int64]
    splits: npt.NDArray[np.uint8]
    labels: tuple[str, ...]
    label_ids: npt.NDArray[np.uint16]
    names: Names
    boxes: npt.NDArray[np.float32]
    predicted_ious: npt.NDArray[np.float32]

    @property
    def num_images(self) -> int:
        """How many images there are."""
        return len(self.image_ids)

    @property
    def num_masks(self) -> int:
        """How many masks there are."""
        return len(self.names)

    def image_numbers(self) -> npt.NDArray[np.int64]:
        """Return the number of each mask's image, (M,)."""
        return np.repeat(np.arange(self.num_images, dtype=np.int64), np.diff(self.starts))

    def masks_of(self, image: int) -> range:
        """Return the numbers of an image's masks."""
        return range(int(self.starts[image]), int(self.starts[image + 1]))

    def masks_of_all(
        self, images: npt.NDArray[np.int64], wanted_labels: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Return the numbers of some images' masks of some classes, ascending.

        Args:
            images: numbers of images.
            wanted_labels: (labels,) which of `labels` count.
        """
        is_chosen = np.zeros(self.num_images, bool)
        is_chosen[images] = True
        of_images = np.repeat(is_chosen, np.diff(self.starts))
        return np.flatnonzero(of_images & wanted_labels[self.label_ids]).astype(np.int64)

    def part(self, images: npt.NDArray[np.int64], masks: npt.NDArray[np.int64]) -> MaskIndex:
        """Return an index of some images and masks alone.

        Args:
            images: numbers of images, ascending.
            masks: numbers of masks of these, ascending.
        """
        ends = np.searchsorted(masks, self.starts[images + 1])
        return MaskIndex(
            image_ids=self.image_ids[images],
            starts=np.concatenate([[0], ends]).astype(np.int64),
            splits=self.splits[images],
            labels=self.labels,
            label_ids=self.label_ids[masks],
            names=self.names[masks],
            boxes=self.boxes[masks],
            predicted_ious=self.predicted_ious[masks],
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the values stand in a row; None where the table lacks them."""

    mask: int
    image: int
    label: int
    split: int | None
    box: tuple[int, int, int, int] | None
    predicted_iou: int | None


class _Gathered:
    """The arrays of the batches read so far."""

    def __init__(self) -> None:
        self.label_ids_of: dict[str, int] = {}
        self.batches: list[tuple[npt.NDArray[Any], ...]] = []

    def column(self, at: int) -> npt.NDArray[Any]:
        """Return one column of all batches, and let go of its parts: there is no room for both."""
        parts = [batch[at] for batch in self.batches]
        self.batches = [(*batch[:at], _NOTHING, *batch[at + 1 :]) for batch in self.batches]
        return np.concatenate(parts)


_NOTHING = np.zeros(0, np.uint8)


def is_mask_table(path: Path) -> bool:
    """Return whether a CSV file's first line is that of a table of masks."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader([file.readline(1 << 12)]), [])
    except (OSError, csv.Error):
        return False
    names = {name.strip().lower() for name in header}
    return {"maskpath", "imageid"} <= names and bool({"labelname", "displayname"} & names)


def read_mask_index(path: Path, on_rows: Callable[[int], None] | None = None) -> MaskIndex:
    """Read a table of masks, some thousand rows at a time.

    Args:
        path: a CSV file with the columns MaskPath, ImageID, and DisplayName or LabelName; BoxXMin, BoxXMax, BoxYMin,
            BoxYMax, PredictedIoU and data_split where it has them.
        on_rows: called now and then with how many rows are read.

    Raises:
        SampleError: it is no such table, or a row of it cannot be used; the message has its number.
    """
    gathered = _Gathered()
    done = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            batches = filter(None, _row_batches(file))
            header, *others = next(batches, [list[str]()])
            columns = _columns(path, header)
            for rows in filter(None, itertools.chain([others], batches)):
                gathered.batches.append(_read_batch(path, rows, columns, gathered.label_ids_of, done))
                done += len(rows)
                if on_rows is not None:
                    on_rows(done)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SampleError(path, f"the table cannot be read after row {done:,} ({error}). Fetch it again.") from error
    if not done:
        raise SampleError(path, "the table has no rows. Fetch it again, or remove it.")
    return _sorted(gathered, split=split_of_table_name(path.stem))


def _row_batches(file: TextIO) -> Iterator[list[list[str]]]:
    """Yield the rows of a CSV file, some thousand at a time, without empty ones.

    Raises:
        csv.Error: a line has no end.
    """
    rest = ""
    while text := file.read(_BATCH_LETTERS):
        text = rest + text
        if '"' in text:  # rare, and slower by half
            yield from _quoted_batches(itertools.chain(io.StringIO(text + file.readline(_LONGEST_LINE)), _lines(file)))
            return
        *lines, rest = text.split("\n")
        if len(rest) > _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE:,} letters")
        yield [line.split(",") for line in lines if line]
    if rest:
        yield [rest.split(",")]


def _quoted_batches(lines: Iterable[str]) -> Iterator[list[list[str]]]:
    reader = csv.reader(lines)
    while rows := list(itertools.islice(reader, _LONGEST_BATCH)):
        yield [row for row in rows if row]


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        yield line


def split_of_table_name(stem: str) -> Split | None:
    """Return the split that a table's name begins with, as in "validation-annotations-object-segmentation"."""
    return folder_meaning(stem.split("-")[0]).split


def _columns(path: Path, header: Sequence[str]) -> _Columns:
    at = {name.strip().lower(): place for place, name in enumerate(header)}
    label = at.get("displayname", at.get("labelname"))
    if "maskpath" not in at or "imageid" not in at or label is None:
        raise SampleError(
            path,
            f"its columns are {', '.join(header[:12]) or 'none'}; expected MaskPath, ImageID, and LabelName or "
            "DisplayName. Write these into the first line.",
        )
    box = [at[name] for name in _BOX_COLUMNS if name in at]
    return _Columns(
        mask=at["maskpath"],
        image=at["imageid"],
        label=label,
        split=at.get("data_split", at.get("split")),
        box=(box[0], box[1], box[2], box[3]) if len(box) == len(_BOX_COLUMNS) else None,
        predicted_iou=at.get("predictediou"),
    )


def _read_batch(
    path: Path, rows: list[list[str]], columns: _Columns, label_ids_of: dict[str, int], done: int
) -> tuple[npt.NDArray[Any], ...]:
    """Return a batch as arrays: image ids, names, label ids, splits, boxes, predicted IoUs.

    Raises:
        SampleError: a row cannot be used.
    """
    try:
        return _arrays(rows, columns, label_ids_of)
    except (ValueError, IndexError) as error:
        at, of_row = next(_failures(rows, columns, label_ids_of), (0, error))
        number = done + at + 2  # the first row is the header
        raise SampleError(path, f"row {number:,}, {','.join(rows[at])[:120]!r}: {_problem(of_row)}") from of_row


def _failures(
    rows: list[list[str]], columns: _Columns, label_ids_of: dict[str, int]
) -> Iterator[tuple[int, Exception]]:
    """Yield the places of the rows that cannot be used, and why."""
    for at, row in enumerate(rows):
        try:
            _arrays([row], columns, label_ids_of)
        except (ValueError, IndexError) as error:
            yield at, error


def _problem(error: Exception) -> str:
    if isinstance(error, IndexError):
        return "the row has too few values. Fetch the table again, or correct the row."
    if isinstance(error, UnicodeEncodeError):
        return "image and mask names are expected in plain letters and digits. Rename the files."
    return f"{error}. Correct the row, or remove it."


def _arrays(rows: list[list[str]], columns: _Columns, label_ids_of: dict[str, int]) -> tuple[npt.NDArray[Any], ...]:
    labels = [row[columns.label] for row in rows]
    for label in sorted(set(labels) - label_ids_of.keys()):
        _refuse_label(label, len(label_ids_of))
        label_ids_of[label] = len(label_ids_of)
    boxes = np.full((len(rows), 4), np.nan, np.float32)
    for place, column in enumerate(columns.box or ()):
        boxes[:, place] = _numbers([row[column] for row in rows])
    ious = columns.predicted_iou
    return (
        _plain_names([row[columns.image] for row in rows], "an ImageID"),
        _plain_names(_without_folders([row[columns.mask] for row in rows]), "a MaskPath"),
        np.array([label_ids_of[label] for label in labels], np.uint16),
        _split_places([row[columns.split] for row in rows] if columns.split is not None else len(rows)),
        boxes,
        np.full(len(rows), np.nan, np.float32) if ious is None else _numbers([row[ious] for row in rows]),
    )


def _refuse_label(label: str, known: int) -> None:
    if not label or len(label) > _LONGEST_NAME or not label.isprintable():
        raise ValueError(f"the class {label[:_LONGEST_NAME]!r} is no name")
    if known >= _MOST_LABELS:
        raise ValueError(f"there are more than {_MOST_LABELS:,} classes; is this their column?")


def _without_folders(names: list[str]) -> list[str]:
    text = "".join(names)
    if "/" in text or "\\" in text:
        return [name.replace("\\", "/").rpartition("/")[2] for name in names]
    return names


def _plain_names(texts: list[str], what: str) -> Names:
    longest = max(map(len, texts))
    if not min(map(len, texts)):
        raise ValueError(f"{what} is missing")
    if longest > _LONGEST_NAME:
        raise ValueError(f"{what} has {longest:,} letters; at most {_LONGEST_NAME} are expected")
    return np.array(texts, f"S{longest}")


def _numbers(texts: list[str]) -> npt.NDArray[np.float32]:
    """Return (N,) numbers, NaN for empty texts."""
    if "" in texts:
        texts = [text or "nan" for text in texts]
    with np.errstate(over="ignore"):
        return np.array(texts, np.float64).astype(np.float32)


def _split_places(texts: list[str] | int) -> npt.NDArray[np.uint8]:
    """Return (N,) places in `SPLITS`; for a number, as many `NO_SPLIT`."""
    if isinstance(texts, int):
        return np.full(texts, NO_SPLIT, np.uint8)
    places: dict[str, int] = {}
    for text in set(texts):
        split = folder_meaning(text).split
        if split is None and text.strip():
            raise ValueError(f"the split {text[:40]!r} is none of {', '.join(SPLITS)}")
        places[text] = NO_SPLIT if split is None else SPLITS.index(split)
    return np.array([places[text] for text in texts], np.uint8)


def _sorted(gathered: _Gathered, *, split: Split | None) -> MaskIndex:
    """Return the rows sorted by image; what a row says of its image's split, the first one decides."""
    ids = gathered.column(0)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    firsts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])).astype(np.int64)
    image_ids = ids[firsts]
    del ids
    of_rows = gathered.column(3)[order][firsts]
    labels = tuple(sorted(gathered.label_ids_of))
    new_id = {label: place for place, label in enumerate(labels)}
    renumbered = np.array([new_id[label] for label in gathered.label_ids_of], np.uint16)
    return MaskIndex(
        image_ids=image_ids,
        starts=np.append(firsts, len(order)).astype(np.int64),
        splits=np.where(of_rows == NO_SPLIT, NO_SPLIT if split is None else SPLITS.index(split), of_rows).astype(
            np.uint8
        ),
        labels=labels,
        label_ids=renumbered[gathered.column(2)[order]],
        names=gathered.column(1)[order],
        boxes=gathered.column(4)[order],
        predicted_ious=gathered.column(5)[order],
    )
