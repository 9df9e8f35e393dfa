"""The folder a run leaves behind: settings, history, best model, pictures, report, log."""

from __future__ import annotations

import datetime
import errno
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from easyseg.config import write_yaml
from easyseg.errors import CheckpointError, OutputError
from easyseg.io.atomic import make_folder, output_error, write_text
from easyseg.io.images import write_image
from easyseg.results.history import History
from easyseg.structures import ImageArray

BEST_MODEL = "best.safetensors"
CONFIG = "config.yaml"
HISTORY = "history.csv"
REPORT = "report.html"
LOG = "log.txt"
CHECKPOINTS = "checkpoints"
NAN_REPORT = "nan_report.json"
RUNS = Path("runs")

_CONFIG_HEADING = "# Runs this training again: easyseg train config.yaml --run-dir ANOTHER\n"


_CONFIG_OF_MORE = "# It began with a model that was trained before; name its file as weights to do the same.\n"


_CONFIG_IN_MEMORY = (
    "# Its images came from Python, not from a folder; add: --data FOLDER, or call fit with them again.\n"
)


class RunFolder:
    """Writes a run's files; every file is complete or absent.

    Args:
        path: the folder; it is made, and must be empty, or hold the beginning of a run that never came to a result.
        goes_on: it holds an interrupted run, which goes on.

    Raises:
        OutputError: the folder cannot be made or written to, or holds something.
    """

    def __init__(self, path: str | Path, *, goes_on: bool = False) -> None:
        self.path = Path(path)
        if goes_on:
            self.log("")  # finds out now, not after an hour, whether the folder can be written to
            return
        check_run_path(self.path)
        make_folder(self.path)
        write_text(self.log_path, "")

    @property
    def best_model(self) -> Path:
        """The file of the best model."""
        return self.path / BEST_MODEL

    @property
    def report(self) -> Path:
        """The file of the report."""
        return self.path / REPORT

    @property
    def log_path(self) -> Path:
        """The file of the log."""
        return self.path / LOG

    def write_config(self, values: Mapping[str, Any], *, goes_on: bool = False) -> None:
        """Write the settings that run the same training again, but for the model where it goes on from one."""
        remarks = (_CONFIG_OF_MORE if goes_on else "") + ("" if "data" in values else _CONFIG_IN_MEMORY)
        text = _CONFIG_HEADING + remarks + write_yaml(values)
        write_text(self.path / CONFIG, text)

    def write_nan_report(self, values: Mapping[str, Any]) -> None:
        """Write which steps were skipped, since their loss or gradient was no finite number."""
        write_text(self.path / NAN_REPORT, json.dumps(values, indent=1, ensure_ascii=False))

    def write_history(self, history: History) -> None:
        """Write the history as CSV."""
        history.to_csv(self.path / HISTORY)

    def write_picture(self, name: str, picture: ImageArray) -> Path:
        """Write a picture, (H, W, 3) uint8, below the folder and return its path."""
        path = self.path / name
        make_folder(path.parent)
        write_image(path, picture)
        return path

    def log(self, line: str) -> None:
        """Add a line to the log."""
        try:
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"{self.log_path} cannot be written ({error.strerror}). Free space or check it."
            ) from error


def check_run_path(path: Path, *, datasets: Iterable[Path] = ()) -> None:
    """Refuse a path at which no run can be kept, before time is spent on one; writes nothing.

    Args:
        path: where the run folder is to be.
        datasets: folders that nothing is written into.

    Raises:
        OutputError: there is an earlier run, there are other files, or it lies in a dataset or where nothing can be
            written.
    """
    place = path.resolve()
    for dataset in datasets:
        if dataset.resolve() in (place, *place.parents):
            raise OutputError(
                f"The run folder {path} would lie in the dataset {dataset}, and nothing is ever written there. "
                f"Type another run_dir, such as run_dir={str(dataset.resolve().parent / RUNS / 'first')!r}."
            )
    try:
        existing = next(folder for folder in (place, *place.parents) if folder.exists())
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if existing == place:
            _refuse_contents(path)
    except OSError as error:
        raise output_error(path, error) from error


def is_interrupted(path: Path) -> bool:
    """Tell whether a folder holds a run that came to some result, but not to its end."""
    return (path / CHECKPOINTS).is_dir() and ((path / HISTORY).exists() or _has_checkpoint(path))


def _has_checkpoint(path: Path) -> bool:
    return any(entry.name.isdigit() for entry in (path / CHECKPOINTS).iterdir())


def _refuse_contents(path: Path) -> None:
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
    if is_interrupted(path):
        raise OutputError(
            f"{path} holds an interrupted run. Leave resume='auto' to go on with it, or type another run_dir."
        )
    if names & {BEST_MODEL, HISTORY}:
        raise OutputError(
            f"{path} holds an earlier run, which is at its end and never overwritten. Type another run_dir; to train "
            f"its model further, weights={str(path / BEST_MODEL)!r}, too."
        )
    if not _is_mere_beginning(path, names):
        raise OutputError(
            f"{path} holds files that are no run's, such as {min(names)}. Type a run_dir that is empty or new."
        )


def _is_mere_beginning(path: Path, names: Collection[str]) -> bool:
    """Tell whether a run was ended here, such as by a kill, when it had only just made its folder."""
    if CONFIG in names:
        return set(names) <= {CONFIG, LOG, CHECKPOINTS} and _is_own_config(path / CONFIG)
    return set(names) <= {LOG, CHECKPOINTS} and not (LOG in names and (path / LOG).stat().st_size)


def _is_own_config(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline() == _CONFIG_HEADING.encode()


def new_run_path(label: str, *, parent: Path = RUNS) -> Path:
    """Return a free path below `parent`, named by the time and `label`; `claim_run_path` makes it this run's own."""
    moment = datetime.datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return next(path for path in _numbered(parent / f"{moment}_{label}") if not path.exists())


def claim_run_path(path: Path) -> Path:
    """Make the folder of a new run, or one beside it where another process was quicker, and return it.

    Raises:
        OutputError: it cannot be made.
    """
    make_folder(path.parent)
    names = _numbered(path)
    while True:
        chosen = next(names)
        try:
            chosen.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise output_error(chosen, error) from error
        return chosen


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}_{number}") for number in itertools.count(2))


def find_run(path: str | Path) -> Path:
    """Return the model file a user means by `path`: a file, a run folder, or "runs/last" for the newest run.

    Raises:
        CheckpointError: there is no such run, or it has no model yet.
    """
    path = Path(path)
    if path.name == "last" and not path.exists():
        runs = [folder for folder in path.parent.glob("*") if (folder / BEST_MODEL).is_file()]
        if not runs:
            raise CheckpointError(f"{path.parent} holds no finished run. Train first, or type a model file's path.")
        path = max(runs, key=lambda folder: (folder / BEST_MODEL).stat().st_mtime)
    if path.is_dir():
        if not (path / BEST_MODEL).is_file():
            raise CheckpointError(f"{path} holds no {BEST_MODEL}; it is no run folder, or its first epoch did not end.")
        return path / BEST_MODEL
    return path
