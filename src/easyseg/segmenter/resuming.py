"""Going on with a training that was interrupted: which one, whether it is the same, and what a checkpoint holds."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from easyseg import __version__
from easyseg.config import FitSettings, ModelSettings
from easyseg.data.fingerprint import fingerprint
from easyseg.devices import Compute
from easyseg.errors import CheckpointError, ConfigError, OutputError
from easyseg.io.atomic import make_folder, write_text
from easyseg.io.locks import is_locked
from easyseg.io.snapshots import check_plain, check_space, newest_snapshot, write_snapshot_making_room
from easyseg.reports.run_folder import CHECKPOINTS, RUNS
from easyseg.results.words import counted
from easyseg.segmenter.fitted import StartingPoint
from easyseg.segmenter.preparing import TrainingData
from easyseg.segmenter.recording import Recording
from easyseg.training.interruption import Interruption
from easyseg.training.progress import Clock
from easyseg.training.run import TrainingRun

IDENTITY = "run.json"
_FREE = {
    *("run_dir", "resume", "verbose", "callbacks", "loggers", "checkpoint_every_seconds"),
    *("workers", "cache", "device"),
}
"""Settings that change nothing about the weights, so that a run may go on with others."""

AT_ONCE = 2
"""So many checkpoints there must be room for: a new one is written before the old one makes way."""

_COST_SHARE = 0.01
"""Saving at the ends of epochs takes at most this share of the time; shorter epochs are saved less often."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a training the same one.

    Attributes:
        settings: names to values, as `config.yaml` has them.
        data: what tells its images from others.
        batch_size: images in its batches, whether somebody chose them or the memory did; None: any.
        start: sha256 of the weights it began with, where it went on from a trained model; else empty.
        surroundings: what can change the last bits of a result: threads, versions, device.
    """

    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    batch_size: int | None
    start: str
    surroundings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        halves: TrainingData,
        settings: FitSettings,
        model_settings: ModelSettings,
        compute: Compute,
        start: StartingPoint,
        *,
        processes: int = 1,
    ) -> Identity:
        """Describe a training, which so many processes do together."""
        chosen = {
            name: _without_addresses(value)
            for name, value in (model_settings.to_dict() | settings.to_dict()).items()
            if name not in _FREE and name != "batch_size"
        }
        surroundings = {
            "threads": torch.get_num_threads(),
            "device": compute.device.type,
            "precision": compute.precision,
            "processes": processes,
            "torch": torch.__version__,
            "easyseg": __version__,
        }
        data = {"training": fingerprint(halves.train), "validation": fingerprint(halves.val)}
        return cls(_as_json(chosen), _as_json(data), int(settings.batch_size), start.weights, surroundings)

    @classmethod
    def read(cls, folder: Path) -> Identity | None:
        """Return the identity of an interrupted run, None where there is none that can be read."""
        try:
            values = json.loads((folder / CHECKPOINTS / IDENTITY).read_text(encoding="utf-8"))
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Put the identity beside the checkpoints of a run."""
        values = asdict(self)
        write_text(make_folder(folder / CHECKPOINTS) / IDENTITY, json.dumps(values, indent=1, ensure_ascii=False))

    def differences(self, other: Identity) -> list[str]:
        """Return, in words, in what `other`, a later attempt, is a different training."""
        found = [
            f"{name} was {self.settings.get(name)!r} and is {other.settings.get(name)!r} now"
            for name in sorted(self.settings.keys() | other.settings.keys())
            if self.settings.get(name) != other.settings.get(name)
        ]
        for part in ("training", "validation"):
            then, now = self.data.get(part, {}), other.data.get(part, {})
            if then != now:
                found.append(f"the {part} data was {_data_words(then)} and is {_data_words(now)} now")
        if None not in (self.batch_size, other.batch_size) and self.batch_size != other.batch_size:
            found.append(f"batch_size was {self.batch_size} and is {other.batch_size} now")
        if self.start != other.start:
            found.append(
                f"it began with {_start_words(self.start)}, and this one begins with {_start_words(other.start)}"
            )
        return found

    def changed_surroundings(self, other: Identity) -> list[str]:
        """Return, in words, what may change the last bits of the result."""
        return [
            f"{name} {value} then, {other.surroundings.get(name)} now"
            for name, value in ({"processes": 1} | dict(self.surroundings)).items()
            if value != other.surroundings.get(name)
        ]


def find_interrupted(job_identity: Identity, parent: Path = RUNS) -> Path | None:
    """Return the newest interrupted run below `parent` of exactly these settings and data, at which nobody works."""
    same: list[tuple[float, Path]] = []
    for folder in parent.glob(f"*/{CHECKPOINTS}"):
        path = folder.parent
        found = Identity.read(path)
        if found is None or found.differences(job_identity) or is_locked(path):
            continue
        with contextlib.suppress(FileNotFoundError):  # it has come to its end by now
            same.append((folder.stat().st_mtime, path))
    return max(same)[1] if same else None


def refuse_other_training(path: Path, identity: Identity) -> None:
    """Refuse to go on with an interrupted run that is another training than the one of `identity`.

    Raises:
        ConfigError: it is; the message lists the differences.
        CheckpointError: nobody knows whether it is.
    """
    earlier = Identity.read(path)
    if earlier is None:
        if newest_snapshot(path / CHECKPOINTS) != (None, []):
            raise CheckpointError(
                f"{path / CHECKPOINTS / IDENTITY} cannot be read, so nobody knows of what training the checkpoints "
                "beside it are. Type another run_dir to start anew."
            )
        return
    if differences := earlier.differences(identity):
        listed = "\n".join(f"  - {line}" for line in differences)
        raise ConfigError(
            f"{path} holds an interrupted run of another training:\n{listed}\n"
            "Type the same settings as then to go on with it, or another run_dir to start anew."
        )


class Checkpoints:
    """Saves a run now and then, so that it can go on after any interruption with the very same result.

    Args:
        folder: the run folder; None saves nothing.
        run: what changes in training.
        recording: what has been found so far.
        interruption: tells when somebody wants training to stop.
        every_seconds: of training between two checkpoints within an epoch.
        say: is told, in words, what a person should know.
    """

    def __init__(
        self,
        folder: Path | None,
        run: TrainingRun,
        recording: Recording,
        *,
        interruption: Interruption,
        every_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder / CHECKPOINTS if folder is not None else None
        self._run = run
        self._recording = recording
        self._interruption = interruption
        self._every_seconds = every_seconds
        self._say = say
        self._saved_at = time.perf_counter()
        self._cost_seconds = 0.0

    def resume(self) -> bool:
        """Go on from the newest checkpoint that is whole; tell whether there is one.

        Raises:
            CheckpointError: there are checkpoints, and none of them can be used.
        """
        if self._folder is None:
            return False
        snapshot, complaints = newest_snapshot(self._folder)
        self._refuse_different(snapshot.path.name if snapshot is not None else "")
        if snapshot is None and complaints:
            raise CheckpointError(
                f"No checkpoint in {self._folder} can be used: {' '.join(complaints)} "
                "Delete that folder, or type another run_dir, to begin anew."
            )
        if snapshot is None:
            return False
        for complaint in complaints:
            self._say(complaint)
        try:
            self._run.restore(snapshot.state["run"], snapshot.tensors)
            self._recording.restore_best(snapshot.tensors.get("best", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{snapshot.path} was written by another version of easyseg and cannot be taken up here ({error!r}). "
                "Install the version that its run.json names, or type another run_dir to start anew."
            ) from error
        return True

    def prepare(self, *, accumulates: bool) -> None:
        """Find out, before time is spent, whether checkpoints of a new run can be written.

        Args:
            accumulates: gradients are added up over several batches, and belong to a checkpoint.

        Raises:
            ConfigError: a callback's state cannot be saved.
            OutputError: the disk is too full for them, or may not be written to.
        """
        if self._folder is None or not self._run.world.is_first:
            return
        self._check_observers()
        if self._run.position.step == 0:  # one that goes on has its room, and would rather go on than not
            check_space(self._folder, AT_ONCE * self._run.most_bytes(accumulates=accumulates))

    def after_batch(self, clock: Clock) -> None:
        """Save where it is time; raise `Interrupted` where somebody wants training to stop."""
        if self._folder is None:
            return
        since = time.perf_counter() - self._saved_at
        wait = self._every_seconds
        if clock.ends_epoch() or not clock.position.stage_step:  # a stage that ended has made way for the next one
            wait = min(wait, self._cost_seconds / _COST_SHARE)
        # a signal to any process, and the first one's clock, decide for all
        number, is_due = self._run.world.highest(self._interruption.number, self._run.world.is_first and since >= wait)
        self._interruption.join(number)
        self._interruption.raise_if_requested()
        if is_due:
            self._save_if_possible()

    def save(self) -> None:
        """Save the run as it is now.

        Raises:
            ConfigError: a callback's state cannot be saved; earlier checkpoints are untouched.
            OutputError: likewise, such as on a full disk.
        """
        if self._folder is None:
            return
        begun = time.perf_counter()
        self._check_observers()
        numbers, arrays = self._run.state()
        best = self._recording.best_arrays()
        groups = {**arrays, "best": best} if best else arrays
        if self._run.world.is_first:
            write_snapshot_making_room(self._folder, self._run.position.step, {"run": numbers}, groups)
        self._saved_at = time.perf_counter()
        self._cost_seconds = self._saved_at - begun

    def finish(self) -> None:
        """Delete the checkpoints of a run that has come to its end."""
        if self._folder is None:
            return
        # renamed first: a kill halfway must not leave a finished run that seems to be an interrupted one
        trash = self._folder.with_name(f".{self._folder.name}-finished")
        with contextlib.suppress(OSError):
            self._folder.rename(trash)
        for folder in (trash, self._folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _refuse_different(self, name: str) -> None:
        """Refuse to go on where the processes see different checkpoints, or some of them none."""
        names = self._run.world.of_each(name)
        if len(set(names)) > 1:
            seen = ", ".join(f"process {rank}: {each or 'none'}" for rank, each in enumerate(names))
            raise CheckpointError(
                f"The processes see different checkpoints in {self._folder} ({seen}). The run folder must lie on a "
                "disk that all machines share; type such a run_dir."
            )

    def _save_if_possible(self) -> None:
        try:
            self.save()
        except (ConfigError, OutputError) as error:
            # hours of training are worth more than the newest checkpoint
            self._saved_at = time.perf_counter()
            self._say(f"This checkpoint could not be written, and training goes on: {error}")

    def _check_observers(self) -> None:
        for observer in self._run.observers:
            kind = type(observer).__name__
            try:
                check_plain(observer.state(), f"{kind}.state()")
            except TypeError as error:
                raise ConfigError(
                    f"The callback {kind} cannot be saved in a checkpoint: {error}. Let its state() return plain "
                    "values, such as float(x) or x.tolist(), or type run_dir=None to train without checkpoints."
                ) from error


def _data_words(data: Mapping[str, Any]) -> str:
    images, classes = data.get("images"), counted(len(data.get("classes", [])), "class", "classes")
    return f"{counted(images, 'image')} with {classes} (files {data.get('files')})"


def _start_words(start: str) -> str:
    return f"a trained model (weights {start})" if start else "a new model"


def _without_addresses(value: Any) -> Any:
    """Take the memory address out of a function's repr, which no other process would have."""
    return re.sub(r" at 0x[0-9a-f]+", "", value) if isinstance(value, str) else value


def _as_json(values: Any) -> Any:
    return json.loads(json.dumps(values, default=str))
