"""Where a training leaves its files: a new folder, or that of a run which was interrupted and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from easyseg.config import FitSettings, ModelSettings
from easyseg.errors import ConfigError
from easyseg.reports.run_folder import (
    RUNS,
    RunFolder,
    check_run_path,
    claim_run_path,
    is_interrupted,
    new_run_path,
)
from easyseg.segmenter.resuming import Identity, find_interrupted, refuse_other_training
from easyseg.training.distributed import World


@dataclass(frozen=True, slots=True)
class Place:
    """A run's folder, of which nothing is written yet.

    Attributes:
        path: the folder, None where no files are wanted.
        goes_on: an interrupted run lies there, which goes on.
        note: what a person should know about the choice; may be empty.
        is_automatic: a new folder that nobody named.
    """

    path: Path | None
    goes_on: bool = False
    note: str = ""
    is_automatic: bool = False

    def claimed(self) -> Place:
        """Make sure of a folder that nobody named: another run that began in this second may want the same one.

        Raises:
            OutputError: it cannot be made.
        """
        return replace(self, path=claim_run_path(self.path)) if self.is_automatic and self.path is not None else self

    def open(self) -> RunFolder | None:
        """Make the folder, or take up the one there is.

        Raises:
            OutputError: it cannot be made or written to, or holds something else.
        """
        if self.path is None:
            return None
        # asked once more, now that no other process is at work there: one may have brought the run to its end
        return RunFolder(self.path, goes_on=self.goes_on and is_interrupted(self.path))


def choose_place(
    settings: FitSettings, model_settings: ModelSettings, identity: Identity, *, datasets: Iterable[Path]
) -> Place:
    """Find the interrupted run that goes on, or the place of a new one; nothing is written.

    A folder that was named and holds an interrupted run is continued. Without a name it is the newest interrupted run
    of exactly these settings and data. A run that came to its end is never touched.

    Raises:
        ConfigError: the interrupted run is of another training, or `resume=True` finds none.
        OutputError: no run can be kept there.
    """
    run_dir, resume = settings.run_dir, settings.resume
    if run_dir is None:
        if resume is True:
            raise ConfigError("resume=True needs the folder of the interrupted run; run_dir=None keeps none.")
        return Place(None)
    named = Path(run_dir) if run_dir != "auto" else None
    if resume is not False:
        found = named if named is not None else find_interrupted(identity)
        if found is not None and is_interrupted(found):
            refuse_other_training(found, identity)
            return Place(found, goes_on=True, note=_note(found, identity, is_named=named is not None))
        if resume is True:
            if named is not None:
                check_run_path(named)  # a run that is finished says so
            raise ConfigError(
                f"resume=True: there is no interrupted run of these settings and data in {named or RUNS}. "
                "Leave resume='auto' to begin a new one."
            )
    label = "-".join(filter(None, (model_settings.model, model_settings.encoder)))
    path = named or new_run_path(label.replace("/", "_"))
    check_run_path(path, datasets=datasets)
    return Place(path, is_automatic=named is None)


def agreed_place(choose: Callable[[], Place], world: World) -> Place:
    """Return the place that the first of several processes chooses: two would take two names for a new run."""
    place = choose() if world.is_first else Place(None)
    path, goes_on, note = world.from_first([str(place.path) if place.path else None, place.goes_on, place.note])
    return Place(Path(path) if path else None, goes_on, note, place.is_automatic)


def _note(path: Path, identity: Identity, *, is_named: bool) -> str:
    earlier = Identity.read(path)
    changed = earlier.changed_surroundings(identity) if earlier is not None else []
    how = "another run_dir" if is_named else "resume=False"
    words = f"Going on with the interrupted run {path} ({how} begins a new one)."
    if changed:
        words += f" The result may differ in its last digits: {'; '.join(changed)}."
    return words
