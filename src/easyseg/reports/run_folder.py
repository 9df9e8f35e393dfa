"""The folder a run leaves behind: settings, history, best model, pictures, report, log."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyseg.config import write_yaml
from easyseg.errors import OutputError
from easyseg.io.atomic import make_folder, write_text
from easyseg.io.images import write_image
from easyseg.results.history import History
from easyseg.structures import ImageArray

BEST_MODEL = "best.safetensors"
CONFIG = "config.yaml"
HISTORY = "history.csv"
REPORT = "report.html"
LOG = "log.txt"
RUNS = Path("runs")


class RunFolder:
    """Writes a run's files; every file is complete or absent.

    Args:
        path: the folder; it is made, and must not hold an earlier run.

    Raises:
        OutputError: the folder cannot be made or written to, or holds an earlier run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if (self.path / CONFIG).exists():
            raise OutputError(
                f"{self.path} holds an earlier run, which is never overwritten. Type another run_dir, or delete it."
            )
        make_folder(self.path)
        write_text(self.log_path, "")  # finds out now, not after an hour, whether the folder can be written to

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

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write the settings that run the same training again."""
        text = "# Runs this training again: easyseg train config.yaml --run-dir ANOTHER\n" + write_yaml(values)
        write_text(self.path / CONFIG, text)

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


def new_run_path(label: str, *, parent: Path = RUNS) -> Path:
    """Return a path below `parent` that no run has yet, named by the time and `label`."""
    moment = datetime.datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = parent / f"{moment}_{label}"
    number = 2
    while path.exists():
        path = parent / f"{moment}_{label}_{number}"
        number += 1
    return path


def find_run(path: str | Path) -> Path:
    """Return the model file a user means by `path`: a file, a run folder, or "runs/last" for the newest run.

    Raises:
        OutputError: there is no such run, or it has no model yet.
    """
    path = Path(path)
    if path.name == "last" and not path.exists():
        runs = [folder for folder in path.parent.glob("*") if (folder / BEST_MODEL).is_file()]
        if not runs:
            raise OutputError(f"{path.parent} holds no finished run. Train first, or type the path of a model file.")
        path = max(runs, key=lambda folder: (folder / BEST_MODEL).stat().st_mtime)
    if path.is_dir():
        if not (path / BEST_MODEL).is_file():
            raise OutputError(f"{path} holds no {BEST_MODEL}; it is no run folder, or its first epoch did not end.")
        return path / BEST_MODEL
    return path
