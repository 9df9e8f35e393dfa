"""What `fit` returns: one row of figures per evaluation."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from easyseg.errors import DataError, unknown_name
from easyseg.io.atomic import write_text
from easyseg.results import charts
from easyseg.results.words import counted
from easyseg.structures import ImageArray

Value: TypeAlias = float | int | str
Row: TypeAlias = dict[str, Value]

_BEST_COLUMN = "is_best"


class History:
    """The course of a training, one row per evaluation.

    A row holds "epoch", "step", "seconds", "learning_rate", "loss", "val_loss", and every figure of the validation
    split by name, such as "mean_iou" and "iou/road".

    Args:
        monitor: the figure that decides which row is best.

    Attributes:
        rows: the rows, oldest first.
        monitor: as above.
        stopped: why training ended, in words; empty while it runs.
    """

    def __init__(self, monitor: str = "mean_iou") -> None:
        self.rows: list[Row] = []
        self.monitor = monitor
        self.stopped = ""
        self._best: int | None = None

    def append(self, row: Mapping[str, Value], *, is_best: bool = False) -> None:
        """Add a row. Whoever keeps the best weights says whether it is the best one yet, so that both always agree."""
        self.rows.append(dict(row))
        if is_best:
            self._best = len(self.rows) - 1

    @property
    def best(self) -> Row | None:
        """The row whose weights were kept; None where there is none yet."""
        return None if self._best is None else self.rows[self._best]

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best row; None where there is none yet."""
        return None if self.best is None else int(self.best["epoch"])

    @property
    def names(self) -> list[str]:
        """The names of all figures, in the order in which they first came."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, name: str) -> list[Value]:
        """Return a figure's course, one value per row; NaN where a row lacks it.

        Raises:
            UnknownNameError: no row has such a figure.
        """
        if name not in self.names:
            raise unknown_name("figure in this history", name, self.names)
        return [row.get(name, math.nan) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Write all rows; numbers are written so that `from_csv` reads back the very same ones.

        Raises:
            OutputError: the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, [*self.names, _BEST_COLUMN], lineterminator="\n")
        writer.writeheader()
        for index, row in enumerate(self.rows):
            writer.writerow(
                {name: _written(value) for name, value in row.items()} | {_BEST_COLUMN: int(index == self._best)}
            )
        write_text(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: str | Path, *, monitor: str = "mean_iou") -> History:
        """Read what `to_csv` wrote.

        Raises:
            DataError: the file is missing or no history.
        """
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                columns = list(reader.fieldnames or [])
                rows = list(reader)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a history ({error}). Check the path.") from error
        if _BEST_COLUMN not in columns or any(None in row or None in row.values() for row in rows):
            raise DataError(f"{path} is no history.csv of easyseg: its columns are {', '.join(columns) or 'missing'}.")
        history = cls(monitor)
        for row in rows:
            best = row.pop(_BEST_COLUMN)
            history.append({name: _read(text) for name, text in row.items() if text}, is_best=best == "1")
        return history

    def plot(self, path: str | Path | None = None) -> ImageArray:
        """Draw the curves: the losses, and the monitored figure with the best row and the learning rate.

        Args:
            path: also write the picture to this file.

        Returns:
            (H, W, 3) uint8.
        """
        return charts.drawn(charts.curves(self), path)

    def __str__(self) -> str:
        if not self.rows:
            return "No evaluation yet."
        verdict = f"{counted(len(self), 'evaluation')} in {counted(self.rows[-1].get('epoch', '?'), 'epoch')}"
        if self.best is not None and self.monitor in self.best:
            verdict += f"; best {self.monitor} {self.best[self.monitor]:.4f} in epoch {self.best_epoch}"
        return f"{verdict}; {self.stopped}" if self.stopped else verdict

    def __repr__(self) -> str:
        return f"History({self})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the verdict and the curves."""
        return f"<div>{html.escape(str(self))}{charts.to_svg(charts.curves(self)) if self.rows else ''}</div>"


def _written(value: Value) -> str:
    # the shortest text that reads back as the same number; numpy's own scalars would add their type to it
    return value if isinstance(value, str) else repr(value if isinstance(value, int) else float(value))


def _read(text: str) -> Value:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
