"""Event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from easyseg.config import write_yaml
from easyseg.errors import ConfigError, require_extra
from easyseg.training.callbacks import FitSummary
from easyseg.training.loggers.base import LoggedPicture, Logger, RunDescription


class TensorBoardLogger(Logger):
    """Writes event files that TensorBoard shows; a resumed run goes on in the same folder.

    Args:
        directory: where to; None: "tensorboard" in the run folder.
    """

    name: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def __init__(self, directory: str | Path | None = None) -> None:
        self._directory = directory
        self._purge_step: int | None = None
        self._writer: Any = None

    def start(self, run: RunDescription) -> str:
        """Open an event file and write down the settings."""
        if self._directory is None and run.folder is None:
            raise ConfigError(
                "loggers='tensorboard' writes into the run folder, and there is none with run_dir=None. Type "
                "run_dir='auto', or loggers=TensorBoardLogger('FOLDER')."
            )
        directory = Path(self._directory or (run.folder or Path()) / "tensorboard")
        writers = require_extra("torch.utils.tensorboard", extra="tensorboard")
        self._writer = writers.SummaryWriter(directory, purge_step=self._purge_step)
        if self._purge_step is None:
            self._text("settings", write_yaml(run.settings))
        return f"tensorboard --logdir {directory}"

    def metrics(self, figures: Mapping[str, float], *, step: int) -> None:
        """Add a point to each curve."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # people watch

    def pictures(self, pictures: Sequence[LoggedPicture], *, step: int) -> None:
        """Add image, truth, prediction and mistakes, side by side."""
        for picture in pictures:
            self._writer.add_image(f"validation/{picture.key}", picture.comparison(), step, dataformats="HWC")

    def end(self, summary: FitSummary) -> None:
        """Say how it ended, and close the file."""
        self._text("ended", summary.reason)
        self._writer.close()

    def restore(self, state: Mapping[str, Any], *, step: int) -> None:
        """Go on after `step`; TensorBoard then hides what the folder holds from later steps."""
        self._purge_step = step + 1

    def __repr__(self) -> str:
        return f"TensorBoardLogger({'' if self._directory is None else repr(str(self._directory))})"

    def _text(self, name: str, text: str) -> None:
        lines = "".join(f"    {line}\n" for line in text.splitlines())  # in Markdown, four spaces keep the lines
        self._writer.add_text(name, lines)
